"""Keeps the list of what the gateway did wrong on the media socket. Pure; time is passed in.

The rules are those of the strict simulator checklist (telephony.md 7.1): S1 to S11, S15, S17, S18
and S25. Like the carrier, it names a kind of fault once and counts repetitions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.simulator.wire import Clear, Mark, Media, Message, Wrong, container_in

AHEAD_LIMIT_MS: Final = 5_000
"""Our own limit of sound sent ahead of real time (S10)."""

CARRIER_LIMIT_MS: Final = 600_000
"""Beyond ten minutes the carrier discards (31931)."""

STOP_GRACE_MS: Final = 200
"""Messages may cross our `stop` on the way, which is a way there and back (S6)."""

EMPTY_GRACE_MS: Final = 200
"""A `clear` may cross the end of the playback on the way (S18)."""

SETTLING_MS: Final = 3_000
"""While the caller speaks, a `clear` so long after the last sound of ours may still belong to it (S18):
a gateway stops feeding when somebody seems to interrupt, and decides when it is sure; meanwhile the
carrier plays out what it has, and in a gap between two sounds that may be nothing."""

STRETCH_MS: Final = 1_000
"""So long after the caller's last sound or key a `clear` still belongs to that interruption (S18)."""

VOICED_MS: Final = 200
"""The caller counts as speaking for this long after a loud frame (S17)."""

LOUDEST_RUN: Final = bytes(40)
"""5 ms of 0x00: a generator that took zero bytes for silence (S15)."""

CARRIER_CODES: Final = {
    "S1": 31950,
    "S2": 31951,
    "S3": 31951,
    "S4": 31951,
    "S5": 31951,
    "S6": 31951,
    "S7": 31951,
    "S8": 31924,
    "S9": 31951,
    "S10": 31931,
    "S11": 31924,
}
"""The carrier's warning or error for a rule, where it has one."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule."""

    rule: str
    """Its name in the checklist, e.g. `S4`."""
    what: str
    """What was wrong the first time; no caller text."""
    at_ms: int
    """When it first happened, milliseconds after the stream started."""
    count: int = 1

    @property
    def code(self) -> int | None:
        """The carrier's own error number for it."""
        return CARRIER_CODES.get(self.rule)

    def __str__(self) -> str:
        code = f" ({self.code})" if self.code else ""
        times = f", {self.count} times" if self.count > 1 else ""
        return f"{self.rule}{code} at {self.at_ms / 1000:.2f} s{times}: {self.what}"


