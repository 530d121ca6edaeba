"""A store that has lost its memory (a Redis without a file, emptied or restarted) hears of a call once more.

The call itself needs no store to go on; another replica needs its row to go on with it, and operators
its record.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from gateway.call.record import CallRecord
from gateway.errors import StoreError
from gateway.log import fact
from gateway.store import CallStore, NewCall, NoUserFree, StoredCall

_log = logging.getLogger(__name__)


def announced(call: StoredCall, now: float) -> NewCall:
    """What the webhook had said of a call that another replica admitted."""
    record = call.record
    return NewCall(
        call_sid=call.call_sid,
        account_sid=call.account_sid,
        direction=str(record.get("direction") or ""),
        caller=str(record.get("from") or ""),
        called=str(record.get("to") or ""),
        route=call.route,
        organization=call.organization,
        service_id=call.service_id,
        candidates=(call.user_id,),
        replica=call.replica,
        token_digest=call.token_digest,
        token_expires=call.token_expires,
        answer=call.answer,
        record=record,
        now=now,
    )


async def tell_again(
    store: CallStore, call: NewCall, record: CallRecord, written: Mapping[str, object], now: float
) -> None:
    """Store the call anew, with the lease of its user; raises StoreError where that cannot be done yet.

    Where the user has been leased to another call meanwhile, only the record of a call that is over is kept.
    """
    fact(_log, "store.forgot", level=logging.WARNING, call_sid=call.call_sid)
    again = replace(call, replica=record.replica, record=written, now=now)
    if record.stream_sid is not None:
        # its token was used, which the store does not know any more either
        again = replace(again, token_digest="", token_expires=0.0)
    if not isinstance(await store.admit(again), NoUserFree):
        return
    if record.ended_at is None:
        raise StoreError("the user of a call that the store forgot is another call's by now")
    await store.turn_away(again)
