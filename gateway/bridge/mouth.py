"""Our voice on the line: one paced sender per call, with marks, hold and a single clear."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from audio.pacing import Playout
from audio.types import FRAME_SAMPLES, SAMPLE_RATE
from gateway.bridge.speech import Speech
from gateway.bridge.timeline import Played
from gateway.call import events as ev
from gateway.clock import Clock

MARK_GRACE = 1.0
"""Seconds after the computed end of an item that its last mark is waited for; some carriers never send it."""
EPOCHS_OF_A_STREAM = 1000
"""More than a stream has interruptions: every stream of a call numbers its marks from another thousand on."""


class Line(Protocol):
    """The carrier's socket as the bridge sees it."""

    async def send(self, text: str) -> None:
        """Send one message; a line that is gone swallows it."""
        ...

    async def close(self, code: int = 1000) -> None: ...


class SpeakingWire(Protocol):
    """The carrier's language, outbound."""

    def speak(self, payload: bytes) -> str: ...

    def mark(self, name: str) -> str: ...

    def clear(self) -> str: ...


@dataclass(slots=True)
class _Item:
    id: int
    speech: Speech
    base: int
    """Position in the speech at which this item began."""
    segments: list[tuple[int, int]] = field(default_factory=list)
    """(playout position, bytes) of what was sent, in order."""
    begins: float = 0.0
    first_mark: str | None = None
    last_mark: str | None = None
    starved: bool = False
    heard: bool = False
    ends: float = 0.0

    def played(self, position: int) -> int:
        """Bytes of this item that lie before a playout position."""
        return sum(min(max(0, position - at), size) for at, size in self.segments)


