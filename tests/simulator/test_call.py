"""Whole calls against a small real gateway: the carrier's order of things, turns, keys, endings."""

from __future__ import annotations

import asyncio
import base64
import wave

import pytest
from aiohttp import web

from audio.mulaw import decode, encode, ulaw_level_dbfs
from gateway.simulator import (
    CallPlan,
    CallResult,
    Habits,
    Item,
    Keys,
    Moment,
    RestDouble,
    Utterance,
    place_call,
)
from tests.simulator.switchboard import (
    ACCOUNT,
    ANSWER,
    AUTH_TOKEN,
    HANGUP,
    PUBLIC,
    Socket,
    Switchboard,
    switchboard,
    tone,
)

BRISK = Habits(
    quiet_ms=120,
    doubt_ms=0,
    linger_seconds=0.2,
    patience_seconds=1,
    barge_in_after_ms=300,
    key_gap_ms=60,
)
WORD = Utterance(tone(200), text="word")


async def call(board: Switchboard, *items: Item, **plan) -> CallResult:
    return await place_call(CallPlan(items=items, **{"habits": BRISK} | plan), board.target)


async def test_a_call_is_held_in_the_carriers_order():
    async with switchboard() as board:
        result = await call(board, WORD, Keys("12#"), WORD)

    assert result.ok, (result.problems, result.violations)
    assert result.outcome == "caller-hangup"
    assert board.unsigned == []
    assert [path for path, _ in board.requests] == ["/twilio/voice", "/twilio/status"]
    (socket,) = board.sockets
    events = [message["event"] for message in socket.received]
    assert events[:3] == ["connected", "start", "media"]
    assert events[-1] == "stop"
    numbers = [int(m["sequenceNumber"]) for m in socket.received if m["event"] != "connected"]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [m["dtmf"]["digit"] for m in socket.received if m["event"] == "dtmf"] == ["1", "2", "#"]
    assert socket.start["callSid"] == result.call_sid
    assert socket.start["customParameters"] == {"purpose": 'a&b<"'}
    assert (socket.stream_sid,) == result.stream_sids


async def test_the_webhooks_carry_the_fields_of_a_real_call_even_the_empty_ones():
    async with switchboard() as board:
        result = await call(board, caller="+15550003333", called="+15550004444")

    (voice,) = board.posted("/twilio/voice")
    assert voice["From"] == "+15550003333"
    assert voice["To"] == "+15550004444"
    assert voice["CallStatus"] == "ringing"
    assert voice["AccountSid"] == ACCOUNT
    assert voice["CallSid"] == result.call_sid
    assert voice["FromCity"] == voice["CallerName"] == ""
    (status,) = board.posted("/twilio/status")
    assert status["CallStatus"] == "completed"
    assert status["CallSid"] == result.call_sid
    assert int(status["CallDuration"]) == round(result.seconds)


async def test_frames_come_every_20_ms_without_drift():
    arrivals = []

    async def time_frames(socket: Socket) -> None:
        await socket.until("start")
        await socket.play(tone(400))
        while (message := await socket.next()) is not None and message["event"] != "stop":
            arrivals.append((asyncio.get_running_loop().time(), message))

    async with switchboard(time_frames) as board:
        await call(board, hang_up_after=1.0, habits=Habits())

    stamps = [int(message["media"]["timestamp"]) for _, message in arrivals]
    assert stamps == list(range(20, 20 * len(stamps) + 20, 20))
    assert {len(base64.b64decode(m["media"]["payload"])) for _, m in arrivals} == {160}
    took = arrivals[-1][0] - arrivals[0][0]
    assert took == pytest.approx(1.0, abs=0.2)


async def test_what_the_gateway_receives_is_the_callers_sound_amid_line_noise():
    sound = tone(300, hertz=700)
    async with switchboard() as board:
        await call(board, Utterance(sound))

    received = board.sockets[0].caller_sound()
    assert sound in received
    assert -66 < ulaw_level_dbfs(received[:1600]) < -62


