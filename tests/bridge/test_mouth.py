"""Our voice on the line, in virtual time: pacing, marks, hold, clear."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from audio.types import FRAME_SAMPLES
from gateway.bridge.mouth import Mouth
from gateway.bridge.speech import Speech
from gateway.call import events as ev
from tests.support.line import MemoryLine, started_wire
from tests.support.virtual_time import LoopClock, run_virtual


def sound(ms: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(ms * 8)


class Booth:
    """A mouth on a line in memory, and the events it emitted."""

    def __init__(
        self,
        *,
        echo_delay: float | None = 0.05,
        lookahead_ms: int = 400,
        streams_before: int = 0,
    ) -> None:
        self.events: list[tuple[float, ev.Event]] = []
        self.line = MemoryLine(echo_delay)
        self.mouth = Mouth(
            self._emit, LoopClock(), lookahead_ms=lookahead_ms, streams_before=streams_before
        )
        self.line.on_mark = self.mouth.mark_reached

    def _emit(self, event: ev.Event) -> None:
        self.events.append((asyncio.get_running_loop().time(), event))

    def of(self, kind: type[ev.Event]) -> list[tuple[float, ev.Event]]:
        return [(at, event) for at, event in self.events if isinstance(event, kind)]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Booth]:
        task = asyncio.create_task(self.mouth.run())
        self.mouth.attach(self.line, started_wire())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def play(scene: Callable[[Booth], Awaitable[None]], **options: object) -> Booth:
    async def main() -> Booth:
        booth = Booth(**options)  # type: ignore[arg-type]
        async with booth.open():
            await scene(booth)
        return booth

    return run_virtual(main())


def whole(data: bytes) -> Speech:
    return Speech(data, closed=True)


def test_all_of_it_is_heard_without_a_gap_and_never_more_than_the_look_ahead_is_out() -> None:
    data = sound(3000)
    leads: list[float] = []

    async def scene(booth: Booth) -> None:
        booth.mouth.say(0, whole(data))
        for _ in range(60):
            await asyncio.sleep(0.05)
            leads.append(booth.line.lead(asyncio.get_running_loop().time()))
        await asyncio.sleep(2)

    booth = play(scene)

    assert data == booth.line.played()
    assert 0 == booth.line.underruns
    assert max(leads) <= 0.401
    assert [ev.PlaybackDrained(0, 3000)] == [event for _, event in booth.of(ev.PlaybackDrained)]


def test_the_first_sound_leaves_at_once() -> None:
    async def scene(booth: Booth) -> None:
        speech = Speech()
        booth.mouth.say(0, speech)
        await asyncio.sleep(1)
        speech.append(sound(20))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        booth.events.append((asyncio.get_running_loop().time(), ev.Broken()))

    booth = play(scene)

    [(at, _)] = booth.line.events("media")
    [(appended, _)] = booth.of(ev.Broken)
    assert at == appended


def test_drained_waits_for_the_last_mark() -> None:
    async def scene(booth: Booth) -> None:
        booth.mouth.say(0, whole(sound(200)))
        await asyncio.sleep(3)

    booth = play(scene, echo_delay=0.3)

    [(at, _)] = booth.of(ev.PlaybackDrained)
    [(sent, _)] = booth.of(ev.PlaybackBegan)
    assert 0.5 <= at - sent < 0.55


def test_a_carrier_that_never_returns_marks_does_not_hold_the_call() -> None:
    async def scene(booth: Booth) -> None:
        booth.mouth.say(0, whole(sound(200)))
        await asyncio.sleep(5)

    booth = play(scene, echo_delay=None)

    assert 1 == len(booth.of(ev.PlaybackDrained))
    assert 1 == len(booth.of(ev.PlaybackHeard))


def test_hold_and_resume_lose_no_sample() -> None:
    data = sound(2000)

    async def scene(booth: Booth) -> None:
        booth.mouth.say(0, whole(data))
        await asyncio.sleep(0.5)
        booth.mouth.hold()
        await asyncio.sleep(0.29)  # less than the look-ahead: the caller hears no gap
        booth.mouth.resume()
        await asyncio.sleep(3)

    booth = play(scene)

    assert data == booth.line.played()
    assert 0 == booth.line.underruns


def test_held_speech_stops_being_fed_at_once() -> None:
    async def scene(booth: Booth) -> None:
        booth.mouth.say(0, whole(sound(2000)))
        await asyncio.sleep(0.5)
        booth.mouth.hold()
        held = asyncio.get_running_loop().time()
        await asyncio.sleep(1)
        assert all(at <= held for at, _ in booth.line.events("media"))

    play(scene)


def test_clear_says_how_much_was_heard_and_the_rest_can_be_said_later() -> None:
    data = sound(2000)
    speech = whole(data)

    async def scene(booth: Booth) -> None:
        booth.mouth.say(0, speech)
        await asyncio.sleep(0.7)
        booth.mouth.clear()
        await asyncio.sleep(0.5)
        booth.mouth.say(1, speech)
        await asyncio.sleep(3)

    booth = play(scene)

    [(_, cleared)] = booth.of(ev.PlaybackCleared)
    assert isinstance(cleared, ev.PlaybackCleared)
    assert 650 <= cleared.heard_ms <= 750
    assert 1 == len(booth.line.events("clear"))
    heard = booth.line.played()
    # the frame that was cut is said again from its start
    assert len(data) <= len(heard) <= len(data) + 2 * FRAME_SAMPLES + 400
    assert heard.endswith(data[-8000:])


def test_no_clear_is_sent_when_nothing_is_out() -> None:
    async def scene(booth: Booth) -> None:
        booth.mouth.clear()
        booth.mouth.say(0, whole(sound(100)))
        await asyncio.sleep(3)
        booth.mouth.clear()
        await asyncio.sleep(0.1)

    assert [] == play(scene).line.events("clear")


def test_echoes_of_cleared_marks_mean_nothing() -> None:
    async def scene(booth: Booth) -> None:
        booth.mouth.say(0, whole(sound(300)))
        await asyncio.sleep(0.2)
        booth.mouth.clear()
        booth.mouth.say(1, whole(sound(1000)))
        await asyncio.sleep(0.4)
        assert [] == booth.of(ev.PlaybackDrained)
        await asyncio.sleep(2)

    assert 1 == len(play(scene).of(ev.PlaybackDrained))


def test_a_reply_that_runs_dry_lets_a_phrase_pass_and_goes_on() -> None:
    first, second, phrase = sound(300, 1), sound(300, 2), sound(200, 3)

    async def scene(booth: Booth) -> None:
        speech = Speech()
        speech.append(first)
        booth.mouth.say(0, speech)
        await asyncio.sleep(2)
        booth.mouth.say(1, whole(phrase), first=True)
        await asyncio.sleep(1)
        speech.append(second)
        speech.close()
        await asyncio.sleep(2)

    booth = play(scene)

    assert first + phrase + second == booth.line.played()
    assert [0] == [event.item for _, event in booth.of(ev.PlaybackStarved)]  # type: ignore[union-attr]
    drained = [event.item for _, event in booth.of(ev.PlaybackDrained)]  # type: ignore[union-attr]
    assert [1, 0] == drained
    began = [event.item for _, event in booth.of(ev.PlaybackBegan)]  # type: ignore[union-attr]
    assert [0, 1, 0] == began, "the core hears that the first goes on"


def test_an_odd_end_is_filled_with_silence() -> None:
    async def scene(booth: Booth) -> None:
        speech = Speech()
        speech.append(sound(20) + b"\x01" * 7)
        speech.close()
        booth.mouth.say(0, speech)
        await asyncio.sleep(1)

    played = play(scene).line.played()
    assert 2 * FRAME_SAMPLES == len(played)
    assert played.endswith(b"\xff" * (FRAME_SAMPLES - 7))


def test_an_empty_item_is_drained_at_once() -> None:
    async def scene(booth: Booth) -> None:
        booth.mouth.say(0, whole(b""))
        await asyncio.sleep(0.01)

    assert [ev.PlaybackDrained(0, 0)] == [e for _, e in play(scene).of(ev.PlaybackDrained)]


def test_two_items_follow_each_other_without_a_gap() -> None:
    async def scene(booth: Booth) -> None:
        booth.mouth.say(0, whole(sound(250, 1)))
        booth.mouth.say(1, whole(sound(500, 2)))
        await asyncio.sleep(3)

    booth = play(scene)
    assert 0 == booth.line.underruns
    assert 2 == len(booth.of(ev.PlaybackDrained))


@pytest.mark.parametrize("stall", [0.1, 0.3])
def test_a_stall_of_the_process_within_the_look_ahead_is_not_heard(stall: float) -> None:
    async def scene(booth: Booth) -> None:
        booth.mouth.say(0, whole(sound(3000)))
        await asyncio.sleep(0.55)
        loop = asyncio.get_running_loop()
        loop.selector.now += stall  # type: ignore[attr-defined]
        await asyncio.sleep(4)

    assert 0 == play(scene).line.underruns


def test_marks_of_a_call_that_was_taken_up_are_called_otherwise_than_the_ones_before() -> None:
    def names(streams_before: int) -> set[str]:
        async def scene(booth: Booth) -> None:
            for item in range(3):
                booth.mouth.say(item, whole(sound(200)))
            await asyncio.sleep(2)
            booth.mouth.clear()
            booth.mouth.say(3, whole(sound(200)))
            await asyncio.sleep(2)

        sent = play(scene, streams_before=streams_before).line.sent
        return {str(message["mark"]) for _, message in sent if message["event"] == "mark"}

    here, there = names(0), names(1)
    assert len(here) == len(there) >= 4
    assert not here & there


def test_what_was_to_be_cleared_on_a_lost_stream_is_not_cleared_on_the_next() -> None:
    second = MemoryLine(0.05)

    async def scene(booth: Booth) -> None:
        booth.mouth.say(0, whole(sound(3000)))
        await asyncio.sleep(0.5)
        booth.mouth.detach()
        booth.mouth.clear()
        await asyncio.sleep(0.5)
        booth.mouth.attach(second, started_wire())
        booth.mouth.say(1, whole(sound(200)))
        await asyncio.sleep(1)

    assert "clear" not in [message["event"] for _, message in play(scene).line.sent]
    assert next(message["event"] for _, message in second.sent) == "media"
    assert "clear" not in [message["event"] for _, message in second.sent]
