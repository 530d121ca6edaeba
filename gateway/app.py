"""The composition root: settings become objects, objects one application, in one order and back."""

from __future__ import annotations

import asyncio
import logging
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from gateway.address import own_address, private_host, with_port
from gateway.amigo.client import AmigoClient
from gateway.amigo.models import AmigoOptions
from gateway.background import Background
from gateway.bridge.aftermath import Aftermath
from gateway.bridge.answers import SwitchboardOptions
from gateway.bridge.finisher import Finisher
from gateway.bridge.house import Probe
from gateway.bridge.pulse import Pulse
from gateway.bridge.reconcile import Reconciler
from gateway.bridge.recovery import Recovery
from gateway.bridge.routes import Routes
from gateway.bridge.switchboard import Switchboard
from gateway.bridge.tape import mend
from gateway.bridge.waiting import WaitingRoom
from gateway.carriers.twilio import markup
from gateway.carriers.twilio.rest import TwilioRest
from gateway.carriers.twilio.signature import SignatureCheck
from gateway.carriers.twilio.wire import TwilioWire
from gateway.cautions import warn_of_open_doors, warn_of_risks, warn_of_weak_secrets
from gateway.clock import Clock, SystemClock
from gateway.compose import Services, accounts, make_routes, our_users
from gateway.errors import BadSetting, ConfigError
from gateway.leaving import leave
from gateway.log import fact
from gateway.metrics import Metrics
from gateway.revision import choose_revisions
from gateway.settings import Settings
from gateway.store import make_replica, open_store
from gateway.web import Doors, make_web
from gateway.web.listening import Port, open_port
from gateway.web.relay import Relay, open_relay
from gateway.worker import Stopping, Worker, obeying_parent

_log = logging.getLogger(__name__)

LAST_CALLBACKS_SECONDS: Final = 1.0
"""After the last call, for the carrier to tell of its end: it says so to us, or to nobody."""
TOKEN_SECONDS: Final = 60.0
"""Life of a media socket's token: how long the carrier may take to open the stream."""


@dataclass(slots=True)
class Gateway:
    """A running gateway; `address` is where it listens."""

    switchboard: Switchboard
    finisher: Finisher
    aftermath: Aftermath
    recovery: Recovery
    relay: Relay
    address: tuple[str, int]

    async def leave(self, seconds: float, hurried: asyncio.Event) -> bool:
        """Drain and settle; whether something is still owed, to be paid by whoever finds it."""
        return await leave(
            self.switchboard,
            self.recovery,
            self.finisher,
            self.aftermath,
            seconds,
            hurried,
            lambda: self.relay.streams > 0,
        )


@asynccontextmanager
async def run_gateway(
    settings: Settings,
    clock: Clock | None = None,
    *,
    token_seconds: float = TOKEN_SECONDS,
    worker: Worker | None = None,
) -> AsyncIterator[Gateway]:
    """Serve until the context is left; `Gateway.switchboard.drain` ends calls politely before that.

    A worker shares its port with others, and has a second one of its own for what they pass on to it.
    Raises StoreError or ConfigError when it cannot start.
    """
    clock = clock or SystemClock()
    warn_of_weak_secrets(settings)
    warn_of_open_doors(settings)
    metrics = Metrics(None if worker is None else worker.shelf)
    replica = make_replica()
    waiting, pulse = WaitingRoom(), Pulse(clock, metrics.event_loop_lag_seconds.observe)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings.gateway_store_url, clock))
        await warn_of_risks(store)
        clients = await _clients(settings, clock, metrics, stack)
        rest = await stack.enter_async_context(
            TwilioRest(
                settings.twilio_account_sid,
                settings.twilio_auth_token,
                settings.twilio_api_base_url,
            )
        )
        finisher = await stack.enter_async_context(
            Finisher(clock, on_retry=metrics.finish_retries_total.inc)
        )
        aftermath = await stack.enter_async_context(Aftermath(store, clock))
        tasks = await stack.enter_async_context(Background())
        await choose_revisions(clients, store, tasks)
        services = Services(
            clients=clients,
            clock=clock,
            store=store,
            finisher=finisher,
            aftermath=aftermath,
            remote=rest,
            metrics=metrics,
            pulse=pulse,
            token_seconds=token_seconds,
        )
        relay = await stack.enter_async_context(open_relay())
        routes = make_routes(settings, services)
        switchboard = await stack.enter_async_context(
            make_switchboard(settings, routes, services, replica, waiting, relay)
        )
        if settings.gateway_recordings_dir is not None:
            # tracks of live calls look like those of a crash: only the first worker may mend them
            mending = worker is None or worker.first("recordings-mended")
            await asyncio.to_thread(_prepare_recordings, settings.gateway_recordings_dir, mending)
        doors = Doors(
            switchboard=switchboard,
            store=store,
            metrics=metrics,
            signatures=_signatures(settings),
            markup=markup,
            make_wire=TwilioWire,
            account_sid=settings.twilio_account_sid,
            public_url=settings.gateway_public_url.rstrip("/"),
            admin_token=settings.gateway_admin_token,
            relay=relay,
            replica=replica,
        )
        listening = _listening(settings, make_web(doors), metrics, alone=worker is None)
        address, own = await stack.enter_async_context(listening)
        reached_at = _reached_at(settings, own, alone=worker is None)
        recovery = Recovery(
            store,
            routes,
            finisher,
            aftermath,
            clock,
            metrics,
            replica,
            waiting=waiting,
            holds=switchboard.holds,
            probe=relay,
            reconnect_seconds=settings.gateway_reconnect_seconds,
            address=reached_at,
        )
        tasks.start(recovery.run(), "recovery")
        if settings.gateway_reconcile_seconds:
            reconciler = Reconciler(
                our_users(settings, clients),
                store,
                clock,
                every_seconds=settings.gateway_reconcile_seconds,
                longest_call=settings.gateway_max_call_seconds,
                finished=metrics.orphans_finished_total.inc,
            )
            tasks.start(reconciler.run(), "reconciler")
        fact(
            _log,
            "gateway.ready",
            host=address[0],
            port=address[1],
            replica=replica,
            reached_at=reached_at,
        )
        try:
            yield Gateway(switchboard, finisher, aftermath, recovery, relay, address)
        finally:
            switchboard.stop()


