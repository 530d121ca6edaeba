"""The composition root: settings become objects, objects one application, in one order and back."""

from __future__ import annotations

import asyncio
import logging
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from aiohttp import web

from audio.endpoint import Endpointer, EndpointOptions
from audio.vad import make_vad
from gateway.amigo.client import AmigoClient
from gateway.amigo.models import AmigoOptions
from gateway.amigo.revisions import Revision, revision_named
from gateway.bridge.answers import SwitchboardOptions
from gateway.bridge.finisher import Finisher
from gateway.bridge.house import CallOptions, House
from gateway.bridge.phrases import load_phrases
from gateway.bridge.recovery import LeftOvers, Recovery
from gateway.bridge.switchboard import Switchboard
from gateway.bridge.tape import mend
from gateway.bridge.transcripts import Transcripts
from gateway.bridge.turn import AmigoAgent, VoiceFormat
from gateway.call.policy import Policy
from gateway.carriers.twilio import markup
from gateway.carriers.twilio.rest import TwilioRest
from gateway.carriers.twilio.signature import SignatureCheck
from gateway.carriers.twilio.wire import TwilioWire
from gateway.clock import Clock, SystemClock
from gateway.errors import BadSetting, ConfigError, StoreError
from gateway.ids import UserId
from gateway.log import fact
from gateway.metrics import Metrics, watched_loop
from gateway.settings import Settings
from gateway.store import CallStore, make_replica, open_store
from gateway.web import Doors, make_web

_log = logging.getLogger(__name__)

REVISION_KEY: Final = "amigo-revision"
DETECT_SECONDS: Final = 2.0
"""How long the start waits for the API to say which revision it speaks; after that calls are taken."""
SETTLE_SECONDS: Final = 20.0
"""After the last call: how long owed finishes are tried before the process gives them to the store."""
TRANSCRIPT_SECONDS: Final = 5.0
"""At the very end: how long transcripts under way are waited for."""
TOKEN_SECONDS: Final = 60.0
"""Life of a media socket's token: how long the carrier may take to open the stream."""


@dataclass(slots=True)
class Gateway:
    """A running gateway; `address` is where it listens."""

    switchboard: Switchboard
    finisher: Finisher
    transcripts: Transcripts
    address: tuple[str, int]


@asynccontextmanager
async def run_gateway(
    settings: Settings, clock: Clock | None = None, *, token_seconds: float = TOKEN_SECONDS
) -> AsyncIterator[Gateway]:
    """Serve until the context is left; `Gateway.switchboard.drain` ends calls politely before that.

    Raises StoreError or ConfigError when it cannot start.
    """
    clock = clock or SystemClock()
    _warn_of_no_effect(settings)
    metrics, replica = Metrics(), make_replica()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings.gateway_store_url, clock))
        client = await stack.enter_async_context(
            AmigoClient(_amigo_options(settings), clock, _observer(metrics))
        )
        rest = await stack.enter_async_context(
            TwilioRest(
                settings.twilio_account_sid,
                settings.twilio_auth_token,
                settings.twilio_api_base_url,
            )
        )
        finisher = await stack.enter_async_context(
            Finisher(client, clock, on_retry=metrics.finish_retries_total.inc)
        )
        transcripts = await stack.enter_async_context(Transcripts(client, store, clock))
        tasks = await stack.enter_async_context(_Background())
        await _choose_revision(settings, client, store, tasks)
        left_overs = LeftOvers(client, store, clock, finish_foreign=settings.amigo_finish_foreign)
        house = House(
            options=_call_options(settings, token_seconds),
            clock=clock,
            store=store,
            finisher=finisher,
            transcripts=transcripts,
            remote=rest,
            phrases=load_phrases(settings.playback.phrases_dir),
            metrics=metrics,
            make_detector=_detector_factory(settings),
            free_user=left_overs.free,
        )
        switchboard = await stack.enter_async_context(
            _switchboard(settings, house, client, replica)
        )
        recovery = Recovery(store, finisher, transcripts, clock, metrics, replica)
        tasks.start(recovery.run(), "recovery")
        await stack.enter_async_context(watched_loop(metrics))
        if settings.gateway_recordings_dir is not None:
            await asyncio.to_thread(_prepare_recordings, settings.gateway_recordings_dir)
        doors = Doors(
            switchboard=switchboard,
            store=store,
            metrics=metrics,
            signatures=_signatures(settings),
            markup=markup,
            make_wire=TwilioWire,
            account_sid=settings.twilio_account_sid,
            admin_token=settings.gateway_admin_token,
        )
        address = await stack.enter_async_context(_listening(settings, make_web(doors)))
        fact(_log, "gateway.ready", host=address[0], port=address[1], replica=replica)
        try:
            yield Gateway(switchboard, finisher, transcripts, address)
        finally:
            switchboard.stop()


