"""The house that talk tests call: sandbox, gateway and telephone, and what must hold after every call.

Everything is real but small: the agent beeps instead of speaking, briskly; our own phrases are short
chirps that can be told apart in what the caller heard.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio import mulaw
from audio.types import Pcm
from audio.wav import write_wav
from gateway.clock import SystemClock
from gateway.ids import CallSid, ConversationId, UserId
from gateway.sandbox.engines import Voice
from gateway.sandbox.faults import parse_fault
from gateway.sandbox.options import SandboxOptions
from gateway.simulator import CallPlan, CallResult, Habits, Item, Utterance
from gateway.store import NewCall, open_store
from tests.end_to_end.talk_logs import no_loud_logs
from tests.end_to_end.talk_sounds import CHIRPS, AttentiveEars, BriskVoice, read_stereo
from tests.end_to_end.talk_views import SERVICE, Api, Held, Stranger
from tests.support.stack import ACCOUNT, Stack, run_stack

REVISIONS = ("2025-06", "2026-04")
both_revisions = pytest.mark.parametrize("revision", REVISIONS)


def either_revision(names: str, *values: object) -> pytest.MarkDecorator:
    """Each value once, the revisions by turns: for what the revision has no part in."""
    cases = [
        (REVISIONS[number % 2], *(value if isinstance(value, tuple) else (value,)))
        for number, value in enumerate(values)
    ]
    return pytest.mark.parametrize(f"revision, {names}", cases)


BRISK = Habits(
    quiet_ms=200,
    doubt_ms=0,
    barge_in_after_ms=600,
    linger_seconds=0.6,
    patience_seconds=8.0,
    key_gap_ms=100,
)
"""A caller who does not wait long."""

PATIENT = replace(BRISK, linger_seconds=8.0)
"""A caller who stays on the line until the gateway hangs up."""

BUSY_CONVERSATION = "14"
UNFINISHED_CONVERSATION = "8"
"""Rules of the API (protocol dossier) that some faults make us run into."""


# ---------------------------------------------------------------- the house


@dataclass
class House:
    """What a test talks to."""

    stack: Stack
    ears: AttentiveEars
    voice: BriskVoice
    tmp_path: Path
    results: list[CallResult] = field(default_factory=list)

    # ---- calling

    def expect(self, *words: str) -> None:
        """What the agent will understand, turn by turn."""
        self.ears.expect(*words)

    async def call(self, *items: Item, habits: Habits = BRISK, **plan: Any) -> Held:
        """Call, follow the plan, and come back when the gateway owes nothing any more."""
        return await self.hold(CallPlan(items=items, habits=habits, **plan))

    async def hold(self, plan: CallPlan) -> Held:
        """The same, of a plan that somebody else made."""
        result, said, heard = await self._place(plan)
        find = self.stack.gateway.switchboard.find
        await eventually(lambda: find(result.call_sid) is None, "the call is settled")
        return Held(result, await self.stack.record(result.call_sid), heard, said)

    async def refused_call(self) -> CallResult:
        """A call that the gateway does not take."""
        result, _, _ = await self._place(CallPlan(habits=BRISK))
        return result

    async def _place(self, plan: CallPlan) -> tuple[CallResult, Pcm, Pcm]:
        path = self.tmp_path / f"heard-{len(self.results)}.wav"
        result = await self.stack.call(replace(plan, record=path, max_seconds=40.0))
        self.results.append(result)
        if result.recording is None:
            return result, np.zeros(0, np.int16), np.zeros(0, np.int16)
        said, heard = read_stereo(path)
        return result, said, heard

    # ---- meddling

    def stranger(self, user: str) -> Stranger:
        """Somebody else who uses the API as this user."""
        return Stranger(self.stack, user)

    async def store_knows(self, conversation_id: str, *, alive: bool = False) -> None:
        """Our store has a call with this conversation: ended and never finished, or still held
        by another replica that lives."""
        sid = CallSid("CA" + "1" * 32)
        url = f"sqlite:///{self.tmp_path / 'calls.db'}"
        async with open_store(url, SystemClock()) as store:
            await store.admit(_old_call(sid))
            await store.save(
                sid,
                replica="another-replica",
                record={"call_sid": sid},
                status="speaking" if alive else "failed",
                end_reason=None if alive else "replica-lost",
                conversation_id=ConversationId(conversation_id),
                conversation_state="open" if alive else "finish-failed",
                ended=not alive,
            )
            await store.release_user(sid, "another-replica")
            if alive:
                await store.heartbeat("another-replica", SystemClock().wall())

    # ---- looking

    async def api(self) -> Api:
        return Api(await self.stack.log())

    async def conversation_created(self) -> str:
        """The conversation's id as soon as its creation is complete."""
        async with asyncio.timeout(15):
            while True:
                for entry in (await self.api()).requests("create"):
                    if entry["done_ms"] is not None:
                        return str(entry["conversation_id"])
                await asyncio.sleep(0.02)

    async def hung_up(self) -> None:
        """The gateway has asked the carrier to end the call."""
        await eventually(lambda: self.stack.rest.requests, "the carrier is told to hang up")

    async def metric(self, name: str, **labels: str) -> float:
        """A number of `/metrics`; 0 where it was never touched."""
        async with self.stack.http.get(f"{self.stack.target.connect_to}/metrics") as answer:
            text = await answer.text()
        for line in text.splitlines():
            found = re.fullmatch(r"voice_gateway_(\w+?)(?:\{(.*)\})? (\S+)", line)
            if found is None or found[1] != name:
                continue
            named = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
            if all(named.get(label) == value for label, value in labels.items()):
                return float(found[3])
        return 0.0

    def speaking_ms(self, *texts: str) -> int:
        """How long the agent takes to say something."""
        return sum(self.voice.length_ms(text) for text in texts)

    def heard_by_the_api(self, utterance: Utterance, turn: int) -> bool:
        """Whether the upload holds the whole utterance, from its very onset to its last sample."""
        return mulaw.decode(utterance.sound).tobytes() in self.ears.heard[turn].tobytes()