class Judge:
    """Judges one call's socket traffic; marks must stay unique across the call's streams (S9)."""

    def __init__(self, *, clear_within_ms: int) -> None:
        self._clear_within_ms = clear_within_ms
        self._found: dict[tuple[str, str], Violation] = {}
        self._marks: set[str] = set()
        self._live = False
        self._stopped_at: int | None = None
        self._last_payload_end = b""
        self._voiced_at: int | None = None
        self._active_at: int | None = None
        self._clears_in_stretch = 0
        self._cleared_while_voiced = False
        self._clear_due: int | None = None
        self._last_playing_at: int | None = None

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Every kind of fault found so far, in order of first appearance."""
        return tuple(self._found.values())

    def note(self, rule: str, what: str, at_ms: int, *, kind: str = "") -> None:
        """Record a fault; repetitions of the same rule and kind are counted."""
        seen = self._found.get((rule, kind))
        self._found[rule, kind] = (
            Violation(rule, what, at_ms)
            if seen is None
            else Violation(rule, seen.what, seen.at_ms, seen.count + 1)
        )

    def started(self) -> None:
        """`start` was sent on a (new) stream."""
        self._live, self._stopped_at = True, None

    def stopped(self, at_ms: int) -> None:
        """`stop` was sent."""
        self._stopped_at = at_ms

    def ended(self) -> None:
        """The socket is gone; the next stream starts afresh."""
        self._live = False
        self._clear_due = None

    def hear(self, message: Message, at_ms: int, *, playing: bool, queued_ms: int) -> bool:
        """Judge one message against what was going on when it came; True when the carrier obeys it."""
        if not self._live:
            self.note("S6", "a message before start", at_ms, kind="early")
        elif self._stopped_at is not None and at_ms > self._stopped_at + STOP_GRACE_MS:
            self.note("S6", "a message after stop", at_ms, kind="late")
        match message:
            case Wrong(rule, what):
                self.note(rule, what, at_ms)
                return False
            case Mark(name):
                if name in self._marks:
                    self.note("S9", "a mark name was used twice", at_ms, kind="twice")
                self._marks.add(name)
            case Clear():
                self._judge_clear(at_ms, playing=playing)
            case Media(payload):
                return self._judge_media(payload, at_ms, queued_ms=queued_ms)
        return True

    def caller_begins(self, at_ms: int, *, interrupting: bool) -> None:
        """The caller begins an utterance or presses a key; an interruption starts the S17 clock."""
        self._clears_in_stretch = 0
        self._active_at = at_ms
        self._clear_due = at_ms + self._clear_within_ms if interrupting else None

    def tick(self, at_ms: int, *, caller_voiced: bool, playing: bool) -> None:
        """Every 20 ms: whether the caller is loud and whether the agent is being played."""
        if caller_voiced:
            self._voiced_at = self._active_at = at_ms
        elif self._voiced_at is not None and at_ms - self._voiced_at > VOICED_MS:
            self._voiced_at, self._cleared_while_voiced = None, False
        if playing:
            self._last_playing_at = at_ms
        if self._clear_due is not None:
            self._judge_interruption(at_ms, self._clear_due, playing=playing)

    def short_frame(self, at_ms: int) -> None:
        """The playback ran dry inside a frame."""
        self.note("S15", "the sound ended inside a 160-byte frame", at_ms, kind="short")

    def _judge_interruption(self, at_ms: int, due: int, *, playing: bool) -> None:
        if at_ms > due:
            self._clear_due = None
            if playing:
                what = f"no clear within {self._clear_within_ms} ms of an interruption"
                self.note("S17", what, at_ms, kind="clear")
        elif not playing and self._voiced_at is None:
            # The agent had finished by itself before the caller did; there is nothing to clear.
            self._clear_due = None

    def _judge_clear(self, at_ms: int, *, playing: bool) -> None:
        interrupting, self._clear_due = self._clear_due is not None, None
        active = self._active_at is not None and at_ms - self._active_at <= STRETCH_MS
        last, grace = self._last_playing_at, SETTLING_MS if active else EMPTY_GRACE_MS
        if not interrupting and not playing and (last is None or at_ms - last > grace):
            self.note("S18", "clear with nothing queued or playing", at_ms, kind="idle")
        if active:
            self._clears_in_stretch += 1
            if self._clears_in_stretch > 1:
                self.note("S18", "a second clear in one interruption", at_ms, kind="second")
        self._cleared_while_voiced = self._voiced_at is not None

    def _judge_media(self, payload: bytes, at_ms: int, *, queued_ms: int) -> bool:
        container = container_in(payload)
        if container is not None:
            self.note("S8", f"a payload begins with a {container} header", at_ms)
        if LOUDEST_RUN in self._last_payload_end + payload:
            self.note("S15", "a run of 0x00, the loudest sample", at_ms, kind="zeros")
        self._last_payload_end = payload[-len(LOUDEST_RUN) + 1 :]
        if self._cleared_while_voiced:
            what = "media after clear while the caller was still speaking"
            self.note("S17", what, at_ms, kind="stale")
        if queued_ms + len(payload) // 8 > CARRIER_LIMIT_MS:
            self.note("S10", "more than ten minutes queued: discarded", at_ms, kind="carrier")
            return False
        if queued_ms + len(payload) // 8 > AHEAD_LIMIT_MS:
            what = f"{(queued_ms + len(payload) // 8) / 1000:.1f} s of sound queued ahead"
            self.note("S10", what, at_ms, kind="ahead")
        return True
