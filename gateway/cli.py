"""The command line: `voice-gateway COMMAND`. One file per command in `gateway/commands`.

A command module offers `HELP`, `configure(parser)` and `run(args) -> exit status`; only the one
asked for is imported, so `--help` stays quick and no command pays for another's libraries.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import Final

from gateway.errors import ConfigError, GatewayError

COMMANDS: Final = {
    "serve": "the gateway: webhooks, media sockets, records, metrics",
    "sandbox": "a local stand-in for the Amigo conversation API, with offline speech",
    "demo": "hold one phone call on this machine: sandbox, gateway and a caller with recorded speech",
    "call": "a simulated phone: call a gateway with recordings, spoken text or keys",
    "check": "preflight of settings, Amigo, store, public URL and carrier number",
    "calls": "list and show calls from the store",
    "segment": "what the ears of a live call make of recordings; sweep their patience, draw a picture",
    "rca": "why a call went as it did: findings from its record, and the API's own view of it",
    "config": "the effective settings and where each comes from",
}
"""Name and one line of help of each command."""

USAGE_ERROR: Final = 2
INTERRUPTED: Final = 130


def main(argv: list[str] | None = None) -> int:
    """Run one command; exit status 0 done, 1 the thing checked failed, 2 bad usage or settings, 130 interrupted."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = _parser(arguments)
    args = parser.parse_args(arguments)
    command = importlib.import_module(f"gateway.commands.{args.command}")
    try:
        status = int(command.run(args))
        sys.stdout.flush()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return USAGE_ERROR
    except GatewayError as error:
        print(f"voice-gateway {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # whoever read us has had enough; the interpreter must not try to write the rest at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="voice-gateway",
        description="Telephone calls to agents in the Amigo conversation API.",
    )
    names = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    asked = next((word for word in arguments if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        sub = names.add_parser(name, help=summary, description=summary)
        if name == asked:
            importlib.import_module(f"gateway.commands.{name}").configure(sub)
    return parser