async def test_a_gateway_that_closes_the_socket_is_asked_what_comes_next():
    async def say_and_close(socket: Socket) -> None:
        await socket.until("start")
        await socket.play(tone(300), mark="end")
        await socket.until_marked("end")

    async with switchboard(say_and_close) as board:
        result = await call(board)

    assert result.ok, (result.problems, result.violations)
    assert (result.outcome, result.hung_up_by) == ("agent-ended", "gateway")
    assert [path for path, _ in board.requests] == [
        "/twilio/voice",
        "/twilio/connected",
        "/twilio/status",
    ]
    assert board.posted("/twilio/connected")[0]["CallStatus"] == "in-progress"
    assert board.unsigned == []


async def test_a_hang_up_over_rest_ends_the_call_with_stop():
    async with RestDouble(ACCOUNT, AUTH_TOKEN) as rest:

        async def hang_up(socket: Socket) -> None:
            await socket.until("start")
            await socket.play(tone(300), mark="end")
            await socket.until_marked("end")
            await update(rest, socket.start["callSid"])
            await socket.until("stop")

        async with switchboard(hang_up) as board:
            result = await place_call(CallPlan(habits=BRISK), board.target, rest=rest)

    assert result.ok, (result.problems, result.violations)
    assert (result.outcome, result.hung_up_by) == ("agent-ended", "rest")
    assert board.posted("/twilio/connected") == []
    assert [request.answered for request in rest.requests] == [200]


async def update(rest: RestDouble, call_sid: str, **fields: str) -> int:
    import aiohttp

    url = f"{rest.base_url}/2010-04-01/Accounts/{ACCOUNT}/Calls/{call_sid}.json"
    auth = base64.b64encode(f"{ACCOUNT}:{AUTH_TOKEN}".encode()).decode()
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Basic {auth}"}) as http,
        http.post(url, data=fields or {"Status": "completed"}) as answer,
    ):
        return answer.status


async def test_an_interruption_is_cleared_and_the_marks_come_back():
    echoed = []

    async def be_interrupted(socket: Socket) -> None:
        await socket.until("start")
        await socket.play(tone(2000), mark="long")
        loud = 0
        while (message := await socket.next()) is not None and loud < 5:
            payload = message.get("media", {}).get("payload", "/w==")
            loud += min(b & 0x7F for b in base64.b64decode(payload)) < 0x50
        await socket.clear()
        echo = await socket.until("mark")
        echoed.append(echo and echo["mark"]["name"])
        for _ in range(25):
            await socket.next()
        await socket.play(tone(300), mark="reply")
        await socket.until("stop")

    async with switchboard(be_interrupted) as board:
        result = await call(board, Utterance(tone(300), interrupts=True))

    assert result.ok, (result.problems, result.violations)
    assert echoed == ["long"]
    (said,) = result.said
    assert said.barged_in
    assert said.cleared_after_ms is not None
    assert 60 <= said.cleared_after_ms < 600
    assert said.reply_after_ms is not None


async def test_a_lost_socket_is_followed_by_a_second_stream_of_the_same_call():
    async with switchboard(connected=[ANSWER, HANGUP]) as board:
        result = await call(board, WORD, ending="lost", hang_up_after=0.3)

    assert result.ok, (result.problems, result.violations)
    assert len(result.stream_sids) == 2
    assert [socket.start["callSid"] for socket in board.sockets] == [result.call_sid] * 2
    assert board.sockets[0].received[-1]["event"] != "stop"
    assert board.sockets[1].received[-1]["event"] == "stop"


@pytest.mark.parametrize(
    ("ending", "last", "status_first"),
    [("stop", "stop", False), ("status-first", "stop", True), ("drop", "media", False)],
)
async def test_the_carrier_may_tell_of_the_end_in_any_order(ending, last, status_first):
    told: list[bool] = []
    over = asyncio.Event()

    async def watch(socket: Socket) -> None:
        await socket.until("start")
        await socket.play(tone(240))
        await socket.until("stop")
        told.append(bool(board.posted("/twilio/status")))
        over.set()

    async with switchboard(watch) as board:
        result = await call(board, ending=ending, hang_up_after=0.5)
        async with asyncio.timeout(5):
            await over.wait()

    assert result.ok, (result.problems, result.violations)
    assert board.sockets[0].received[-1]["event"] == last
    assert told == [status_first]
    assert len(board.posted("/twilio/status")) == 1


