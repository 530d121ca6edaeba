"""The commands `call` and `demo` as a user meets them: options, exit status, what is printed."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import wave
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from gateway.cli import main
from gateway.commands import _children
from gateway.commands import call as call_command
from gateway.commands.demo import SCENE, Held
from gateway.simulator.caller import Said
from gateway.simulator.plan import Echo, Utterance
from gateway.simulator.record import Record, RecordedTurn
from gateway.simulator.speech import recordings
from tests.simulator.switchboard import (
    ACCOUNT,
    ANSWER,
    AUTH_TOKEN,
    PUBLIC,
    Switchboard,
    switchboard,
)
from tests.simulator.test_report import RESULT

FOREIGN = ("AMIGO_", "TWILIO_", "GATEWAY_", "LOG_")


@pytest.fixture
def home(tmp_path: Path, monkeypatch) -> Path:
    """A folder without a `.env`, and an environment without settings of anybody's gateway."""
    for name in os.environ:
        if name.startswith(FOREIGN):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def wav_file(path: Path, seconds: float = 0.3, rate: int = 22050) -> Path:
    """A stereo tone at a rate no telephone has."""
    at = np.arange(round(rate * seconds)) / rate
    samples = np.repeat(np.round(9000 * np.sin(2 * np.pi * 600 * at)), 2).astype("<i2")
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    path.write_bytes(out.getvalue())
    return path