def _old_call(sid: CallSid) -> NewCall:
    return NewCall(
        call_sid=sid,
        account_sid=ACCOUNT,
        direction="inbound",
        caller="+15550003333",
        called="+15550002222",
        route="",
        organization="sandbox",
        service_id=SERVICE,
        candidates=(UserId("sandbox-caller"),),
        replica="another-replica",
        token_digest="",
        token_expires=0.0,
        answer="",
        record={},
        now=0.0,
    )


# ---------------------------------------------------------------- open for calls


@asynccontextmanager
async def a_house(
    tmp_path: Path,
    revision: str = "2025-06",
    *faults: str,
    voice_ms: int = 12,
    reader: Voice | None = None,
    think_ms: int = 50,
    sandbox: dict[str, Any] | None = None,
    allowed: tuple[str, ...] = (),
    left_open: int = 0,
    **settings: str,
) -> AsyncIterator[House]:
    """A gateway that can be called, over a sandbox with these faults; on leaving, nothing may be owed.

    `reader` speaks for the agent in place of the beeps; `allowed` are rules of the API that the gateway
    may run into in this test, `left_open` is how many conversations (of others) must be left alone.
    """
    options = SandboxOptions(
        revision=revision,  # type: ignore[arg-type]
        think_ms=think_ms,
        faults=tuple(parse_fault(fault) for fault in faults),
        **(sandbox or {}),
    )
    ears, voice = AttentiveEars(), BriskVoice(voice_ms)
    before = asyncio.all_tasks()
    with no_loud_logs():
        chosen = {"AMIGO_API_REVISION": revision, **_settings(tmp_path), **settings}
        async with run_stack(tmp_path, options, ears, reader or voice, **chosen) as stack:
            house = House(stack, ears, voice, tmp_path)
            yield house
            await _nothing_owed(house, set(allowed), left_open)
        _every_user_released(tmp_path / "calls.db")
    await _no_task_left(before)


def _settings(tmp_path: Path) -> dict[str, str]:
    phrases = tmp_path / "phrases"
    phrases.mkdir()
    for phrase, sound in CHIRPS.items():
        (phrases / f"{phrase.value}.wav").write_bytes(write_wav(mulaw.decode(sound), 8000))
    return {
        "GATEWAY_PLAYBACK__PHRASES_DIR": str(phrases),
        "GATEWAY_TURN_TAKING__END_SILENCE_MS": "400",
    }


async def _nothing_owed(house: House, allowed: set[str], left_open: int) -> None:
    gateway = house.stack.gateway
    await eventually(
        lambda: not gateway.switchboard.unsettled and not gateway.finisher.owed, "calls settled"
    )
    api = await house.api()
    assert api.rules_broken <= allowed, api.log["violations"]
    assert len(api.unfinished) == left_open, "conversations left unfinished"
    for result in house.results:
        assert result.violations == (), [str(violation) for violation in result.violations]
    assert await house.metric("calls_active") == 0
    assert await house.metric("conversations_open") == 0


def _every_user_released(database: Path) -> None:
    connection = sqlite3.connect(database)
    try:
        [[held]] = connection.execute("SELECT count(*) FROM leases WHERE call_sid IS NOT NULL")
    finally:
        connection.close()
    assert held == 0, f"{held} users still leased"


async def _no_task_left(before: set[asyncio.Task[Any]]) -> None:
    def left() -> set[asyncio.Task[Any]]:
        here = asyncio.all_tasks() - before - {asyncio.current_task()}
        # aiohttp's server reads on, for a while, where a client left in the middle of a refused body
        return {task for task in here if "RequestHandler.start" not in repr(task.get_coro())}

    await eventually(lambda: not left(), "tasks ended", 2.0, left)


async def eventually(
    holds: Callable[[], object],
    what: str,
    seconds: float = 15.0,
    instead: Callable[[], object] = lambda: "",
) -> None:
    """Wait for something that must come about by itself; `instead` tells what there is when it does not."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not holds():
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what} {instead()}")
        await asyncio.sleep(0.02)
