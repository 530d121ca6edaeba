"""One scripted caller: listens, waits for the turn, talks, interrupts, presses keys, hangs up.

Pure: every 20 ms it is told what it hears and answers what it does. It keeps the account of the
conversation as a person on the phone would: when the agent began, how long the reply took.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from audio.types import FRAME_MS
from gateway.simulator.ear import Ear
from gateway.simulator.plan import CallPlan, Item, Keys, Utterance
from gateway.simulator.sound import frames, is_voiced, noise_frame

HEARD_MS: Final = 200
"""So much audible sound makes an answer."""

FEW_WORDS_MS: Final = 1600
"""Up to this much audible sound may be a filler before the answer proper."""

Who = Literal["caller", "agent", "call"]


@dataclass(frozen=True, slots=True)
class Moment:
    """Something worth telling the reader, as it happens."""

    at_ms: int
    who: Who
    what: str
    ringing: bool = False
    """The time counts from the dialling: no stream was open yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What became of one item of the plan."""

    item: Item
    from_ms: int
    """When its first voiced frame, or first key, went out."""
    until_ms: int | None = None
    """End of its last voiced frame, or its last key; None while it is being said."""
    barged_in: bool = False
    """The agent was being heard when it began."""
    silent_after_ms: int | None = None
    """From its beginning, over the agent's voice, to the agent's silence: by `clear`, or played out."""
    cleared_after_ms: int | None = None
    """From its beginning to the gateway's `clear`, if it sent one."""
    reply_after_ms: int | None = None
    """From its end to the first agent sound heard: the response gap from outside."""
    reply_heard_ms: int = 0
    """Audible agent sound heard before the next item."""

    @property
    def answered(self) -> bool:
        return self.reply_heard_ms >= HEARD_MS


@dataclass(frozen=True, slots=True)
class Act:
    """What the caller does in one step of 20 ms."""

    sound: bytes
    voiced: bool
    begins: bool = False
    """The first voiced frame, or a key."""
    interrupts: bool = False
    """It begins a planned interruption by voice, while the agent is being played."""
    digit: str | None = None
    hangs_up: bool = False


