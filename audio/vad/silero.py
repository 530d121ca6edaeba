"""The Silero voice activity model: a small recurrent network, one probability every 32 ms.

Only home of `onnxruntime`. It tells voices from traffic, music and keys, which no level does; the
price is a model (2.3 MB, in `model/`, MIT) and a memory that must be wiped in silence: left running,
it goes deaf to short answers.

All calls of a process share one session. A window that a call has completed is computed when that
call's next frame comes, and then together with those of all other calls that are waiting: one run of
a batch costs a third of as many single ones. Results are therefore one frame late, always, however
many calls there are, so a recording gives what the live call gave.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from audio.types import SAMPLE_RATE, Pcm
from audio.vad import Verdict

_WINDOW: Final = 256
"""Samples the model judges at once: 32 ms."""
_CONTEXT: Final = 32
"""Samples of the window before, which the model is given again."""
_CELLS: Final = 128
_SPEECH: Final = 0.4
_DOUBT: Final = 0.3
"""Probabilities from which a frame is speech, or may be."""
_REST_WINDOWS: Final = 62
"""The memory is wiped at most every 2 s,"""
_QUIET_WINDOWS: Final = 5
_QUIET: Final = 0.1
"""and only after so many windows below this."""

_Rows = NDArray[np.float32]


class SileroModel:
    """The network, and the lines whose windows wait for its next run."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        # One thread: calls are many and windows small; more threads only wait for each other.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        with as_file(files("audio.vad") / "model" / "silero_vad_v6.onnx") as path:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        self._rate = np.array(SAMPLE_RATE, np.int64)
        self._waiting: list[SileroVad] = []

    def wait(self, line: SileroVad) -> None:
        """The line has a whole window; it is computed with the next run."""
        self._waiting.append(line)

    def run(self) -> None:
        """Compute every waiting window in one batch and give each line its probability."""
        lines, self._waiting = self._waiting, []
        state = np.stack([line.state for line in lines], axis=1)
        sound = np.stack([line.window for line in lines])
        probabilities, states = self._session.run(
            None, {"input": sound, "state": state, "sr": self._rate}
        )
        for index, line in enumerate(lines):
            line.take(float(probabilities[index, 0]), states[:, index])


@cache
def shared_model() -> SileroModel:
    """The model of this process, loaded at the first use."""
    return SileroModel()


class SileroVad:
    """One line's place in the model: its sound, its memory, its last probability."""

    def __init__(self, model: SileroModel | None = None) -> None:
        self._model = model or shared_model()
        self.state: _Rows = np.zeros((2, _CELLS), np.float32)
        self.window: _Rows = np.zeros(_CONTEXT + _WINDOW, np.float32)
        """What the model is given: context, then the window."""
        self.probability = 0.0
        """Of speech, in the newest computed window."""
        self._sound: _Rows = np.zeros(_CONTEXT + 2 * _WINDOW, np.float32)
        self._filled = _CONTEXT
        self._waiting = False
        self._in_turn = False
        self._since_rest = 0
        self._quiet = 0

    def judge(self, pcm: Pcm, *, in_turn: bool) -> Verdict:
        if self._waiting:
            self._model.run()
        # After the run: whether its memory may go is decided as of the frame that completed the window,
        # or else it would depend on whose next frame happens to set off the run.
        self._in_turn = in_turn
        self._listen(pcm)
        if self.probability >= _SPEECH:
            return Verdict.SPEECH
        return Verdict.DOUBT if self.probability >= _DOUBT else Verdict.NOISE

    def take(self, probability: float, state: _Rows) -> None:
        """The model's answer to `window`."""
        self._waiting = False
        self.probability = probability
        self._since_rest += 1
        self._quiet = self._quiet + 1 if probability < _QUIET else 0
        rested = self._quiet >= _QUIET_WINDOWS and self._since_rest >= _REST_WINDOWS
        if rested and not self._in_turn:
            self._since_rest = 0
            self.state = np.zeros((2, _CELLS), np.float32)
        else:
            self.state = state

    def _listen(self, pcm: Pcm) -> None:
        filled = self._filled
        np.multiply(pcm, np.float32(1 / 32768), out=self._sound[filled : filled + pcm.size])
        filled += pcm.size
        if filled >= _CONTEXT + _WINDOW:
            self.window[:] = self._sound[: _CONTEXT + _WINDOW]
            rest = filled - _WINDOW
            self._sound[:rest] = self._sound[_WINDOW:filled]
            filled = rest
            self._waiting = True
            self._model.wait(self)
        self._filled = filled
