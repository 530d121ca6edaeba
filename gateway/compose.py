"""Settings become routes: for each number an organization, a service, an identity and a manner."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path

from audio.endpoint import Endpointer, EndpointOptions, TurnModel
from audio.vad import best_engine, make_vad
from gateway.amigo.client import AmigoClient
from gateway.amigo.models import AmigoOptions
from gateway.bridge.aftermath import Aftermath
from gateway.bridge.finisher import Finisher
from gateway.bridge.house import CallOptions, House
from gateway.bridge.identity import Callers, Identity
from gateway.bridge.left_overs import LeftOvers
from gateway.bridge.opinion import GuardedTurnModel
from gateway.bridge.phrases import Phrases, load_phrases
from gateway.bridge.pulse import Pulse
from gateway.bridge.reconcile import OurUser
from gateway.bridge.routes import DEFAULT, Announcements, Route, Routes
from gateway.bridge.turn import AmigoAgent, VoiceFormat
from gateway.call.patience import PatiencePolicy
from gateway.call.policy import Policy
from gateway.carriers import Remote
from gateway.clock import Clock
from gateway.errors import BadSetting, ConfigError
from gateway.ids import UserId
from gateway.metrics import Metrics
from gateway.settings import Settings
from gateway.store import CallStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What all routes of a process lean on."""

    clients: Mapping[AmigoOptions, AmigoClient]
    clock: Clock
    store: CallStore
    finisher: Finisher
    aftermath: Aftermath
    remote: Remote
    metrics: Metrics
    pulse: Pulse
    token_seconds: float
    """Life of a media socket's token."""


def answering(settings: Settings) -> Iterator[tuple[str, Settings, str | None]]:
    """Every route there is: its name (empty: the settings' own), its settings, its overflow."""
    if settings.answers_itself:
        yield "", settings, None
    for route in settings.routes:
        yield route.number, route.settings, route.overflow


def settings_of(settings: Settings, number: str) -> Settings | None:
    """The settings that answer this number, as `Routes.find` would choose; None: nobody answers."""
    by_name = {name: own for name, own, _ in answering(settings)}
    return next((by_name[name] for name in (number, DEFAULT, "") if name in by_name), None)


def settings_of_call(settings: Settings, route: str, organization: str) -> Settings | None:
    """The settings under which a stored call's organization can be asked; None: there are none."""
    theirs = [
        (name, own)
        for name, own, _ in answering(settings)
        if own.amigo_organization_id == organization
    ]
    named = [own for name, own in theirs if name == route]
    return next(iter(named or [own for _, own in theirs]), None)


def accounts(settings: Settings) -> tuple[AmigoOptions, ...]:
    """Every organization and key that is in use, once."""
    return tuple(dict.fromkeys(amigo_options(one) for _, one, _ in answering(settings)))


def make_routes(settings: Settings, services: Services) -> Routes:
    """Raises ConfigError when a phrase cannot be used."""
    phrases = cache(load_phrases)
    transfers = {route.number: route.transfer for route in settings.routes}
    routes = (
        replace(_route(name, one, overflow, services, phrases), transfer=transfers.get(name))
        for name, one, overflow in answering(settings)
    )
    return Routes(routes, _announcements(settings))


def amigo_options(settings: Settings) -> AmigoOptions:
    """Where and as whom the API is asked."""
    return AmigoOptions(
        base_url=settings.amigo_base_url,
        organization=settings.amigo_organization_id,
        api_key=settings.amigo_api_key,
        api_key_id=settings.amigo_api_key_id,
        revision=settings.amigo_api_revision,
        cluster_name=settings.amigo_cluster_name,
        extra_query=settings.amigo_extra_query,
    )


def our_users(
    settings: Settings, clients: Mapping[AmigoOptions, AmigoClient]
) -> tuple[OurUser, ...]:
    """The users that calls are leased, whose conversations nobody else should hold."""
    found = []
    for _, own, _ in answering(settings):
        users = (own.amigo_user_id, *own.amigo_user_pool)
        found += [
            OurUser(
                clients[amigo_options(own)],
                UserId(user),
                own.amigo_service_id,
                own.amigo_finish_foreign,
            )
            for user in users
            if user
        ]
    return tuple(dict.fromkeys(found))


def _route(
    name: str,
    settings: Settings,
    overflow: str | None,
    services: Services,
    phrases: Callable[[Path | None], Phrases],
) -> Route:
    client, store, clock = services.clients[amigo_options(settings)], services.store, services.clock
    left_overs = LeftOvers(client, store, clock, finish_foreign=settings.amigo_finish_foreign)
    house = House(
        options=_call_options(settings, services.token_seconds),
        account=client,
        clock=clock,
        store=store,
        finisher=services.finisher,
        aftermath=services.aftermath,
        remote=services.remote,
        phrases=phrases(settings.playback.phrases_dir),
        metrics=services.metrics,
        pulse=services.pulse,
        make_detector=detector_factory(settings),
        free_user=left_overs.free,
    )
    return Route(
        name=name,
        organization=settings.amigo_organization_id,
        service_id=settings.amigo_service_id,
        identity=_identity(settings, client, store),
        house=house,
        make_agent=lambda user: AmigoAgent(
            client, user, settings.amigo_service_id, settings.amigo_version_set, clock
        ),
        announcements=_announcements(settings),
        overflow=overflow,
        wait_seconds=settings.gateway_busy_wait_seconds,
    )