async def serve(settings: Settings, ready: Callable[[tuple[str, int]], None]) -> int:
    """Run until SIGTERM or SIGINT, drain, settle; exit status 0 only with nothing owed."""
    loop = asyncio.get_running_loop()
    stop, hurry = asyncio.Event(), asyncio.Event()

    def asked() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    async with run_gateway(settings) as gateway:
        ready(gateway.address)
        await stop.wait()
        fact(_log, "gateway.draining", calls=gateway.switchboard.active)
        await gateway.switchboard.drain(settings.gateway_drain_seconds, hurry)
        paid = await gateway.finisher.wait_paid(SETTLE_SECONDS)
        await gateway.transcripts.wait_fetched(TRANSCRIPT_SECONDS)
        owing = gateway.switchboard.unsettled or not paid
        fact(_log, "gateway.stopped", owing=bool(owing))
        return 1 if owing else 0


# ---------------------------------------------------------------- parts


class _Background:
    """Tasks of the process's own, cancelled when it ends."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(None, None, None)

    def start(self, work: object, name: str) -> None:
        self._tasks.append(self._group.create_task(work, name=name))  # type: ignore[arg-type]


def _amigo_options(settings: Settings) -> AmigoOptions:
    return AmigoOptions(
        base_url=settings.amigo_base_url,
        organization=settings.amigo_organization_id,
        api_key=settings.amigo_api_key,
        api_key_id=settings.amigo_api_key_id,
        revision=settings.amigo_api_revision,
        cluster_name=settings.amigo_cluster_name,
        extra_query=settings.amigo_extra_query,
    )


def _call_options(settings: Settings, token_seconds: float) -> CallOptions:
    turns, barge_in, silence = settings.turn_taking, settings.barge_in, settings.silence
    policy = Policy(
        token_seconds=token_seconds,
        max_call_seconds=settings.gateway_max_call_seconds,
        upload_after_ms=turns.upload_after_ms,
        merge_ms=turns.merge_ms,
        digits_pause_ms=turns.digits_pause_ms,
        barge_in=barge_in.enabled,
        confirm_ms=barge_in.confirm_ms,
        drain_ms=barge_in.drain_ms,
        protect_greeting=barge_in.protect_greeting,
        prompt_after_ms=silence.prompt_after_ms,
        prompts=silence.prompts,
        hang_up_after_ms=silence.hang_up_after_ms,
        filler_after_ms=silence.filler_after_ms,
        max_dead_air_ms=silence.max_dead_air_ms,
        patience_seconds=settings.amigo_patience_seconds,
    )
    return CallOptions(
        policy=policy,
        voice=VoiceFormat(format=settings.amigo_audio_format, pcm_rate=settings.amigo_audio_rate),
        lookahead_ms=barge_in.lookahead_ms,
        message_ms=settings.playback.message_ms,
        pre_roll_ms=turns.pre_roll_ms,
        max_utterance_ms=turns.max_utterance_ms,
        recordings=settings.gateway_recordings_dir,
    )


def _detector_factory(settings: Settings) -> Callable[[], Endpointer]:
    turns, barge_in = settings.turn_taking, settings.barge_in
    options = EndpointOptions(
        end_silence_ms=turns.end_silence_ms,
        milestones_ms=tuple(sorted({turns.upload_after_ms, barge_in.confirm_ms})),
        echo_guard_db=barge_in.echo_guard_db,
    )
    return lambda: Endpointer(make_vad(turns.vad), options)


def _switchboard(
    settings: Settings, house: House, client: AmigoClient, replica: str
) -> Switchboard:
    users = (
        settings.amigo_user_pool
        if settings.gateway_identity == "pool"
        else (settings.amigo_user_id,)
    )
    public = settings.gateway_public_url.rstrip("/")
    socket = public.replace("http", "ws", 1)
    options = SwitchboardOptions(
        organization=settings.amigo_organization_id,
        service_id=settings.amigo_service_id,
        users=tuple(UserId(user) for user in users),
        replica=replica,
        max_calls=settings.gateway_max_calls,
        token_seconds=house.options.policy.token_seconds,
    )
    return Switchboard(
        house,
        options,
        make_agent=lambda user: AmigoAgent(
            client, user, settings.amigo_service_id, settings.amigo_version_set
        ),
        make_document=lambda token: markup.connect(
            f"{socket}/twilio/media/{token}",
            f"{public}/twilio/connected",
            f"{public}/twilio/stream-status",
        ),
    )


def _warn_of_no_effect(settings: Settings) -> None:
    """Say of a setting that is promised but does nothing in this version that it does nothing."""
    if (
        settings.gateway_reconnect_seconds
        != Settings.model_fields["gateway_reconnect_seconds"].default
    ):
        fact(
            _log,
            "setting.no-effect",
            level=logging.WARNING,
            setting="GATEWAY_RECONNECT_SECONDS",
            meaning="callers of a lost process are not re-connected yet; their conversation is finished",
        )


def _prepare_recordings(directory: Path) -> None:
    """Make sure that recordings can be written, and finish those a crash left behind."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        problem = f"cannot write to {directory}: {error.strerror}"
        raise ConfigError([BadSetting("GATEWAY_RECORDINGS_DIR", problem)]) from error
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


