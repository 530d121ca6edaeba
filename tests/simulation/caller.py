"""People who telephone: they talk, pause, interrupt, press keys, and hang up at any moment."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Final

from tests.simulation.carrier import Call, Carrier
from tests.simulation.stream import Stream, Utterance

_HABITS: Final = (
    ("answers", 8),
    ("answers-in-two", 2),
    ("interrupts", 3),
    ("coughs", 2),
    ("mumbles", 2),
    ("keys", 2),
    ("waits", 2),
    ("goes-on", 1),
    ("at-once", 1),
)


class Caller:
    """One person on one call."""

    def __init__(self, carrier: Carrier, call: Call) -> None:
        self._carrier = carrier
        self._call = call
        self._world = call.world
        self._chance: Random = call.world.chance(f"caller {call.sid}")

    async def run(self) -> None:
        """Do what this person does, until the call is over."""
        call, plan = self._call, self._call.plan
        loop = self._world.loop
        await asyncio.sleep(plan.at)
        if plan.hang_up_at is not None:
            loop.later(plan.hang_up_at, call.hang_up)
        loop.later(plan.patience + 10.0, call.hang_up)
        talk = loop.world(self._talk(), f"talk {call.sid}")
        trouble = loop.world(self._trouble(), f"trouble {call.sid}")
        await call.over
        for task in (talk, trouble):
            task.cancel()
        for task in (talk, trouble):
            try:
                await task
            except asyncio.CancelledError:
                pass

    @property
    def _stream(self) -> Stream | None:
        stream = self._call.stream
        return stream if stream is not None and stream.up else None

    async def _talk(self) -> None:
        chance = self._chance
        while self._stream is None:
            await asyncio.sleep(0.25)
        names, weights = zip(*_HABITS, strict=True)
        for _ in range(self._call.plan.turns):
            habit = chance.choices(names, weights)[0]
            self._world.note("caller", f"{self._call.sid} {habit}")
            await self._do(habit)
        await self._silence_of_agent(8.0)
        if chance.random() < 0.5:
            await asyncio.sleep(chance.uniform(0.0, 2.0))
            self._call.hang_up()

    async def _do(self, habit: str) -> None:
        chance = self._chance
        match habit:
            case "answers":
                await self._silence_of_agent(8.0)
                await self._speak(chance.uniform(0.4, 2.5))
            case "answers-in-two":
                await self._silence_of_agent(8.0)
                await self._speak(chance.uniform(0.3, 1.0))
                await asyncio.sleep(chance.uniform(0.1, 1.2))
                await self._speak(chance.uniform(0.3, 1.0))
            case "interrupts":
                await self._agent_speaks(6.0)
                await asyncio.sleep(chance.uniform(0.0, 1.0))
                await self._speak(chance.uniform(0.5, 2.0))
            case "coughs":
                await asyncio.sleep(chance.uniform(0.0, 4.0))
                await self._speak(chance.uniform(0.04, 0.22))
            case "mumbles":
                await self._agent_speaks(6.0)
                for _ in range(chance.randint(1, 3)):
                    await self._speak(chance.uniform(0.1, 0.4))
                    await asyncio.sleep(chance.uniform(0.1, 1.0))
            case "keys":
                await asyncio.sleep(chance.uniform(0.0, 3.0))
                for _ in range(chance.randint(1, 4)):
                    self._press(chance.choice("0123456789*"))
                    await asyncio.sleep(chance.uniform(0.05, 0.8))
                if chance.random() < 0.5:
                    self._press("#")
            case "waits":
                await asyncio.sleep(chance.uniform(1.0, 12.0))
            case "goes-on":
                await self._silence_of_agent(8.0)
                await self._speak(chance.uniform(2.5, 5.0))
            case _:
                await self._speak(chance.uniform(0.3, 2.0))

    async def _speak(self, seconds: float) -> None:
        stream = self._stream
        if stream is None or stream.speaking is not None:
            await asyncio.sleep(seconds)
            return
        frames = max(1, round(seconds * 50))
        number = len(self._carrier.utterances) + 1
        utterance = Utterance(number, frames, self._world.loop.time())
        self._carrier.utterances[number] = utterance
        self._call.utterances.append(utterance)
        self._world.note("caller", f"{self._call.sid} says {number}", f"{frames} frames")
        stream.speak(utterance)
        await asyncio.sleep(frames * 0.02)

    def _press(self, digit: str) -> None:
        stream = self._stream
        if stream is not None:
            self._world.note("caller", f"{self._call.sid} presses {digit}")
            stream.press(digit)

    async def _silence_of_agent(self, longest: float) -> None:
        """Wait until the agent has spoken and is silent again; not for ever."""
        loop = self._world.loop
        until = loop.time() + longest
        pause = self._chance.uniform(0.2, 1.0)
        while loop.time() < until:
            stream = self._stream
            left = 0.5
            if stream is not None and stream.agent_sounded:
                left = stream.end_of_sound + pause - loop.time()
                if left <= 0:
                    return
            await asyncio.sleep(max(0.05, min(left, until - loop.time())))

    async def _agent_speaks(self, longest: float) -> None:
        loop = self._world.loop
        until = loop.time() + longest
        while loop.time() < until:
            stream = self._stream
            if stream is not None and stream.end_of_sound > loop.time() + 0.1:
                return
            await asyncio.sleep(0.25)

    async def _trouble(self) -> None:
        """What happens to the line meanwhile."""
        carrier, call, chance = self._carrier, self._call, self._chance
        if not carrier.plan.carrier:
            return
        while True:
            await asyncio.sleep(chance.uniform(1.0, 4.0))
            stream = self._stream
            if stream is None:
                continue
            if carrier.strikes("socket-burst", call.sid):
                stream.hold(chance.uniform(0.1, 3.0))
            if carrier.strikes("audio-gap", call.sid):
                stream.skip(chance.choice((40, 200, 1500, 70_000)))
            if carrier.strikes("rubbish", call.sid):
                stream.rubbish(chance.choice(("", "{}", '{"event":"media"}', "no json")))
            if carrier.strikes("second-start", call.sid):
                stream.restart()
            if carrier.strikes("socket-lost", call.sid):
                stream.lose()
            elif carrier.strikes("socket-silent", call.sid):
                stream.deaf = True
                stream.disturbed_until = self._world.loop.time() + 1000.0
                self._world.loop.later(chance.uniform(3.0, 15.0), stream.lose)
