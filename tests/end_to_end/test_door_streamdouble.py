"""A Media Streams client nobody here wrote holds a conversation with `serve` and the sandbox.

It knows nothing of webhooks and signatures: its identity is given to our webhook first, and the
headers of its WebSocket are wrapped.
"""

from __future__ import annotations

import asyncio
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest
import streamdouble.session
import websockets
from streamdouble.audio import wav_to_ulaw_frames
from streamdouble.protocol import StreamIdentity
from streamdouble.scenario import Dtmf, Hangup, Say, Scenario, Step, Wait, WaitFor
from streamdouble.session import Session, SessionConfig, SessionResult

from gateway.sandbox.engines import load_engines
from gateway.sandbox.options import SandboxOptions
from gateway.simulator import word_errors
from tests.end_to_end.door_carrier import new_call_sid
from tests.end_to_end.door_kit import BriefVoice, House, open_grounds
from tests.support.stack import ACCOUNT

both_revisions = pytest.mark.parametrize("revision", ["2025-06", "2026-04"])
FIRST, SECOND = "one-moment-please", "something-wrong"
WORDS = {FIRST: "one moment please", SECOND: "something is terribly wrong"}
THINKS = Wait(1.8)
"""The pause that ends a turn, and the agent's first sound after it."""


def says(name: str) -> Say:
    with as_file(files("gateway.simulator") / "speech" / f"{name}.wav") as path:
        return Say(path, wav_to_ulaw_frames(path))


async def call(house: House, monkeypatch: pytest.MonkeyPatch, *steps: Step) -> SessionResult:
    """Our webhook, signed; then its call, with the signature of the socket wrapped around it."""
    identity = StreamIdentity(account_sid=ACCOUNT, call_sid=new_call_sid())
    _, url = await house.answered(identity.call_sid)
    headers = {"X-Twilio-Signature": house.carrier.sign(url)}
    monkeypatch.setattr(
        streamdouble.session.websockets,
        "connect",
        partial(websockets.connect, additional_headers=headers),
    )
    at = house.carrier.reach(url).with_scheme("ws")
    config = SessionConfig(quiet_period_s=0.9, max_call_s=60.0)
    session = Session(
        str(at), scenario=Scenario("talk", list(steps)), config=config, identity=identity
    )
    async with asyncio.timeout(60):
        return await session.run()


def is_clean(result: SessionResult) -> None:
    """What it calls a mistake of ours, it would say here."""
    assert result.violations == []
    assert result.unknown_events == []
    assert result.warnings == []
    assert not result.timed_out
    assert result.media_frames_received > 0
    assert result.marks_echoed


async def held(house: House, call_sid: str) -> tuple[list[str], dict[str, Any]]:
    """The caller's words as the sandbox understood them, and our record; one finish."""
    record = await house.settled(call_sid)
    await house.looks_in_order()
    assert record["end_reason"] == "caller-hangup"
    assert record["conversation_state"] == "finished"
    assert sum((await house.finishes()).values()) == 1
    (conversation,) = await house.conversations()
    voiced = [one for one in conversation["messages"] if one["type"] == "user-message"]
    assert all(one["voice"] for one in voiced)
    return [str(one["text"]) for one in voiced], record


@both_revisions
async def test_streamdouble_holds_a_conversation_of_two_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, revision: Any
) -> None:
    options = SandboxOptions(revision=revision, think_ms=30)
    async with open_grounds(tmp_path, options) as grounds, grounds.served() as (house, process):
        result = await call(
            house,
            monkeypatch,
            WaitFor("quiet"),
            says(FIRST),
            THINKS,
            WaitFor("quiet"),
            says(SECOND),
            THINKS,
        )
        is_clean(result)
        understood, record = await held(house, result.identity.call_sid)

        assert len(understood) == 2
        assert all(text.startswith("heard ") for text in understood)
        assert [turn["kind"] for turn in record["turns"]] == ["greeting", "voice", "voice"]
        assert record["stream_sid"] == result.identity.stream_sid
        assert process.complaints() == []


@pytest.mark.speech
@pytest.mark.slow
async def test_streamdouble_is_understood_by_the_real_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = await asyncio.to_thread(load_engines, "speech")
    options = SandboxOptions(revision="2026-04", think_ms=30)
    async with (
        open_grounds(
            tmp_path, options, recogniser=engines.recogniser, voice=engines.voice
        ) as grounds,
        grounds.served() as (house, process),
    ):
        steps = (WaitFor("quiet"), says(FIRST), Wait(4.0), WaitFor("quiet"), says(SECOND))
        result = await call(house, monkeypatch, *steps, Wait(4.0))
        is_clean(result)
        understood, _ = await held(house, result.identity.call_sid)

        assert len(understood) == 2
        for name, text in zip((FIRST, SECOND), understood, strict=True):
            assert word_errors(WORDS[name], text).rate <= 0.25, text
        assert process.complaints() == []


async def test_streamdouble_presses_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_grounds(tmp_path) as grounds, grounds.served() as (house, _):
        steps = (WaitFor("quiet"), Dtmf("5550142#"), Wait(0.5), WaitFor("quiet"))
        result = await call(house, monkeypatch, *steps)
        is_clean(result)
        record = await house.settled(result.identity.call_sid)

        assert [turn["kind"] for turn in record["turns"]] == ["greeting", "dtmf"]
        assert record["turns"][1]["user_text"] == "5550142"


async def test_streamdouble_interrupts_although_it_never_echoes_what_was_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SandboxOptions(think_ms=30)
    async with (
        open_grounds(tmp_path, options, voice=BriefVoice(1300)) as grounds,
        grounds.served() as (house, _),
    ):
        steps = (WaitFor("audio"), Wait(0.5), says(FIRST), THINKS, WaitFor("quiet"))
        result = await call(house, monkeypatch, *steps)
        is_clean(result)
        record = await house.settled(result.identity.call_sid)

        assert result.clears_received == 1
        assert record["turns"][0]["interrupted"] is True
        assert record["turns"][1]["kind"] == "voice"


async def test_streamdouble_hangs_up_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_grounds(tmp_path) as grounds, grounds.served() as (house, process):
        result = await call(house, monkeypatch, WaitFor("audio"), Wait(0.2), Hangup())

        assert result.closed_by == "caller"
        record = await house.settled(result.identity.call_sid)
        assert record["end_reason"] == "caller-hangup"
        await house.looks_in_order()
        assert process.complaints() == []
