"""The caller's stream cut into utterances: nothing clipped, nothing lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio import mulaw, wav
from audio.endpoint import Endpointer, LineReport, Offset, Onset, Signal, Voiced
from audio.types import FRAME_SAMPLES, Pcm
from audio.vad import make_vad
from gateway.bridge.ears import Ears
from gateway.bridge.utterance import UtteranceBody
from gateway.call import events as ev
from tests.audio.sounds import quiet, speech

Script = dict[int, tuple[Signal, ...]]

STREAM = random.Random(7).randbytes(FRAME_SAMPLES * 3000)


class Scripted:
    """A detector that says what it is told to, by frame."""

    def __init__(self, script: Mapping[int, tuple[Signal, ...]]) -> None:
        self.script = script
        self.frame = 0
        self.heard: list[Pcm] = []
        self.patience: int | None = None
        self.line = LineReport(-60.0, None, None)
        self.quiet_ms = 0

    def set_patience(self, ms: int | None) -> None:
        self.patience = ms

    def push(self, pcm: Pcm, agent: Pcm | None = None) -> tuple[Signal, ...]:
        self.frame += 1
        self.heard.append(pcm)
        return self.script.get(self.frame, ())


def listen(
    script: Mapping[int, tuple[Signal, ...]],
    messages: Sequence[tuple[bytes, int | None]],
    **options: int,
) -> tuple[Ears, list[ev.Event], Scripted]:
    events: list[ev.Event] = []
    detector = Scripted(script)
    ears = Ears(detector, events.append, lambda _at: None, **options)
    now = 10.0
    for payload, timestamp in messages:
        now += len(payload) / 8000
        ears.hear(payload, timestamp, now)
    return ears, events, detector


def frames(first: int, last: int) -> list[tuple[bytes, int | None]]:
    return [(STREAM[at * 160 : at * 160 + 160], None) for at in range(first, last)]


def pcm_of(first: int, last: int) -> bytes:
    return mulaw.decode(STREAM[first * 160 : last * 160]).tobytes()


def test_an_utterance_begins_with_its_pre_roll_and_holds_every_frame_to_its_end() -> None:
    onset, decided, ended = 50, 54, 100
    script: Script = {
        decided: (Onset(onset * 160, decided * 160),),
        ended: (Offset(onset * 160, 65 * 160, ended * 160),),
    }

    ears, events, _ = listen(script, frames(0, 150), pre_roll_ms=400)

    assert ears.utterances[0].closed
    assert pcm_of(onset - 20, ended) == bytes(ears.utterances[0].pcm)
    assert [ev.SpeechStarted(0)] == events[:1]


def test_the_end_tells_when_speech_was_last_received() -> None:
    script: Script = {
        54: (Onset(50 * 160, 54 * 160),),
        100: (Offset(50 * 160, 65 * 160, 100 * 160),),
    }

    _, events, _ = listen(script, frames(0, 101))

    ended = events[-1]
    assert isinstance(ended, ev.SpeechEnded)
    assert abs(ended.last_at - (10.0 + 65 * 0.02)) < 0.001
    assert abs(ended.began_at - (10.0 + 50 * 0.02)) < 0.001


def test_milestones_are_passed_on() -> None:
    script: Script = {
        10: (Onset(8 * 160, 1600),),
        20: (Voiced(240, 3200),),
        31: (Voiced(450, 4960),),
    }

    _, events, _ = listen(script, frames(0, 40))

    assert [ev.SpeechAccepted(0, 240), ev.SpeechAccepted(0, 450)] == events[1:]


def test_the_cap_splits_without_losing_a_sample() -> None:
    script: Script = {10: (Onset(9 * 160, 1600),)}

    ears, events, _ = listen(script, frames(0, 400), pre_roll_ms=0, max_utterance_ms=2000)

    said = b"".join(bytes(ears.utterances[one].pcm) for one in sorted(ears.utterances))
    assert pcm_of(9, 400) == said
    full = [event for event in events[1:] if not isinstance(event, ev.LineMeasured)]
    assert [ev.UtteranceFull] * 3 == [type(event) for event in full]
    assert all(len(one.pcm) <= 32_000 for one in ears.utterances.values())


@given(st.lists(st.integers(1, 900), min_size=1, max_size=60))
def test_messages_of_any_size_make_the_same_frames(sizes: list[int]) -> None:
    messages: list[tuple[bytes, int | None]] = []
    at = 0
    for size in sizes:
        messages.append((STREAM[at : at + size], None))
        at += size

    _, _, detector = listen({}, messages)

    whole = at // 160
    assert [frame.tobytes() for frame in detector.heard] == [pcm_of(i, i + 1) for i in range(whole)]


def test_lost_audio_is_made_up_with_silence_of_at_most_a_second() -> None:
    lost = [(STREAM[:160], 0), (STREAM[160:320], 20), (STREAM[320:480], 540)]
    far = [(STREAM[:160], 0), (STREAM[160:320], 30_000)]

    assert 3 + 25 == listen({}, lost)[2].frame
    assert 2 + 50 == listen({}, far)[2].frame


def test_time_that_steps_back_or_jitters_changes_nothing() -> None:
    messages = [(STREAM[:160], 100), (STREAM[160:320], 80), (STREAM[320:480], 105)]

    assert 3 == listen({}, messages)[2].frame


def test_a_dropped_utterance_is_not_kept() -> None:
    events: list[ev.Event] = []
    detector = Scripted({10: (Onset(1600, 1600),), 30: (Offset(1600, 2000, 4800),)})
    ears = Ears(detector, events.append, lambda _at: None)
    for index, (payload, _) in enumerate(frames(0, 40)):
        ears.hear(payload, None, index * 0.02)
        if index == 15:
            ears.drop(0)

    assert {} == ears.utterances
    assert [ev.SpeechStarted(0)] == events


async def uploaded(ears: Ears) -> bytes:
    """The turn that holds every utterance."""
    body = UtteranceBody(list(ears.utterances.values()), lambda: None)
    body.seal()
    pcm = b"".join([chunk async for chunk in body.chunks()])
    return pcm.removeprefix(wav.stream_header(8000))


@pytest.mark.parametrize("again", [101, 105, 119, 120, 121, 140, 160])
def test_a_caller_who_goes_on_is_uploaded_without_a_gap_or_a_repeat(again: int) -> None:
    script: Script = {
        54: (Onset(50 * 160, 54 * 160),),
        100: (Offset(50 * 160, 85 * 160, 100 * 160),),
        again + 4: (Onset(again * 160, (again + 4) * 160),),
        190: (Offset(again * 160, 175 * 160, 190 * 160),),
    }

    ears, _, _ = listen(script, frames(0, 250), pre_roll_ms=400)

    assert pcm_of(30, 190) == asyncio.run(uploaded(ears))


def test_utterances_far_apart_or_on_two_lines_are_uploaded_as_they_are() -> None:
    script: Script = {
        54: (Onset(50 * 160, 54 * 160),),
        100: (Offset(50 * 160, 85 * 160, 100 * 160),),
        404: (Onset(400 * 160, 404 * 160),),
    }
    ears, _, _ = listen(script, frames(0, 420), pre_roll_ms=400)
    ears.renew(Scripted({30: (Onset(25 * 160, 30 * 160),), 60: (Offset(4000, 5000, 9600),)}))
    for payload, _ in frames(500, 600):
        ears.hear(payload, None, 20.0)

    assert pcm_of(30, 100) + pcm_of(380, 420) + pcm_of(500, 560) == asyncio.run(uploaded(ears))


def talked_to(engine: str = "webrtc") -> tuple[Ears, list[ev.Event]]:
    """Ears as in a call, that have heard a second of nothing."""
    events: list[ev.Event] = []
    ears = Ears(Endpointer(make_vad(engine)), events.append, lambda _at: None)
    return ears, events


class Wire:
    """A carrier that sends sound when it likes; the clock goes on, and is looked at, meanwhile."""

    def __init__(self, ears: Ears) -> None:
        self.ears = ears
        self.now = 5.0
        self.sent_ms = 0

    def send(self, pcm: Pcm, *, at_once: bool = False) -> None:
        data = mulaw.encode(pcm)
        for at in range(0, len(data) - 159, 160):
            if not at_once:
                self.wait(20)
            self.ears.hear(data[at : at + 160], self.sent_ms, self.now)
            self.sent_ms += 20

    def wait(self, ms: int, *, asleep: bool = False) -> None:
        for _ in range(ms // 20):
            self.now += 0.02
            if not asleep and round(self.now * 50) % 5 == 0 and self.ears.open is not None:
                self.ears.tick(self.now)


def ends(events: list[ev.Event]) -> list[ev.SpeechEnded]:
    return [event for event in events if isinstance(event, ev.SpeechEnded)]


SPOKEN = np.concatenate([quiet(1000), speech("weasels")])


@pytest.mark.parametrize(("trailing_ms", "within_ms"), [(0, 2300), (160, 1000), (300, 1000)])
def test_a_turn_ends_though_the_carrier_sends_no_silence(trailing_ms: int, within_ms: int) -> None:
    ears, events = talked_to()
    wire = Wire(ears)
    wire.send(SPOKEN)
    said = wire.now
    wire.send(quiet(trailing_ms))

    while not ends(events) and wire.now < said + 5:
        wire.wait(20)

    assert wire.now - said <= within_ms / 1000
    assert abs(ends(events)[0].last_at - said) < 0.35
    wire.sent_ms += round((wire.now - said) * 1000) - trailing_ms
    wire.send(quiet(400))
    wire.send(speech("goodbye"))
    wire.send(quiet(1000))
    assert len(ends(events)) == 2


@pytest.mark.parametrize("late_ms", [200, 500, 1000, 2000])
def test_sound_that_is_late_is_heard_as_if_it_had_come_in_time(late_ms: int) -> None:
    whole = np.concatenate([SPOKEN, quiet(1000)])
    torn_at = SPOKEN.size - 8000
    in_time, expected = talked_to()
    Wire(in_time).send(whole)
    ears, events = talked_to()
    wire = Wire(ears)

    wire.send(whole[: torn_at // 160 * 160])
    wire.wait(late_ms)
    wire.send(whole[torn_at // 160 * 160 :][: late_ms * 8], at_once=True)
    wire.send(whole[torn_at // 160 * 160 :][late_ms * 8 :])

    assert bytes(in_time.utterances[0].pcm) == bytes(ears.utterances[0].pcm)
    assert [type(event) for event in expected] == [type(event) for event in events]


def test_a_process_that_stood_still_has_not_heard_silence() -> None:
    ears, events = talked_to()
    wire = Wire(ears)
    wire.send(np.concatenate([SPOKEN, quiet(200)]))

    wire.wait(5000, asleep=True)
    ears.tick(wire.now)

    assert not ends(events)


def test_a_line_that_sends_in_bursts_is_waited_for() -> None:
    ears, events = talked_to()
    wire = Wire(ears)
    pause = np.concatenate([SPOKEN, quiet(450), speech("weasels"), quiet(1500)])
    for at in range(0, pause.size, 8000):  # a second at once, every second
        wire.wait(1000)
        wire.send(pause[at : at + 8000], at_once=True)

    assert len(ends(events)) == 1
