"""What an operator should know before the first call, said in the log as the process starts."""

from __future__ import annotations

import logging

from gateway.compose import answering
from gateway.log import fact
from gateway.settings import Settings
from gateway.settings.model import SHORTEST_SECRET
from gateway.settings.values import is_this_machine
from gateway.store import CallStore

_log = logging.getLogger(__name__)


async def warn_of_risks(store: CallStore) -> None:
    """A store that takes every change may still lose it: say so before the first call."""
    for risk in await store.risks():
        fact(
            _log,
            "store.at-risk",
            level=logging.WARNING,
            meaning=risk.what,
            remedy=risk.remedy,
        )


def warn_of_weak_secrets(settings: Settings) -> None:
    """Digests of numbers are no secret when what keys them can be guessed."""
    for name, own, _ in answering(settings):
        if own.guessable_callers:
            fact(
                _log,
                "setting.weak",
                level=logging.WARNING,
                setting="GATEWAY_IDENTITY_SECRET",
                route=name or None,
                meaning=f"shorter than {SHORTEST_SECRET} characters: numbers could be guessed from digests",
            )


def warn_of_open_doors(settings: Settings) -> None:
    """Doors that are open by the operator's will, or by an oversight."""
    if settings.gateway_admin_token is None and settings.gateway_public_url.startswith("https:"):
        meaning = "is not set: /v1 answers this machine only, and a proxy on it that hides itself is taken for it"
        fact(
            _log,
            "setting.unset",
            level=logging.WARNING,
            setting="GATEWAY_ADMIN_TOKEN",
            meaning=meaning,
        )
    bases = {
        "AMIGO_BASE_URL": {own.amigo_base_url for _, own, _ in answering(settings)},
        "TWILIO_API_BASE_URL": {settings.twilio_api_base_url},
    }
    for name, urls in bases.items():
        if any(url.startswith("http:") and not is_this_machine(url) for url in urls):
            meaning = "is plain http to another machine: keys and calls travel readable"
            fact(_log, "setting.unsafe", level=logging.WARNING, setting=name, meaning=meaning)
