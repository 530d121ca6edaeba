"""A simulated call told to a reader: turn by turn, with times, and as JSON for a program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from gateway.simulator.caller import Moment, Said
from gateway.simulator.pairing import by_words, in_order
from gateway.simulator.plan import Keys, Utterance
from gateway.simulator.record import LEDGER, Phrase, Record, RecordedTurn
from gateway.simulator.result import CallResult
from gateway.simulator.words import WordErrors, word_errors

WIDTH: Final = 11
"""Columns of the time, so that texts below each other line up."""


LEGEND: Final = (
    "(response gap: the gateway's clock, last frame it took for speech to agent audio played; "
    "the caller heard it after: the phone's, last loud frame to first audible agent sound)"
)
"""Why the two figures of a wait differ by some tenths of a second."""

FIRST_SOUND_MS: Final = 600
"""An answer played this much later than the first sound was not that sound: a phrase or filler was."""


@dataclass(frozen=True, slots=True)
class Told:
    """Lines that belong together."""

    at_ms: int | None
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One thing the caller did, beside what the gateway recorded of it."""

    said: Said | None
    """None for the greeting, and for turns the gateway began by itself."""
    turn: RecordedTurn | None

    @property
    def word_errors(self) -> WordErrors | None:
        """Recognised against really said; None where either is unknown."""
        if self.said is None or self.turn is None or not isinstance(self.said.item, Utterance):
            return None
        return (
            word_errors(self.said.item.text, self.turn.user_text) if self.said.item.text else None
        )


def clock(at_ms: int | None) -> str:
    """`mm:ss.t` since the stream started."""
    if at_ms is None:
        return "--:--.-"
    tenths = round(at_ms / 100)
    return f"{tenths // 600:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"


def moment_line(moment: Moment) -> str:
    """What happens, with `+` where the time counts from the dialling."""
    mark = "+" if moment.ringing else " "
    return f"{mark}{clock(moment.at_ms)}  {moment.who} {moment.what}"


def exchanges(result: CallResult, record: Record | None) -> list[Exchange]:
    """Pair what was said with what was recorded; a caller's turn is a voice or key turn."""
    turns = record.turns if record else ()
    paired = by_words if result.reconnects else in_order
    return [Exchange(said, turn) for said, turn in paired(result.said, turns)]


def transcript(result: CallResult, record: Record | None) -> Iterator[str]:
    """Who said what, when, and what each answer's wait was made of."""
    phrases = list(record.phrases) if record else []
    for told in _conversation(result, record):
        # Only what has a time can come after something.
        while phrases and told.at_ms is not None and (phrases[0].at_ms or 0) < told.at_ms:
            yield _phrase_line(phrases.pop(0))
        yield from told.lines
    yield from (_phrase_line(phrase) for phrase in phrases)


def _conversation(result: CallResult, record: Record | None) -> Iterator[Told]:
    """What the caller and the agent said, in order."""
    for number, exchange in enumerate(exchanges(result, record)):
        said, turn = exchange.said, exchange.turn
        if said is not None:
            yield Told(said.from_ms, tuple(_caller_lines(said, exchange)))
        first_sound_ms = _first_sound(result, exchange, number)
        wait = tuple(_wait_lines(exchange))
        if turn is None:
            yield Told(first_sound_ms, wait)
        else:
            at_ms = _answered_at(exchange, turn, first_sound_ms)
            yield Told(at_ms, (*_agent_lines(turn, at_ms), *wait))


def _first_sound(result: CallResult, exchange: Exchange, number: int) -> int | None:
    if exchange.said is not None:
        return _sum(exchange.said.until_ms, exchange.said.reply_after_ms)
    return result.greeted_after_ms if number == 0 else None


def _answered_at(exchange: Exchange, turn: RecordedTurn, first_sound_ms: int | None) -> int | None:
    """When the agent's own answer began; None where it was not heard."""
    if not turn.reached_caller:
        return None
    asked_ms = exchange.said.until_ms if exchange.said else 0
    gap = turn.timings_ms.get("response_gap")
    if first_sound_ms is None or asked_ms is None or gap is None:
        return first_sound_ms
    played_ms = asked_ms + round(gap)
    return played_ms if played_ms - first_sound_ms > FIRST_SOUND_MS else first_sound_ms


def _wait_lines(exchange: Exchange) -> Iterator[str]:
    said, turn = exchange.said, exchange.turn
    if said is None or said.reply_after_ms is None:
        return
    gap = turn.timings_ms.get("response_gap") if turn else None
    was_answer = turn is None or (
        turn.reached_caller and (gap is None or gap - said.reply_after_ms <= FIRST_SOUND_MS)
    )
    what = "it" if was_answer else "a first sound, not the answer,"
    yield _indented(f"the caller heard {what} after {said.reply_after_ms / 1000:.2f} s")


def _phrase_line(phrase: Phrase) -> str:
    return f"{clock(phrase.at_ms):<{WIDTH}}gateway says ({phrase.name})"


