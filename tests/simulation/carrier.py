"""The telephone network: it asks the gateway what to do with calls, and does it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol
from xml.etree import ElementTree as ET

from gateway.errors import CarrierError
from gateway.ids import CallSid
from tests.simulation import doors
from tests.simulation.loop import WORLD, Process
from tests.simulation.plan import ACCOUNT, NUMBER, PUBLIC, CallPlan, Plan
from tests.simulation.sound import Voice
from tests.simulation.stream import Ear, Gap, Stream, Utterance, lag_of
from tests.simulation.world import World

WEBHOOK_SECONDS: Final = 15.0
MOST_DOCUMENTS: Final = 40
"""Documents one call may be given before something goes round in circles."""
_RUBBISH: Final = ("", "{}", '{"event":"media"}', '{"event":"surprise"}', "not json at all")


class Gateway(Protocol):
    """A gateway process as the load balancer sees it."""

    process: Process
    name: str
    listening: bool
    draining: bool

    def serve(self, request: doors.SimRequest) -> asyncio.Task[tuple[int, str]]:
        """Have its web server answer."""
        ...


def address_of(name: str) -> str:
    """Where the other processes reach this one."""
    return f"http://{name}:8080"


@dataclass(slots=True)
class Judged:
    """What the judge is told by the carrier."""

    heard: Callable[[Call, Stream, Gap], None]
    played: Callable[[Call, Stream, Voice | None, int], None]
    cleared: Callable[[Call, Stream], None]
    ahead: Callable[[Call, Stream, float], None]
    over: Callable[[Call], None]
    answered: Callable[[Call, str, int, str], None]
    refused: Callable[[Call, Stream], None]


@dataclass(slots=True)
class Told:
    """Something the caller was told, by whatever voice."""

    at: float
    how: str


class Carrier:
    """Places calls and carries them."""

    def __init__(
        self, world: World, plan: Plan, gateways: Callable[[], Sequence[Gateway]], judged: Judged
    ) -> None:
        self.world = world
        self.plan = plan
        self.chance = world.chance("carrier")
        self.judged = judged
        self._gateways = gateways
        self.calls: dict[str, Call] = {}
        self.utterances: dict[int, Utterance] = {}

    def strikes(self, kind: str, who: str) -> bool:
        if self.world.calm:
            return False
        rate = self.plan.carrier.get(kind, 0.0)
        if rate and self.chance.random() < rate:
            self.world.fault(f"carrier-{kind}", who)
            return True
        return False

    def call(self, plan: CallPlan) -> Call:
        number = len(self.calls) + 1
        call = Call(self, f"CA{number:03d}", plan)
        self.calls[call.sid] = call
        return call

    # ------------------------------------------------------------ the way to the gateway

    def at(self, address: str) -> Gateway:
        """The gateway process that told the store this address."""
        return next(one for one in self._gateways() if address_of(one.name) == address)

    def balance(self, call: Call) -> Gateway | None:
        """The gateway that a request of this call gets to; None: nobody listens."""
        up = [one for one in self._gateways() if one.listening and not one.process.gone]
        if call.home in up and self.chance.random() < 0.5:
            return call.home
        ready = [one for one in up if not one.draining]
        if ready and self.chance.random() < 0.8:
            up = ready
        return self.chance.choice(up) if up else None

    async def ask(
        self, gateway: Gateway, request: doors.SimRequest, seconds: float
    ) -> tuple[int, str]:
        """Have one gateway answer; raises ConnectionError or TimeoutError where it does not."""
        loop = self.world.loop
        answered: asyncio.Future[tuple[int, str]] = loop.create_future()

        def broke() -> None:
            if not answered.done():
                answered.set_exception(ConnectionResetError())

        def done(task: asyncio.Task[tuple[int, str]]) -> None:
            gateway.process.unwatch(watch)
            if answered.done():
                return
            if task.cancelled():
                answered.set_exception(ConnectionResetError())
            else:
                answered.set_result(task.result())

        async with asyncio.timeout(seconds):
            await asyncio.sleep(self.chance.uniform(0.005, 0.03))
            if gateway.process.gone or not gateway.listening:
                raise ConnectionRefusedError
            watch = gateway.process.watch(broke)
            task = gateway.serve(request)
            task.add_done_callback(done, context=WORLD)
            result = await answered
            await asyncio.sleep(self.chance.uniform(0.005, 0.03))
            return result

    async def webhook(self, call: Call, url: str, form: Mapping[str, str]) -> tuple[int, str]:
        """Ask as the carrier does: once more where no answer comes; status 0 where none came at all."""
        until = self.world.loop.time() + WEBHOOK_SECONDS
        for attempt in range(2):
            gateway = self.balance(call)
            left = until - self.world.loop.time()
            if gateway is None or left <= 0:
                await asyncio.sleep(0.2)
                continue
            request = doors.SimRequest("POST", url, dict(form))
            try:
                status, text = await self.ask(gateway, request, left if attempt else left / 2)
            except (ConnectionError, TimeoutError) as error:
                self.world.note("carrier", f"{call.sid} no answer", type(error).__name__)
                continue
            if attempt == 0 and self.strikes("answer-lost", call.sid):
                continue
            if status < 400 and "<Connect" in text:
                call.home = gateway
            return status, text
        return 0, ""


class Remote:
    """The carrier's REST interface, as one gateway process reaches it (`gateway.bridge.house.HangsUp`)."""

    def __init__(self, carrier: Carrier, process: Process) -> None:
        self._carrier = carrier
        self._process = process

    async def hang_up(self, call_sid: CallSid) -> None:
        carrier = self._carrier
        call = carrier.calls[call_sid]
        carrier.world.note(self._process.name, f"orders hang-up of {call_sid}")
        await asyncio.sleep(carrier.chance.uniform(0.02, 0.2))
        if carrier.strikes("hang-up-refused", call_sid):
            raise CarrierError("hang-up", status=500, detail="refused")
        if carrier.strikes("hang-up-late", call_sid):
            await asyncio.sleep(5.0)
        carrier.world.loop.soon(call.completed)
        if carrier.strikes("hang-up-answer-lost", call_sid):
            raise CarrierError("hang-up", detail="no answer")


