"""The agent's side of one interaction: opening event, thinking, pieces, completion, and every way it can fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.sandbox.agent import Reply
from gateway.sandbox.conversations import Done, Message, Sound, Turn, new_id
from gateway.sandbox.faults import Strike
from gateway.sandbox.journal import Entry
from gateway.sandbox.pieces import (
    Alignment,
    Piece,
    Take,
    Wrapping,
    spoken_filler,
    text_pieces,
    voice_pieces,
)
from gateway.sandbox.queries import ActionFilter
from gateway.sandbox.state import Sandbox
from gateway.sandbox.stream import HUGE, Event, EventStream

BREAKS: Final = ("error-mid", "cut-mid-reply", "eof-early", "truncated-line")
"""Faults that strike after the second piece."""
BREAK_AFTER: Final = 2
_OTHER_SOUND: Final[dict[str, dict[str, Any]]] = {
    "audio-mp3": {"format": "mp3"},
    "audio-wav": {"format": "wav"},
    "audio-24k": {"rate": 24_000},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One create or interact whose answer has begun to stream."""

    sandbox: Sandbox
    entry: Entry
    stream: EventStream
    turn: Turn
    voice: bool
    """The client asked for a spoken reply."""
    actions: ActionFilter


async def answer(
    exchange: Exchange,
    opening: tuple[Event, ...],
    heard: list[Message],
    done: Done,
) -> None:
    """Stream one whole answer up to, not including, the end of the connection.

    The interaction is stored just before `interaction-complete` says so; if it breaks earlier,
    nothing of it remains.
    """
    sandbox, entry, stream = exchange.sandbox, exchange.entry, exchange.stream
    for event in opening:
        await stream.send(event)
    if sandbox.strike("cut-create", entry) or sandbox.strike("cut-before-reply", entry):
        stream.cut()
    await _think(exchange)
    if sandbox.strike("error-before", entry):
        await stream.error(500, "the interaction failed")
        return
    message_id = new_id()
    take = Take(_wrapping(exchange)) if exchange.voice else None
    if await _speak(exchange, done.reply, message_id, take):
        if sandbox.strike("cut-before-completion", entry):
            stream.cut()
        if take is not None:
            exchange.turn.sounds.append(Sound(message_id, *take.file()))
        await _complete(exchange, heard, done, message_id)


async def _think(exchange: Exchange) -> None:
    sandbox, entry = exchange.sandbox, exchange.entry
    for action in _thoughts():
        await _act(exchange, action)
    if sandbox.strike("unknown-action", entry):
        await _act(exchange, {"type": "consult-the-stars", "stars": 7})
    stall = sandbox.strike("stall-think", entry)
    seconds = (sandbox.options.think_ms + (stall.ms if stall else 0)) / 1000
    filler = sandbox.strike_first(("filler", "filler-text"), entry)
    if filler is not None:
        await asyncio.sleep(filler.ms / 1000)
        seconds = max(seconds - filler.ms / 1000, 1.0)
        await _act(exchange, await _filler(sandbox, filler))
    await asyncio.sleep(seconds)


def _thoughts() -> tuple[dict[str, Any], ...]:
    """The steps of thinking the front desk reports, of types in the current API description."""
    return (
        {"type": "select-dynamic-behavior-vector-generated"},
        {
            "type": "navigate-state-machine-action-state-action-selected",
            "action": "Answer the caller",
        },
    )


async def _filler(sandbox: Sandbox, strike: Strike) -> dict[str, Any]:
    spoken, text = strike.kind == "filler", sandbox.agent.filler()
    return {
        "type": "action-too-long",
        "filler": await spoken_filler(sandbox, text) if spoken else text,
        "previously_started_event": {"type": "tool-call-started"},
    }


async def _act(exchange: Exchange, action: dict[str, Any]) -> None:
    if exchange.actions.wants(action["type"]):
        await exchange.stream.send({"type": "current-agent-action", "action": action})


async def _speak(exchange: Exchange, reply: Reply, message_id: str, take: Take | None) -> bool:
    """Send the pieces; False when a fault ended the answer among them."""
    sandbox, entry, stream = exchange.sandbox, exchange.entry, exchange.stream
    ending = sandbox.strike_first(BREAKS, entry)
    shape = _Shape(exchange, message_id)
    async for event, last in _marked(_pieces(exchange, reply, take), shape):
        await stream.send(event)
        if ending is not None and (last or event["sequence_number"] + 1 == BREAK_AFTER):
            if ending.kind != "cut-mid-reply":
                await _break(stream, ending, event)
                return False
            stream.cut()
            ending = None
        if event["sequence_number"] == 0:
            await _oddities(exchange)
    return True


