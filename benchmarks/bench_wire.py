"""Microseconds per media message: Twilio's wire beside json + base64, in one run on one core.

    python -m benchmarks.bench_wire

Both sides do the whole work: text to checked event with its sound as bytes, and sound to text. The
rounds of both alternate, and the best of each counts, so that a busy machine slows both alike.
"""

from __future__ import annotations

import base64
import json
import timeit
from collections.abc import Callable

from gateway.carriers import CallerAudio
from gateway.carriers.twilio.wire import TwilioWire

SID = "MZ" + "1" * 32
CALL = "CA" + "0" * 31 + "1"
FRAME = bytes(index % 256 for index in range(160))
ROUNDS = 9
MESSAGES = 5_000


def inbound() -> str:
    """A media message exactly as Twilio sends it: 20 ms of sound."""
    payload = base64.b64encode(FRAME).decode()
    body = {"track": "inbound", "chunk": "1", "timestamp": "20", "payload": payload}
    document = {"event": "media", "sequenceNumber": "2", "streamSid": SID, "media": body}
    return json.dumps(document, separators=(",", ":"))


def plain_receive(text: str) -> CallerAudio:
    """The same in the usual way: a dict, looked through by hand."""
    message = json.loads(text)
    if message["event"] != "media" or message.get("streamSid") != SID:
        raise ValueError
    media = message["media"]
    payload = base64.b64decode(media["payload"], validate=True)
    return CallerAudio(payload, int(media["timestamp"]))


def plain_speak(payload: bytes) -> str:
    """The usual way out."""
    body = {"payload": base64.b64encode(payload).decode()}
    return json.dumps({"event": "media", "streamSid": SID, "media": body})


def best(*ways: Callable[[], object]) -> list[float]:
    """Microseconds of one call of each way, the best of all rounds."""
    timers = [timeit.Timer(way) for way in ways]
    rounds = [[timer.timeit(MESSAGES) for timer in timers] for _ in range(ROUNDS)]
    return [min(times) / MESSAGES * 1e6 for times in zip(*rounds, strict=True)]


def main() -> int:
    """Print one line for each direction."""
    wire = TwilioWire()
    wire.receive(json.dumps({"event": "start", "streamSid": SID, "start": {"callSid": CALL}}))
    text = inbound()
    assert wire.receive(text) == plain_receive(text)
    assert json.loads(wire.speak(FRAME)) == json.loads(plain_speak(FRAME))
    pairs = {
        "wire.receive": (lambda: wire.receive(text), lambda: plain_receive(text)),
        "wire.speak": (lambda: wire.speak(FRAME), lambda: plain_speak(FRAME)),
    }
    print(f"{'per message':14} {'ours':>9} {'json+b64':>9} {'ratio':>6}")
    for name, ways in pairs.items():
        ours, plain = best(*ways)
        print(f"{name:14} {ours:6.2f} us {plain:6.2f} us {ours / plain:6.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
