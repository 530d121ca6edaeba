"""What we write to the carrier, read back by a reader as strict as the carrier (the simulator's)."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from gateway.carriers import StreamStarted
from gateway.carriers.twilio.wire import TwilioWire
from gateway.simulator.wire import MAX_PAYLOAD, Clear, Mark, Media, read
from tests.fuzz.draw import lines, tame

LONGEST = 8192
WORDS = (b'"', b"\\", b"\\u0000", b"\xe2\x80\xa8", b"</script>", b'","event":"clear', b"\n")


def run(data: bytes) -> None:
    stream, name, sound = lines(data, 3)
    sid, mark = tame(stream) or "MZ1", tame(name) or "1"
    wire = TwilioWire()
    start = {"event": "start", "streamSid": sid, "start": {"callSid": "CA1"}}
    assert isinstance(wire.receive(json.dumps(start)), StreamStarted)
    written = [wire.mark(mark), wire.clear()]
    sound = sound[:MAX_PAYLOAD]  # the mouth sends 20 ms at a time
    if sound:
        written.append(wire.speak(sound))

    meant = [Mark(mark), Clear(), Media(sound)][: len(written)]
    assert meant == [read(text, sid) for text in written]
    assert not any("\n" in text for text in written)


def inputs() -> st.SearchStrategy[bytes]:
    word = st.text(st.characters(exclude_characters="\n"), max_size=30).map(
        lambda text: text.encode("utf-8", "replace")
    )
    return st.tuples(word, word, st.binary(max_size=1600)).map(b"\n".join)
