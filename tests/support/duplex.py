"""The core of one call with its real ears and its real mouth on a line in memory, in virtual time.

The API is left out: the agent's greeting is there from the beginning, whole. What the caller says is
sent frame by frame every 20 ms, as a carrier does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

from audio.types import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE
from gateway.bridge.ears import Detector, Ears
from gateway.bridge.mouth import Mouth
from gateway.bridge.speech import Speech
from gateway.call import commands as cmd
from gateway.call import events as ev
from gateway.call.policy import Policy
from gateway.call.session import CallSession
from gateway.ids import ConversationId, StreamSid
from gateway.simulator.sound import noise_frame
from tests.support.line import MemoryLine, started_wire
from tests.support.virtual_time import LoopClock, run_virtual
from tests.support.world import make_record


@dataclass
class Heard:
    """What came of one greeting that was talked into; times in seconds of the loop."""

    line: MemoryLine
    onset_at: float
    """When the caller's sound began on the line."""
    events: list[tuple[float, ev.Event]] = field(default_factory=list)
    commands: list[tuple[float, cmd.Command]] = field(default_factory=list)

    def when(self, kind: type[ev.Event | cmd.Command]) -> list[float]:
        """When events or commands of this kind came, in order."""
        return [at for at, one in (*self.events, *self.commands) if isinstance(one, kind)]

    @property
    def sent_at(self) -> list[float]:
        return [at for at, _ in self.line.events("media")]

    def end_of_what_was_sent_by(self, moment: float) -> float:
        """When the caller had heard all that had been sent until then."""
        sent = sum(at <= moment for at in self.sent_at)
        begins, sound = self.line.pieces[sent - 1]
        return begins + len(sound) / SAMPLE_RATE

    @property
    def silent_at(self) -> float:
        """When the last of our sound had been heard."""
        at, sound = self.line.pieces[-1]
        return at + len(sound) / SAMPLE_RATE

    @property
    def gaps_ms(self) -> list[int]:
        """Silence the caller heard inside the greeting, every piece of it, to the millisecond."""
        gaps = [
            round((after - before - len(sound) / SAMPLE_RATE) * 1000)
            for (before, sound), (after, _) in pairwise(self.line.pieces)
        ]
        return [gap for gap in gaps if gap]


def talk_into(
    greeting: bytes, caller: bytes, *, at_ms: int, detector: Detector, lookahead_ms: int = 400
) -> Heard:
    """Play the greeting; the caller's `caller` (mu-law) begins `at_ms` after its first sample was sent."""
    return run_virtual(_Call(greeting, caller, at_ms, detector, lookahead_ms).run())


class _Call:
    def __init__(
        self, greeting: bytes, caller: bytes, at_ms: int, detector: Detector, lookahead_ms: int
    ) -> None:
        self._speech = Speech(greeting, closed=True)
        self._caller = caller
        self._at_ms = at_ms
        self._clock = LoopClock()
        self._pending: deque[ev.Event] = deque()
        self._session = CallSession(make_record(), Policy())
        self._heard = Heard(MemoryLine(), 0.0)
        self._mouth = Mouth(self._emit, self._clock, lookahead_ms=lookahead_ms)
        self._heard.line.on_mark = self._mouth.mark_reached
        self._ears = Ears(detector, self._emit, self._mouth.played.frame)

    async def run(self) -> Heard:
        sender = asyncio.create_task(self._mouth.run())
        try:
            self._perform(self._session.begin(self._clock.now()))
            self._emit(ev.StreamOpened(StreamSid("MZ1")))
            self._mouth.attach(self._heard.line, started_wire())
            await self._listen(500)
            self._emit(ev.ConversationOpened(ConversationId("c")))
            self._emit(ev.ReplyAudio(0))
            self._emit(ev.ReplyCompleted(0, "m", "i", "text", ends=False))
            await self._listen(self._at_ms)
            self._heard.onset_at = self._clock.now()
            await self._listen(len(self._caller) // 8, self._caller)
            await self._listen(len(self._speech) // 8 + 1000)
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        return self._heard

    async def _listen(self, ms: int, sound: bytes = b"") -> None:
        """So much of the line; noise of the room where the caller says nothing."""
        for at in range(0, ms * 8, FRAME_SAMPLES):
            # a frame arrives when its last sample has been spoken
            await asyncio.sleep(FRAME_MS / 1000)
            frame = sound[at : at + FRAME_SAMPLES] or noise_frame(at // FRAME_SAMPLES)
            self._ears.hear(frame, None, self._clock.now())

    def _emit(self, event: ev.Event) -> None:
        """As the bridge does: one at a time, commands performed before the next."""
        self._heard.events.append((self._clock.now(), event))
        self._pending.append(event)
        if len(self._pending) > 1:
            return
        while self._pending:
            self._perform(self._session.handle(self._pending[0], self._clock.now()))
            self._pending.popleft()

    def _perform(self, commands: list[cmd.Command]) -> None:
        for command in commands:
            self._heard.commands.append((self._clock.now(), command))
            match command:
                case cmd.SayReply():
                    self._mouth.say(command.item, self._speech)
                case cmd.HoldSpeech():
                    self._mouth.hold()
                case cmd.ResumeSpeech():
                    self._mouth.resume()
                case cmd.ClearSpeech():
                    self._mouth.clear()
                case _:
                    pass