async def test_a_status_callback_instead_of_stop_still_expects_the_socket_to_be_closed():
    async def close_on_status(socket: Socket) -> None:
        await socket.until("start")
        await socket.play(tone(240))
        while not board.posted("/twilio/status"):
            await socket.next()

    async with switchboard(close_on_status) as board:
        result = await call(board, ending="status-only", hang_up_after=0.5)

    assert result.ok, (result.problems, result.violations)
    assert "stop" not in [message["event"] for message in board.sockets[0].received]


async def test_the_recording_has_the_caller_left_and_the_agent_right_as_played(tmp_path):
    path = tmp_path / "made" / "call.wav"
    async with switchboard() as board:
        result = await call(board, Utterance(tone(300, hertz=700)), record=path)

    assert result.recording == path
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, 8000, 2)
        assert file.getnframes() / 8000 == pytest.approx(result.seconds, abs=0.5)


async def test_a_recording_that_cannot_be_written_fails_the_call_but_not_the_caller(tmp_path):
    (tmp_path / "file").write_text("in the way")
    async with switchboard() as board:
        result = await call(board, record=tmp_path / "file" / "call.wav")

    assert result.recording is None
    (problem,) = result.problems
    assert problem.startswith("the recording was not written: ")


async def test_many_calls_at_once_do_not_mix():
    async with switchboard() as board:
        tones = [Utterance(tone(200, hertz=300 + 200 * n)) for n in range(8)]
        results = await asyncio.gather(*(call(board, item) for item in tones))

    assert [result.problems for result in results] == [()] * 8
    by_call = {socket.start["callSid"]: socket.caller_sound() for socket in board.sockets}
    for result, item in zip(results, tones, strict=True):
        assert item.sound in by_call[result.call_sid]


async def test_what_happens_is_told_as_it_happens():
    told: list[Moment] = []
    async with switchboard() as board:
        plan = CallPlan(items=(WORD,), habits=BRISK)
        result = await place_call(plan, board.target, watch=told.append)

    assert tuple(told) == result.moments
    assert told[0].what.startswith("asked the gateway (")
    assert [(moment.who, moment.what) for moment in told[1:]] == [
        ("agent", "speaks"),
        ("caller", 'says "word"'),
        ("agent", "speaks"),
        ("call", "the caller hung up"),
    ]


async def test_a_stream_with_a_status_callback_is_told_of():
    answer = ANSWER.replace("k3yT0ken", 'k3yT0ken" statusCallback="/voice/twilio/stream-status')
    async with switchboard(voice=answer) as board:
        result = await call(board)

    assert result.ok, (result.problems, result.violations)
    told = [fields["StreamEvent"] for fields in board.posted("/twilio/stream-status")]
    assert told == ["stream-started", "stream-stopped"]


async def test_verbs_of_the_carrier_are_followed_and_noted():
    voice = f"<Response><Say>Hello</Say><Redirect>{PUBLIC}/twilio/other</Redirect></Response>"
    other = "<Response><Dial action='done'><Number>+15550009999</Number></Dial></Response>"
    async with switchboard(voice=voice, other=other) as board:
        result = await call(board)

    assert [path for path, _ in board.requests][1:3] == ["/twilio/other", "/twilio/done"]
    assert board.posted("/twilio/done")[0]["DialCallStatus"] == "completed"
    assert result.notes == ("the carrier says: Hello", "handed over to +15550009999")
    assert result.outcome == "handed-over"
    (problem,) = result.problems
    assert problem.startswith("handed over to +15550009999")