Ran = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def call(home, monkeypatch, capsys) -> Ran:
    """Run `voice-gateway call` beside the test's own loop; exit status, stdout, stderr."""

    async def run(board: Switchboard, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setenv("TWILIO_ACCOUNT_SID", ACCOUNT)
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", AUTH_TOKEN)
        monkeypatch.setenv("GATEWAY_PUBLIC_URL", PUBLIC)
        status = await asyncio.to_thread(main, ["call", "--gateway", board.url, *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_items_keep_the_order_of_the_options(home):
    wav_file(home / "mine.wav")
    parser = argparse.ArgumentParser()
    call_command.configure(parser)
    line = "--dtmf 1 2# --wav mine.wav --barge-in --dtmf 3 --wav mine.wav"
    items = list(call_command._items(parser.parse_args(line.split()).script))

    assert [item.label for item in items] == ["1", "2#", "(mine.wav)", "3", "(mine.wav)"]
    assert [item.interrupts for item in items] == [False, False, False, True, False]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("20", Echo(gain=0.1, delay_ms=120)),
        ("40@250", Echo(gain=0.01, delay_ms=250)),
        ("0@0", Echo(gain=1.0, delay_ms=0)),
    ],
)
def test_an_echo_is_given_in_db_below_what_is_heard(given: str, expected: Echo) -> None:
    parser = argparse.ArgumentParser()
    call_command.configure(parser)

    assert parser.parse_args(["--echo", given]).echo == expected


@pytest.mark.parametrize("given", ["loud", "20@", "@20", "20@soon", "20@9999", "100", "nan"])
def test_an_echo_that_cannot_be_is_a_usage_error(given: str, capsys) -> None:
    parser = argparse.ArgumentParser()
    call_command.configure(parser)

    with pytest.raises(SystemExit):
        parser.parse_args(["--echo", given])
    assert "like 20 or 20@250" in capsys.readouterr().err


async def test_a_call_with_an_echo_has_it_on_the_callers_track(home, call):
    async with switchboard() as board:
        status, _, err = await call(
            board, "--echo", "0@0", "--hang-up-after", "0.8", "--record", "call.wav"
        )

    assert status == 0, err
    with wave.open(str(home / "call.wav")) as recorded:
        both = np.frombuffer(recorded.readframes(recorded.getnframes()), "<i2").reshape(-1, 2)
    said, heard = both[:, 0].astype(int), both[:, 1].astype(int)
    loud = np.abs(heard) > 3000
    assert loud.any()
    assert np.abs(said - heard)[loud].max() < 1000, "what differs is the line's own noise"


async def test_a_call_with_a_file_succeeds_and_is_recorded(home, call):
    file = wav_file(home / "mine.wav")
    async with switchboard() as board:
        status, out, err = await call(board, "--wav", str(file), "--record", "call.wav", "--json")

    document = json.loads(out)
    assert status == 0, err
    (item,) = document["items"]
    assert item["reply_after_ms"] is not None
    assert document["record"] is None
    assert "/v1/calls" in err
    assert "says (mine.wav)" in err
    with wave.open(str(home / "call.wav")) as recorded:
        assert recorded.getnchannels() == 2


async def test_a_call_told_to_hang_up_says_so_in_words(call):
    async with switchboard() as board:
        status, out, _ = await call(board, "--hang-up-after", "0.6")

    assert status == 0
    assert "held in order: caller-hangup" in out
    assert "judged by sound alone" in out


NEVER_ANSWERED = {
    "status": "failed",
    "end_reason": "api-error",
    "conversation_id": None,
    "conversation_state": "none",
    "answered_at": "2026-03-01T10:00:00.000Z",
    "turns": [{"kind": "greeting", "agent_text": None, "heard_text": None}],
    "events": [{"at": "2026-03-01T10:00:03.000Z", "type": "phrase", "name": "apology"}],
}


async def test_a_call_of_phrases_alone_fails_although_sound_was_heard(call):
    async with switchboard(record=NEVER_ANSWERED) as board:
        status, out, _ = await call(board)

    assert status == 1
    assert "held in order" not in out
    assert "the call ended with api-error" in out
    assert "no conversation came into being" in out
    assert "api-error in the gateway's record" in out
    assert "agent  (not heard)" in out
    assert "gateway says (apology)" in out


async def test_a_call_whose_record_agrees_is_held_in_order(call):
    greeting = {"kind": "greeting", "agent_text": "Hello.", "heard_text": "Hello."}
    record = {
        **NEVER_ANSWERED,
        "status": "completed",
        "end_reason": "caller-hangup",
        "conversation_id": "c" * 24,
        "conversation_state": "finished",
        "turns": [greeting],
    }
    async with switchboard(record=record) as board:
        status, out, _ = await call(board)

    assert status == 0, out
    assert "caller-hangup in the gateway's record (conversation finished)" in out
    assert "sound alone" not in out


async def test_a_broken_rule_fails_the_command_and_is_named(call):
    async with switchboard(voice="<Response><Hangup/></Response>") as board:
        status, out, _ = await call(board)

    assert status == 1
    assert "problem: the gateway opened no media stream" in out


async def test_a_call_that_is_passed_on_says_to_whom_and_fails(call):
    document = "<Response><Dial>+15550009999</Dial><Hangup/></Response>"
    async with switchboard(voice=document) as board:
        status, out, err = await call(board)

    assert status == 1
    assert "problem: handed over to +15550009999: the gateway did not take the call itself" in out
    assert "call handed over to +15550009999" in err


async def test_the_time_on_hold_counts_from_the_dialling(call):
    hold = f"<Response><Say>Hold on.</Say><Pause length='1'/><Redirect>{PUBLIC}/twilio/again</Redirect></Response>"
    async with switchboard(voice=hold, again=ANSWER) as board:
        _, _, err = await call(board, "--hang-up-after", "0.6")

    lines = err.splitlines()
    assert any(line.startswith("+00:00.") and "pauses 1 s" in line for line in lines), lines
    assert any(line.startswith(" 00:00.") and "the caller hung up" in line for line in lines), lines


async def test_the_rest_interface_is_played_where_the_gateway_was_told_to_look(call, monkeypatch):
    asked = []
    port = _children.free_port()
    rest = f"http://127.0.0.1:{port}"

    async def hang_up(socket) -> None:
        await socket.until("media", 10)
        sid = socket.start["callSid"]
        url = f"{rest}/2010-04-01/Accounts/{ACCOUNT}/Calls/{sid}.json"
        headers = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT, AUTH_TOKEN)}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.post(url, data={"Status": "completed"}) as answer,
        ):
            asked.append(answer.status)
        await socket.until("stop")

    async with switchboard(hang_up) as board:
        monkeypatch.setenv("TWILIO_API_BASE_URL", rest)
        _, out, _ = await call(board, "--json")

    assert asked == [200]
    assert json.loads(out)["hung_up_by"] == "rest"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--dtmf", "12x"], "--dtmf"),
        (["--wav", "missing.wav"], "--wav: missing.wav: No such file"),
        (["--wav", "text.wav"], "--wav: text.wav: neither a WAV nor an MP3"),
        (["--barge-in"], "--barge-in"),
        (["--barge-in", "--barge-in", "--dtmf", "1"], "--barge-in"),
        (["--gateway", "ftp://x"], "--gateway"),
        (["--gateway", "http://127.0.0.1:99999"], "--gateway"),
        (["--gateway", "http://[::1"], "--gateway"),
        (["--say", " "], "--say"),
    ],
)
def test_wrong_usage_is_named_and_exits_with_2(home, monkeypatch, capsys, arguments, named):
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", ACCOUNT)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", AUTH_TOKEN)
    (home / "text.wav").write_text("no sound at all, but long enough to be some")

    assert main(["call", "--json", *arguments]) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert named in captured.err


def test_missing_credentials_are_named_not_guessed(home, capsys):
    assert main(["call"]) == 2

    err = capsys.readouterr().err
    assert "TWILIO_ACCOUNT_SID: is required" in err
    assert "TWILIO_AUTH_TOKEN: is required" in err


# ---------------------------------------------------------------- demo: what counts

