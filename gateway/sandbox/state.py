"""Everything one running sandbox holds, under one typed key of its application."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from aiohttp import web

from audio.types import Pcm
from gateway.clock import Clock
from gateway.sandbox.agent import Agent
from gateway.sandbox.conversations import Conversations
from gateway.sandbox.engines import Recogniser, Voice
from gateway.sandbox.faults import Faults, Strike
from gateway.sandbox.feedback import Feedbacks
from gateway.sandbox.journal import Entry, Journal
from gateway.sandbox.limits import Limits
from gateway.sandbox.links import Links
from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.people import People
from gateway.sandbox.records import Records
from gateway.sandbox.sound import decode_mp3, resample
from gateway.sandbox.tokens import Identity, Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """The parts of one sandbox."""

    options: SandboxOptions
    clock: Clock
    agent: Agent
    recogniser: Recogniser
    voice: Voice
    hearing: ThreadPoolExecutor
    """One thread, because a recogniser is not for two at once; the loop never waits for an engine."""
    speaking: ThreadPoolExecutor
    tokens: Tokens
    limits: Limits
    faults: Faults
    journal: Journal
    records: Records
    conversations: Conversations
    feedbacks: Feedbacks
    people: People
    links: Links
    work: set[asyncio.Task[web.StreamResponse]] = field(default_factory=set)
    """Requests being served; the application cancels and awaits what is left when it ends."""

    async def transcribe(self, pcm: Pcm, rate: int, hints: Sequence[str]) -> str:
        """The words of a recording; `hints` are phrases that would be no surprise."""
        loop = asyncio.get_running_loop()
        heard = await loop.run_in_executor(
            self.hearing, self.recogniser.transcribe, pcm, rate, hints
        )
        return heard.strip()

    async def speak(self, text: str, rate: int) -> Pcm:
        """The whole spoken text at this rate (Hz)."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.speaking, self._speak, text, rate)

    def _speak(self, text: str, rate: int) -> Pcm:
        parts = [np.zeros(0, dtype=np.int16), *self.voice.speak(text)]
        return resample(np.concatenate(parts), self.voice.rate, rate)

    async def read_mp3(self, data: bytes) -> tuple[Pcm, int]:
        """Samples and rate of an MP3 upload; raises `NotAudio`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.hearing, decode_mp3, data)

    def strike(self, kind: str, entry: Entry) -> Strike | None:
        """Does this fault strike this request? If so, the journal says it did."""
        return self._noted(self.faults.strike(kind, entry.operation), entry)

    def strike_first(self, kinds: tuple[str, ...], entry: Entry) -> Strike | None:
        return self._noted(self.faults.first(kinds, entry.operation), entry)

    def strike_status(self, entry: Entry) -> Strike | None:
        return self._noted(self.faults.status(entry.operation), entry)

    def _noted(self, strike: Strike | None, entry: Entry) -> Strike | None:
        if strike is not None:
            entry.faults.append(strike.kind)
        return strike


SANDBOX = web.AppKey("SANDBOX", Sandbox)
ENTRY = web.RequestKey("ENTRY", Entry)
IDENTITY = web.RequestKey("IDENTITY", Identity)
