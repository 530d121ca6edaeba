"""Units and constants of telephone sound; the nature of the line, not settings."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE: Final = 8000
"""Hz: G.711 narrow band, what Media Streams carry."""

FRAME_MS: Final = 20
"""Milliseconds of one frame, the packet time of the telephone network."""

FRAME_SAMPLES: Final = SAMPLE_RATE * FRAME_MS // 1000
"""160 samples, also 160 mu-law bytes."""

ULAW_SILENCE: Final = 0xFF
"""The mu-law byte of a zero sample; 0x00 would be the loudest negative one."""

SILENCE_DBFS: Final = -96.0
"""dBFS reported for digital silence: the floor of 16 bits."""

Pcm = NDArray[np.int16]
"""Signed 16-bit mono samples."""