async def test_a_get_action_is_signed_with_its_query():
    answer = ANSWER.replace('action="', 'method="GET" action="')

    async def close(socket: Socket) -> None:
        await socket.until("start")
        await socket.play(tone(300), mark="end")
        await socket.until_marked("end")

    async with switchboard(close, voice=answer) as board:
        result = await call(board)

    assert result.ok, (result.problems, result.violations)
    assert board.unsigned == []


async def test_a_rejected_call_is_reported_busy():
    async with switchboard(voice='<Response><Reject reason="busy"/></Response>') as board:
        result = await call(board)

    assert result.outcome == "rejected"
    assert not result.ok
    assert board.posted("/twilio/status")[0]["CallStatus"] == "busy"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (web.Response(status=503), "/twilio/voice answered 503 (11200)"),
        (web.Response(text=HANGUP), "/twilio/voice answered with content type 'text/plain'"),
        ("<Response><Shout/></Response>", "/twilio/voice answered with bad TwiML"),
        (
            ANSWER.replace("wss://gw.example.com", "wss://elsewhere.example"),
            "wss://elsewhere.example is not the gateway's public address",
        ),
        (
            f"<Response><Redirect>{PUBLIC}/twilio/voice</Redirect></Response>",
            "more than 10 documents",
        ),
        (HANGUP, "the gateway opened no media stream"),
    ],
)
async def test_an_answer_the_carrier_cannot_use_fails_the_call(answer, problem):
    async with switchboard(voice=answer) as board:
        result = await call(board)

    assert result.outcome == "failed"
    (found,) = result.problems
    assert problem in found
    assert len(board.posted("/twilio/status")) == 1


async def test_a_gateway_that_is_not_there_fails_the_call():
    async with switchboard() as board:
        target = board.target
    result = await place_call(CallPlan(habits=BRISK), target)

    assert result.outcome == "failed"
    assert "11200" in result.problems[0]


async def test_a_refused_socket_fails_the_call():
    other = ANSWER.replace("k3yT0ken", "missing/k3yT0ken")
    async with switchboard(voice=other) as board:
        result = await call(board)

    assert result.problems == ("the media socket was refused with 404 (31920)",)


async def test_a_silent_agent_fails_the_call():
    async def say_nothing(socket: Socket) -> None:
        await socket.until("stop")

    async with switchboard(say_nothing) as board:
        result = await call(board, WORD)

    assert result.problems == (
        "no agent sound within 1 s after the call was answered",
        "the agent was never heard",
        "only 0 of 1 items were said",
    )


async def test_an_unanswered_item_fails_the_call():
    async def greet_only(socket: Socket) -> None:
        await socket.until("start")
        await socket.play(tone(240))
        await socket.until("stop")

    async with switchboard(greet_only) as board:
        result = await call(board, WORD)

    assert "no agent sound was heard after item 1" in result.problems


async def test_a_gateway_that_breaks_off_fails_the_call():
    async def crash(socket: Socket) -> None:
        await socket.until("start")
        await socket.play(tone(240))
        await socket.until("media", 20)
        await socket.ws.close(code=1011)

    async with switchboard(crash) as board:
        result = await call(board)

    assert result.problems == ("the gateway closed the media socket with 1011",)


async def test_a_call_does_not_last_for_ever():
    async def talk_on(socket: Socket) -> None:
        await socket.until("start")
        while (message := await socket.next()) is not None and message["event"] != "stop":
            await socket.send(socket.media(tone(20)))

    async with switchboard(talk_on) as board:
        result = await call(board, max_seconds=1.0)

    assert "the call took more than 1 s" in result.problems


async def test_a_cancelled_call_leaves_nothing_behind():
    talking = asyncio.Event()

    async def listen(socket: Socket) -> None:
        await socket.until("media", 5)
        talking.set()
        await socket.until("stop")

    async with switchboard(listen) as board:
        task = asyncio.create_task(call(board, WORD))
        await talking.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert {task.get_name() for task in asyncio.all_tasks()} & {"media-reader"} == set()


def test_the_tests_own_encoder_agrees_with_the_projects():
    assert encode(decode(tone(100))) == tone(100)
