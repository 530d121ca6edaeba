"""The caller's voice: frames in, call events out. Plain calls, no task, no queue.

Positions are counted in samples of the stream, so lateness of frames or of this process does not
change where speech begins and ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from audio import mulaw
from audio.endpoint import LineReport, Offset, Onset, Paused, Resumed, Signal, Voiced
from audio.types import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE, ULAW_SILENCE, Pcm
from gateway.bridge.timeline import SampleClock
from gateway.bridge.utterance import Utterance
from gateway.call import events as ev

_REPORTS = frozenset({250, 1500, 3000})
"""Frames after which the line is reported (5 s, 30 s, 1 min); the end of the stream reports it once more."""
MAX_GAP_MS = 1000
"""Lost audio of up to this length is made up with silence, so that pauses keep their length."""


TICK_SECONDS = 0.1
"""Between two looks at the clock while the caller has the floor."""
SILENT_SECONDS = 0.6
"""Without a frame for so long after a caller who had fallen silent: the carrier sends no silence."""
LOST_SECONDS = 2.1
"""The same in the middle of a word, where sound that is only late must not end the turn."""
LATER_SECONDS = 0.2
"""More than a line's sound was ever late is waited for before it is taken to be lost."""
QUIET_MS = 60
"""Silence of a caller who may have said all."""


class Detector(Protocol):
    """What the ears need of `audio.endpoint.Endpointer`."""

    @property
    def quiet_ms(self) -> int: ...

    def push(self, pcm: Pcm, agent: Pcm | None = ...) -> tuple[Signal, ...]: ...

    def set_patience(self, ms: int | None) -> None: ...

    @property
    def line(self) -> LineReport: ...


