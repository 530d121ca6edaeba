"""The carrier's end of one media stream: the caller's sound goes in, the agent's is played and judged."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Awaitable
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Protocol

from audio.types import FRAME_MS, SAMPLE_RATE
from tests.simulation import sound
from tests.simulation.doors import SimSocket
from tests.simulation.loop import Process
from tests.simulation.plan import ACCOUNT
from tests.simulation.sound import Voice
from tests.simulation.world import World

PIECE_FRAMES: Final = 5
"""Frames in a message while there is something to hear."""
PIECE: Final = PIECE_FRAMES * FRAME_MS / 1000
IDLE: Final = 0.4
"""Seconds between two messages of one frame while nobody speaks: sparser than a carrier's, and cheaper."""
LINGER: Final = 2.3
"""Seconds after the caller's last sound with every frame of silence: ends of turns are counted in frames."""
_SILENT_PIECE: Final = b64encode(sound.SILENCE * PIECE_FRAMES).decode()
_SILENT_FRAME: Final = b64encode(sound.SILENCE).decode()
_OUTBOUND: Final = {
    "media": {"event", "streamSid", "media"},
    "mark": {"event", "streamSid", "mark"},
    "clear": {"event", "streamSid"},
}


@dataclass(slots=True)
class Utterance:
    """One stretch of the caller's voice."""

    number: int
    frames: int
    began: float
    """Loop time; the last frame was received `frames` later."""
    sent: int = 0
    over_agent: bool = False
    """The agent was heard when it began."""


@dataclass(frozen=True, slots=True)
class Gap:
    """So long the caller heard nothing and said nothing."""

    begins: float
    ends: float
    after: str
    """What came before: `start`, `agent`, `caller`, `keys`."""
    then: str
    """What ended it: `agent`, `caller`, `keys`, `end`."""


class Ear(Protocol):
    """Who is told what the line carries."""

    def gap(self, stream: Stream, gap: Gap) -> None: ...

    def played(self, stream: Stream, voice: Voice | None, number: int) -> None: ...

    def cleared(self, stream: Stream) -> None: ...

    def ahead(self, stream: Stream, seconds: float) -> None: ...


