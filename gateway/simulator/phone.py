"""One simulated call from ringing to the last callback: markup followed, stream held, account given.

The order is the carrier's: voice webhook, its verbs one by one, the media stream, the `<Connect
action>` when the gateway closed the socket or it was lost, the status callback at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp

from gateway.clock import Clock, SystemClock
from gateway.simulator.caller import Caller, Moment
from gateway.simulator.echo import EchoPath
from gateway.simulator.judge import Judge
from gateway.simulator.line import Tape, Witness
from gateway.simulator.plan import CallPlan, GatewayTarget
from gateway.simulator.rest_double import RestDouble
from gateway.simulator.result import CLEAN_CLOSES, CallResult, Outcome, complaints
from gateway.simulator.streams import Reports, Streams
from gateway.simulator.twiml import (
    ConnectStream,
    Dial,
    Document,
    Hangup,
    Pause,
    Play,
    Redirect,
    Reject,
    Say,
)
from gateway.simulator.webhook import CallFailed, Webhooks

MAX_DOCUMENTS: Final = 10
"""A call that is redirected more often, with no time passing, goes in circles."""


async def place_call(
    plan: CallPlan,
    target: GatewayTarget,
    *,
    rest: RestDouble | None = None,
    clock: Clock | None = None,
    watch: Callable[[Moment], None] | None = None,
    leave: asyncio.Event | None = None,
) -> CallResult:
    """Call the gateway in real time and follow the plan; many calls may run at once.

    Never raises for what goes wrong in the call: that is in the result. `rest` is the carrier's REST
    double, through which the gateway may hang up; `watch` is told what happens as it happens; once
    `leave` is set the caller hangs up. Safe to cancel: sockets are closed, no callback is sent.
    """
    async with aiohttp.ClientSession() as http:
        call = _Call(plan, target, http, clock or SystemClock(), watch, leave or asyncio.Event())
        line = rest.line(call.sid, call.hang_up.set) if rest else contextlib.nullcontext()
        with line:
            await call.hold()
        await call.report_status()
    recording = await asyncio.to_thread(call.write_recording)
    return call.result(recording)


class _Call:
    def __init__(
        self,
        plan: CallPlan,
        target: GatewayTarget,
        http: aiohttp.ClientSession,
        clock: Clock,
        watch: Callable[[Moment], None] | None,
        leave: asyncio.Event,
    ) -> None:
        self._plan = plan
        self._target = target
        self._clock = clock
        self._watch = watch
        self.sid = f"CA{secrets.token_hex(16)}"
        self.hang_up = asyncio.Event()
        self._webhooks = Webhooks(http, target, plan, self.sid)
        self._moments: list[Moment] = []
        self._witness = Witness(
            caller=Caller(plan, self._tell, leave.is_set),
            judge=Judge(clear_within_ms=plan.clear_within_ms),
            tape=Tape() if plan.record else None,
            echo=EchoPath(plan.echo) if plan.echo else None,
        )
        self._streams = Streams(
            plan,
            target,
            self._webhooks,
            self._witness,
            clock,
            Reports(self._tell_of_call, self._add_problem, self.report_status),
        )
        self._problems: list[str] = []
        self._notes: list[str] = []
        self._rejected = False
        self._handed_to = ""
        """Who else was dialled for the caller."""
        self._status_sent = False
        self._dialled_at = clock.now()
        self._ended_at = clock.now()
        self._webhook_ms = 0

    async def hold(self) -> None:
        try:
            document = await self._webhooks.voice()
            self._webhook_ms = round((self._clock.now() - self._dialled_at) * 1000)
            self._tell_of_call(f"asked the gateway ({self._webhook_ms} ms)")
            await self._follow(document)
        except CallFailed as failure:
            self._problems.append(str(failure))
        self._ended_at = self._clock.now()
        self._witness.caller.ear.finish(self._streams.at_ms())

    async def report_status(self) -> None:
        if self._status_sent:
            return
        self._status_sent = True
        status = "busy" if self._rejected else "completed"
        seconds = self._streams.at_ms() / 1000
        problem = await self._webhooks.status(status, seconds, self._clock.wall())
        self._add_problem(problem)

    def write_recording(self) -> Path | None:
        tape, path = self._witness.tape, self._plan.record
        if tape is None or path is None or not tape.caller:
            return None
        # Mixing brings its own libraries; most simulated calls are not recorded.
        from audio.recording import mix_stereo

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            mix_stereo(bytes(tape.caller), bytes(tape.agent), path)
        except OSError as error:
            self._problems.append(f"the recording was not written: {error.strerror}")
            return None
        return path

    def result(self, recording: Path | None) -> CallResult:
        witness, streams = self._witness, self._streams
        return CallResult(
            call_sid=self.sid,
            stream_sids=tuple(streams.sids),
            outcome=self._outcome(),
            hung_up_by=streams.ends[-1].by if streams.ends else None,
            problems=(*self._problems, *self._complaints()),
            violations=witness.judge.violations,
            said=tuple(witness.caller.said),
            agent_speech=tuple(witness.caller.ear.stretches),
            greeted_after_ms=witness.caller.greeted_after_ms,
            underruns=tuple(witness.underruns),
            notes=tuple(self._notes),
            moments=tuple(self._moments),
            webhook_ms=self._webhook_ms,
            latest_tick_ms=round(witness.latest_tick_ms),
            seconds=round(self._ended_at - self._dialled_at, 3),
            recording=recording,
            reconnects=tuple(streams.reconnects),
            repeated=witness.caller.repeated,
        )

    async def _follow(self, document: Document) -> None:
        at_once = 0
        while at_once < MAX_DOCUMENTS:
            at_once = 0 if _takes_time(document) else at_once + 1
            for flaw in document.flaws:
                self._witness.judge.note("S35", flaw, self._streams.at_ms(), kind=flaw)
            following = await self._perform(document)
            if following is None:
                return
            document = following
        raise CallFailed(f"more than {MAX_DOCUMENTS} documents: the call goes in circles")

    async def _perform(self, document: Document) -> Document | None:
        """Do the verbs in order; the document to go on with, or None when the call is over."""
        for verb in document.verbs:
            if self.hang_up.is_set():
                return None
            match verb:
                case ConnectStream():
                    by = await self._streams.hold(verb, self.sid, self.hang_up)
                    if by in ("caller", "rest") or self._is_gone():
                        return None
                    if verb.action is not None:
                        return await self._webhooks.document(verb.action, verb.method, {})
                case Dial(targets, action, method):
                    self._handed_to = ", ".join(targets)
                    self._note(f"handed over to {self._handed_to}")
                    if action is not None:
                        done = {"DialCallStatus": "completed", "DialCallDuration": "1"}
                        return await self._webhooks.document(action, method, done)
                case Redirect(url, method):
                    return await self._webhooks.document(url, method, {})
                case Reject(reason):
                    self._rejected = True
                    self._note(f"rejected ({reason})")
                    return None
                case Hangup():
                    return None
                case Say(text):
                    self._note(f"the carrier says: {text}")
                case Play():
                    self._note("the carrier plays a recording")
                case Pause(seconds):
                    self._note(f"the carrier pauses {seconds:g} s")
                    await self._pause(seconds)
                    if self._is_gone():
                        return None
        return None

    async def _pause(self, seconds: float) -> None:
        """Let the time pass; the caller may hang up meanwhile."""
        left = self._seconds_left()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds if left is None else min(seconds, max(0.0, left))):
                await self.hang_up.wait()

    def _is_gone(self) -> bool:
        """The caller has hung up while no stream was there to hear it."""
        left, ends = self._seconds_left(), self._streams.ends
        lost = bool(ends) and ends[-1].close_code not in CLEAN_CLOSES
        gone = lost and not self._plan.waits_when_lost
        if gone or self._witness.caller.leaves or (left is not None and left <= 0):
            self._note("the caller hung up")
            return True
        return False

    def _seconds_left(self) -> float | None:
        """Until the caller hangs up whatever is going on; None: for nothing but the talk."""
        after = self._witness.caller.hangs_up_after
        return None if after is None else after - self._streams.at_ms() / 1000

    def _outcome(self) -> Outcome:
        if self._rejected:
            return "rejected"
        ends = self._streams.ends
        if self._handed_to and not ends:
            return "handed-over"
        if not ends or self._problems:
            return "failed"
        return "caller-hangup" if ends[-1].by == "caller" else "agent-ended"

    def _complaints(self) -> list[str]:
        if self._rejected:
            return ["the call was rejected"]
        streams = self._streams
        if self._handed_to and not streams.ends:
            return [f"handed over to {self._handed_to}: the gateway did not take the call itself"]
        unopened = [streams.unopened] if streams.unopened else []
        if not streams.ends:
            found = unopened or ["the gateway opened no media stream"]
            return [] if self._problems else found
        return [*unopened, *complaints(self._witness.caller, self._plan, streams.ends[-1])]

    def _add_problem(self, problem: str | None) -> None:
        if problem is not None:
            self._problems.append(problem)

    def _note(self, note: str) -> None:
        self._notes.append(note)
        self._tell_of_call(note)

    def _tell_of_call(self, what: str) -> None:
        if self._streams.began is None:
            since_dialled = round((self._clock.now() - self._dialled_at) * 1000)
            self._tell(Moment(since_dialled, "call", what, ringing=True))
        else:
            self._tell(Moment(self._streams.at_ms(), "call", what))

    def _tell(self, moment: Moment) -> None:
        self._moments.append(moment)
        if self._watch is not None:
            self._watch(moment)


def _takes_time(document: Document) -> bool:
    """Whether the caller spends time in this document: a loop of such ones is a queue, no circle."""
    return any(
        isinstance(verb, ConnectStream) or (isinstance(verb, Pause) and verb.seconds >= 1)
        for verb in document.verbs
    )
