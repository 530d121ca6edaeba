"""The house that talk tests call: sandbox, gateway and telephone, and what must hold after every call.

Everything is real but small: the agent beeps instead of speaking, briskly; our own phrases are short
chirps that can be told apart in what the caller heard.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio import mulaw
from audio.types import Pcm
from audio.wav import write_wav
from gateway.bridge import switchboard
from gateway.call.commands import Phrase
from gateway.clock import SystemClock
from gateway.ids import CallSid, ConversationId, UserId
from gateway.sandbox.engines.tones import GAP_MS, TonesRecogniser
from gateway.sandbox.faults import parse_fault
from gateway.sandbox.options import SandboxOptions
from gateway.simulator import CallPlan, CallResult, Habits, Item, Keys, Utterance
from gateway.simulator.sound import frames, is_voiced, noise_frame
from gateway.store import NewCall, open_store
from tests.support.stack import ACCOUNT, Stack, run_stack, spoken

SERVICE = "5a9db0c55a9db0c55a9db0c5"
REVISIONS = ("2025-06", "2026-04")
both_revisions = pytest.mark.parametrize("revision", REVISIONS)

BRISK = Habits(
    quiet_ms=300,
    doubt_ms=0,
    barge_in_after_ms=600,
    linger_seconds=0.6,
    patience_seconds=8.0,
    key_gap_ms=100,
)
"""A caller who does not wait long."""

PATIENT = replace(BRISK, linger_seconds=8.0)
"""A caller who stays on the line until the gateway hangs up."""

AUDIBLE = 300
"""Samples above this are no line noise."""

BUSY_CONVERSATION = "14"
UNFINISHED_CONVERSATION = "8"
"""Rules of the API (protocol dossier) that some faults make us run into."""


# ---------------------------------------------------------------- what the caller does


def says(name: str, *, interrupts: bool = False) -> Utterance:
    """A recording that ships with the simulator."""
    return spoken(name, interrupts=interrupts)


def presses(digits: str, *, interrupts: bool = False) -> Keys:
    return Keys(digits, interrupts)


def says_and_adds(first: str, pause_ms: int, second: str) -> Utterance:
    """Two recordings with a silence of the caller's between them."""
    one, two = says(first).sound, says(second).sound
    sound = voiced(one) + quiet_line(pause_ms) + voiced(two)
    return Utterance(sound, name=f"{first} … {second}")


def makes_a_short_noise(ms: int = 300) -> Utterance:
    """The beginning of a word, over before it means anything; made over the agent's voice."""
    return Utterance(voiced(says("weasels").sound)[: ms * 8], name="a noise", interrupts=True)


