"""Rules that a single field cannot know: what a command needs, and options that must fit each other."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from gateway.errors import BadSetting
from gateway.settings.options import BY_PATH, Path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.settings.model import Settings


class Needs(Enum):
    """What a command cannot do without."""

    NOTHING = "nothing"
    """Defaults will do: `config`, `calls`."""
    SERVE = "serve"
    """Everything a live call needs: `serve`, `check`."""


REQUIRED_OF_AGENT: Final = (
    "amigo_organization_id",
    "amigo_api_key",
    "amigo_api_key_id",
    "amigo_service_id",
)
REQUIRED_OF_CARRIER: Final = ("twilio_account_sid", "twilio_auth_token", "gateway_public_url")
REQUIRED_OF_IDENTITY: Final = {
    "fixed": ("amigo_user_id",),
    "pool": ("amigo_user_pool",),
    "per-caller": ("amigo_admin_user_id", "gateway_identity_secret"),
}


def broken_rules(settings: Settings, needs: Needs, wrong: set[Path]) -> Iterator[BadSetting]:
    """Yield what does not fit; options in `wrong` are reported already and are left out here."""
    if needs is Needs.SERVE:
        if settings.answers_itself:
            yield from _missing(settings, REQUIRED_OF_AGENT, wrong)
        yield from _missing(settings, REQUIRED_OF_CARRIER, wrong)
        if settings.answers_itself:
            yield from _nobody(settings, wrong)
    yield from _misfits(settings, wrong)


def broken_route_rules(settings: Settings, needs: Needs, wrong: set[Path]) -> Iterator[BadSetting]:
    """Do as `broken_rules` for the settings of one route: the carrier's are not its business."""
    if needs is Needs.SERVE:
        yield from _missing(settings, REQUIRED_OF_AGENT, wrong)
        yield from _nobody(settings, wrong)
    yield from _misfits(settings, wrong)


def _missing(settings: Settings, names: Iterable[str], wrong: set[Path]) -> Iterator[BadSetting]:
    for name in names:
        if not getattr(settings, name) and (name,) not in wrong:
            option = BY_PATH[(name,)]
            file = f" (or {option.variable}_FILE)" if option.file_allowed else ""
            yield BadSetting(option.variable, f"is required{file}: {option.description}")


def _nobody(settings: Settings, wrong: set[Path]) -> Iterator[BadSetting]:
    for needed in REQUIRED_OF_IDENTITY[settings.gateway_identity]:
        if not getattr(settings, needed) and wrong.isdisjoint({(needed,), ("gateway_identity",)}):
            reason = f"GATEWAY_IDENTITY is {settings.gateway_identity}"
            yield BadSetting(needed.upper(), f"is required: {reason}")


def _misfits(settings: Settings, wrong: set[Path]) -> Iterator[BadSetting]:
    for concerned, holds, problem in _pairs(settings):
        if not holds and wrong.isdisjoint(concerned):
            yield BadSetting(BY_PATH[concerned[0]].variable, problem)


def _pairs(settings: Settings) -> Iterator[tuple[tuple[Path, ...], bool, str]]:
    """Yield (paths concerned, whether the rule holds, what to say of the first path when not)."""
    turns, barge_in, playback = settings.turn_taking, settings.barge_in, settings.playback
    shortest = turns.upload_after_ms + turns.end_silence_ms
    yield (
        (
            ("turn_taking", "max_utterance_ms"),
            ("turn_taking", "upload_after_ms"),
            ("turn_taking", "end_silence_ms"),
        ),
        turns.max_utterance_ms >= shortest,
        f"{turns.max_utterance_ms} holds no utterance; upload and end silence alone take {shortest}",
    )
    yield (
        (("barge_in", "lookahead_ms"), ("playback", "message_ms")),
        barge_in.lookahead_ms >= playback.message_ms,
        f"{barge_in.lookahead_ms} is less than one message (playback.message_ms), nothing fits",
    )