async def _choose_revision(
    settings: Settings, client: AmigoClient, store: CallStore, tasks: _Background
) -> None:
    """Ask the API which revision it speaks; until it says, the one that worked last, else the oldest."""
    if settings.amigo_api_revision != "auto":
        return
    remembered = await store.recall(REVISION_KEY)
    if remembered is not None:
        assumed = revision_named(remembered)
        if assumed is not None:
            client.assume_revision(assumed)
    client.on_revision = lambda revision: tasks.start(
        _remember(store, revision.name), "remember revision"
    )
    asking = asyncio.ensure_future(client.detect_revision())
    done, _ = await asyncio.wait({asking}, timeout=DETECT_SECONDS)
    if not done:
        tasks.start(_await(asking), "detect revision")
    found = asking.result() if done else None
    if found is not None:
        await _remember(store, found.name)
    elif remembered is None:
        fact(
            _log,
            "amigo.revision-assumed",
            level=logging.WARNING,
            revision=client.revision.name,
            hint="set AMIGO_API_REVISION to be sure",
        )


async def _await(future: asyncio.Future[Revision | None]) -> None:
    await future


async def _remember(store: CallStore, revision: str) -> None:
    try:
        await store.remember(REVISION_KEY, revision)
    except StoreError:
        fact(_log, "store.revision-not-kept", level=logging.WARNING)


def _observer(metrics: Metrics) -> Callable[[str, int | None, float], None]:
    def observe(operation: str, status: int | None, seconds: float) -> None:
        shown = "none" if status is None else str(status)
        metrics.amigo_requests_total.labels(operation=operation, status=shown).inc()
        metrics.amigo_request_seconds.labels(operation=operation).observe(seconds)

    return observe


@asynccontextmanager
async def _listening(settings: Settings, app: web.Application) -> AsyncIterator[tuple[str, int]]:
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await _bind(runner, settings.gateway_host, settings.gateway_port)
        host, port = runner.addresses[0][:2]
        yield str(host), int(port)
    finally:
        await runner.cleanup()


async def _bind(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        reason = error.strerror or str(error)
        problem = f"cannot listen on {host}:{port}: {reason}"
        raise ConfigError([BadSetting("GATEWAY_PORT", problem)]) from error