def quiet_line(ms: int) -> bytes:
    """The line's own noise."""
    return b"".join(noise_frame(number) for number in range(ms // 20))


def voiced(sound: bytes) -> bytes:
    """A recording without the silence around it, in whole frames."""
    cut = frames(sound)
    loud = [number for number, frame in enumerate(cut) if is_voiced(frame)]
    return b"".join(cut[loud[0] : loud[-1] + 1])


# ---------------------------------------------------------------- the agent's engines


class AttentiveEars(TonesRecogniser):
    """Hears what it is told to, and keeps the sound of every turn."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Pcm] = []

    def transcribe(self, pcm: Pcm, rate: int) -> str:
        self.heard.append(pcm)
        return super().transcribe(pcm, rate)


@dataclass(frozen=True)
class BriskVoice:
    """Beeps once a word; `ms` for each character."""

    ms: int = 12
    rate: int = 16_000

    def speak(self, text: str) -> Iterator[Pcm]:
        for word in text.split():
            time = np.arange(self.rate * self.ms * len(word) // 1000) / self.rate
            beep = np.sin(2 * np.pi * (300 + 1200 / (1 + len(word))) * time) * 4500
            yield np.concatenate([beep, np.zeros(self.rate * GAP_MS // 1000)]).astype(np.int16)

    def length_ms(self, text: str) -> int:
        """How long it takes to say something, the gap behind the last word not counted."""
        words = text.split()
        return sum(self.ms * len(word) + GAP_MS for word in words) - GAP_MS


def chirp(number: int) -> bytes:
    """A phrase of 400 ms like no other."""
    time = np.arange(3200) / 8000
    return mulaw.encode(
        (5000 * np.sin(2 * np.pi * (350 + 90 * number + 500 * time) * time)).astype(np.int16)
    )


CHIRPS = {
    phrase: chirp(number) for number, phrase in enumerate(Phrase) if phrase is not Phrase.COMFORT
}


# ---------------------------------------------------------------- a call that was held


@dataclass(frozen=True)
class Held:
    """One call as the caller, the gateway's record and the API saw it."""

    result: CallResult
    record: dict[str, Any]
    heard: Pcm
    """All the caller heard, from the first stream on, 8 kHz."""
    said: Pcm

    @property
    def end_reason(self) -> str:
        return str(self.record["end_reason"])

    @property
    def conversation_id(self) -> str:
        return str(self.record["conversation_id"])

    @property
    def turns(self) -> list[dict[str, Any]]:
        return list(self.record["turns"])

    def turn(self, kind: str) -> dict[str, Any]:
        """The only turn of this kind."""
        [turn] = [turn for turn in self.turns if turn["kind"] == kind]
        return turn

    @property
    def user_texts(self) -> list[str]:
        """What the API understood, turn by turn."""
        return [turn["user_text"] for turn in self.turns if turn["user_text"]]

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.record["events"] if event["type"] == kind]

    @property
    def phrases(self) -> list[str]:
        """Our own phrases the gateway says it spoke, in order."""
        return [event["name"] for event in self.events("phrase")]

    def heard_phrase(self, phrase: Phrase, phrases: Mapping[Phrase, bytes] = CHIRPS) -> bool:
        """Whether the caller heard (most of) one of our own phrases."""
        return share_heard(mulaw.decode(phrases[phrase]), self.heard) > 0.6

    @property
    def clears(self) -> int:
        return sum(moment.what.startswith("stops") for moment in self.result.moments)

    @property
    def heard_ms(self) -> int:
        """How much agent sound the caller heard."""
        return loud_ms(self.heard)


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
        result, said, heard = await self._place(CallPlan(items=items, habits=habits, **plan))
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
                record={"call_sid": sid},
                status="speaking" if alive else "failed",
                end_reason=None if alive else "replica-lost",
                conversation_id=ConversationId(conversation_id),
                conversation_state="open" if alive else "finish-failed",
                ended=not alive,
            )
            await store.release_user(sid)
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
        return mulaw.decode(voiced(utterance.sound)).tobytes() in self.ears.heard[turn].tobytes()


@dataclass(frozen=True)
class Stranger:
    """A client of the API that is not our gateway."""

    stack: Stack
    user: str

    async def create(self) -> str:
        """Begin a conversation and leave it open."""
        body = {"service_id": SERVICE, "service_version_set_name": "release"}
        query = {"response_format": "text"}
        url = f"{self.stack.sandbox_url}/v1/sandbox/conversation/"
        async with self.stack.http.post(
            url, json=body, params=query, headers=await self._token()
        ) as answer:
            events = [json.loads(line) for line in (await answer.text()).splitlines()]
        return str(events[0]["conversation_id"])

    async def finish(self, conversation_id: str) -> None:
        url = f"{self.stack.sandbox_url}/v1/sandbox/conversation/{conversation_id}/finish/"
        async with self.stack.http.post(url, headers=await self._token()) as answer:
            assert answer.status == 204, await answer.text()

    async def _token(self) -> dict[str, str]:
        keys = {"x-api-key": "sandbox-key", "x-api-key-id": "sandbox-key-id"}
        url = f"{self.stack.sandbox_url}/v1/sandbox/user/signin_with_api_key"
        async with self.stack.http.post(url, headers={**keys, "x-user-id": self.user}) as answer:
            return {"Authorization": f"Bearer {(await answer.json())['id_token']}"}


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