async def _break(stream: EventStream, ending: Strike, event: Event) -> None:
    if ending.kind == "error-mid":
        await stream.error(500, "the interaction failed")
    elif ending.kind == "truncated-line":
        await stream.send_raw(b'{"type":"new-message","message":"' + event["message"][:99].encode())


async def _oddities(exchange: Exchange) -> None:
    """Lines a careful client ignores, between the first piece and the second."""
    sandbox, entry, stream = exchange.sandbox, exchange.entry, exchange.stream
    if sandbox.strike("unknown-event", entry):
        await stream.send({"type": "weather-report", "sky": "clear"})
    if sandbox.strike("malformed-line", entry):
        await stream.send_line(b'{"type": "new-message", "message": ')


def _pieces(exchange: Exchange, reply: Reply, take: Take | None) -> AsyncIterator[Piece]:
    if take is None:
        return text_pieces(reply)
    odd = exchange.sandbox.strike("odd-pieces", exchange.entry) is not None
    return voice_pieces(exchange.sandbox, reply, take, odd=odd)


def _wrapping(exchange: Exchange) -> Wrapping:
    """How this reply's sound goes over the wire: as the options say, or as a fault does."""
    options = exchange.sandbox.options
    usual = Wrapping(options.voice_format, options.voice_rate)
    strike = exchange.sandbox.strike_first(tuple(_OTHER_SOUND), exchange.entry)
    if strike is None:
        return usual
    return replace(usual, **_OTHER_SOUND[strike.kind])


class _Shape:
    """Turns pieces into `new-message` events of the revision, with this answer's peculiarities."""

    def __init__(self, exchange: Exchange, message_id: str) -> None:
        sandbox, entry = exchange.sandbox, exchange.entry
        self._message_id = message_id
        self._seed_revision = sandbox.options.revision == "2025-06"
        self._reversed = sandbox.strike("reversed-alignment", entry) is not None
        self._sparse = sandbox.strike("sparse-alignment", entry) is not None
        self._huge = sandbox.strike("huge-line", entry) is not None
        self.empty_last = sandbox.strike("empty-piece", entry) is not None

    def event(self, piece: Piece, number: int, *, stop: bool) -> Event:
        event: Event = {"type": "new-message", "message": piece.message}
        self._align(event, piece.alignment, number)
        if self._seed_revision:
            event["message_metadata"] = []
        if self._huge and number == 0:
            event["padding"] = "x" * HUGE
        return {**event, "stop": stop, "sequence_number": number, "message_id": self._message_id}

    def _align(self, event: Event, alignment: Alignment | None, number: int) -> None:
        if self._sparse and number % 3 == 1:
            return
        if alignment is None or (self._sparse and number % 3 == 2):
            event["transcript_alignment"] = None
        elif self._reversed:
            event["transcript_alignment"] = [[character, at] for at, character in alignment]
        else:
            event["transcript_alignment"] = [[at, character] for at, character in alignment]


async def _marked(pieces: AsyncIterator[Piece], shape: _Shape) -> AsyncIterator[tuple[Event, bool]]:
    """Events in order, each with whether it is the last; one piece is held back to know that."""
    number, held = 0, None
    async for piece in pieces:
        if held is not None:
            yield shape.event(held, number, stop=False), False
            number += 1
        held = piece
    if held is not None:
        yield shape.event(held, number, stop=not shape.empty_last), not shape.empty_last
        number += 1
    if held is None or shape.empty_last:
        yield shape.event(Piece("", []), number, stop=True), True


async def _complete(exchange: Exchange, heard: list[Message], done: Done, message_id: str) -> None:
    sandbox, entry, stream, turn = exchange.sandbox, exchange.entry, exchange.stream, exchange.turn
    failing = sandbox.strike("error-after", entry)
    reply, owed = done.reply, failing is not None
    ends = reply.ends or owed
    said = turn.message("agent-message", reply.text, voice=exchange.voice, message_id=message_id)
    turn.commit(done, [*heard, said], finished=ends, finish_owed=owed)
    completed: Event = {
        "type": "interaction-complete",
        "message_id": message_id,
        "interaction_id": turn.interaction_id,
        "full_message": reply.text,
    }
    if sandbox.options.revision == "2026-04":
        completed["conversation_completed"] = ends
    await stream.send(completed)
    if sandbox.strike("cut-after-completion", entry):
        stream.cut()
    if ends and sandbox.options.revision == "2025-06" and entry.operation == "interact":
        await stream.send({"type": "end-session"})
    if failing is not None:
        await stream.error(500, "post-processing failed")
    late = sandbox.strike("late-eof", entry)
    if late is not None:
        await asyncio.sleep(late.ms / 1000)
