"""The NDJSON reader: golden transcripts in any cuts, and everything a stream may hold."""

from __future__ import annotations

import base64
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.amigo.lenient import read_line
from gateway.amigo.stream import (
    LINE_LIMIT,
    AgentAction,
    AgentPiece,
    EventReader,
    InteractionEvent,
    MalformedLine,
    SessionEnded,
    UnknownEvent,
    UserMessage,
)

from .scenes import FOLDER, SCENES, pcm, piece, transcript, wav

WHOLE_FILES = {scene: transcript(scene) for scene in SCENES}


def read(*parts: bytes, voice: bool = True) -> list[InteractionEvent]:
    reader = EventReader(voice=voice)
    return [event for part in parts for event in reader.feed(part)] + reader.close()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def line(**members: object) -> bytes:
    return json.dumps(members).encode() + b"\n"


def test_every_transcript_has_its_scene() -> None:
    files = {str(path.relative_to(FOLDER))[: -len(".ndjson")] for path in FOLDER.rglob("*.ndjson")}

    assert files == set(SCENES)


@pytest.mark.parametrize("scene", SCENES)
def test_a_transcript_read_whole_gives_its_events(scene: str) -> None:
    assert read(WHOLE_FILES[scene]) == SCENES[scene]


@pytest.mark.parametrize("scene", SCENES)
def test_a_transcript_read_byte_by_byte_gives_the_same_events(scene: str) -> None:
    data = WHOLE_FILES[scene]

    assert read(*(data[at : at + 1] for at in range(len(data)))) == SCENES[scene]


@given(st.sampled_from(sorted(SCENES)), st.lists(st.integers(0, 2000), max_size=12))
def test_a_transcript_cut_at_random_gives_the_same_events(scene: str, places: list[int]) -> None:
    assert read(*cut(WHOLE_FILES[scene], places)) == SCENES[scene]


@given(st.lists(st.binary(max_size=40) | st.just(b"\n"), max_size=20))
def test_no_bytes_make_the_reader_raise_and_cuts_never_matter(parts: list[bytes]) -> None:
    assert read(*parts) == read(b"".join(parts))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
KINDS = st.sampled_from(
    [
        "conversation-created",
        "user-message-available",
        "current-agent-action",
        "new-message",
        "interaction-complete",
        "end-session",
        "error",
    ]
)
FIELDS = st.sampled_from(
    [
        "conversation_id",
        "message_id",
        "user_message",
        "action",
        "message",
        "transcript_alignment",
        "stop",
        "sequence_number",
        "interaction_id",
        "full_message",
        "conversation_completed",
        "http_error_code",
        "error_description",
    ]
)


@given(KINDS, st.dictionaries(FIELDS, JSON_VALUES), st.booleans())
def test_a_known_event_with_any_values_in_its_fields_is_one_event(
    kind: str, fields: dict[str, object], voice: bool
) -> None:
    events = read(line(type=kind, **fields), voice=voice)

    assert len(events) == 1
    assert not isinstance(events[0], UnknownEvent)


PAIRS = st.tuples(st.integers(0, 60_000), st.text(max_size=1))


@given(
    st.binary(max_size=200),
    st.none() | st.lists(PAIRS, max_size=6),
    st.booleans(),
    st.none() | st.integers(0, 1000),
)
def test_the_fast_and_the_lenient_reader_agree_on_every_regular_piece(
    audio: bytes, alignment: list[tuple[int, str]] | None, stop: bool, sequence: int | None
) -> None:
    encoded = line(
        type="new-message",
        message=base64.b64encode(audio).decode(),
        transcript_alignment=alignment,
        stop=stop,
        sequence_number=sequence,
        message_id="m",
    )

    (event,) = read(encoded)

    assert event == read_line(encoded, voice=True)
    assert isinstance(event, AgentPiece)
    assert event.audio == audio


@given(st.lists(PAIRS, max_size=8), st.booleans())
def test_alignment_comes_out_by_time_in_whatever_order_pairs_and_members_came(
    pairs: list[tuple[int, str]], turned: bool
) -> None:
    sent = [list(reversed(pair)) if turned else list(pair) for pair in pairs]

    (event,) = read(line(type="new-message", message="", transcript_alignment=sent))

    assert isinstance(event, AgentPiece)
    assert event.alignment is not None
    assert sorted(event.alignment) == sorted(pairs)
    assert [at for at, _ in event.alignment] == sorted(at for at, _ in pairs)