async def serve(
    settings: Settings,
    ready: Callable[[tuple[str, int]], None],
    worker: Worker | None = None,
) -> int:
    """Run until SIGTERM or SIGINT, drain, settle; exit status 0 only with nothing owed.

    A worker obeys its parent as well, and ends when the parent is gone.
    """
    loop = asyncio.get_running_loop()
    stopping = Stopping()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.signalled)
    parent = nullcontext() if worker is None else obeying_parent(stopping)
    async with parent, run_gateway(settings, worker=worker) as gateway:
        ready(gateway.address)
        await stopping.asked.wait()
        calls, carried = gateway.switchboard.active, gateway.relay.streams
        fact(_log, "gateway.draining", calls=calls, carried=carried)
        owing = await gateway.leave(settings.gateway_drain_seconds, stopping.hurried)
        if calls or carried:
            await asyncio.sleep(LAST_CALLBACKS_SECONDS)
        fact(_log, "gateway.stopped", owing=owing)
        return 1 if owing else 0


# ---------------------------------------------------------------- parts


async def _clients(
    settings: Settings, clock: Clock, metrics: Metrics, stack: AsyncExitStack
) -> dict[AmigoOptions, AmigoClient]:
    """One client for each organization and key, open as long as the stack."""
    observer = _observer(metrics)
    return {
        options: await stack.enter_async_context(AmigoClient(options, clock, observer))
        for options in accounts(settings)
    }


def make_switchboard(
    settings: Settings,
    routes: Routes,
    services: Services,
    replica: str,
    waiting: WaitingRoom,
    probe: Probe,
) -> Switchboard:
    public = settings.gateway_public_url.rstrip("/")
    socket = public.replace("http", "ws", 1)
    options = SwitchboardOptions(
        replica=replica,
        max_calls=settings.gateway_max_calls,
        max_lag=settings.gateway_max_lag_ms / 1000,
        token_seconds=services.token_seconds,
    )
    return Switchboard(
        routes,
        options,
        store=services.store,
        clock=services.clock,
        metrics=services.metrics,
        pulse=services.pulse,
        waiting=waiting,
        probe=probe,
        make_document=lambda token: markup.connect(
            f"{socket}/twilio/media/{token}",
            f"{public}/twilio/connected",
            f"{public}/twilio/stream-status",
        ),
    )


def _prepare_recordings(directory: Path, mending: bool) -> None:
    """Make sure that recordings can be written; `mending`: finish those a crash left behind."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        problem = f"cannot write to {directory}: {error.strerror}"
        raise ConfigError([BadSetting("GATEWAY_RECORDINGS_DIR", problem)]) from error
    if mending:
        mend(directory)


def _signatures(settings: Settings) -> SignatureCheck | None:
    if settings.gateway_insecure:
        fact(
            _log,
            "gateway.insecure",
            level=logging.ERROR,
            meaning="GATEWAY_INSECURE is set: anybody who reaches this port can place calls",
        )
        return None
    return SignatureCheck(
        settings.twilio_auth_token, settings.gateway_public_url, settings.twilio_signature_keys
    )


def _observer(metrics: Metrics) -> Callable[[str, int | None, float], None]:
    def observe(operation: str, status: int | None, seconds: float) -> None:
        shown = "none" if status is None else str(status)
        metrics.amigo_requests_total.labels(operation=operation, status=shown).inc()
        metrics.amigo_request_seconds.labels(operation=operation).observe(seconds)

    return observe


@asynccontextmanager
async def _listening(
    settings: Settings, app: web.Application, metrics: Metrics, *, alone: bool
) -> AsyncIterator[tuple[tuple[str, int], tuple[str, int]]]:
    """Where everybody reaches us, and where other replicas do: the same, for a process that is alone."""

    def on_cut(why: str) -> None:
        metrics.connections_cut_total.labels(why=why).inc()

    host = settings.gateway_host
    async with open_port(app, on_cut=on_cut) as port:
        everybody = await _bind(port, host, settings.gateway_port, shared=not alone)
        if alone:
            yield everybody, everybody
            return
        if not settings.gateway_replica_url:
            host = private_host(settings.gateway_store_url, host)
        yield everybody, await _bind(port, host, 0, shared=False)


async def _bind(port: Port, host: str, number: int, *, shared: bool) -> tuple[str, int]:
    try:
        return await port.bind(host, number, shared=shared)
    except OSError as error:
        reason = error.strerror or str(error)
        problem = f"cannot listen on {host}:{number}: {reason}"
        raise ConfigError([BadSetting("GATEWAY_PORT", problem)]) from error


def _reached_at(settings: Settings, own: tuple[str, int], *, alone: bool) -> str:
    """The address that other replicas are told; empty where it cannot be found out."""
    said = settings.gateway_replica_url
    if said:
        return said if alone else with_port(said, own[1])
    return own_address(settings.gateway_store_url, *own)