class Ears:
    """Cuts the caller's stream into utterances and tells the core about each.

    `reference(at)` gives the 160 mu-law bytes of ours that the caller hears from `at` on, or None.
    """

    def __init__(
        self,
        detector: Detector,
        emit: Callable[[ev.Event], None],
        reference: Callable[[float], bytes | None],
        *,
        pre_roll_ms: int = 400,
        max_utterance_ms: int = 30_000,
    ) -> None:
        self._detector = detector
        self._emit = emit
        self._reference = reference
        self._clock = SampleClock()
        self._pre_roll: deque[bytes] = deque(maxlen=max(1, (pre_roll_ms + 2000) // FRAME_MS))
        self._pre_roll_samples = pre_roll_ms * SAMPLE_RATE // 1000
        self._max_bytes = max_utterance_ms * SAMPLE_RATE // 1000 * 2
        self._rest = b""
        self._patience_ms: int | None = None
        self._samples = 0
        self._earlier = 0
        """Samples of lines that were lost: a new detector counts from 0."""
        self._arrived = self._ticked = 0.0
        """When sound came last, and when the clock was looked at."""
        self._invented_ms = 0
        """Silence put in place of sound that did not come, since it came last."""
        self._latest = 0.0
        """Seconds that sound of this line was late, at most, and came all the same."""
        self._heard_to = 0
        """Sample at which the newest utterance ended, of all lines together."""
        self._next = 0
        self._expected_ms: int | None = None
        self._began = 0
        self._accepted_ms = 0
        """The last milestone of accepted speech in this stretch."""
        self.utterances: dict[int, Utterance] = {}
        """Kept until the core drops them or their turn is forgotten."""
        self.open: Utterance | None = None
        self.frames = 0

    # ------------------------------------------------------------ frames

    def hear(self, ulaw: bytes, timestamp_ms: int | None, now: float) -> None:
        """Take one message's sound (any length); emits what it means."""
        if timestamp_ms is not None:
            self._mind_gap(timestamp_ms, len(ulaw), now)
        self._arrived = self._ticked = now
        self._invented_ms = 0
        data = self._rest + ulaw if self._rest else ulaw
        whole = len(data) - len(data) % FRAME_SAMPLES
        for at in range(0, whole, FRAME_SAMPLES):
            self._frame(data[at : at + FRAME_SAMPLES], now)
        self._rest = data[whole:]

    def tick(self, now: float) -> None:
        """Look at the clock: where no sound comes any more, an open turn hears silence and ends.

        To be called every `TICK_SECONDS` while an utterance is open. A look that comes late means that
        this process stood still, and sound may be waiting in its sockets: that time is not counted.
        """
        self._arrived += max(0.0, now - max(self._ticked, self._arrived) - 2 * TICK_SECONDS)
        self._ticked = now
        missing = now - self._arrived
        wait = SILENT_SECONDS if self._detector.quiet_ms >= QUIET_MS else LOST_SECONDS
        if missing < max(wait, self._latest + LATER_SECONDS):
            return
        silence = bytes([ULAW_SILENCE]) * FRAME_SAMPLES
        while self.open is not None and self._invented_ms + FRAME_MS <= missing * 1000:
            self._invented_ms += FRAME_MS
            self._frame(silence, self._arrived + self._invented_ms / 1000)

    def set_patience(self, ms: int) -> None:
        """End turns after this much silence from now on."""
        self._patience_ms = ms
        self._detector.set_patience(ms)

    def drop(self, utterance: int) -> None:
        """Nobody will send this one."""
        kept = self.utterances.pop(utterance, None)
        if kept is not None and self.open is kept:
            self.open = None

    def report(self) -> None:
        """Tell what is known of the line."""
        line = self._detector.line
        self._emit(ev.LineMeasured(line.noise_floor_dbfs, line.echo_return_db, line.echo_delay_ms))

    def reopen(self) -> None:
        """Another stream begins: its time has nothing to do with the last one's."""
        self._clock = SampleClock()
        self._expected_ms = None
        self._invented_ms = 0
        self._latest = 0.0
        self._rest = b""

    def renew(self, detector: Detector) -> None:
        """The line was lost, perhaps in the middle of a word: what comes next is not its end."""
        self.close()
        self._detector = detector
        self._earlier += self._samples
        self._samples = self.frames = 0
        if self._patience_ms is not None:
            detector.set_patience(self._patience_ms)
        self._pre_roll.clear()
        self.reopen()

    def close(self) -> None:
        """The stream is over: readers of an open utterance must not wait for more."""
        if self.open is not None:
            self.open.close()
            self.open = None
            self._heard_to = self._now_at

    @property
    def _now_at(self) -> int:
        """Samples heard so far, of all lines together."""
        return self._earlier + self._samples

    def _mind_gap(self, timestamp_ms: int, size: int, now: float) -> None:
        """A jump of the carrier's timestamp is lost audio: silence takes its place, up to a second."""
        expected, duration = self._expected_ms, size * 1000 // SAMPLE_RATE
        self._expected_ms = timestamp_ms + duration
        if expected is None:
            return
        missing = timestamp_ms - expected - self._invented_ms
        if missing + self._invented_ms < 2 * FRAME_MS:
            self._latest = max(self._latest, min(now - self._arrived, LOST_SECONDS))
        if missing < 0 and self._invented_ms:
            # what was taken for lost has come after all, and is counted besides
            self._clock.skipped(max(missing, -self._invented_ms) / 1000)
        if 2 * FRAME_MS <= missing <= 60_000:
            frames = min(missing, MAX_GAP_MS) // FRAME_MS
            silence = bytes([ULAW_SILENCE]) * FRAME_SAMPLES
            for _ in range(frames):
                self._frame(silence, now)
            self._clock.skipped(missing / 1000 - frames * FRAME_MS / 1000)

    def _frame(self, ulaw: bytes, now: float) -> None:
        self.frames += 1
        self._samples += FRAME_SAMPLES
        samples = mulaw.decode(ulaw)
        pcm = samples.tobytes()
        self._pre_roll.append(pcm)
        if self.open is not None:
            self.open.append(pcm)
        ours = self._reference(self._clock.received(self._samples, now) - FRAME_MS / 1000)
        agent = None if ours is None else mulaw.decode(ours)
        for signal in self._detector.push(samples, agent):
            self._signal(signal, now)
        if self.frames in _REPORTS:
            self.report()
        if self.open is not None and len(self.open.pcm) >= self._max_bytes:
            self._split(now)

    # ------------------------------------------------------------ what it means

    def _signal(self, signal: Signal, now: float) -> None:
        if isinstance(signal, Onset):
            self._begin(signal.at)
        elif isinstance(signal, Voiced):
            self._accepted_ms = max(self._accepted_ms, signal.ms)
            if self.open is not None:
                self._emit(ev.SpeechAccepted(self.open.id, signal.ms))
        elif isinstance(signal, Offset):
            self._finish(signal, now)
        elif self.open is not None:
            utterance = self.open.id
            match signal:
                case Paused():
                    self._emit(ev.SpeechPaused(utterance, signal.ms))
                case Resumed():
                    self._emit(ev.SpeechResumed(utterance))

    def _begin(self, onset: int) -> None:
        """Open an utterance that starts `pre_roll_ms` before the first voiced frame."""
        self.close()
        self._began = onset
        self._accepted_ms = 0
        back = self._samples - onset + self._pre_roll_samples
        frames = min(len(self._pre_roll), -(-back // FRAME_SAMPLES))
        known = list(self._pre_roll)
        first = len(known) - frames
        # For a caller who goes on within the same turn: what lies between must not be missing.
        between = (self._now_at - self._heard_to) // FRAME_SAMPLES - frames
        lead = known[first - between : first] if 0 < between <= first else []
        self.open = self._new(b"".join(known[first:]), b"".join(lead))
        self._emit(ev.SpeechStarted(self.open.id))

    def _finish(self, offset: Offset, now: float) -> None:
        utterance, self.open = self.open, None
        if utterance is None:
            return
        utterance.close()
        self._heard_to = self._now_at
        began, last = self._time(self._began, now), self._time(offset.speech_end, now)
        self._emit(ev.SpeechEnded(utterance.id, self._accepted_ms, began, last))

    def _split(self, now: float) -> None:
        """The cap: this utterance ends, the next goes on with the very next sample."""
        full = self.open
        if full is None:
            return
        full.close()
        self.open = self._new(b"")
        began = self._time(self._began, now)
        self._began = self._samples
        self._emit(ev.UtteranceFull(full.id, self.open.id, began, now))

    def _new(self, pcm: bytes, lead: bytes = b"") -> Utterance:
        start = self._now_at * 2 - len(pcm)
        utterance = Utterance(self._next, pcm, start=start, lead=lead)
        self.utterances[utterance.id] = utterance
        self._next += 1
        return utterance

    def _time(self, sample: int, now: float) -> float:
        """When this sample was received: frames come in real time, the newest of them now."""
        return now - max(0, self._samples - sample) / SAMPLE_RATE