MESSAGES = [
    {"type": "user-message", "voice": True, "text": "Weasels have eaten our phone system."},
    {"type": "agent-message", "voice": True, "text": "I wrote down: and so on."},
]
GOOD_LOG: dict[str, Any] = {
    "conversations": [{"finished": True, "messages": MESSAGES}],
    "requests": [{"operation": "create", "status": 201}],
    "violations": [],
}
INTERRUPTED = RecordedTurn("greeting", "", "Hello", "Hel", True, {})
ANSWERED = RecordedTurn("voice", "weasels", "Noted", "Noted", False, {})
RECORD = Record("completed", "agent-ended", "c", "auto-finished", (INTERRUPTED, ANSWERED))


def held(**changes: Any) -> Held:
    said = Said(
        item=Utterance(b"", text="weasels have eaten our phone system"),
        from_ms=1,
        until_ms=2,
        barged_in=True,
        silent_after_ms=300,
    )
    return replace(Held(replace(RESULT, said=(said,)), RECORD, GOOD_LOG), **changes)


def test_a_conversation_held_recognised_interrupted_and_finished_counts():
    assert list(held().problems()) == []


def finish(*statuses: int) -> list[dict[str, object]]:
    return [{"operation": "finish", "status": status} for status in statuses]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"log": {**GOOD_LOG, "conversations": [{"finished": True, "messages": MESSAGES[1:]}]}},
            "6 of 6 words were not recognised",
        ),
        ({"result": replace(RESULT, said=RESULT.said[:1])}, "no interruption"),
        ({"record": "its /v1/calls answered 404"}, "no interruption"),
        ({"record": Record("completed", "x", "c", "finished", ())}, "no interruption"),
        ({"record": replace(RECORD, turns=(INTERRUPTED,))}, "answering 0 of 1"),
        ({"record": replace(RECORD, end_reason="api-error")}, "api-error"),
        ({"log": {**GOOD_LOG, "conversations": []}}, "0 conversations"),
        (
            {"log": {**GOOD_LOG, "conversations": [{"finished": False, "messages": MESSAGES}]}},
            "not finished",
        ),
        ({"log": {**GOOD_LOG, "requests": finish(204, 204)}}, "more than once"),
        ({"log": {**GOOD_LOG, "violations": [{"rule": "31", "detail": "x"}]}}, "rule of the API"),
    ],
)
def test_whatever_is_missing_is_named(changes, problem):
    assert any(problem in found for found in held(**changes).problems())


def test_a_finish_that_was_refused_because_it_was_done_is_no_second_one():
    assert list(held(log={**GOOD_LOG, "requests": finish(204, 409)}).problems()) == []


def test_the_scene_uses_shipped_recordings_and_interrupts_once():
    assert {name for name, _ in SCENE} <= recordings().keys()
    assert sum(interrupts for _, interrupts in SCENE) == 1


# ---------------------------------------------------------------- child processes


def test_the_users_own_gateway_settings_are_not_handed_on(monkeypatch):
    monkeypatch.setenv("AMIGO_API_KEY", "real")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "real")
    monkeypatch.setenv("HOME_OF_THE_USER", "kept")

    env = _children.environment(TWILIO_AUTH_TOKEN="made up")

    assert "AMIGO_API_KEY" not in env
    assert env["TWILIO_AUTH_TOKEN"] == "made up"
    assert env["HOME_OF_THE_USER"] == "kept"


async def test_a_server_is_ready_while_needed_and_gone_afterwards(tmp_path):
    port, log = _children.free_port(), tmp_path / "log"
    arguments = ("sandbox", "--engine", "tones", "--port", str(port))
    url = f"http://127.0.0.1:{port}/v1/openapi.json"
    env = _children.environment()

    async with _children.child(*arguments, env=env, folder=tmp_path, log=log) as server:
        await server.wait_ready(url)

    with pytest.raises(aiohttp.ClientConnectorError):
        async with aiohttp.ClientSession() as http, http.get(url):
            pass
    assert log.stat().st_size > 0


async def test_a_server_that_cannot_start_is_reported_at_once(tmp_path):
    env, log = _children.environment(), tmp_path / "log"

    async with _children.child("serve", env=env, folder=tmp_path, log=log) as server:
        with pytest.raises(_children.ChildFailed, match="serve ended with status 2"):
            await server.wait_ready("http://127.0.0.1:9/readyz")

    assert "AMIGO_ORGANIZATION_ID" in log.read_text()


async def test_a_cancelled_user_leaves_no_server_behind(tmp_path):
    port = _children.free_port()
    arguments = ("sandbox", "--engine", "tones", "--port", str(port))
    url = f"http://127.0.0.1:{port}/v1/openapi.json"
    up = asyncio.Event()

    async def use() -> None:
        env, log = _children.environment(), tmp_path / "log"
        async with _children.child(*arguments, env=env, folder=tmp_path, log=log) as server:
            await server.wait_ready(url)
            up.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(use())
    await up.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    with pytest.raises(aiohttp.ClientConnectorError):
        async with aiohttp.ClientSession() as http, http.get(url):
            pass
