"""`voice-gateway serve`: the gateway itself, as one process or as several that share a port."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.settings import Settings
    from gateway.settings.load import Effective

_log = logging.getLogger(__name__)

HELP = "the gateway: webhooks, media sockets, records, metrics"
LOG_TURNS: Final = "log-turns"
"""File in the workers' folder: who holds its lock may write to the log."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to bind (GATEWAY_HOST)")
    parser.add_argument("--port", type=int, help="port to bind (GATEWAY_PORT); 0 takes a free one")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that share the port (GATEWAY_WORKERS): one for each core",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings")
    # how a parent starts its workers
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    from gateway.hardening import keep_files_private
    from gateway.settings import Needs, read_settings

    given = read_settings(
        needs=Needs.SERVE,
        config=args.config,
        options={
            "gateway_host": args.host,
            "gateway_port": args.port,
            "gateway_workers": args.workers,
        },
    )
    keep_files_private()
    if args.worker is not None:
        return _worker(given, args.worker)
    if given.settings.gateway_workers > 1:
        return _parent(given, args.config)
    return _alone(given)


def _alone(given: Effective) -> int:
    from gateway.app import serve
    from gateway.log import logging_to

    settings = given.settings
    with logging_to(
        level=settings.log_level, format=settings.log_format, secrets=settings.secrets()
    ):
        _warn_of_ignored(given)
        _allow_open_files(settings)
        return _run(serve(settings, listening))


def _parent(given: Effective, config: Path | None) -> int:
    from gateway.commands._workers import Site, shared_folder, supervise
    from gateway.log import logging_to

    settings = given.settings
    with (
        shared_folder() as folder,
        logging_to(
            level=settings.log_level,
            format=settings.log_format,
            secrets=settings.secrets(),
            shared=folder / LOG_TURNS,
        ),
    ):
        _warn_of_ignored(given)
        site = Site(settings.gateway_host, settings.gateway_port, config, folder)
        return asyncio.run(supervise(settings.gateway_workers, site, listening))


def _worker(given: Effective, place: int) -> int:
    from gateway.app import serve
    from gateway.log import logging_to
    from gateway.metrics import VARIABLE, Shelf
    from gateway.worker import Worker

    settings = given.settings
    worker = Worker(Shelf(Path(os.environ[VARIABLE]), place))
    with logging_to(
        level=settings.log_level,
        format=settings.log_format,
        secrets=settings.secrets(),
        shared=worker.shelf.directory / LOG_TURNS,
    ):
        _allow_open_files(settings)
        return _run(serve(settings, _ready_for_parent, worker))


def listening(address: tuple[str, int]) -> None:
    """Tell whoever started us; one write, for the log's thread has lines of its own for the stream."""
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    sys.stderr.write(f"listening on http://{host}:{address[1]}\n")
    sys.stderr.flush()


def _ready_for_parent(address: tuple[str, int]) -> None:
    from gateway.worker import READY

    with suppress(OSError):  # a parent that is gone is noticed elsewhere
        print(READY.decode() + json.dumps(address), flush=True)


def _warn_of_ignored(given: Effective) -> None:
    from gateway.log import fact

    for one in given.ignored:
        meaning = "begins like one of ours, " + one.problem
        fact(_log, "setting.ignored", level=logging.WARNING, setting=one.name, meaning=meaning)


def _allow_open_files(settings: Settings) -> None:
    from gateway.hardening import allow_open_files
    from gateway.log import fact

    too_few = allow_open_files(settings.gateway_max_calls)
    if too_few is not None:
        meaning = f"only {too_few} files may be open: too few for GATEWAY_MAX_CALLS"
        fact(_log, "limit.open-files", level=logging.WARNING, meaning=meaning)


def _run(main: Coroutine[None, None, int]) -> int:
    """On uvloop where it is installed: about 40 % less CPU per media message."""
    try:
        import uvloop
    except ImportError:
        return int(asyncio.run(main))
    return int(uvloop.run(main))
