"""`voice-gateway check`: would a call go through? Each part is tried, and told how to be mended."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gateway.commands._answering import Finding, examine_answering
from gateway.errors import CarrierError, ConfigError, StoreError

if TYPE_CHECKING:
    from gateway.settings import Settings

HELP: Final = "preflight of settings, Amigo, store, public URL and carrier number"
PUBLIC_PATIENCE: Final = 5.0
"""Seconds the public address may take to answer."""
SHORTEST_TOKEN: Final = 16
"""Characters below which an admin token is called weak."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings")
    parser.add_argument(
        "--number", metavar="+NUMBER", help="also look at this carrier number's webhook"
    )
    parser.add_argument(
        "--fix", action="store_true", help="point the number's webhook at this gateway"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Print what was found; 1 when something failed. Wrong settings raise `ConfigError`."""
    from gateway.settings import Needs, read_settings

    if args.fix and not args.number:
        print("--fix needs --number: which number is to be set?", file=sys.stderr)
        return 2
    try:
        given = read_settings(needs=Needs.SERVE, config=args.config)
    except ConfigError as error:
        if args.json:
            _tell_json([Finding(wrong.name, "fail", wrong.problem) for wrong in error.problems])
        raise
    findings = [Finding(one.name, "warn", one.problem) for one in given.ignored]
    if not args.json:
        for finding in findings:
            _tell(finding)
    findings += asyncio.run(_look(given.settings, args.number, fix=args.fix, silent=args.json))
    if args.json:
        _tell_json(findings)
    return 1 if any(finding.verdict == "fail" for finding in findings) else 0


async def _look(
    settings: Settings, number: str | None, *, fix: bool, silent: bool
) -> list[Finding]:
    findings = []
    async with aclosing(examine(settings, number, fix=fix)) as found:
        async for finding in found:
            findings.append(finding)
            if not silent:
                _tell(finding)
    return findings


def _tell(finding: Finding) -> None:
    print(f"{finding.verdict:<4}  {finding.subject}: {finding.detail}", flush=True)
    if finding.fix:
        print(f"      -> {finding.fix}", flush=True)


def _tell_json(findings: list[Finding]) -> None:
    failed = any(finding.verdict == "fail" for finding in findings)
    print(json.dumps({"ok": not failed, "findings": [asdict(f) for f in findings]}, indent=2))


async def examine(
    settings: Settings, number: str | None = None, *, fix: bool = False
) -> AsyncGenerator[Finding, None]:
    """Yield findings as they are made; nothing raises."""
    from gateway.clock import SystemClock
    from gateway.store import open_store, store_place

    clock = SystemClock()
    for finding in _settings(settings):
        yield finding
    try:
        async with open_store(settings.gateway_store_url, clock) as store:
            # A change, made durable: the only proof that there is room and permission for one.
            await store.remember("last-check", str(clock.wall()))
            place = store_place(settings.gateway_store_url)
            yield Finding("store", "ok", f"{place} takes changes")
            for risk in await store.risks():
                yield Finding("store's memory", "warn", risk.what, risk.remedy)
            async for finding in examine_answering(settings, store, clock, number):
                yield finding
    except StoreError as error:
        yield Finding("store", "fail", str(error), "set GATEWAY_STORE_URL to a place we may write")
    yield await _public_url(settings)
    if number is None:
        yield Finding("carrier number", "warn", "not looked at", "name it: --number +15550001111")
    else:
        yield await _number(settings, number, fix=fix)


# ---------------------------------------------------------------- settings


def _settings(settings: Settings) -> Iterator[Finding]:
    yield Finding("settings", "ok", "everything needed to serve is set")
    if settings.gateway_insecure:
        yield Finding(
            "signatures", "warn", "anybody may place calls here", "unset GATEWAY_INSECURE"
        )
    if 0 < len(settings.gateway_admin_token or "") < SHORTEST_TOKEN:
        yield Finding(
            "admin token", "warn", "is short", f"take at least {SHORTEST_TOKEN} random characters"
        )
    recordings, phrases = settings.gateway_recordings_dir, settings.playback.phrases_dir
    if recordings is not None and recordings.exists() and not recordings.is_dir():
        name = "GATEWAY_RECORDINGS_DIR"
        yield Finding(name, "fail", f"{str(recordings)!r} is not a directory", "name another")
    if phrases is not None and not phrases.is_dir():
        name = "GATEWAY_PLAYBACK__PHRASES_DIR"
        yield Finding(name, "fail", f"{str(phrases)!r} is not a directory", "make it, or unset it")


# ---------------------------------------------------------------- the carrier's side


async def _public_url(settings: Settings) -> Finding:
    import aiohttp

    from gateway.settings.values import is_loopback_name

    url, subject = settings.gateway_public_url, "public URL"
    if is_loopback_name(urlsplit(url).hostname or ""):
        return Finding(subject, "warn", f"{url} is this machine: no carrier reaches it")
    fix = "is the gateway running, and does its proxy or tunnel hand on every path?"
    timeout = aiohttp.ClientTimeout(total=PUBLIC_PATIENCE)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url}/healthz", allow_redirects=False) as answer,
        ):
            if answer.status == 200:
                return Finding(subject, "ok", f"{url} answers")
            return Finding(subject, "warn", f"{url}/healthz answers {answer.status}", fix)
    except (aiohttp.ClientError, TimeoutError) as error:
        return Finding(subject, "warn", f"{url} does not answer ({type(error).__name__})", fix)


async def _number(settings: Settings, number: str, *, fix: bool) -> Finding:
    from gateway.carriers.twilio.rest import TwilioRest

    subject, base = "carrier number", settings.gateway_public_url
    voice_url, status_url = f"{base}/twilio/voice", f"{base}/twilio/status"
    account, tokens = settings.twilio_account_sid, settings.twilio_auth_token
    try:
        async with TwilioRest(account, tokens, settings.twilio_api_base_url) as carrier:
            found = await carrier.find_number(number)
            if found is None:
                return Finding(
                    subject, "fail", "the account has no such number", "write it as +15550001111"
                )
            if found.overridden_by is not None:
                detail = f"{found.overridden_by} takes its calls, whatever its webhook says"
                return Finding(subject, "fail", detail, "take the number out of that application")
            if (found.voice_url, found.voice_method) == (voice_url, "POST"):
                return Finding(subject, "ok", f"its webhook is {voice_url}")
            if not fix:
                detail = f"its webhook is {found.voice_method} {found.voice_url or 'not set'}"
                return Finding(subject, "fail", detail, f"--fix sets it to {voice_url}")
            await carrier.set_webhook(found.sid, voice_url, status_url)
            return Finding(subject, "ok", f"its webhook was set to {voice_url}")
    except CarrierError as error:
        return Finding(
            subject, "fail", str(error), "check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"
        )
