"""A call told to a reader and to a program, with and without the gateway's own record."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator.caller import Said
from gateway.simulator.ear import Stretch
from gateway.simulator.judge import Violation
from gateway.simulator.plan import Keys, Utterance
from gateway.simulator.playback import Underrun
from gateway.simulator.record import Record, fetch_record, parse_record
from gateway.simulator.report import LEGEND, as_json, clock, exchanges, transcript, verdict
from gateway.simulator.result import CallResult, Reconnect

RESULT = CallResult(
    call_sid="CA1",
    stream_sids=("MZ1",),
    outcome="agent-ended",
    hung_up_by="rest",
    problems=(),
    violations=(),
    said=(
        Said(
            item=Utterance(b"", text="weasels have eaten our phone system"),
            from_ms=5100,
            until_ms=7800,
            reply_after_ms=1310,
            reply_heard_ms=2000,
        ),
        Said(
            item=Keys("42#", interrupts=True),
            from_ms=61_240,
            until_ms=61_900,
            barged_in=True,
            silent_after_ms=40,
        ),
    ),
    agent_speech=(Stretch(400, 4000),),
    greeted_after_ms=400,
    underruns=(),
    notes=(),
    moments=(),
    webhook_ms=12,
    latest_tick_ms=3,
    seconds=66.0,
    recording=None,
)

RECORD = {
    "status": "completed",
    "end_reason": "agent-ended",
    "conversation_id": "c" * 24,
    "conversation_state": "auto-finished",
    "turns": [
        {"kind": "greeting", "agent_text": "Hello.", "heard_text": "Hello.", "timings_ms": {}},
        {
            "kind": "voice",
            "user_text": "Weasels have eaten our phone sister.",
            "agent_text": "I wrote down: and so on.",
            "heard_text": "I wrote",
            "interrupted": True,
            "timings_ms": {
                "speech": 2700,
                "endpoint_wait": 700,
                "upload_tail": 10,
                "transcription": 200,
                "thinking": 300,
                "first_audio_to_sent": 20,
                "sent_to_played": 70,
                "response_gap": 1300,
            },
        },
        {
            "kind": "silence",
            "agent_text": "Are you still there?",
            "heard_text": "Are you still there?",
        },
        {
            "kind": "dtmf",
            "user_text": "42",
            "agent_text": "Thank you.",
            "heard_text": "Thank you.",
            "timings_ms": {},
        },
    ],
}


def test_the_transcript_says_who_said_what_when_and_what_the_wait_was_made_of():
    assert list(transcript(RESULT, parse_record(RECORD))) == [
        '00:00.4    agent  says "Hello."',
        '00:05.1    caller says "weasels have eaten our phone system"',
        '           recognised: "Weasels have eaten our phone sister." (1 of 6 words wrong)',
        '00:09.1    agent  says "I wrote down: and so on."',
        '           interrupted; heard until "I wrote"',
        (
            "           response gap 1.30 s = endpoint_wait 0.70 + upload_tail 0.01 + "
            "transcription 0.20 + thinking 0.30 + first_audio_to_sent 0.02 + sent_to_played 0.07"
        ),
        "           the caller heard it after 1.31 s",
        '--:--.-    agent  says "Are you still there?"',
        "01:01.2    caller presses 42# interrupting the agent",
        "           the agent fell silent 0.04 s later",
        '--:--.-    agent  says "Thank you."',
    ]


def test_without_a_record_the_line_itself_is_told():
    lines = list(transcript(RESULT, None))

    assert lines[0] == '00:05.1    caller says "weasels have eaten our phone system"'
    assert lines[1] == "           the caller heard it after 1.31 s"


def test_faults_are_named_in_the_verdict():
    faulty = replace(
        RESULT,
        problems=("the agent was never heard",),
        violations=(Violation("S4", "extra key", 1200),),
        underruns=(Underrun(100, 60), Underrun(900, 180)),
    )

    assert list(verdict(faulty, None)) == [
        "problem: the agent was never heard",
        "broken rule S4 (31951) at 1.20 s: extra key",
        "2 hole(s) inside the agent's speech, the longest 180 ms",
    ]
    assert list(verdict(RESULT, parse_record(RECORD))) == [
        (
            "ended: agent-ended on the line, agent-ended in the gateway's record"
            " (conversation auto-finished)"
        ),
        "held in order: agent-ended, 66.0 s",
    ]


def test_a_verdict_without_the_record_says_that_sound_alone_was_judged():
    assert list(verdict(RESULT, None)) == [
        "held in order: agent-ended, 66.0 s (judged by sound alone, without the gateway's record)"
    ]
    assert as_json(RESULT, None)["judged_by"] == "sound"
    assert as_json(RESULT, parse_record(RECORD))["judged_by"] == "record"


def test_the_gateways_own_phrases_stand_at_their_time_and_what_was_not_heard_is_not_shown():
    asked = replace(RESULT.said[0], reply_after_ms=2900)
    record = parse_record(
        {
            "answered_at": "2026-03-01T10:00:00.000Z",
            "turns": [
                {"kind": "greeting", "agent_text": "Hello.", "heard_text": "Hello."},
                {"kind": "voice", "user_text": "weasels", "agent_text": "Never played."},
            ],
            "events": [
                {"at": "2026-03-01T10:00:00.200Z", "type": "phrase", "name": "comfort"},
                {"at": "2026-03-01T10:00:09.000Z", "type": "turn-failed", "how": "http"},
                {"at": "2026-03-01T10:00:10.700Z", "type": "phrase", "name": "one-moment"},
                {"at": "2026-03-01T10:00:15.000Z", "type": "phrase", "name": "apology"},
            ],
        }
    )

    assert list(transcript(replace(RESULT, said=(asked,)), record)) == [
        "00:00.2    gateway says (comfort)",
        '00:00.4    agent  says "Hello."',
        '00:05.1    caller says "weasels have eaten our phone system"',
        '           recognised: "weasels" (5 of 6 words wrong)',
        "--:--.-    agent  (not heard)",
        "           the caller heard a first sound, not the answer, after 2.90 s",
        "00:10.7    gateway says (one-moment)",
        "00:15.0    gateway says (apology)",
    ]


def test_an_answer_after_a_phrase_stands_at_its_own_time():
    record = parse_record(
        {
            "answered_at": "2026-03-01T10:00:00Z",
            "turns": [
                {
                    "kind": "voice",
                    "agent_text": "Noted.",
                    "heard_text": "Noted.",
                    "timings_ms": {"first_audio_to_sent": 20, "response_gap": 6200},
                }
            ],
            "events": [{"at": "2026-03-01T10:00:09Z", "type": "phrase", "name": "one-moment"}],
        }
    )
    lines = list(transcript(replace(RESULT, said=RESULT.said[:1]), record))

    assert "00:09.0    gateway says (one-moment)" in lines
    assert lines.index("00:09.0    gateway says (one-moment)") < lines.index(
        '00:14.0    agent  says "Noted."'
    )
    assert lines[-1] == "           the caller heard a first sound, not the answer, after 1.31 s"


def test_the_legend_says_what_both_figures_of_a_wait_measure():
    assert "response gap" in LEGEND
    assert "the caller heard it after" in LEGEND


def test_the_json_document_is_json_and_pairs_what_was_said_with_what_was_recognised():
    document = json.loads(json.dumps(as_json(RESULT, parse_record(RECORD))))

    assert document["ok"] is True
    first, second = document["items"]
    assert first["recognised"] == "Weasels have eaten our phone sister."
    assert (first["word_errors"], first["words"]) == (1, 6)
    assert second["digits"] == "42#"
    assert document["record"]["conversation_state"] == "auto-finished"
    assert json.loads(json.dumps(as_json(RESULT, None)))["record"] is None


def test_turns_the_gateway_did_not_record_are_kept():
    short = parse_record({**RECORD, "turns": RECORD["turns"][:1]})

    assert [(e.said is not None, e.turn is not None) for e in exchanges(RESULT, short)] == [
        (False, True),
        (True, False),
        (True, False),
    ]


def test_what_a_lost_line_swallowed_does_not_shift_what_came_after():
    """The first words were lost with their gateway; the keys' turn was cut off and sent again."""
    said = (
        Said(item=Utterance(b"", text="five five five"), from_ms=1000),
        Said(item=Keys("42#"), from_ms=5000),
        Said(item=Utterance(b"", text="no goodbye"), from_ms=9000),
    )
    turns = [
        {"kind": "greeting", "agent_text": "Hello.", "heard_text": "Hello.", "timings_ms": {}},
        {"kind": "dtmf", "user_text": "42", "timings_ms": {}},
        {"kind": "voice", "user_text": "No, good bye.", "timings_ms": {}},
    ]
    lost = replace(RESULT, said=said, reconnects=(Reconnect(2000, 4000),))

    found = exchanges(lost, parse_record({**RECORD, "turns": turns}))

    assert [
        (one.said and one.said.item.label, one.turn and one.turn.user_text) for one in found
    ] == [
        (None, ""),
        (said[0].item.label, None),
        (said[1].item.label, "42"),
        (said[2].item.label, "No, good bye."),
    ]


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "00:00.0"), (49, "00:00.0"), (59_960, "01:00.0"), (600_000, "10:00.0"), (None, "--:--.-")],
)
def test_times_are_minutes_seconds_and_tenths(ms, text):
    assert clock(ms) == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["turns", "events", "rating", "at", "status", "kind", "timings_ms"]
                ),
                inner,
            )
        ),
    )
)
def test_a_record_of_any_shape_is_taken(document):
    assert isinstance(parse_record(document), Record)


