"""Microseconds per voice event of a streamed answer: our reader beside json + base64, in one run.

    python -m benchmarks.bench_amigo

Both sides do the whole work: bytes as they come from the network to an event with its sound as
bytes and its alignment as pairs. The rounds alternate and the best of each counts, so that a busy
machine slows both alike. "odd" is the same event with its pairs turned round, which takes the
reader's lenient way.
"""

from __future__ import annotations

import base64
import json
import timeit
from collections.abc import Callable

from gateway.amigo.stream import AgentPiece, EventReader

ROUNDS = 7
BYTES_PER_ROUND = 8_000_000
READ = 65_536
"""Bytes a read from the socket brings at most."""


def voice_event(size: int, *, turned: bool = False) -> bytes:
    """A `new-message` line of about `size` bytes, a character for every 60 ms of 16 kHz sound."""
    sound = bytes(index * 7 % 256 for index in range(size * 3 // 4 // 2 * 2))
    pairs: list[list[object]] = [[ms, "e"] for ms in range(0, len(sound) // 32, 60)]
    event = {
        "type": "new-message",
        "message": base64.b64encode(sound).decode(),
        "transcript_alignment": [pair[::-1] for pair in pairs] if turned else pairs,
        "stop": False,
        "sequence_number": 3,
        "message_id": "66a1b2c3d4e5f60718293b01",
    }
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def reads(line: bytes) -> list[bytes]:
    return [line[at : at + READ] for at in range(0, len(line), READ)]


def ours(parts: list[bytes]) -> AgentPiece:
    reader = EventReader(voice=True)
    (event,) = [event for part in parts for event in reader.feed(part)]
    assert isinstance(event, AgentPiece)
    return event


def plain(parts: list[bytes]) -> AgentPiece:
    """The usual way: collect a line, load it, look it up, decode it."""
    held = b""
    for part in parts:
        held += part
        if b"\n" in held:
            line, _, held = held.partition(b"\n")
            event = json.loads(line)
    return AgentPiece(
        message_id=event["message_id"],
        text="",
        audio=base64.b64decode(event["message"], validate=True),
        alignment=tuple((ms, character) for ms, character in event["transcript_alignment"]),
        stop=event["stop"],
        sequence=event["sequence_number"],
    )


def best(count: int, *ways: Callable[[], object]) -> list[float]:
    """Microseconds of one call of each way, the best of all rounds."""
    timers = [timeit.Timer(way) for way in ways]
    rounds = [[timer.timeit(count) for timer in timers] for _ in range(ROUNDS)]
    return [min(times) / count * 1e6 for times in zip(*rounds, strict=True)]


def main() -> int:
    """Print one line for each size."""
    print(f"{'per event':14} {'ours':>10} {'json+b64':>10} {'ratio':>6} {'odd':>10}")
    for name, size in (("voice 6 kB", 6_000), ("voice 1 MB", 1_000_000)):
        parts, odd = reads(voice_event(size)), reads(voice_event(size, turned=True))
        assert ours(parts) == plain(parts) == ours(odd)
        count = max(1, BYTES_PER_ROUND // size)
        fast, slow, lenient = best(
            count,
            lambda parts=parts: ours(parts),  # type: ignore[misc]
            lambda parts=parts: plain(parts),  # type: ignore[misc]
            lambda odd=odd: ours(odd),  # type: ignore[misc]
        )
        print(f"{name:14} {fast:7.1f} us {slow:7.1f} us {fast / slow:6.2f} {lenient:7.1f} us")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
