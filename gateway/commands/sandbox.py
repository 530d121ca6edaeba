"""`voice-gateway sandbox`: the stand-in for the conversation API, on loopback, until it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from gateway.sandbox.faults import FaultRule
    from gateway.sandbox.options import Credentials

HOUR_MS = 3_600_000
YEAR_SECONDS = 31_536_000
HELP = "a local stand-in for the Amigo conversation API, with offline speech"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    from gateway.sandbox import options
    from gateway.sandbox.faults import KINDS

    defaults = options.SandboxOptions()
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _fault_help({name: kind.meaning for name, kind in KINDS.items()})
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=int, default=8090, help="0 takes a free one and prints it (%(default)s)")
    add("--revision", choices=options.REVISIONS, default=defaults.revision, help="%(default)s")
    add(
        "--engine",
        choices=("speech", "tones"),
        default="speech",
        help="ears and voice (%(default)s)",
    )
    add(
        "--think-ms", type=int, default=defaults.think_ms, help="the agent's thinking (%(default)s)"
    )
    add("--audio", choices=options.VOICE_FORMATS, default=defaults.voice_format, help="%(default)s")
    add(
        "--audio-rate",
        type=int,
        choices=options.VOICE_RATES,
        default=defaults.voice_rate,
        help="Hz of the agent's voice (%(default)s)",
    )
    add(
        "--on-disconnect",
        choices=("continue", "rollback"),
        default=defaults.on_disconnect,
        help="the reply of a client that left (%(default)s)",
    )
    add(
        "--rate-limits",
        choices=options.LIMIT_SCOPES,
        default=defaults.limits,
        help="count the published requests per minute (%(default)s)",
    )
    add("--token-seconds", type=float, default=defaults.token_seconds, help="life of a sign-in")
    add(
        "--strict-credentials",
        type=Path,
        metavar="FILE",
        help="TOML file that replaces the defaults",
    )
    add("--data", type=Path, metavar="DIR", help="keep everything here (default: in memory)")
    add("--script", type=Path, metavar="FILE", help="TOML file with the agent's script")
    add(
        "--whisper", type=Path, metavar="DIR", help="another CTranslate2 Whisper model to hear with"
    )
    add("--fault", action="append", default=[], metavar="NAME=RATE", help="see below; repeatable")
    add("--seed", type=int, default=defaults.seed, help="of the faults' dice (%(default)s)")
    add("--env", action="store_true", help="print the export lines for a gateway and exit")
    add("--verbose", action="store_true", help="log details")


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted; 2 for wrong options or missing engines."""
    from gateway.sandbox.agent import Agent, load_script
    from gateway.sandbox.credentials import export_lines, read_credentials
    from gateway.sandbox.engines import load_engines
    from gateway.sandbox.options import Credentials, SandboxOptions
    from gateway.sandbox.server import make_app

    _in_range(args)
    strict = args.strict_credentials
    credentials = read_credentials(strict) if strict else Credentials()
    faults = _faults(args.fault)
    if args.env:
        print("\n".join(export_lines(f"http://{args.host}:{args.port}", credentials)))
        return 0
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if args.verbose else logging.INFO,
        format="%(asctime)s %(name)s %(message)s",
    )
    agent = Agent(load_script(args.script))
    engines = load_engines(args.engine, args.whisper)
    options = SandboxOptions(
        revision=args.revision,
        credentials=credentials,
        token_seconds=args.token_seconds,
        limits=args.rate_limits,
        think_ms=args.think_ms,
        voice_format=args.audio,
        voice_rate=args.audio_rate,
        early_hearing=args.engine == "speech",
        on_disconnect=args.on_disconnect,
        faults=faults,
        seed=args.seed,
        data=args.data,
    )
    app = make_app(options, engines.recogniser, engines.voice, agent=agent)
    asyncio.run(_serve(app, args.host, args.port, credentials))
    return 0


async def _serve(app: web.Application, host: str, port: int, credentials: Credentials) -> None:
    from aiohttp import web

    from gateway.errors import BadSetting, ConfigError
    from gateway.sandbox.credentials import export_lines
    from gateway.sandbox.server import LONGEST_LINE

    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0, max_line_size=LONGEST_LINE)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as exc:
            problem = f"cannot listen on {host}:{port}: {exc.strerror}"
            raise ConfigError([BadSetting("--port", problem)]) from exc
        except UnicodeError as exc:
            raise ConfigError([BadSetting("--host", f"{host!r} is no name of a host")]) from exc
        actual = runner.addresses[0][1]
        print("\n".join(export_lines(f"http://{host}:{actual}", credentials)), flush=True)
        stop = asyncio.Event()
        with contextlib.suppress(NotImplementedError):  # no signal handlers on Windows loops
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()
    finally:
        await runner.cleanup()


def _in_range(args: argparse.Namespace) -> None:
    """Numbers that no socket, clock or loop could use are told as the wrong settings they are."""
    from gateway.errors import BadSetting, ConfigError

    problems = []
    if not 0 <= args.port <= 65_535:
        problems.append(BadSetting("--port", f"{args.port} is no port: 0 to 65535"))
    if not 0 <= args.think_ms <= HOUR_MS:
        problems.append(BadSetting("--think-ms", f"{args.think_ms} is not from 0 to {HOUR_MS}"))
    if not 0 < args.token_seconds <= YEAR_SECONDS:  # false for what is no number, too
        problem = f"{args.token_seconds:g} is not above 0 and up to {YEAR_SECONDS}"
        problems.append(BadSetting("--token-seconds", problem))
    if problems:
        raise ConfigError(problems)


def _faults(texts: Sequence[str]) -> tuple[FaultRule, ...]:
    from gateway.errors import BadSetting, ConfigError
    from gateway.sandbox.faults import parse_fault

    rules, problems = [], []
    for text in texts:
        try:
            rules.append(parse_fault(text))
        except ValueError as exc:
            problems.append(BadSetting("--fault", str(exc)))
    if problems:
        raise ConfigError(problems)
    return tuple(rules)


def _fault_help(kinds: dict[str, str]) -> str:
    lines = [f"  {name:20} {meaning}" for name, meaning in kinds.items()]
    return "\n".join(
        [
            "faults, written NAME=RATE[:COUNT][@MS] (rate 0..1, at most COUNT times, lasting MS):",
            *lines,
            "  OPERATION-STATUS     e.g. interact-429=1:2@1500, finish-409=1:1; status-503 for any",
            "  a stream fault may be narrowed: create-stall-think=1, interact-slow-drip=0.5@50",
        ]
    )
