"""One media stream from the carrier's side: its 20 ms clock, the speaker and the caller.

Order of messages: telephony.md 1.2. One clock sends a caller frame and plays an agent frame every
20 ms, against monotonic time, so that lateness never adds up; one reader task takes what the gateway
sends. When this process itself was late, the missed steps are made up for with what has come
meanwhile, so that our own stall is never blamed on the gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from audio.types import FRAME_MS, FRAME_SAMPLES, ULAW_SILENCE
from gateway.clock import Clock
from gateway.simulator.caller import Caller
from gateway.simulator.echo import EchoPath
from gateway.simulator.judge import Judge
from gateway.simulator.media_socket import MediaSocket, NotText
from gateway.simulator.plan import Ending
from gateway.simulator.playback import HoleFinder, Playback, Underrun
from gateway.simulator.wire import CONNECTED, Clear, Mark, Media, StreamWriter, Wrong, read

FRAME_SECONDS: Final = FRAME_MS / 1000

BEFORE_START: Final = 0.02
"""Seconds between `connected` and `start`: room to catch a gateway that speaks unasked (S6)."""

CLOSE_WITHIN: Final = 2.0
"""Seconds the gateway has to close its side after the end of the call (S25)."""

STATUS_AHEAD: Final = 0.3
"""Seconds by which the status callback overtakes `stop` in the ending `status-first`."""

DISTURBED_MS: Final = 500
"""So long after a sound of the caller the agent may hold its breath without an underrun."""

SILENT_FRAME: Final = bytes([ULAW_SILENCE]) * FRAME_SAMPLES


HungUpBy = Literal["caller", "rest", "gateway", "lost"]
"""The `caller` hung up, a `rest` request did, the `gateway` closed, or the socket was `lost`."""


@dataclass(frozen=True, slots=True)
class LineEnd:
    """How a stream ended."""

    by: HungUpBy
    close_code: int | None = None
    """The gateway's close code where it closed first."""


@dataclass(slots=True)
class Tape:
    """What both sides sounded like, on one time line that begins with the first stream."""

    caller: bytearray = field(default_factory=bytearray)
    agent: bytearray = field(default_factory=bytearray)

    def skip_to(self, at_ms: int) -> None:
        """Silence on both tracks up to this time: no stream was open."""
        for track in (self.caller, self.agent):
            track.extend(bytes([ULAW_SILENCE]) * (at_ms * 8 - len(track)))


@dataclass(slots=True)
class Witness:
    """What outlives one stream of a call: the caller, the judge, and what was found out."""

    caller: Caller
    judge: Judge
    tape: Tape | None
    echo: EchoPath | None = None
    """The caller's telephone, where it lets the agent's voice back onto the line."""
    underruns: list[Underrun] = field(default_factory=list)
    latest_tick_ms: float = 0.0
    """By how much our own clock was late at worst: how far to trust the rest."""


