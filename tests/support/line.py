"""A carrier's line in memory: it plays what it is sent in real (virtual) time and echoes marks."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field

from gateway.carriers.twilio.wire import TwilioWire

START = json.dumps(
    {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": "MZ1",
        "start": {
            "streamSid": "MZ1",
            "accountSid": "AC1",
            "callSid": "CA1",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {},
        },
    }
)


def started_wire() -> TwilioWire:
    wire = TwilioWire()
    wire.receive(START)
    return wire


@dataclass
class MemoryLine:
    """What was sent, and what a caller would have heard of it."""

    echo_delay: float | None = 0.05
    """Seconds a mark's echo takes; None: marks never come back."""
    sent: list[tuple[float, dict[str, object]]] = field(default_factory=list)
    heard: bytearray = field(default_factory=bytearray)
    on_mark: object = None
    closed: bool = False
    _end: float = 0.0
    _marks: list[tuple[str, asyncio.TimerHandle]] = field(default_factory=list)
    _played: list[tuple[float, bytes]] = field(default_factory=list)
    underruns: int = 0

    async def send(self, text: str) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        message = json.loads(text)
        self.sent.append((now, message))
        match message["event"]:
            case "media":
                sound = base64.b64decode(message["media"]["payload"])
                if self._end and now > self._end + 0.001:
                    self.underruns += 1
                self._played.append((max(now, self._end), sound))
                self._end = max(now, self._end) + len(sound) / 8000
            case "mark":
                self._mark(message["mark"]["name"], max(now, self._end))
            case "clear":
                self._played = [
                    (at, sound[: max(0, round((now - at) * 8000))])
                    for at, sound in self._played
                    if at < now
                ]
                self._end = now
                pending, self._marks = self._marks, []
                for name, handle in pending:
                    handle.cancel()
                    self._mark(name, now)

    async def close(self, code: int = 1000) -> None:
        self.closed = True

    def played(self) -> bytes:
        """All the caller heard, without the gaps."""
        return b"".join(sound for _, sound in self._played)

    @property
    def pieces(self) -> list[tuple[float, bytes]]:
        """All the caller heard, each message's sound with the time at which it began."""
        return [(at, sound) for at, sound in self._played if sound]

    def events(self, kind: str) -> list[tuple[float, dict[str, object]]]:
        return [(at, message) for at, message in self.sent if message["event"] == kind]

    def lead(self, at: float) -> float:
        return self._end - at

    def _mark(self, name: str, at: float) -> None:
        if self.echo_delay is None or not callable(self.on_mark):
            return
        handle = asyncio.get_running_loop().call_at(at + self.echo_delay, self.on_mark, name)
        self._marks.append((name, handle))
