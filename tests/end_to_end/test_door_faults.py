"""A fault of our own in one place: told in the log, and nobody else's call pays for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import gateway.app
from gateway.amigo.client import AmigoClient
from gateway.bridge import recovery
from gateway.store import open_store
from tests.end_to_end.door_carrier import eventually, new_call_sid
from tests.end_to_end.door_kit import House, open_house
from tests.end_to_end.door_stream import Stream

POOL = {"GATEWAY_IDENTITY": "pool", "AMIGO_USER_POOL": "ann,ben"}


class Fault(Exception):  # noqa: N818 - it is not an error of anybody's, it was asked for
    """What no code of ours expects."""


class FaultyStore:
    """The real store, with methods that break in a way the port does not allow."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.breaking: set[str] = set()
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)

        async def asked(*args: Any, **kwargs: Any) -> Any:
            self.asked.append(name)
            if name in self.breaking:
                raise Fault(name)
            return await real(*args, **kwargs)

        return asked


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> list[FaultyStore]:
    opened: list[FaultyStore] = []

    @asynccontextmanager
    async def open_faulty(*args: Any, **kwargs: Any) -> AsyncIterator[FaultyStore]:
        async with open_store(*args, **kwargs) as store:
            opened.append(FaultyStore(store))
            yield opened[-1]

    monkeypatch.setattr(gateway.app, "open_store", open_faulty)
    return opened


async def is_unharmed(house: House, stream: Stream) -> None:
    await house.listening(stream.call_sid)
    heard = stream.sound_heard
    for digit in "12#":
        await stream.send(stream.message("dtmf", {"digit": digit}))
    await eventually(lambda: stream.sound_heard > heard)
    await stream.stop()
    assert (await house.settled(stream.call_sid))["end_reason"] == "caller-hangup"


async def test_a_webhook_that_breaks_is_still_answered_with_markup(
    tmp_path: Path, stores: list[FaultyStore]
) -> None:
    async with (
        open_house(tmp_path, expected={"webhook.failed"}, env=POOL) as house,
        house.on_the_line() as stream,
    ):
        stores[0].breaking = {"admit"}
        answer = await house.carrier.voice(new_call_sid())

        # anything but 200 is the carrier's own "application error" in the caller's ear
        assert answer.status == 200
        assert answer.verbs == ["Say", "Hangup"]
        stores[0].breaking = set()
        await is_unharmed(house, stream)


async def test_a_finish_that_breaks_breaks_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = AmigoClient.finish
    broken: list[object] = []

    async def finish(self: AmigoClient, *args: Any) -> Any:
        if not broken:
            broken.append(args)
            raise Fault
        return await real(self, *args)

    monkeypatch.setattr(AmigoClient, "finish", finish)
    async with (
        open_house(tmp_path, expected={"finish.broken"}, env=POOL) as house,
        house.on_the_line() as stream,
    ):
        sid, _ = await house.answered()
        await house.until(sid, lambda record: record["conversation_id"] is not None)
        await house.carrier.status(sid)
        record = await house.settled(sid)
        assert record["conversation_state"] == "finished", "it was tried again"
        await is_unharmed(house, stream)


async def test_a_sweep_that_breaks_is_not_the_last(
    tmp_path: Path, stores: list[FaultyStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "BEAT_SECONDS", 0.05)
    async with (
        open_house(tmp_path, expected={"recovery.failed"}) as house,
        house.on_the_line() as stream,
    ):
        stores[0].breaking = {"orphans"}
        asked = len(stores[0].asked)
        await eventually(lambda: stores[0].asked[asked:].count("orphans") >= 2)
        stores[0].breaking = set()
        await is_unharmed(house, stream)


async def test_a_core_that_breaks_ends_its_own_call_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        open_house(tmp_path, expected={"call.core-failed"}, env=POOL) as house,
        house.on_the_line() as stream,
        house.on_the_line() as other,
    ):
        await house.listening(other.call_sid)
        bridge = house.gateway.switchboard.find(other.call_sid)
        assert bridge is not None

        def handle(*_args: object) -> Any:
            raise Fault

        monkeypatch.setattr(bridge.session, "handle", handle)
        await other.send(other.message("dtmf", {"digit": "5"}))
        assert await other.ends() == 1000
        # the caller hears of it in the carrier's own voice
        assert (await house.carrier.connected(other.call_sid)).verbs == ["Say", "Hangup"]
        record = await house.settled(other.call_sid)
        assert record["end_reason"] == "api-error"
        assert record["conversation_state"] == "finished"
        await is_unharmed(house, stream)
