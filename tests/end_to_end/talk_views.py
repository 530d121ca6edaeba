"""One call as it was seen: by the caller, by the gateway's record, by the API's journal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from audio import mulaw
from audio.types import Pcm
from gateway.bridge.phrases import Phrases
from gateway.call.commands import Phrase
from gateway.simulator import CallResult
from tests.end_to_end.talk_sounds import CHIRPS, loud_ms, share_heard
from tests.support.stack import Stack

SERVICE = "5a9db0c55a9db0c55a9db0c5"


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

    def heard_phrase(self, phrase: Phrase, phrases: Phrases = CHIRPS) -> bool:
        """Whether the caller heard (most of) one of our own phrases."""
        return share_heard(mulaw.decode(phrases[phrase]), self.heard) > 0.6

    @property
    def clears(self) -> int:
        return sum(moment.what.startswith("stops") for moment in self.result.moments)

    @property
    def heard_ms(self) -> int:
        """How much agent sound the caller heard."""
        return loud_ms(self.heard)


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
        return self._messages("user-message")

    @property
    def news(self) -> list[str]:
        """What the agent was told by external events."""
        return self._messages("external-event")

    def _messages(self, kind: str) -> list[str]:
        return [
            message["text"]
            for conversation in self.log["conversations"]
            for message in conversation["messages"]
            if message["type"] == kind
        ]


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
