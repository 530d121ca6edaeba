"""The streamed answer of the API: a first byte that says how to read, then the bytes of the stream."""

from __future__ import annotations

import base64
import json
from dataclasses import fields
from typing import Any

from hypothesis import strategies as st

from gateway.amigo.events import AgentAction, AgentPiece, InteractionEvent, MalformedLine
from gateway.amigo.lenient import read_line
from gateway.amigo.stream import EventReader
from tests.fuzz.draw import cut

LONGEST = 8192
KINDS = (
    *("conversation-created", "user-message-available", "current-agent-action", "new-message"),
    *("interaction-complete", "end-session", "error"),
)
MEMBERS = (
    *("conversation_id", "message_id", "user_message", "action", "filler", "message", "stop"),
    *("transcript_alignment", "sequence_number", "interaction_id", "full_message"),
    *("conversation_completed", "http_error_code", "error_description", "type"),
)
REASONS = {
    *("not JSON", "not an object", "no type", "cut off", "new-message: message is not text"),
    *("conversation-created: no conversation_id", "current-agent-action: no action"),
}
WORDS = (
    *(f'"{word}"'.encode() for word in (*KINDS, *MEMBERS)),
    *(b'{"type":"new-message","message":"UklGRg=="}\n', b'[[0,"H"],[60,"i"]]', b'[["H",0]]'),
    *(b"\n", b"\r\n", b"null", b"true", b"1e999", b"\\ud83d", b"\xef\xbb\xbf", b"\xff", b"-_"),
)


def run(data: bytes) -> None:
    option, stream = (data[0] if data else 0), data[1:]
    voice = option & 1 == 1
    events = _read([stream], voice=voice)
    assert events == _read(cut(stream, option >> 1), voice=voice)
    assert len(events) <= stream.count(b"\n") + 1
    for event in events:
        _check(event, len(stream))
    for line in stream.split(b"\n"):
        _two_readers_agree(line, voice=voice)


def _read(pieces: list[bytes], *, voice: bool) -> list[InteractionEvent]:
    reader = EventReader(voice=voice)
    return [event for piece in pieces for event in reader.feed(piece)] + reader.close()


def _check(event: InteractionEvent, size: int) -> None:
    if isinstance(event, MalformedLine):
        assert 0 < event.excerpt_len <= size
        assert event.reason in REASONS
        return
    for field in fields(event):
        value = getattr(event, field.name)
        if isinstance(value, str):
            value.encode()
            assert len(value) <= size
        elif isinstance(value, bytes):
            assert len(value) <= size
    match event:
        case AgentPiece(alignment=tuple()):
            alignment = event.alignment or ()
            assert list(alignment) == sorted(alignment, key=lambda pair: pair[0])
            for _, character in alignment:
                character.encode()
        case AgentAction(filler=bytes() as filler):
            assert filler[:4] == b"RIFF"
        case _:
            pass


def _two_readers_agree(line: bytes, *, voice: bool) -> None:
    """The fast reader and the lenient one: who reads a line must not matter."""
    events = _read([line], voice=voice)
    if events and isinstance(events[0], AgentPiece):
        assert events == [read_line(line, voice=voice)]


def inputs() -> st.SearchStrategy[bytes]:
    text = st.text(st.characters(), max_size=12) | st.sampled_from(["", "m1", "\ud83d"])
    odd: st.SearchStrategy[Any] = (
        st.none() | st.booleans() | st.integers() | st.floats() | text | st.just([]) | st.just({})
    )
    sound = st.binary(max_size=200).map(lambda raw: base64.b64encode(raw).decode())
    pair = st.tuples(st.integers(-5, 5000) | odd, text) | st.tuples(text, st.integers(0, 99)) | odd
    members = st.fixed_dictionaries(
        {"type": st.sampled_from(KINDS) | st.just("new-message") | text},
        optional={
            **{name: odd for name in MEMBERS if name != "type"},
            "message": sound | text | odd,
            "transcript_alignment": st.lists(pair, max_size=6) | odd,
            "action": st.fixed_dictionaries({}, optional={"type": text, "filler": sound | odd})
            | odd,
            "conversation_id": text,
            "stop": st.booleans(),
        },
    )
    line = members.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40)
    ends = st.sampled_from([b"\n", b"\n", b"\r\n", b"\n\n", b""])
    stream = st.lists(st.tuples(line, ends).map(b"".join), max_size=8).map(b"".join)
    return st.tuples(st.integers(0, 255).map(lambda one: bytes([one])), stream).map(b"".join)