class Line:
    """One stream; `run` returns when it has ended."""

    def __init__(
        self,
        socket: MediaSocket,
        writer: StreamWriter,
        witness: Witness,
        *,
        stream_sid: str,
        clock: Clock,
        offset_ms: int,
        hang_up: asyncio.Event,
        max_seconds: float,
    ) -> None:
        self._socket = socket
        self._writer = writer
        self._witness = witness
        self._caller = witness.caller
        self._judge = witness.judge
        self._stream_sid = stream_sid
        self._clock = clock
        self._offset_ms = offset_ms
        self._hang_up = hang_up
        self._max_seconds = max_seconds
        self._playback = Playback()
        self._holes = HoleFinder()
        self._disturbed_at: int | None = None
        self._began = clock.now()
        self._ticks = 0

    @property
    def at_ms(self) -> int:
        """Now, on the call's time line."""
        return self._offset_ms + round((self._clock.now() - self._began) * 1000)

    async def run(
        self,
        parameters: Mapping[str, str],
        ending: Ending,
        announce_end: Callable[[], Awaitable[None]],
    ) -> LineEnd:
        """Hold the stream from `connected` to the closed socket; raises `CallFailed`.

        `announce_end` sends the status callback, for endings in which that overtakes the socket's.
        """
        reader = asyncio.create_task(self._listen(), name="media-reader")
        try:
            end = await self._hold(parameters, reader)
            if end.by == "rest":
                await self._stop(reader)
            elif end.by == "caller":
                await self._hang_up_as(ending, reader, announce_end)
        finally:
            reader.cancel()
            await asyncio.wait([reader])
            self._judge.ended()
        if not reader.cancelled():
            reader.result()
        return LineEnd("lost") if end.by == "caller" and ending == "lost" else end

    async def _hold(self, parameters: Mapping[str, str], reader: asyncio.Task[None]) -> LineEnd:
        try:
            await self._socket.send(CONNECTED)
            await asyncio.sleep(BEFORE_START)
            await self._socket.send(self._writer.start(parameters))
            self._began = self._clock.now()
            self._judge.started()
            by = await self._talk(reader)
        except ConnectionError:
            # The gateway closed while we were sending; the reader sees how.
            await asyncio.wait([reader], timeout=CLOSE_WITHIN)
            by = "gateway"
        if by == "gateway" and self._hang_up.is_set():
            by = "rest"
        return LineEnd(by, self._socket.close_code)

    async def _talk(self, reader: asyncio.Task[None]) -> HungUpBy:
        while not reader.done():
            if self._hang_up.is_set():
                return "rest"
            if await self._tick():
                return "caller"
            if self._offset_ms + self._ticks * FRAME_MS > self._max_seconds * 1000:
                self._caller.gave_up = f"the call took more than {self._max_seconds:.0f} s"
                return "caller"
            await self._until_next_tick()
        return "gateway"

    async def _hang_up_as(
        self,
        ending: Ending,
        reader: asyncio.Task[None],
        announce_end: Callable[[], Awaitable[None]],
    ) -> None:
        match ending:
            case "stop":
                await self._stop(reader)
            case "status-first":
                await announce_end()
                await self._go_on(reader, STATUS_AHEAD)
                await self._stop(reader)
            case "status-only":
                await announce_end()
                await self._go_on(reader, CLOSE_WITHIN)
                await self._expect_closed(reader)
            case "drop" | "lost":
                await self._socket.reset()

    async def _stop(self, reader: asyncio.Task[None]) -> None:
        try:
            await self._socket.send(self._writer.stop())
        except ConnectionError:
            # It closed first, as it was about to anyway.
            return
        self._judge.stopped(self.at_ms)
        await self._expect_closed(reader)

    async def _expect_closed(self, reader: asyncio.Task[None]) -> None:
        done, _ = await asyncio.wait([reader], timeout=CLOSE_WITHIN)
        if not done:
            what = f"the socket was still open {CLOSE_WITHIN:.0f} s after the end of the call"
            self._judge.note("S25", what, self.at_ms)

    async def _go_on(self, reader: asyncio.Task[None], seconds: float) -> None:
        until = self._ticks + round(seconds / FRAME_SECONDS)
        try:
            while self._ticks < until and not reader.done():
                await self._tick()
                await self._until_next_tick()
        except ConnectionError:
            return

    async def _tick(self) -> bool:
        """One step of 20 ms; True when the caller hangs up."""
        at_ms = self._offset_ms + self._ticks * FRAME_MS
        self._ticks += 1
        played = self._playback.tick()
        await self._echo(played.marks)
        act = self._caller.step(at_ms, played.frame)
        if act.begins:
            self._judge.caller_begins(at_ms, interrupting=act.interrupts)
        self._judge.tick(at_ms, caller_voiced=act.voiced, playing=self._playback.playing)
        if played.short:
            self._judge.short_frame(at_ms)
        self._look_for_holes(at_ms, played.frame, disturbed=act.voiced or act.begins)
        sound = act.sound
        if self._witness.echo is not None:
            sound = self._witness.echo.mix(sound, played.frame)
        if self._witness.tape is not None:
            self._witness.tape.caller += sound
            self._witness.tape.agent += played.frame or SILENT_FRAME
        if act.digit is not None:
            await self._socket.send(self._writer.dtmf(act.digit))
        await self._socket.send(self._writer.media(sound))
        return act.hangs_up

    def _look_for_holes(self, at_ms: int, frame: bytes | None, *, disturbed: bool) -> None:
        if disturbed:
            self._disturbed_at = at_ms
        if self._disturbed_at is not None and at_ms - self._disturbed_at <= DISTURBED_MS:
            self._holes.excuse()
        underrun = self._holes.tick(at_ms, frame)
        if underrun is not None:
            self._witness.underruns.append(underrun)

    async def _until_next_tick(self) -> None:
        ahead = self._began + self._ticks * FRAME_SECONDS - self._clock.now()
        self._witness.latest_tick_ms = max(self._witness.latest_tick_ms, -ahead * 1000)
        if ahead > 0:
            await asyncio.sleep(ahead)
            return
        # Late: the reader gets its turns first, then the missed steps are made up for.
        for _ in range(3):
            await asyncio.sleep(0)

    async def _listen(self) -> None:
        while (received := await self._socket.receive()) is not None:
            match received:
                case NotText(rule, what):
                    self._judge.note(rule, what, self.at_ms)
                case text:
                    try:
                        await self._take(text)
                    except ConnectionError:
                        # An echo that nobody waits for any more; the next receive says why.
                        continue

    async def _take(self, text: str) -> None:
        at_ms, playback = self.at_ms, self._playback
        message = read(text, self._stream_sid)
        obeyed = self._judge.hear(
            message, at_ms, playing=playback.playing, queued_ms=playback.queued_ms
        )
        match message:
            case Media(payload) if obeyed:
                playback.play(payload)
            case Mark(name):
                await self._echo(playback.mark(name))
            case Clear():
                self._holes.excuse()
                self._caller.cleared(at_ms)
                await self._echo(playback.clear())
            case Media() | Wrong():
                return

    async def _echo(self, names: tuple[str, ...]) -> None:
        for name in names:
            await self._socket.send(self._writer.mark(name))