def _announcements(settings: Settings) -> Announcements:
    return Announcements(
        language=settings.gateway_say_language,
        hold=settings.gateway_hold_text,
        busy=settings.gateway_busy_text,
        sorry=settings.gateway_sorry_text,
        lost=settings.gateway_lost_text,
    )


def _identity(settings: Settings, client: AmigoClient, store: CallStore) -> Identity:
    one = (UserId(settings.amigo_user_id),) if settings.amigo_user_id else ()
    pool = tuple(UserId(user) for user in settings.amigo_user_pool)
    match settings.gateway_identity:
        case "fixed":
            return Identity(one)
        case "pool":
            return Identity(pool)
        case "per-caller":
            callers = Callers(
                client,
                store,
                organization=settings.amigo_organization_id,
                secret=settings.gateway_identity_secret or "",
                admin=UserId(settings.amigo_admin_user_id),
                role=settings.amigo_new_user_role,
            )
            return Identity(pool or one, callers)


def _call_options(settings: Settings, token_seconds: float) -> CallOptions:
    turns, barge_in, silence = settings.turn_taking, settings.barge_in, settings.silence
    policy = Policy(
        token_seconds=token_seconds,
        max_call_seconds=settings.gateway_max_call_seconds,
        reconnect_seconds=settings.gateway_reconnect_seconds,
        upload_after_ms=turns.upload_after_ms,
        patience=PatiencePolicy(
            end_silence_ms=turns.end_silence_ms,
            dictation_extra_ms=turns.dictation_extra_ms,
            yes_no_less_ms=turns.yes_no_less_ms,
            habit_extra_ms=turns.habit_extra_ms,
        ),
        merge_ms=turns.merge_ms,
        digits_pause_ms=turns.digits_pause_ms,
        barge_in=barge_in.enabled,
        confirm_ms=barge_in.confirm_ms,
        drain_ms=barge_in.drain_ms,
        protect_greeting=barge_in.protect_greeting,
        protected_phrases=frozenset(barge_in.protect_phrases),
        prompt_after_ms=silence.prompt_after_ms,
        prompts=silence.prompts,
        hang_up_after_ms=silence.hang_up_after_ms,
        filler_after_ms=silence.filler_after_ms,
        max_dead_air_ms=silence.max_dead_air_ms,
        patience_seconds=settings.amigo_patience_seconds,
        rating=settings.gateway_rating,
    )
    return CallOptions(
        policy=policy,
        voice=VoiceFormat(format=settings.amigo_audio_format, pcm_rate=settings.amigo_audio_rate),
        lookahead_ms=barge_in.lookahead_ms,
        message_ms=settings.playback.message_ms,
        pre_roll_ms=turns.pre_roll_ms,
        max_utterance_ms=turns.max_utterance_ms,
        recordings=settings.gateway_recordings_dir,
        tell_heard=barge_in.tell_agent,
    )


def detector_factory(settings: Settings) -> Callable[[], Endpointer]:
    """What a call's ears judge with, a new one for each call; `segment` hears recordings with the same."""
    turns, barge_in = settings.turn_taking, settings.barge_in
    options = EndpointOptions(
        end_silence_ms=turns.end_silence_ms,
        milestones_ms=(turns.upload_after_ms,),
        confirm_ms=barge_in.confirm_ms,
        echo_guard_db=barge_in.echo_guard_db,
    )
    engine = engine_of(settings)
    make_vad(engine)  # the model is loaded now, not while the first caller waits
    model = None if turns.turn_model is None else _turn_model(turns.turn_model)
    return lambda: Endpointer(make_vad(engine), options, model)


def engine_of(settings: Settings) -> str:
    """The voice activity engine in effect."""
    vad = settings.turn_taking.vad
    return best_engine() if vad == "auto" else vad


def _turn_model(path: str) -> TurnModel:
    """The operator's own model, made by the factory that `module:factory` names."""
    module, _, factory = path.partition(":")
    try:
        model = getattr(import_module(module), factory)()
    except Exception as error:
        # foreign code, at the start: whatever is wrong with it is the setting's fault
        raise _no_model(path, f"cannot be loaded: {error!r}") from error
    if not callable(getattr(model, "complete", None)):
        raise _no_model(path, f"makes {model!r}, which has no method complete(pcm)")
    return GuardedTurnModel(model)


def _no_model(path: str, problem: str) -> ConfigError:
    return ConfigError([BadSetting("GATEWAY_TURN_TAKING__TURN_MODEL", f"{path!r} {problem}")])
