"""Where turns begin and end: real speech, and what must not be taken for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.endpoint import Endpointer, EndpointOptions, Offset, Onset, Signal, Voiced
from audio.types import SAMPLE_RATE, Pcm
from audio.vad import make_vad
from tests.audio.sounds import (
    endpointer,
    frames,
    hum,
    listen,
    mixed,
    noise,
    quiet,
    scaled,
    speech,
    tone,
    words,
)

LEAD_MS = 1500
PRE_ROLL_MS = 300


def ms(samples: int) -> float:
    return samples * 1000 / SAMPLE_RATE


def line(*parts: Pcm, after_ms: int = 2500) -> Pcm:
    """A quiet second and a half, the parts one after the other, and quiet again."""
    return np.concatenate([quiet(LEAD_MS), *parts, quiet(after_ms)])


def turns(said: list[Signal]) -> list[tuple[Onset, Offset]]:
    onsets = [signal for signal in said if isinstance(signal, Onset)]
    offsets = [signal for signal in said if isinstance(signal, Offset)]
    return list(zip(onsets, offsets, strict=True))


# ---------------------------------------------------------------- speech


@pytest.mark.parametrize(
    "name", ["goodbye", "one-moment-please", "young-man", "weasels", "callback-number", "leisure"]
)
@pytest.mark.parametrize("dbfs", [-10.0, -20.0, -32.0])
def test_an_utterance_is_one_turn_and_none_of_it_is_lost(name: str, dbfs: float):
    pcm = scaled(speech(name), dbfs)
    began, ended = LEAD_MS, LEAD_MS + ms(pcm.size)

    [(onset, offset)] = turns(listen(endpointer(), line(pcm)))

    assert began - 120 <= ms(onset.at) <= began + PRE_ROLL_MS
    assert ms(onset.decided_at) - began < 400
    assert ended - 400 < ms(offset.speech_end) <= ended + 100
    assert offset.started_at == onset.at
    assert ended + 300 < ms(offset.at) < ended + 850


@pytest.mark.parametrize("index", range(7))
@pytest.mark.parametrize("dbfs", [-20.0, -30.0])
def test_a_spoken_digit_is_long_enough_to_open_an_upload(index: int, dbfs: float):
    digit = scaled(words("callback-number")[index], dbfs)

    said = listen(endpointer(), line(digit))

    assert [signal.ms for signal in said if isinstance(signal, Voiced)][:1] == [240]


@pytest.mark.parametrize("length_ms", [180, 220, 260])
def test_a_very_short_answer_still_opens_an_upload(length_ms: int):
    answer = words("goodbye")[0][-SAMPLE_RATE * length_ms // 1000 :]

    said = listen(endpointer(), line(answer))

    assert Voiced in {type(signal) for signal in said}


def test_milestones_are_reported_once_and_in_order():
    options = EndpointOptions(milestones_ms=(20, 100, 500, 1500))

    said = listen(endpointer(options), line(speech("weasels")))
    reached = [signal for signal in said if isinstance(signal, Voiced)]

    # 450 ms are firm later than 500 are accepted: the engine's lingering does not interrupt
    assert [20, 100, 500, 450, 1500] == [signal.ms for signal in reached]
    assert sorted(signal.at for signal in reached) == [signal.at for signal in reached]


def test_a_pause_shorter_than_the_patience_does_not_end_a_turn():
    said = listen(endpointer(), line(speech("weasels"), quiet(450), speech("young-man")))

    assert len(turns(said)) == 1


def test_a_pause_longer_than_the_patience_ends_it():
    said = listen(endpointer(), line(speech("weasels"), quiet(1100), speech("young-man")))

    assert len(turns(said)) == 2


def test_more_patience_holds_a_turn_open_even_when_it_is_given_late():
    ears = endpointer()
    heard = listen(ears, line(speech("weasels"), after_ms=300))

    ears.set_patience(1200)
    heard += listen(ears, np.concatenate([quiet(700), speech("goodbye"), quiet(1100)]))
    assert len([signal for signal in heard if isinstance(signal, Onset)]) == 1
    assert ears.in_speech

    ears.set_patience(None)
    assert isinstance(listen(ears, quiet(20))[-1], Offset)
    assert not ears.in_speech


def test_the_ears_know_that_they_are_in_the_middle_of_a_word():
    ears = endpointer()

    listen(ears, quiet(LEAD_MS))
    before = ears.in_speech
    listen(ears, speech("weasels"))

    assert (before, ears.in_speech) == (False, True)


def test_a_call_that_begins_in_the_middle_of_a_word_is_heard():
    said = listen(endpointer(), np.concatenate([speech("weasels"), quiet(2000)]))

    [(onset, _)] = turns(said)
    assert ms(onset.at) < 300


def test_whispering_is_heard():
    pcm = speech("leisure")
    loudness = np.sqrt(np.convolve(pcm.astype(float) ** 2, np.ones(160) / 160, "same"))
    breath = noise(int(ms(pcm.size)) + 1, -20, seed=5)[: pcm.size]
    whisper = scaled(np.rint(np.diff(breath * loudness / 3000, prepend=0)).astype(np.int16), -28)

    assert turns(listen(endpointer(), line(whisper)))


# ---------------------------------------------------------------- noise on the line


@pytest.mark.parametrize(
    "room", [noise(9000, -38, seed=3), hum(9000, -34), noise(9000, -47, seed=4)], ids=str
)
def test_a_turn_ends_soon_on_a_noisy_line(room: Pcm):
    pcm = scaled(speech("weasels"), -22)
    spoken = np.concatenate([np.zeros(3 * SAMPLE_RATE, np.int16), pcm])
    ended = ms(spoken.size)

    [(onset, offset)] = turns(listen(endpointer(), mixed(room, spoken)))

    assert ms(onset.at) - 3000 <= PRE_ROLL_MS
    assert ended + 200 < ms(offset.at) < ended + 1500


def test_a_second_voice_far_away_does_not_keep_a_turn_open():
    far = scaled(np.tile(np.concatenate([speech("leisure"), speech("young-man")]), 2), -40)
    near = np.concatenate([np.zeros(5 * SAMPLE_RATE, np.int16), scaled(speech("weasels"), -18)])

    said = listen(endpointer(), mixed(far, near))

    ends = [signal.at for signal in said if isinstance(signal, Offset) and signal.at > near.size]
    assert ms(ends[0] - near.size) < 1400


@pytest.mark.parametrize("dbfs", [-50, -35, -25, -15])
def test_steady_noise_is_nobody(dbfs: float):
    assert not listen(endpointer(), noise(6000, dbfs))


@pytest.mark.parametrize("dbfs", [-45, -30])
def test_a_hum_is_nobody(dbfs: float):
    assert not listen(endpointer(), hum(6000, dbfs))


def test_the_noise_floor_is_known():
    ears = endpointer()

    listen(ears, noise(3000, -45))

    assert -49 < ears.noise_floor_dbfs < -43


def test_digital_silence_between_two_stretches_of_noise_teaches_nothing():
    ears = endpointer()
    room = noise(3000, -42)

    said = listen(ears, np.concatenate([room, np.zeros(16000, np.int16), room]))

    assert not said
    assert ears.noise_floor_dbfs > -47


def silent(ms: int) -> Pcm:
    """Silence as carriers make it."""
    return np.zeros(ms * 8, np.int16)


RING = tone(440, 480, ms=2000, dbfs=-18)
KEY = tone(770, 1336, ms=300, dbfs=-12)
SOFT = scaled(speech("goodbye"), -34)


@pytest.mark.parametrize("engine", ["webrtc", "hybrid"])
@pytest.mark.parametrize(
    "before",
    [RING, KEY, noise(3000, -25), scaled(speech("young-man"), -10)],
    ids=["ringing", "key", "noise", "loud"],
)
def test_what_was_loud_is_forgotten_in_digital_silence(before: Pcm, engine: str):
    soft = scaled(speech("young-man"), -36)
    lead = np.concatenate([silent(1000), before, silent(2500)])

    ears = Endpointer(make_vad(engine))
    said = listen(ears, np.concatenate([lead, soft, silent(1500)]))

    decided = [
        one.decided_at for one in said if isinstance(one, Onset) and one.at > lead.size - 800
    ]
    assert decided
    assert ms(decided[0] - lead.size) < 500


def test_a_soft_word_right_after_a_key_is_heard_on_a_silent_line():
    said = listen(
        endpointer(), np.concatenate([silent(1000), KEY, silent(100), SOFT, silent(1500)])
    )

    assert turns(said)


def test_gaps_in_a_noisy_line_do_not_make_a_voice_of_its_noise():
    room = noise(2000, -42)
    torn = np.concatenate([room, silent(300), room, silent(380), room, silent(1000), room])

    assert not listen(endpointer(), torn)


def test_silence_suppression_does_not_break_a_turn_in_two():
    pcm = speech("weasels").copy()
    for at in range(0, pcm.size - 160, 160):
        if np.abs(pcm[at : at + 160]).max() < 300:
            pcm[at : at + 160] = 0

    assert len(turns(listen(endpointer(), line(pcm)))) == 1


# ---------------------------------------------------------------- not speech


def click(length_ms: int = 4) -> Pcm:
    pcm = noise(length_ms, -6, seed=length_ms)
    return np.concatenate([pcm, quiet(30)])


def knock() -> Pcm:
    fading = noise(120, -8, seed=9) * np.exp(-np.arange(960) / 160)
    return fading.astype(np.int16)


def breath() -> Pcm:
    rising = noise(550, -26, seed=11) * np.sin(np.linspace(0, np.pi, 4400))
    return rising.astype(np.int16)


@pytest.mark.parametrize(
    "event",
    [
        click(),
        np.concatenate([click(), quiet(60), click(8)]),
        knock(),
        np.concatenate([knock(), quiet(150), knock(), quiet(150), knock()]),
        breath(),
        tone(770, 1336, ms=100, dbfs=-12),
        np.concatenate(
            [tone(697, 1209, ms=120, dbfs=-15), quiet(90), tone(941, 1477, ms=120, dbfs=-15)]
        ),
        tone(440, ms=900, dbfs=-18),
        tone(350, 440, ms=2000, dbfs=-22),
        tone(425, ms=400, dbfs=-10),
    ],
    ids=[
        "click",
        "two clicks",
        "knock",
        "knocks",
        "breath",
        "key",
        "keys",
        "A",
        "dial tone",
        "busy",
    ],
)
def test_small_sounds_begin_no_turn(event: Pcm):
    assert not listen(endpointer(), line(event, quiet(300), event))


def test_speech_right_after_a_key_is_heard():
    [(onset, _)] = turns(
        listen(endpointer(), line(tone(770, 1336, ms=100), quiet(200), speech("goodbye")))
    )

    assert abs(ms(onset.at) - LEAD_MS - 300) <= 300


# ---------------------------------------------------------------- our own voice


def echo(agent: Pcm, down_db: float, delay_ms: int) -> Pcm:
    quieter = (agent * 10 ** (-down_db / 20)).astype(np.int16)
    return np.concatenate([np.zeros(delay_ms * 8, np.int16), quieter])


AGENT = scaled(np.concatenate([speech("all-busy"), speech("something-wrong")]), -18)


@pytest.mark.parametrize("down_db", [20, 30, 45])
@pytest.mark.parametrize("delay_ms", [20, 160, 400])
def test_our_own_echo_is_nobody(down_db: float, delay_ms: int):
    heard = mixed(quiet(12_500), echo(AGENT, down_db, delay_ms))

    assert not listen(endpointer(), heard, AGENT)


@pytest.mark.parametrize("at_ms", [800, 3000, 5200])
def test_a_caller_is_heard_over_our_voice(at_ms: int):
    caller = np.concatenate([np.zeros(at_ms * 8, np.int16), scaled(speech("weasels"), -20)])
    heard = mixed(quiet(12_500), echo(AGENT, 24, 120), caller)

    said = listen(endpointer(), heard, AGENT)

    first = said[0]
    assert isinstance(first, Onset)
    assert -120 <= ms(first.at) - at_ms <= PRE_ROLL_MS
    assert ms(first.decided_at) - at_ms < 400
    confirmed = [signal.at for signal in said if isinstance(signal, Voiced) and signal.ms == 450]
    assert ms(confirmed[0]) - at_ms < 900


def test_without_echo_a_soft_answer_after_our_voice_is_heard():
    answer = scaled(speech("goodbye"), -34)
    start = AGENT.size + 700 * 8
    heard = mixed(quiet(14_500), np.concatenate([np.zeros(start, np.int16), answer]))

    assert turns(listen(endpointer(), heard, AGENT))


# ---------------------------------------------------------------- shape


def test_when_nothing_happens_nothing_is_made():
    ears = endpointer()
    first, second = (ears.push(frame) for frame in list(frames(quiet(40))))

    assert first is second
    assert first == ()


@pytest.mark.parametrize("size", [0, 80, 159, 161, 320])
def test_a_frame_has_160_samples(size: int):
    with pytest.raises(ValueError, match=f"got {size}"):
        endpointer().push(np.zeros(size, np.int16))


PIECES = st.sampled_from(
    [
        speech("goodbye"),
        speech("weasels")[:7000],
        quiet(300),
        quiet(900),
        np.zeros(4000, np.int16),
        noise(400, -30),
        hum(500, -25),
        tone(770, 1336, ms=100),
        knock(),
        np.full(800, 32767, np.int16),
        np.tile(np.array([32767, -32768], np.int16), 400),
    ]
)


@settings(max_examples=40)
@given(st.lists(PIECES, max_size=8), st.integers(0, 159), st.booleans())
def test_any_line_gives_well_formed_turns(pieces: list[Pcm], shift: int, agent_talks: bool):
    heard = np.concatenate([np.zeros(shift, np.int16), *pieces, np.zeros(160, np.int16)])
    ears = endpointer()

    said = listen(ears, heard, AGENT if agent_talks else None)

    open_since: Onset | None = None
    free_from = 0
    milestones: list[int] = []
    for signal in said:
        match signal:
            case Onset():
                assert open_since is None
                assert free_from <= signal.at < signal.decided_at <= signal.at + SAMPLE_RATE
                open_since, milestones = signal, []
            case Voiced():
                assert open_since is not None
                milestones.append(signal.ms)
            case Offset():
                assert open_since is not None
                assert signal.started_at == open_since.at
                assert signal.started_at <= signal.speech_end < signal.at <= heard.size
                open_since, free_from = None, signal.at
        assert milestones == [240, 450][: len(milestones)]
    assert ears.in_speech is (open_since is not None)


class Opinion:
    """An end-of-turn model that always says the same."""

    def __init__(self, probability: float | None) -> None:
        self.probability = probability
        self.asked: list[int] = []

    def complete(self, pcm: Pcm) -> float | None:
        self.asked.append(pcm.size)
        return self.probability


@pytest.mark.parametrize(("opinion", "wait_ms"), [(0.95, 462), (0.6, 660), (0.1, 990), (None, 660)])
def test_a_model_of_turn_ends_may_shorten_or_lengthen_the_silence(
    opinion: float | None, wait_ms: int
):
    model = Opinion(opinion)
    ears = Endpointer(make_vad("webrtc"), None, model)

    said = listen(ears, np.concatenate([quiet(1000), speech("goodbye"), quiet(2000)]))

    [offset] = [signal for signal in said if isinstance(signal, Offset)]
    assert abs((offset.at - offset.speech_end) / 8 - wait_ms) <= 20
    assert all(size <= 64_000 for size in model.asked)
    assert model.asked
