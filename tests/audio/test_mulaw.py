"""G.711 mu-law against its definition and against the standard library."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from audio import mulaw
from audio.types import SILENCE_DBFS, ULAW_SILENCE
from tests.audio.sounds import noise, tone

EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)
EVERY_CODE = bytes(range(256))


def defined(code: int) -> int:
    """ITU-T G.711 in scalar form, table 2a: the decoder's output on a 16-bit scale."""
    bits = code ^ 0xFF
    magnitude = ((2 * (bits & 0x0F) + 33) << ((bits >> 4) & 7)) - 33
    return -4 * magnitude if bits & 0x80 else 4 * magnitude


def test_each_code_decodes_to_the_value_of_the_standard():
    assert [defined(code) for code in EVERY_CODE] == mulaw.decode(EVERY_CODE).tolist()


def test_each_sample_encodes_to_a_code_within_half_a_step():
    values = np.unique([defined(code) for code in EVERY_CODE])
    steps = np.diff(values)
    chosen = mulaw.decode(mulaw.encode(EVERY_SAMPLE)).astype(int)
    inside = np.abs(EVERY_SAMPLE.astype(int)) <= values.max()

    place = np.searchsorted(values, chosen)
    # Where two segments meet the steps differ; the wider one holds.
    wider = np.maximum(steps[np.maximum(place - 1, 0)], steps[np.minimum(place, steps.size - 1)])

    assert (np.abs(chosen - EVERY_SAMPLE)[inside] <= wider[inside] / 2 + 4).all()


def test_both_ways_agree_with_the_standard_library_bit_for_bit():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        audioop = pytest.importorskip("audioop")

    assert audioop.lin2ulaw(EVERY_SAMPLE.tobytes(), 2) == mulaw.encode(EVERY_SAMPLE)
    assert audioop.ulaw2lin(EVERY_CODE, 2) == mulaw.decode(EVERY_CODE).tobytes()


def test_a_code_survives_the_round_trip_except_for_the_second_zero():
    back = mulaw.encode(mulaw.decode(EVERY_CODE))

    assert EVERY_CODE.replace(b"\x7f", b"\xff") == back


def test_silence_is_0xff():
    assert bytes([ULAW_SILENCE]) * 5 == mulaw.encode(np.zeros(5, np.int16))


def test_a_view_with_gaps_encodes_like_its_copy():
    samples = noise(40, -20)

    assert mulaw.encode(samples[::2].copy()) == mulaw.encode(samples[::2])


def test_nothing_in_nothing_out():
    assert mulaw.encode(mulaw.decode(b"")) == b""
    assert SILENCE_DBFS == mulaw.level_dbfs(mulaw.decode(b"")) == mulaw.ulaw_level_dbfs(b"")


@pytest.mark.parametrize("dbfs", [-3.1, -20.0, -45.0])
def test_the_level_is_the_root_mean_square_of_full_scale(dbfs: float):
    sound = tone(1000, ms=1000, dbfs=dbfs)

    assert mulaw.level_dbfs(sound) == pytest.approx(dbfs, abs=0.1)
    assert mulaw.ulaw_level_dbfs(mulaw.encode(sound)) == pytest.approx(dbfs, abs=0.3)


def test_digital_silence_has_the_lowest_level():
    assert (
        SILENCE_DBFS
        == mulaw.ulaw_level_dbfs(b"\xff" * 160)
        == mulaw.level_dbfs(np.zeros(160, np.int16))
    )
