"""Whose a call is: found out from the store, where others may have taken it up meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from gateway.call import events as ev
from gateway.call.exchange import Exchange
from gateway.call.record import CallRecord
from gateway.ids import CallSid, ConversationId
from gateway.log import fact
from gateway.store import CallStore

_log = logging.getLogger(__name__)

OWNER_PATIENCE: Final = 2.0
"""Seconds the store may take to say whose the call is, after this process stood still."""
HEARD_LATELY: Final = 1.0
"""A line that gave a sign of life so lately is alive: sound comes 50 times a second."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Another replica has the call."""

    stranded: ConversationId | None
    """A conversation of ours of which that replica knows nothing."""


@dataclass(frozen=True, slots=True)
class Ours:
    """The call is this process's."""

    claimed_back: bool
    """It was another's for a while, and that one's record of it is the store's."""


async def whose(
    record: CallRecord, store: CallStore, wall: Callable[[], float], hears: Callable[[], bool]
) -> Ours | Taken:
    """Ask the store. A line of ours that is alive (`hears`) settles it, unless the caller is elsewhere by now.

    Raises StoreError; whoever asks sets the bound (`OWNER_PATIENCE`).
    """
    sid, mine = CallSid(record.call_sid), record.replica
    call = await store.get(sid)
    if call is None or call.replica == mine:
        return Ours(claimed_back=False)
    same_stream = call.record.get("stream_sid") == record.stream_sid
    conversation = record.conversation_id
    # where another conversation was begun for the caller, this one is over
    same_talk = call.conversation_id in (None, conversation)
    if hears() and same_stream and same_talk:
        claimed = await store.claim(sid, mine, wall(), call.replica)
        if claimed is not None and claimed.replica == mine:
            fact(_log, "call.kept", call_sid=sid)
            return Ours(claimed_back=True)
    fact(_log, "call.taken-over", level=logging.WARNING, call_sid=sid, by=call.replica)
    if conversation is None or conversation == call.conversation_id:
        return Taken(stranded=None)
    return Taken(stranded=ConversationId(conversation))


def may_have_created(exchange: Exchange, untold: Iterable[ev.Event]) -> bool:
    """A create was asked for whose outcome nobody here knows, or is being asked for.

    `untold` is what happened that the exchange has not been told of.
    """
    for event in untold:
        if isinstance(event, ev.TurnClosed) and event.turn == 0 and event.failure is not None:
            refused = event.failure.kind is ev.FailureKind.REFUSED or not event.failure.asked
            return exchange.maybe_created or not refused
    return exchange.maybe_created or exchange.connected is not None