class Stream:
    """One socket of one call, while the carrier holds it."""

    def __init__(
        self, world: World, call_sid: str, sid: str, process: Process, ear: Ear, lag: float
    ) -> None:
        self.world = world
        self.call_sid = call_sid
        self.sid = sid
        self.process = process
        self.ear = ear
        self.lag = lag
        """Seconds until a mark's echo is back."""
        self.socket: SimSocket | None = None
        self.over: asyncio.Future[str] = world.loop.create_future()
        """How it ended: `closed` by the gateway, `lost`, `stopped` by the carrier."""
        self.began = 0.0
        self.end_of_sound = 0.0
        """When all of the agent's sound will have been played."""
        self.agent_sounded = False
        self.speaking: Utterance | None = None
        self.disturbed_until = 0.0
        """Until then what is heard on this line is no fault of the gateway's."""
        self.marks_lost = False
        self.deaf = False
        """Half open: nothing arrives any more on either side."""
        self._last = 0.0
        self._after = "start"
        self._marks: list[tuple[str, asyncio.TimerHandle]] = []
        self._sequence = 0
        self._chunk = 0
        self._timestamp = 0
        self._full_until = 0.0
        self._tick: asyncio.TimerHandle | None = None
        self._held: list[str] | None = None
        self.closing: asyncio.Future[None] | None = None

    # ------------------------------------------------------------ life

    @property
    def up(self) -> bool:
        return self.socket is not None and not self.over.done() and self.began > 0

    def accepted(self, socket: SimSocket) -> None:
        """The gateway has taken the upgrade."""
        self.socket = socket
        if self.over.done():
            socket.hung_up()
        else:
            self.world.loop.later(0.02, self._start)

    def _start(self) -> None:
        if self.over.done() or self.socket is None:
            return
        now = self.world.loop.time()
        self.began = self._last = self.end_of_sound = now
        self.world.note("carrier", f"stream {self.sid} starts", f"on {self.process.name}")
        self.socket.feed('{"event":"connected","protocol":"Call","version":"1.0.0"}')
        self._say(
            "start",
            start={
                "streamSid": self.sid,
                "accountSid": ACCOUNT,
                "callSid": self.call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": {},
            },
        )
        self._tick = self.world.loop.later(PIECE, self._pump)

    def end(self, how: str) -> None:
        """The stream is over, as the carrier sees it."""
        if self.over.done():
            return
        if self._tick is not None:
            self._tick.cancel()
        for _, handle in self._marks:
            handle.cancel()
        self._marks.clear()
        if self.began:
            self._close_gap(self.world.loop.time(), "end")
            self.world.note("carrier", f"stream {self.sid} ends", how)
        self.over.set_result(how)

    def stop(self, *, said: bool) -> None:
        """The carrier ends it, with or without saying so."""
        if self.over.done():
            return
        if self.socket is not None and not self.deaf:
            if said and self.began:
                self._say("stop", stop={"accountSid": ACCOUNT, "callSid": self.call_sid})
            self.socket.hung_up()
        self.end("stopped")

    def lose(self) -> None:
        """The connection breaks."""
        if self.socket is not None and not self.deaf:
            self.socket.broke()
        self.end("lost")

    def closed(self, code: int) -> Awaitable[None]:
        """The gateway closes."""
        done = self.world.loop.create_future()
        if self.deaf:
            return done  # nobody answers
        self.world.loop.later(0.02, self._closed, code, done)
        return done

    def _closed(self, code: int, done: asyncio.Future[None]) -> None:
        if not self.over.done():
            self.world.note("carrier", f"stream {self.sid} closed by gateway", code)
        self.end("closed")
        if not done.done():
            done.set_result(None)

    # ------------------------------------------------------------ the caller's side

    def speak(self, utterance: Utterance) -> None:
        """The caller begins to speak."""
        now = self.world.loop.time()
        utterance.over_agent = self.end_of_sound > now
        self._close_gap(now, "caller")
        self.speaking = utterance
        self._again(PIECE)

    def press(self, digit: str) -> None:
        self._close_gap(self.world.loop.time(), "keys")
        self._after = "keys"
        self._say("dtmf", dtmf={"track": "inbound_track", "digit": digit})

    def skip(self, ms: int) -> None:
        """Sound was lost before it reached the carrier."""
        self._timestamp += ms

    def hold(self, seconds: float) -> None:
        """The way to the gateway stalls; then everything arrives at once."""
        if self._held is None and self.up:
            self._held = []
            self.disturbed_until = self.world.loop.time() + seconds + 3.0
            self.world.loop.later(seconds, self._release)

    def _release(self) -> None:
        held, self._held = self._held or [], None
        if self.socket is not None and not self.over.done() and not self.deaf:
            for text in held:
                self.socket.feed(text)

    def rubbish(self, text: str) -> None:
        self._feed(text)

    def restart(self) -> None:
        """A second `start` on the same socket."""
        self._say("start", start={"streamSid": self.sid, "callSid": self.call_sid})

    def _again(self, seconds: float) -> None:
        if self._tick is not None:
            self._tick.cancel()
        self._tick = self.world.loop.later(seconds, self._pump)

    def _pump(self) -> None:
        """Send what the line has carried since the last time."""
        if self.over.done():
            return
        now = self.world.loop.time()
        speaking = self.speaking
        if speaking is not None:
            frames = min(PIECE_FRAMES, speaking.frames - speaking.sent)
            payload = b64encode(sound.sound(Voice.CALLER, speaking.number, frames)).decode()
            speaking.sent += frames
            self._full_until = now + LINGER
            self._last = max(self._last, now)
            self._after = "caller"
            self._media(payload, frames)
            if speaking.sent >= speaking.frames:
                self.speaking = None
                speaking = None
            wait = PIECE
            if speaking is not None:
                wait = min(PIECE_FRAMES, speaking.frames - speaking.sent) * FRAME_MS / 1000
        elif now < self._full_until:
            self._media(_SILENT_PIECE, PIECE_FRAMES)
            wait = PIECE
        else:
            self._media(_SILENT_FRAME, 1)
            wait = IDLE
        self._tick = self.world.loop.later(wait, self._pump)

    def _media(self, payload: str, frames: int) -> None:
        self._sequence += 1
        self._chunk += 1
        self._feed(
            f'{{"event":"media","sequenceNumber":"{self._sequence}","streamSid":"{self.sid}",'
            f'"media":{{"track":"inbound","chunk":"{self._chunk}","timestamp":"{self._timestamp}",'
            f'"payload":"{payload}"}}}}'
        )
        self._timestamp += frames * FRAME_MS

    def _say(self, event: str, **body: Any) -> None:
        self._sequence += 1
        self._feed(
            json.dumps(
                {
                    "event": event,
                    "sequenceNumber": str(self._sequence),
                    "streamSid": self.sid,
                    **body,
                }
            )
        )

    def _feed(self, text: str) -> None:
        if self.deaf or self.socket is None:
            return
        if self._held is not None:
            self._held.append(text)
        else:
            self.socket.feed(text)

    # ------------------------------------------------------------ the agent's side

    def take(self, text: str) -> None:
        """A message from the gateway."""
        if self.over.done() or self.deaf:
            return
        message = json.loads(text)
        kind = message["event"]
        assert set(message) == _OUTBOUND[kind], text[:100]
        assert message["streamSid"] == self.sid, "of another stream"
        match kind:
            case "media":
                self._play(b64decode(message["media"]["payload"], validate=True))
            case "mark":
                self._mark(message["mark"]["name"])
            case _:
                self._clear()

    def _play(self, ulaw: bytes) -> None:
        now = self.world.loop.time()
        begins = max(now, self.end_of_sound)
        self._close_gap(begins, "agent")
        for who, size in sound.runs(ulaw):
            voice, number = (None, 0) if who is None else who
            self.ear.played(self, voice, number)
            self.end_of_sound = begins = begins + size / SAMPLE_RATE
        self.agent_sounded = True
        self._last, self._after = max(self._last, self.end_of_sound), "agent"
        self.ear.ahead(self, self.end_of_sound - now)

    def _mark(self, name: str) -> None:
        if self.marks_lost:
            return
        at = max(0.0, self.end_of_sound - self.world.loop.time())
        handle = self.world.loop.later(at + self.lag, self._reached, name)
        self._marks.append((name, handle))

    def _reached(self, name: str) -> None:
        self._marks = [one for one in self._marks if one[0] != name]
        if not self.over.done():
            self._say("mark", mark={"name": name})

    def _clear(self) -> None:
        now = self.world.loop.time()
        if self._last == self.end_of_sound > now:
            self._last = now
        self.end_of_sound = min(self.end_of_sound, now)
        pending, self._marks = self._marks, []
        for name, handle in pending:
            handle.cancel()
            self._marks.append((name, self.world.loop.later(self.lag, self._reached, name)))
        self.ear.cleared(self)

    def _close_gap(self, now: float, then: str) -> None:
        if now > self._last + 0.001:
            self.ear.gap(self, Gap(self._last, now, self._after, then))
            self._last = now


def lag_of(chance: Random) -> float:
    """How long a mark's echo takes on a usual line."""
    return chance.uniform(0.02, 0.15)
