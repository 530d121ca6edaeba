"""A finished call as a stereo file: the caller on the left, the agent on the right.

Only home of pydub. It takes seconds of CPU for an hour of sound: never call it from an event loop.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from audio import mulaw
from audio.tones import silence
from audio.types import SAMPLE_RATE

if TYPE_CHECKING:
    from pathlib import Path

with warnings.catch_warnings():
    # pydub looks for an ffmpeg program as it is imported and complains; for WAV it needs none.
    warnings.simplefilter("ignore")
    from pydub import AudioSegment

_SAMPLES_PER_MS = SAMPLE_RATE // 1000


def mix_stereo(caller_ulaw: bytes, agent_ulaw: bytes, path: Path) -> None:
    """Write two tracks that began together as a 16-bit stereo WAV; the shorter one is filled with silence.

    Raises `OSError` where the file cannot be written.
    """
    longest = max(len(caller_ulaw), len(agent_ulaw))
    tracks = [_track(ulaw, longest) for ulaw in (caller_ulaw, agent_ulaw)]
    AudioSegment.from_mono_audiosegments(*tracks).export(path, format="wav").close()


def _track(ulaw: bytes, length: int) -> AudioSegment:
    filled = ulaw + silence(-(-(length - len(ulaw)) // _SAMPLES_PER_MS))
    return AudioSegment(
        data=mulaw.decode(filled[:length]).tobytes(),
        sample_width=2,
        frame_rate=SAMPLE_RATE,
        channels=1,
    )