def _caller_lines(said: Said, exchange: Exchange) -> Iterator[str]:
    interrupting = " interrupting the agent" if said.barged_in else ""
    does = "presses" if isinstance(said.item, Keys) else "says"
    yield f"{clock(said.from_ms):<{WIDTH}}caller {does} {said.item.label}{interrupting}"
    if said.silent_after_ms is not None:
        yield _indented(f"the agent fell silent {said.silent_after_ms / 1000:.2f} s later")
    errors = exchange.word_errors
    if exchange.turn is not None and isinstance(said.item, Utterance):
        wrong = f" ({errors.errors} of {errors.words} words wrong)" if errors else ""
        yield _indented(f'recognised: "{exchange.turn.user_text}"{wrong}')


def _agent_lines(turn: RecordedTurn, at_ms: int | None) -> Iterator[str]:
    if not turn.reached_caller:
        yield f"{clock(at_ms):<{WIDTH}}agent  (not heard)"
        return
    yield f'{clock(at_ms):<{WIDTH}}agent  says "{turn.agent_text or turn.heard_text}"'
    if turn.interrupted:
        yield _indented(f'interrupted; heard until "{turn.heard_text}"')
    gap = turn.timings_ms.get("response_gap")
    if gap is not None:
        parts = " + ".join(
            f"{name} {turn.timings_ms[name] / 1000:.2f}"
            for name in LEDGER
            if name in turn.timings_ms
        )
        yield _indented(f"response gap {gap / 1000:.2f} s = {parts}")


def verdict(result: CallResult, record: Record | None) -> Iterator[str]:
    """How it ended, and what was wrong or that nothing was."""
    if record is not None:
        state = f"conversation {record.conversation_state or 'unknown'}"
        reason = record.end_reason or "no reason"
        yield f"ended: {result.outcome} on the line, {reason} in the gateway's record ({state})"
    if result.ok:
        alone = "" if record else " (judged by sound alone, without the gateway's record)"
        yield f"held in order: {result.outcome}, {result.seconds:.1f} s{alone}"
    for gap in result.reconnects:
        away = (gap.back_at_ms - gap.lost_at_ms) / 1000
        yield f"lost at {gap.lost_at_ms / 1000:.1f} s and connected again {away:.1f} s later"
    if result.reconnects:
        again = f", {result.repeated} of them said again" if result.repeated else ""
        yield f"{result.answered_after_reconnect} item(s) answered after that{again}"
    for problem in result.problems:
        yield f"problem: {problem}"
    for violation in result.violations:
        yield f"broken rule {violation}"
    if result.underruns:
        longest = max(underrun.gap_ms for underrun in result.underruns)
        yield f"{len(result.underruns)} hole(s) inside the agent's speech, the longest {longest} ms"


def as_json(result: CallResult, record: Record | None) -> dict[str, Any]:
    """Everything above for a program; times in milliseconds since the stream started."""
    return {
        "call_sid": result.call_sid,
        "ok": result.ok,
        "judged_by": "record" if record else "sound",
        "outcome": result.outcome,
        "hung_up_by": result.hung_up_by,
        "seconds": result.seconds,
        "webhook_ms": result.webhook_ms,
        "greeted_after_ms": result.greeted_after_ms,
        "problems": list(result.problems),
        "violations": [
            asdict(violation) | {"code": violation.code} for violation in result.violations
        ],
        "items": [_item_json(exchange) for exchange in exchanges(result, record) if exchange.said],
        "agent_speech": [[stretch.from_ms, stretch.until_ms] for stretch in result.agent_speech],
        "underruns": [[underrun.at_ms, underrun.gap_ms] for underrun in result.underruns],
        "reconnects": [[gap.lost_at_ms, gap.back_at_ms] for gap in result.reconnects],
        "answered_after_reconnect": result.answered_after_reconnect,
        "repeated": result.repeated,
        "notes": list(result.notes),
        "latest_tick_ms": result.latest_tick_ms,
        "recording": str(result.recording) if result.recording else None,
        "record": asdict(record) if record else None,
    }


def _item_json(exchange: Exchange) -> dict[str, Any]:
    said = exchange.said
    assert said is not None
    errors = exchange.word_errors
    match said.item:
        case Keys(digits=digits):
            what = {"kind": "keys", "digits": digits}
        case Utterance(text=text):
            what = {"kind": "speech", "text": text}
    return {
        **what,
        "from_ms": said.from_ms,
        "until_ms": said.until_ms,
        "barged_in": said.barged_in,
        "silent_after_ms": said.silent_after_ms,
        "cleared_after_ms": said.cleared_after_ms,
        "reply_after_ms": said.reply_after_ms,
        "reply_heard_ms": said.reply_heard_ms,
        "recognised": exchange.turn.user_text if exchange.turn else None,
        "word_errors": errors.errors if errors else None,
        "words": errors.words if errors else None,
    }


def _indented(text: str) -> str:
    return " " * WIDTH + text


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second