def test_an_alignment_that_runs_backwards_is_read_forwards() -> None:
    backwards = [[90, "c"], [40, "b"], [40, "a"], [0, " "]]

    (event,) = read(line(type="new-message", message="", transcript_alignment=backwards))

    assert isinstance(event, AgentPiece)
    assert event.alignment == ((0, " "), (40, "a"), (40, "b"), (90, "c"))


def test_a_line_of_several_megabytes_is_one_event_in_any_cut() -> None:
    sound = bytes(range(256)) * 12_000
    whole = line(type="new-message", message=base64.b64encode(sound).decode())
    parts = [whole[at : at + 65_536] for at in range(0, len(whole), 65_536)]

    (event,) = read(*parts)

    assert isinstance(event, AgentPiece)
    assert event.audio == sound


@pytest.mark.parametrize("size", [65_536, LINE_LIMIT * 2])
def test_a_line_without_end_is_skipped_and_the_next_one_is_read(size: int) -> None:
    endless = b'{"type":"' + b"x" * LINE_LIMIT + b'"}'
    parts = [endless[at : at + size] for at in range(0, len(endless), size)]

    events = read(*parts, b'\n{"type":"end-session"}\n')

    assert events == [MalformedLine(len(endless), "too long"), SessionEnded()]


def test_a_line_at_the_limit_is_still_read() -> None:
    filled = b'{"type":"end-session","x":"' + b"x" * (LINE_LIMIT - 29) + b'"}'

    assert len(filled) == LINE_LIMIT
    assert read(filled[:100], filled[100:] + b"\n") == [SessionEnded()]


def test_an_overlong_last_line_without_newline_is_told() -> None:
    assert read(b"x" * (LINE_LIMIT + 1)) == [MalformedLine(LINE_LIMIT + 1, "too long")]


def test_deep_nesting_is_a_malformed_line() -> None:
    (event,) = read(b'{"type":"new-message","message":' + b"[" * 100_000 + b"\n")

    assert isinstance(event, MalformedLine)


def test_a_byte_order_mark_before_the_first_line_is_ignored() -> None:
    assert read(b'\xef\xbb\xbf{"type":"end-session"}\n') == [SessionEnded()]


def test_bytes_that_are_not_utf_8_spoil_one_character_not_the_event() -> None:
    data = b'{"type":"user-message-available","message_id":"m","user_message":"caf\xe9"}\n'

    assert read(data) == [UserMessage("m", "caf\ufffd")]


def test_an_event_without_a_type_is_not_taken_for_a_piece() -> None:
    assert read(line(message="AAAA")) == [MalformedLine(19, "no type")]


@pytest.mark.parametrize(
    ("message", "audio"),
    [
        ("AAD//w==", b"\x00\x00\xff\xff"),
        ("AAD//w", b"\x00\x00\xff\xff"),
        ("AAD/\r\n/w==\n", b"\x00\x00\xff\xff"),
        ("AAD__w==", b"\x00\x00\xff\xff"),
        ("", b""),
        ("A", None),
        ("not base64!", None),
        ("AA==AA==", None),
    ],
)
def test_base64_is_read_however_it_is_written(message: str, audio: bytes | None) -> None:
    (event,) = read(line(type="new-message", message=message))

    assert isinstance(event, AgentPiece)
    assert event.audio == audio
    assert event.text == (message if audio is None else "")


def test_text_pieces_stay_text_even_if_they_look_like_base64() -> None:
    (event,) = read(line(type="new-message", message="Sure"), voice=False)

    assert event == piece(None, text="Sure", message_id="", sequence=None)


@pytest.mark.parametrize(
    ("filler", "expected"),
    [
        (base64.b64encode(wav(7, 8)).decode(), wav(7, 8)),
        (base64.b64encode(wav(7, 8)).decode().rstrip("="), wav(7, 8)),
        ("Okay", "Okay"),
        (base64.b64encode(pcm(1, 2, 3, 4, 5, 6, 7)).decode(), "AQACAAMABAAFAAYABwA="),
        ("", None),
        (None, None),
        (12, None),
    ],
)
def test_a_filler_is_sound_only_if_it_is_a_wav_file(filler: object, expected: object) -> None:
    action = {"type": "action-too-long", "filler": filler}

    assert read(line(type="current-agent-action", action=action)) == [
        AgentAction("action-too-long", expected)  # type: ignore[arg-type]
    ]