class Call:
    """One call, from ringing to its last status callback."""

    def __init__(self, carrier: Carrier, sid: str, plan: CallPlan) -> None:
        self.carrier = carrier
        self.world = carrier.world
        self.sid = sid
        self.plan = plan
        self.chance: Random = carrier.world.chance(f"call {sid}")
        self.home: Gateway | None = None
        self.stream: Stream | None = None
        self.streams: list[Stream] = []
        self.told: list[Told] = []
        self.began = 0.0
        self.ended: float | None = None
        self.ended_by = ""
        """`caller`, `rest`, `document` (the gateway's answer), `failed` (nobody answered)."""
        self.answers: list[str] = []
        self.over: asyncio.Future[None] = carrier.world.loop.create_future()
        """The call has ended, whoever ended it."""
        self.settled: asyncio.Future[None] = carrier.world.loop.create_future()
        """Everything the carrier has to say about it was said."""
        self._flow: asyncio.Task[None] | None = None
        self.ear = _CallEar(self)
        self.utterances: list[Utterance] = []
        self.unwanted = False
        """An operator had it ended: its caller is owed no word."""
        self.intruded = False
        """Somebody else has used its token: whose stream is the caller's, nobody can tell."""

    # ------------------------------------------------------------ life

    async def run(self) -> None:
        """Ring, follow what the gateway says, and tell it how it ended."""
        await asyncio.sleep(self.plan.at)
        self.began = self.world.loop.time()
        self.world.note("carrier", f"{self.sid} rings", f"from {self.plan.caller}")
        self._flow = self.world.loop.world(self._follow(), f"flow {self.sid}")
        self._flow.add_done_callback(self._flowed, context=WORLD)
        await self.over
        if not self._flow.done():
            self._flow.cancel()
        await asyncio.wait([self._flow])
        await self._tell()
        self.settled.set_result(None)
        self.carrier.judged.over(self)

    def _flowed(self, flow: asyncio.Task[None]) -> None:
        if not flow.cancelled() and flow.exception() is not None:
            raise flow.exception() or AssertionError
        self.finish("document")

    def finish(self, by: str) -> None:
        """The call ends."""
        if self.over.done():
            return
        self.ended, self.ended_by = self.world.loop.time(), by
        self.world.note("carrier", f"{self.sid} ends", f"by {by}")
        stream = self.stream
        if stream is not None:
            said = not self.carrier.strikes("no-stop", self.sid)
            if self.carrier.strikes("status-early", self.sid):
                self.world.loop.later(self.chance.uniform(0.2, 2.0), lambda: stream.stop(said=said))
            else:
                stream.stop(said=said)
        self.over.set_result(None)

    def hang_up(self) -> None:
        """The caller hangs up."""
        self.finish("caller")

    def completed(self) -> None:
        """The gateway ordered the end."""
        self.finish("rest")

    # ------------------------------------------------------------ what the gateway says

    def form(self, **more: str) -> dict[str, str]:
        return {
            "CallSid": self.sid,
            "AccountSid": ACCOUNT,
            "From": self.plan.caller,
            "To": NUMBER,
            "Direction": "inbound",
            **more,
        }

    async def _follow(self) -> None:
        url = f"{PUBLIC}/twilio/voice"
        form: Mapping[str, str] = self.form(CallStatus="ringing")
        for _ in range(MOST_DOCUMENTS):
            if self.carrier.strikes("webhook-twice", self.sid):
                self.world.loop.world(self.carrier.webhook(self, url, form), "webhook twice")
            status, text = await self.carrier.webhook(self, url, form)
            path = url.removeprefix(PUBLIC).partition("?")[0]
            self.world.note("carrier", f"{self.sid} {path} -> {status}", _verbs(text))
            self.carrier.judged.answered(self, path, status, text)
            self.answers.append(_verbs(text) or str(status))
            if status != 200:
                self.told.append(Told(self.world.loop.time(), "application error"))
                self.finish("failed")
                return
            following = await self._obey(ET.fromstring(text))
            if following is None:
                return
            url, form = following
        self.world.violated("circle", f"{self.sid} got {MOST_DOCUMENTS} documents")

    async def _obey(self, document: ET.Element) -> tuple[str, Mapping[str, str]] | None:
        """Do what the document says; returns whom to ask next."""
        for verb in document:
            match verb.tag:
                case "Connect":
                    await self._connect(verb[0].attrib["url"])
                    return verb.attrib["action"], self.form(CallStatus="in-progress")
                case "Say":
                    self.told.append(Told(self.world.loop.time(), "say"))
                    await asyncio.sleep(2.0)
                case "Pause":
                    await asyncio.sleep(float(verb.attrib["length"]))
                case "Redirect":
                    return str(verb.text), self.form(CallStatus="in-progress")
                case "Dial":
                    self.told.append(Told(self.world.loop.time(), "dial"))
                    await asyncio.sleep(3.0)
                case "Reject":
                    self.told.append(Told(self.world.loop.time(), "reject"))
                    return None
                case "Hangup":
                    return None
                case _:
                    raise AssertionError(verb.tag)
        return None

    async def _connect(self, url: str) -> None:
        """Open the media stream and hold it until it ends."""
        carrier = self.carrier
        if carrier.strikes("never-streams", self.sid):
            await asyncio.sleep(self.chance.choice((1.0, 30.0)))
            return
        await asyncio.sleep(self.chance.uniform(0.05, 0.8))
        gateway = carrier.balance(self)
        if gateway is None:
            self.world.note("carrier", f"{self.sid} stream finds nobody")
            return
        sid = f"MZ{self.sid}{len(self.streams)}"
        lag = 1.4 if carrier.strikes("marks-late", self.sid) else lag_of(self.chance)
        stream = Stream(self.world, self.sid, sid, gateway.process, self.ear, lag)
        stream.marks_lost = carrier.strikes("marks-lost", self.sid)
        self.stream = stream
        self.streams.append(stream)
        path = url.replace("wss://", "https://")
        request = doors.SimRequest("GET", path, None, stream)
        watch = gateway.process.watch(stream.lose)
        asking = self.world.loop.world(carrier.ask(gateway, request, 10_000.0), "media")
        if carrier.strikes("token-twice", self.sid):
            self.intruded = True
            self.world.loop.world(self._intrude(gateway, path), "token twice")
        asking.add_done_callback(lambda task: self._media_ended(stream, task), context=WORLD)
        try:
            await asyncio.wait(
                [stream.over]
            )  # not awaited itself: a cancelled wait would cancel it
        finally:
            gateway.process.unwatch(watch)
            self.stream = None

    def _media_ended(self, stream: Stream, task: asyncio.Task[tuple[int, str]]) -> None:
        """The handler of the media socket has ended."""
        if task.cancelled():
            return
        error = task.exception()
        if error is None and task.result()[0] != 101 and not stream.began:
            self.world.note("carrier", f"stream {stream.sid} refused", task.result()[0])
            if task.result()[0] == 403:
                self.carrier.judged.refused(self, stream)
            stream.end("refused")
        elif error is not None and not isinstance(error, ConnectionError | TimeoutError):
            raise error
        elif error is not None:
            stream.end("lost")

    async def _intrude(self, gateway: Gateway, path: str) -> None:
        """Somebody who saw the token uses it a second time."""
        await asyncio.sleep(self.chance.uniform(0.0, 0.3))
        sid = f"MZ{self.sid}x"
        intruder = Stream(self.world, self.sid, sid, gateway.process, self.ear, 0.1)
        request = doors.SimRequest("GET", path, None, intruder)
        first = self.streams[-1]
        try:
            status, _ = await self.carrier.ask(gateway, request, 30.0)
        except (ConnectionError, TimeoutError):
            return
        finally:
            intruder.end("gone")
        if status != 403 and intruder.began and first.began:
            self.world.violated("token", f"{self.sid}: one token opened two streams")

    # ------------------------------------------------------------ what it says to the gateway

    async def _tell(self) -> None:
        """Status callbacks, as unreliable as they are."""
        carrier = self.carrier
        final = self.form(CallStatus="completed")
        calls = [("in-progress", 0.0), ("completed", 0.0)]
        if carrier.strikes("status-reordered", self.sid):
            calls.reverse()
        if carrier.strikes("status-twice", self.sid):
            calls.append(("completed", self.chance.uniform(0.0, 5.0)))
        for status, wait in calls:
            await asyncio.sleep(wait + self.chance.uniform(0.0, 0.5))
            form = {**final, "CallStatus": status}
            code, _ = await carrier.webhook(self, f"{PUBLIC}/twilio/status", form)
            self.world.note("carrier", f"{self.sid} status {status} -> {code}")


@dataclass(slots=True)
class _CallEar(Ear):
    """Passes on what a stream carries, with the name of its call."""

    call: Call
    sounded: list[float] = field(default_factory=list)

    def gap(self, stream: Stream, gap: Gap) -> None:
        self.call.carrier.judged.heard(self.call, stream, gap)

    def played(self, stream: Stream, voice: Voice | None, number: int) -> None:
        self.call.carrier.judged.played(self.call, stream, voice, number)

    def cleared(self, stream: Stream) -> None:
        self.call.carrier.judged.cleared(self.call, stream)

    def ahead(self, stream: Stream, seconds: float) -> None:
        self.call.carrier.judged.ahead(self.call, stream, seconds)


def _verbs(text: str) -> str:
    return ",".join(re.findall(r"<(Connect|Say|Pause|Redirect|Dial|Reject|Hangup)", text))
