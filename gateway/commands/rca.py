"""`voice-gateway rca`: why a call went as it did, from its record and from the API's own view of it."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import BadSetting, ConfigError

if TYPE_CHECKING:
    from gateway.rca import Finding, Inquiry
    from gateway.settings import Settings
    from gateway.store import StoredCall

HELP: Final = "why a call went as it did: findings from its record, and the API's own view of it"
PARTS: Final = {
    "api": "the API's view",
    "insights": "insights",
    "sources": "recordings",
    "feedback": "feedback",
    "recommended": "recommended responses",
    "simulated": "simulation",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("call_sid", help="the call to explain")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings")
    parser.add_argument(
        "--simulate", metavar="INTERACTION_ID", help="run this interaction again; nothing is stored"
    )
    parser.add_argument("--offline", action="store_true", help="the record only; ask nobody")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Explain the call; 1 when it, or the store, does not exist. Wrong settings raise `ConfigError`."""
    from gateway.settings import load_settings

    if args.offline and args.simulate:
        raise ConfigError([BadSetting("--simulate", "asks the API, which --offline forbids")])
    settings = load_settings(config=args.config)
    return asyncio.run(_explain(settings, args))


async def _explain(settings: Settings, args: argparse.Namespace) -> int:
    from gateway.clock import SystemClock
    from gateway.ids import CallSid
    from gateway.log import printable
    from gateway.rca import explain
    from gateway.store import open_store

    url = settings.gateway_store_url
    async with open_store(url, SystemClock(), must_exist=True) as store:
        call = await store.get(CallSid(args.call_sid))
    if call is None:
        print(f"no call {args.call_sid!r} in the store", file=sys.stderr)
        return 1
    _mind_interaction(call, args.simulate)
    findings = explain(call.record)
    inquiry = await _inquire(settings, call, args)
    if args.json:
        document = {
            "call_sid": call.call_sid,
            "findings": [asdict(finding) for finding in findings],
            "api": asdict(inquiry),
        }
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(map(printable, _text(call.record, findings, inquiry))))
    return 0


def _mind_interaction(call: StoredCall, wanted: str | None) -> None:
    """Raises `ConfigError` for an interaction that was none of this call's: the API has nothing to run."""
    turns = call.record.get("turns")
    turns = turns if isinstance(turns, list) else []
    known = [str(turn["interaction_id"]) for turn in turns if turn.get("interaction_id")]
    if wanted is not None and wanted not in known:
        had = f"it had {', '.join(known)}" if known else "it had none"
        problem = f"{wanted!r} is no interaction of this call; {had}"
        raise ConfigError([BadSetting("--simulate", problem)])


async def _inquire(settings: Settings, call: StoredCall, args: argparse.Namespace) -> Inquiry:
    from gateway.amigo import AmigoClient
    from gateway.clock import SystemClock
    from gateway.compose import amigo_options, settings_of_call
    from gateway.rca import Inquiry, inquire

    if args.offline:
        return Inquiry(why={"api": "not asked"})
    own = settings_of_call(settings, call.route, call.organization)
    if own is None:
        return Inquiry(why={"api": f"no settings for organization {call.organization!r}"})
    if not (own.amigo_api_key and own.amigo_api_key_id):
        return Inquiry(why={"api": "AMIGO_API_KEY and AMIGO_API_KEY_ID are not set"})
    async with AmigoClient(amigo_options(own), SystemClock()) as client:
        await client.detect_revision()
        return await inquire(client, call.record, args.simulate)


# ---------------------------------------------------------------- for reading


def _text(record: dict[str, Any], findings: list[Finding], inquiry: Inquiry) -> Iterator[str]:
    yield (
        f"call {record.get('call_sid')}: {record.get('status')},"
        f" ended by {record.get('end_reason') or 'nobody yet'}, {len(record.get('turns') or [])} turns"
    )
    yield ""
    if not findings:
        yield "Nothing in the record calls for a change."
    for finding in findings:
        yield f"{finding.rule}: {finding.what}{_when(finding)}"
        yield f"  -> {finding.change}"
    yield ""
    yield from _told_by_api(inquiry)


def _when(finding: Finding) -> str:
    turn = "" if finding.turn is None else f"turn {finding.turn}"
    told = ", ".join(text for text in (turn, finding.at or "") if text)
    return f" ({told})" if told else ""


def _told_by_api(inquiry: Inquiry) -> Iterator[str]:
    for told in inquiry.interactions:
        yield f"turn {told['turn']}, interaction {told['interaction_id']}"
        yield from _insight(told)
    for given in inquiry.feedback:
        yield f"feedback on the {given['kind']}: {given['comment']}"
    for sentence in inquiry.recommended:
        yield f"the caller could say: {sentence}"
    if inquiry.simulated is not None:
        yield f"run again, the agent says: {inquiry.simulated['agent_message']}"
    for part, why in inquiry.why.items():
        yield f"{PARTS[part]}: {why}"


def _insight(told: dict[str, Any]) -> Iterator[str]:
    if told.get("state"):
        yield f"  state {told['state']}: {told['objective']}"
    for step in told.get("transitions") or []:
        yield f"  {step['from']} -> {step['to']}: {step['reason']}"
    for source in told.get("sources") or []:
        until = f", until {source['expires_at']}" if source.get("expires_at") else ""
        yield f"  {source['of']}'s voice ({source['content_type']}{until}): {source['url']}"
