"""Sample rate conversion: what passes, what must not, and that pieces do not show."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.resample import Resampler
from audio.types import Pcm
from tests.audio.sounds import cut_pcm, noise, power_at, tone

RATES = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000]
WIDE = [rate for rate in RATES if rate > 11025]


def convert(pcm: Pcm, rate_in: int, rate_out: int) -> Pcm:
    resampler = Resampler(rate_in, rate_out)
    return np.concatenate([resampler.push(pcm), resampler.flush()])


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("pitch", [300, 1000, 3400])
def test_the_telephone_band_passes_unchanged(rate: int, pitch: int):
    heard = convert(tone(pitch, ms=400, dbfs=-20, rate=rate), rate, 8000)

    assert power_at(heard, pitch) == pytest.approx(-20, abs=0.3)


@pytest.mark.parametrize("rate", WIDE)
@pytest.mark.parametrize("pitch", [4400, 5000, 5900])
def test_what_lies_above_the_telephone_band_does_not_fold_into_it(rate: int, pitch: int):
    heard = convert(tone(pitch, ms=400, dbfs=-20, rate=rate), rate, 8000)

    assert power_at(heard, 8000 - pitch) < -85


@pytest.mark.parametrize("rate", [16000, 24000, 48000])
def test_upsampling_leaves_no_image(rate: int):
    heard = convert(tone(3000, ms=400, dbfs=-20), 8000, rate)

    assert power_at(heard, 3000, rate) == pytest.approx(-20, abs=0.3)
    assert power_at(heard, 5000, rate) < -85


@given(
    st.sampled_from([(r, 8000) for r in RATES] + [(8000, 16000), (8000, 24000), (24000, 16000)]),
    st.lists(st.integers(0, 10_000), max_size=8),
    st.integers(0, 4000),
)
def test_how_the_stream_is_cut_changes_nothing(
    rates: tuple[int, int], places: list[int], size: int
):
    pcm = noise(600, -12, seed=size)[:size]
    resampler = Resampler(*rates)

    pieces = [resampler.push(piece) for piece in cut_pcm(pcm, places)]
    whole = np.concatenate([*pieces, resampler.flush()])

    assert np.array_equal(convert(pcm, *rates), whole)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("seconds", [1, 3])
def test_a_second_stays_a_second(rate: int, seconds: int):
    assert 8000 * seconds == convert(np.zeros(rate * seconds, np.int16), rate, 8000).size


@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000])
def test_sound_comes_out_where_it_went_in(rate: int):
    click = np.zeros(rate, np.int16)
    click[rate // 2] = 30000

    heard = convert(click, rate, 8000)

    assert int(np.argmax(np.abs(heard))) == 4000


@pytest.mark.parametrize("rate", WIDE)
def test_less_than_three_milliseconds_are_held_back(rate: int):
    resampler = Resampler(rate, 8000)

    first = resampler.push(noise(20, -20, rate=rate))

    assert first.size >= 160 - 3 * 8


def test_loud_sound_is_clipped_and_does_not_wrap_around():
    square = np.tile(np.repeat(np.array([32767, -32768], np.int16), 40), 50)

    heard = convert(square, 24000, 8000).astype(int)

    assert np.abs(np.diff(heard)).max() < 65536
    assert heard.max() == 32767
    assert (heard[3:10] > 20000).all()


def test_the_same_rate_passes_through_untouched():
    pcm = noise(20, -20)

    assert np.array_equal(pcm, convert(pcm, 8000, 8000))


def test_an_odd_rate_costs_no_memory_and_keeps_its_pitch():
    heard = convert(tone(1000, ms=1000, rate=44099), 44099, 8000)

    assert power_at(heard, 1000) == pytest.approx(-20, abs=0.3)
    assert abs(heard.size - 8000) <= 2


def test_after_a_flush_the_resampler_is_new():
    resampler = Resampler(16000, 8000)
    pcm = noise(100, -20, rate=16000)
    first = np.concatenate([resampler.push(pcm), resampler.flush()])

    again = np.concatenate([resampler.push(pcm), resampler.flush()])

    assert np.array_equal(first, again)


@pytest.mark.parametrize("rates", [(0, 8000), (8000, 0), (-1, 8000)])
def test_a_rate_must_be_positive(rates: tuple[int, int]):
    with pytest.raises(ValueError, match="positive"):
        Resampler(*rates)