class Mouth:
    """Says what it is told, in order; keeps `lookahead_ms` at the carrier, no more."""

    def __init__(
        self,
        emit: Callable[[ev.Event], None],
        clock: Clock,
        *,
        lookahead_ms: int = 400,
        message_ms: int = 100,
        on_sent: Callable[[bytes, float], None] | None = None,
        on_clear: Callable[[float], None] | None = None,
        streams_before: int = 0,
    ) -> None:
        """`streams_before`: media streams this call had at other processes; names of marks must be new."""
        self._emit = emit
        self._clock = clock
        self._lookahead_ms = lookahead_ms
        self._message = max(1, message_ms // 20) * FRAME_SAMPLES
        self._on_sent = on_sent
        self._on_clear = on_clear
        self._line: Line | None = None
        self._wire: SpeakingWire | None = None
        self._playout = Playout(lookahead_ms)
        self._queue: list[_Item] = []
        self._leaving: deque[_Item] = deque()
        """Fully sent, not yet fully heard."""
        self._held = False
        self._clear_due = False
        self._epoch = streams_before * EPOCHS_OF_A_STREAM
        self._changed = asyncio.Event()
        self.played = Played()
        """What the caller hears from us, for telling our echo from speech."""

    # ------------------------------------------------------------ orders

    def attach(self, line: Line, wire: SpeakingWire) -> None:
        """A stream is up; marks and sound of an older one mean nothing any more."""
        self._line, self._wire = line, wire
        self._clear_due = False  # what was to be cleared went with the older one
        self._epoch += 1
        self._playout = Playout(self._lookahead_ms)
        self._changed.set()

    def detach(self) -> None:
        self._line = self._wire = None

    def say(self, item: int, speech: Speech, *, first: bool = False) -> None:
        speech.on_change = self._changed.set
        entry = _Item(item, speech, speech.position)
        self._queue.insert(0 if first else len(self._queue), entry)
        self._changed.set()

    def hold(self) -> None:
        self._held = True

    def resume(self) -> None:
        self._held = False
        self._changed.set()

    def clear(self) -> None:
        """Forget the queue and what the carrier holds; each item reports how much of it was heard."""
        now = self._clock.now()
        heard = self._playout.heard(now)
        dropped = [*self._leaving, *self._queue]
        # a held item may have run dry here and still be playing there: the clock is only ours
        self._clear_due = self._clear_due or any(item.segments for item in dropped)
        self._leaving.clear()
        self._queue.clear()
        self._epoch += 1
        self._playout.clear(now)
        self.played.cut(now)
        if self._on_clear is not None:
            self._on_clear(now)
        for item in dropped:
            position = item.base + item.played(heard)
            item.speech.rewind(position)
            self._emit(ev.PlaybackCleared(item.id, _ms(position), item.speech.heard(position)))
        self._changed.set()

    def forget(self) -> None:
        """Drop everything without a word: what failed must not be tried again."""
        self._leaving.clear()
        self._queue.clear()
        self._held = False

    def mark_reached(self, name: str) -> None:
        """The carrier's echo of a mark; echoes of an older epoch are stale."""
        epoch, _, rest = name.partition(".")
        if epoch != f"g{self._epoch}" or not rest:
            return
        now = self._clock.now()
        position = self._playout.reached(name, now)
        if position is None:
            return
        for item in (*self._leaving, *self._queue):
            if name == item.first_mark:
                size = item.segments[0][1]
                self._first_heard(item, max(item.begins, now - size / SAMPLE_RATE))
            if name == item.last_mark:
                item.last_mark = None
        self._changed.set()

    @property
    def playing(self) -> bool:
        return self._playout.buffered(self._clock.now()) > 0

    # ------------------------------------------------------------ the sender

    async def run(self) -> None:
        """Send what is due, for the life of the call."""
        while True:
            self._changed.clear()
            wake_at = await self._step()
            if wake_at is None:
                await self._changed.wait()
            else:
                await self._wait_until(wake_at)

    async def _wait_until(self, at: float) -> None:
        delay = at - self._clock.now()
        if delay <= 0:
            await asyncio.sleep(0)
            return
        handle = asyncio.get_running_loop().call_later(delay, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            handle.cancel()

    async def _step(self) -> float | None:
        """Send everything that may go now; returns when to look again, None: when something changes."""
        line, wire = self._line, self._wire
        if line is None or wire is None:
            return None
        if self._clear_due:
            self._clear_due = False
            await line.send(wire.clear())
        while not self._held and not self._clear_due:
            now = self._clock.now()
            self._settle_leaving(now)
            item = self._next_item()
            if item is None:
                break
            room = self._playout.room(now)
            size = min(self._message, -(-item.speech.pending // FRAME_SAMPLES) * FRAME_SAMPLES)
            if room < size:
                return self._earliest(self._playout.time_of_room(size))
            if not await self._send_piece(item, line, wire, now):
                break
        self._settle_leaving(self._clock.now())
        return self._earliest(self._starving_at())

    async def _send_piece(self, item: _Item, line: Line, wire: SpeakingWire, now: float) -> bool:
        piece = item.speech.take(self._message)
        if not piece:
            return self._finish_item(item, now)
        first, starved = not item.segments, item.starved
        begins = self._account(item, piece, now)
        text = wire.speak(piece)
        mark: str | None = None
        if first:
            item.begins = begins
            item.first_mark = mark = f"g{self._epoch}.u{item.id}.0"
        if item.speech.exhausted:
            mark = mark or f"g{self._epoch}.u{item.id}.1"
            item.last_mark = mark
            self._finish_item(item, now)
        if mark is not None:
            self._playout.mark(mark)
        if first or starved:
            self._emit(ev.PlaybackBegan(item.id))
        await line.send(text)
        if mark is not None and mark.startswith(f"g{self._epoch}."):
            await line.send(wire.mark(mark))
        return True

    def _account(self, item: _Item, piece: bytes, now: float) -> float:
        at = self._playout.position
        begins = self._playout.send(len(piece), now)
        item.segments.append((at, len(piece)))
        item.ends = self._playout.end
        item.starved = False
        self.played.add(piece, begins)
        if self._on_sent is not None:
            self._on_sent(piece, begins)
        return begins

    def _next_item(self) -> _Item | None:
        """The first item with something to send; one that is dry lets those behind it pass."""
        for item in self._queue:
            pending = item.speech.pending
            if item.speech.closed or pending >= FRAME_SAMPLES:
                return item
        return None

    def _finish_item(self, item: _Item, now: float) -> bool:
        """Everything of the item was sent (or it had no sound at all)."""
        if item in self._queue and item.speech.exhausted:
            self._queue.remove(item)
            item.ends = item.ends or now
            self._leaving.append(item)
            return True
        return False

    def _settle_leaving(self, now: float) -> None:
        """Items whose last byte was heard: by mark, or by the clock where no mark comes."""
        while self._leaving:
            item = self._leaving[0]
            due = self._heard_at(item)
            if due > now:
                return
            self._leaving.popleft()
            if item.segments:
                self._first_heard(item, item.begins)
            position = item.base + sum(size for _, size in item.segments)
            text = item.speech.heard(position)
            self._emit(ev.PlaybackDrained(item.id, _ms(position), text))

    def _heard_at(self, item: _Item) -> float:
        if not item.segments:
            return 0.0
        return item.ends if item.last_mark is None else item.ends + MARK_GRACE

    def _first_heard(self, item: _Item, at: float) -> None:
        if not item.heard:
            item.heard = True
            item.first_mark = None
            self._emit(ev.PlaybackHeard(item.id, at))

    def _starving_at(self) -> float | None:
        """When the caller will hear nothing although an item is not at its end; tells the core once."""
        if not self._queue or self._held:
            return None
        item = self._queue[0]
        if item.starved or item.speech.closed or item.speech.pending >= FRAME_SAMPLES:
            return None
        end, now = self._playout.end, self._clock.now()
        if end > now:
            return end
        item.starved = True
        self._emit(ev.PlaybackStarved(item.id))
        return None

    def _earliest(self, at: float | None) -> float | None:
        times = [at] if at is not None else []
        if self._leaving:
            times.append(self._heard_at(self._leaving[0]))
        return min(times, default=None)


def _ms(size: int) -> int:
    return size * 1000 // SAMPLE_RATE