async def test_the_record_is_asked_for_until_the_conversation_is_settled(aiohttp_server):
    answers = [
        {**RECORD, "status": "ending", "conversation_state": "open"},
        {**RECORD, "conversation_state": "finishing"},
        RECORD,
    ]
    tokens = []

    async def show(request: web.Request) -> web.Response:
        tokens.append(request.headers.get("Authorization"))
        assert request.match_info["sid"] == "CA1"
        return web.json_response(answers.pop(0))

    app = web.Application()
    app.router.add_get("/v1/calls/{sid}", show)
    server = await aiohttp_server(app)

    found = await fetch_record(str(server.make_url("/")), "CA1", "secret")

    assert isinstance(found, Record)
    assert found.conversation_state == "auto-finished"
    assert tokens == ["Bearer secret"] * 3


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (web.Response(status=401), "GATEWAY_ADMIN_TOKEN"),
        (web.Response(status=404), "404"),
        (web.Response(text="<html>"), "JSON"),
    ],
)
async def test_no_record_is_a_reason_not_an_error(aiohttp_server, answer, why):
    async def show(_request: web.Request) -> web.StreamResponse:
        return answer  # type: ignore[no-any-return]

    app = web.Application()
    app.router.add_get("/v1/calls/{sid}", show)
    server = await aiohttp_server(app)

    found = await fetch_record(str(server.make_url("/")), "CA1", None)

    assert isinstance(found, str)
    assert why in found


async def test_a_gateway_out_of_reach_is_a_reason_too():
    found = await fetch_record("http://127.0.0.1:9", "CA1", None)

    assert isinstance(found, str)
    assert "could not be reached" in found