@dataclass(frozen=True)
class Api:
    """The sandbox's journal, in the words of the API."""

    log: dict[str, Any]

    def requests(self, operation: str) -> list[dict[str, Any]]:
        return [entry for entry in self.log["requests"] if entry["operation"] == operation]

    def statuses(self, operation: str) -> list[int]:
        return [entry["status"] for entry in self.requests(operation)]

    @property
    def finishes(self) -> int:
        """Finishes that were granted."""
        return self.statuses("finish").count(204)

    @property
    def rules_broken(self) -> set[str]:
        return {violation["rule"] for violation in self.log["violations"]}

    @property
    def unfinished(self) -> set[str]:
        return {one["id"] for one in self.log["conversations"] if not one["finished"]}

    @property
    def user_messages(self) -> list[str]:
        """What callers said, as stored."""
        return [
            message["text"]
            for conversation in self.log["conversations"]
            for message in conversation["messages"]
            if message["type"] == "user-message"
        ]


# ---------------------------------------------------------------- open for calls


@asynccontextmanager
async def a_house(
    tmp_path: Path,
    revision: str = "2025-06",
    *faults: str,
    voice_ms: int = 12,
    think_ms: int = 50,
    sandbox: dict[str, Any] | None = None,
    allowed: tuple[str, ...] = (),
    left_open: int = 0,
    **settings: str,
) -> AsyncIterator[House]:
    """A gateway that can be called, over a sandbox with these faults; on leaving, nothing may be owed.

    `allowed` are rules of the API that the gateway may run into in this test, `left_open` is how many
    conversations (of others) must be left alone.
    """
    options = SandboxOptions(
        revision=revision,  # type: ignore[arg-type]
        think_ms=think_ms,
        faults=tuple(parse_fault(fault) for fault in faults),
        **(sandbox or {}),
    )
    ears, voice = AttentiveEars(), BriskVoice(voice_ms)
    before = asyncio.all_tasks()
    with no_loud_logs(), pytest.MonkeyPatch.context() as patch:
        # a disk shared with other tests may be slower than a caller's patience
        patch.setattr(switchboard, "STORE_PATIENCE", 10.0)
        chosen = {"AMIGO_API_REVISION": revision, **_settings(tmp_path), **settings}
        async with run_stack(tmp_path, options, ears, voice, **chosen) as stack:
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
    try:
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"not within {seconds:g} s: {what} {instead()}")


@contextmanager
def no_loud_logs() -> Iterator[None]:
    """Nothing may be logged as an error: exceptions nobody caught, parts that failed."""
    loud: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
            loud.append(f"{record.name}: {record.getMessage()} {trace}")

    listener = Listener(logging.ERROR)
    logging.getLogger().addHandler(listener)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(listener)
    assert not loud, "\n".join(loud)


def share_heard(sound: Pcm, track: Pcm) -> float:
    """How much of a sound is found on a track, in pieces of 20 ms that are not silent."""
    pieces = [sound[at : at + 160] for at in range(0, len(sound) - 159, 160)]
    loud = [piece.tobytes() for piece in pieces if np.abs(piece).max() > AUDIBLE]
    return sum(piece in track.tobytes() for piece in loud) / max(1, len(loud))


def loud_ms(track: Pcm) -> int:
    """How much of a track is not silent."""
    whole = track[: len(track) // 160 * 160].reshape(-1, 160)
    return int((np.abs(whole).max(axis=1) > AUDIBLE).sum()) * 20


def read_stereo(path: Path) -> tuple[Pcm, Pcm]:
    """Both channels of a recording."""
    import wave

    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, 8000, 2)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    return both[:, 0].copy(), both[:, 1].copy()