class _Performance:
    """An item being performed: its steps, one per 20 ms."""

    def __init__(self, item: Item, key_gap_ms: int) -> None:
        self.item = item
        match item:
            case Utterance(sound=sound):
                self._steps = [Act(frame, is_voiced(frame)) for frame in frames(sound)]
            case Keys(digits=digits):
                gap = [Act(noise_frame(n), voiced=False) for n in range(1, key_gap_ms // FRAME_MS)]
                self._steps = [
                    step
                    for digit in digits
                    for step in (Act(noise_frame(0), voiced=False, begins=True, digit=digit), *gap)
                ]
        self._steps = self._steps or [Act(noise_frame(0), voiced=False)]
        loud = [n for n, step in enumerate(self._steps) if step.voiced or step.digit]
        self._first, self._last = (loud[0], loud[-1]) if loud else (0, len(self._steps) - 1)
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at >= len(self._steps)

    @property
    def begun(self) -> bool:
        """The first voiced frame, or key, has gone out."""
        return self._at > self._first

    @property
    def voicing(self) -> bool:
        """The last voiced frame, or key, is still to come."""
        return self._at <= self._last

    def step(self) -> Act:
        act = self._steps[self._at]
        if self._at == self._first:
            act = replace(act, begins=True)
        self._at += 1
        return act


class Caller:
    """Performs a plan; call `step` every 20 ms with what is being played."""

    def __init__(
        self,
        plan: CallPlan,
        tell: Callable[[Moment], None],
        leaving: Callable[[], bool] = lambda: False,
    ) -> None:
        """`leaving` is asked at every step: True has the caller hang up now, whatever is going on."""
        self._habits = plan.habits
        self._hang_up_at = plan.hang_up_after
        self._tell = tell
        self._leaving = leaving
        self._to_say = list(plan.items)
        self._speaking: _Performance | None = None
        self._waiting_since = 0
        self._heard_ms = 0
        self._frame = 0
        self.ear = Ear()
        self.said: list[Said] = []
        self.greeted_after_ms: int | None = None
        self.repeated = 0
        """Items said again on a new stream, because the line was lost before they were answered."""
        self.gave_up: str | None = None
        """Why the caller hung up before the end of the plan, if so."""

    @property
    def finished(self) -> bool:
        """Everything was said."""
        return not self._to_say and self._speaking is None

    @property
    def leaves(self) -> bool:
        """Was told from outside to hang up."""
        return self._leaving()

    @property
    def hangs_up_after(self) -> float | None:
        """Seconds after the first stream's start; None: the talk decides."""
        return self._hang_up_at

    def step(self, at_ms: int, playing: bytes | None) -> Act:
        """Hear one frame of the agent (None: nothing is being played) and act."""
        self._listen(at_ms, playing)
        if self._speaking is None and self._is_next(at_ms, playing is not None):
            self._speaking = _Performance(self._to_say.pop(0), self._habits.key_gap_ms)
        hangs_up = self._hang_up_at is not None and at_ms >= self._hang_up_at * 1000
        hangs_up = hangs_up or self._leaving()
        if self._speaking is not None:
            act = self._talk(self._speaking, at_ms, playing is not None)
            return replace(act, hangs_up=True) if hangs_up else act
        self._frame += 1
        hangs_up = hangs_up or self._is_over(at_ms)
        return Act(noise_frame(self._frame), voiced=False, hangs_up=hangs_up)

    def stay(self) -> None:
        """The socket was lost, the caller was not: the plan goes on, without its early end."""
        self._hang_up_at = None

    def reconnected(self, at_ms: int) -> None:
        """A new stream is up: the caller listens, and says again what the lost one left unanswered."""
        speaking, self._speaking = self._speaking, None
        cut_off = None if speaking is None else speaking.item
        if self.said and (speaking.begun if speaking else not self.said[-1].answered):
            cut_off = self.said.pop().item
        if cut_off is not None:
            self._to_say.insert(0, replace(cut_off, interrupts=False))
            self.repeated += 1
        self._waiting_since, self._heard_ms = at_ms, 0

    def cleared(self, at_ms: int) -> None:
        """The gateway sent `clear`."""
        if self.said and self.said[-1].cleared_after_ms is None:
            self._amend(cleared_after_ms=at_ms - self.said[-1].from_ms)
        self._tell(Moment(at_ms, "agent", "stops (cleared)"))

    def _listen(self, at_ms: int, playing: bytes | None) -> None:
        speaking_before = self.ear.speaking_since
        audible = self.ear.hear(at_ms, playing, self._habits.quiet_ms)
        self._notice_silence(at_ms, playing is not None)
        if audible and speaking_before is None:
            self._tell(Moment(at_ms, "agent", "speaks"))
        if not audible or (self._speaking is not None and self._speaking.voicing):
            return
        self._heard_ms += FRAME_MS
        if not self.said:
            if self.greeted_after_ms is None:
                self.greeted_after_ms = at_ms
        else:
            self._hear_reply(at_ms)

    def _notice_silence(self, at_ms: int, agent_playing: bool) -> None:
        last = self.said[-1] if self.said else None
        if last is None or not last.barged_in:
            return
        if not agent_playing and last.silent_after_ms is None:
            self._amend(silent_after_ms=at_ms - last.from_ms)
        elif agent_playing and last.silent_after_ms is not None and last.until_ms is None:
            # It held its breath and went on: the caller is still being talked over.
            self._amend(silent_after_ms=None)

    def _hear_reply(self, at_ms: int) -> None:
        last = self.said[-1]
        if last.until_ms is None:
            return
        first = last.reply_after_ms is None
        self._amend(
            reply_heard_ms=last.reply_heard_ms + FRAME_MS,
            reply_after_ms=at_ms - last.until_ms if first else last.reply_after_ms,
        )

    def _is_next(self, at_ms: int, agent_playing: bool) -> bool:
        if not self._to_say:
            return False
        since = self.ear.speaking_since
        if self._to_say[0].interrupts and agent_playing and since is not None:
            begun = max(since, self._waiting_since)
            return at_ms - begun >= self._habits.barge_in_after_ms and self._heard_ms > 0
        doubt = self._habits.doubt_ms if self._heard_ms < FEW_WORDS_MS else 0
        quiet = self._habits.quiet_ms + doubt
        return self._heard_ms >= HEARD_MS and self.ear.is_quiet(at_ms, quiet)

    def _talk(self, speech: _Performance, at_ms: int, agent_playing: bool) -> Act:
        had_begun, had_more = speech.begun, speech.voicing
        act = speech.step()
        if speech.begun and not had_begun:
            self.said.append(Said(item=speech.item, from_ms=at_ms, barged_in=agent_playing))
            self._tell(Moment(at_ms, "caller", _what(speech.item, barged_in=agent_playing)))
            if agent_playing and act.digit is None and speech.item.interrupts:
                act = replace(act, interrupts=True)
        if had_more and not speech.voicing:
            self._amend(until_ms=at_ms + FRAME_MS)
        if speech.done:
            self._speaking = None
            self._waiting_since, self._heard_ms = at_ms, self.said[-1].reply_heard_ms
        return act

    def _is_over(self, at_ms: int) -> bool:
        waited = at_ms - self._waiting_since
        if self._heard_ms < HEARD_MS:
            patience = self._habits.patience_seconds
            if waited >= patience * 1000:
                what = f"item {len(self.said)}" if self.said else "the call was answered"
                self.gave_up = f"no agent sound within {patience:g} s after {what}"
            return self.gave_up is not None
        if self._to_say:
            return False
        linger = max(self._habits.quiet_ms, round(self._habits.linger_seconds * 1000))
        return self.ear.is_quiet(at_ms, linger)

    def _amend(self, **changes: int | None) -> None:
        self.said[-1] = replace(self.said[-1], **changes)  # type: ignore[arg-type]


def _what(item: Item, *, barged_in: bool) -> str:
    does = "presses" if isinstance(item, Keys) else "says"
    return f"{does} {item.label}" + (", interrupting" if barged_in else "")
