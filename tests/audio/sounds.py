"""Sounds to test with: tones and noise made here, and real speech that ships with the simulated phone."""

from __future__ import annotations

import io
import itertools
import math
import wave
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files

import av
import numpy as np
from numpy.typing import NDArray

from audio.endpoint import Endpointer, EndpointOptions, Signal
from audio.mulaw import level_dbfs
from audio.types import FRAME_SAMPLES, SAMPLE_RATE, Pcm
from audio.vad import make_vad


def amplitude(dbfs: float) -> float:
    return 32768.0 * math.pow(10.0, dbfs / 20.0)


def tone(*pitches: float, ms: int, dbfs: float = -20.0, rate: int = SAMPLE_RATE) -> Pcm:
    """Sinusoids together at `dbfs` RMS."""
    seconds = np.arange(rate * ms // 1000) / rate
    mix = sum(np.sin(2 * np.pi * pitch * seconds + pitch) for pitch in pitches)
    scale = amplitude(dbfs) * np.sqrt(2 / len(pitches))
    pcm: Pcm = np.rint(np.asarray(mix) * scale).astype(np.int16)
    return pcm


def noise(ms: int, dbfs: float, seed: int = 1, rate: int = SAMPLE_RATE) -> Pcm:
    samples = np.random.default_rng(seed).standard_normal(rate * ms // 1000)
    return np.clip(np.rint(samples * amplitude(dbfs)), -32768, 32767).astype(np.int16)


def quiet(ms: int) -> Pcm:
    """A quiet room on a good line."""
    return noise(ms, -62.0, seed=ms)


def hum(ms: int, dbfs: float) -> Pcm:
    """Mains hum with the harmonics that a telephone lets through."""
    seconds = np.arange(SAMPLE_RATE * ms // 1000) / SAMPLE_RATE
    wave_ = sum(np.sin(2 * np.pi * 50 * k * seconds + k) / k for k in (1, 3, 5, 7, 9, 11))
    return scaled(np.rint(np.asarray(wave_) * 1000).astype(np.int16), dbfs)


def scaled(pcm: Pcm, dbfs: float) -> Pcm:
    gain = math.pow(10.0, (dbfs - level_dbfs(pcm)) / 20.0)
    louder: Pcm = np.clip(np.rint(pcm * gain), -32768, 32767).astype(np.int16)
    return louder


def mixed(*tracks: Pcm) -> Pcm:
    """Tracks on top of each other, as long as the longest."""
    total = np.zeros(max(track.size for track in tracks), np.int32)
    for track in tracks:
        total[: track.size] += track
    return np.clip(total, -32768, 32767).astype(np.int16)


@cache
def speech(name: str) -> Pcm:
    """A recording of a person, 8 kHz, without the silence around it, at -20 dBFS."""
    data = (files("gateway.simulator.speech") / f"{name}.wav").read_bytes()
    with wave.open(io.BytesIO(data)) as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) == (8000, 1, 2)
        pcm = np.frombuffer(reader.readframes(reader.getnframes()), "<i2")
    loud = np.flatnonzero(np.abs(pcm) > 400)
    return scaled(pcm[loud[0] : loud[-1] + 1], -20.0)


def words(name: str, longest_gap_ms: int = 60) -> list[Pcm]:
    """The recording taken apart at its gaps."""
    pcm = speech(name)
    frames = [pcm[at : at + 80] for at in range(0, pcm.size - 79, 80)]
    loud = [level_dbfs(frame) > -38.0 for frame in frames]
    pieces: list[list[int]] = []
    for index, is_loud in enumerate(loud):
        if is_loud and pieces and index - pieces[-1][1] <= longest_gap_ms // 10:
            pieces[-1][1] = index
        elif is_loud:
            pieces.append([index, index])
    return [pcm[first * 80 : (last + 1) * 80] for first, last in pieces]


def frames(pcm: Pcm) -> Iterator[Pcm]:
    for at in range(0, pcm.size - FRAME_SAMPLES + 1, FRAME_SAMPLES):
        yield pcm[at : at + FRAME_SAMPLES]


def endpointer(options: EndpointOptions | None = None) -> Endpointer:
    return Endpointer(make_vad("webrtc"), options)


def listen(ears: Endpointer, pcm: Pcm, agent: Pcm | None = None) -> list[Signal]:
    """Everything the ears say about a stretch of line, while the agent plays `agent`."""
    said: list[Signal] = []
    for index, frame in enumerate(frames(pcm)):
        at = index * FRAME_SAMPLES
        ours = agent[at : at + FRAME_SAMPLES] if agent is not None else None
        said += ears.push(frame, ours if ours is not None and ours.size == frame.size else None)
    return said


def mp3(pcm: Pcm, rate: int, kbits: int = 64) -> bytes:
    """An MP3 file with an ID3 tag, made by PyAV's encoder."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=rate, layout="mono")
        stream.bit_rate = kbits * 1000
        frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
        frame.rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return out.getvalue()


def without_id3(data: bytes) -> bytes:
    size = sum(
        (byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True)
    )
    return data[10 + size :]


def power_at(pcm: Pcm, pitch: float, rate: int = SAMPLE_RATE) -> float:
    """Level in dBFS of one sinusoid in the middle half of a sound."""
    middle = pcm[pcm.size // 4 : pcm.size - pcm.size // 4].astype(np.float64)
    turn = np.exp(-2j * np.pi * pitch * np.arange(middle.size) / rate) * np.hanning(middle.size)
    peak = 2 * abs((middle * turn).sum()) / np.hanning(middle.size).sum()
    return float(20 * np.log10(peak / np.sqrt(2) / 32768 + 1e-9))


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def cut_pcm(pcm: Pcm, places: Sequence[int]) -> list[NDArray[np.int16]]:
    edges = [0, *sorted(place % (pcm.size + 1) for place in places), pcm.size]
    return [pcm[a:b] for a, b in itertools.pairwise(edges)]
