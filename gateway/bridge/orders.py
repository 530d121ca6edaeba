"""Orders to calls of this replica that came in at another one, or from the command line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from gateway.errors import StoreError
from gateway.log import fact
from gateway.store import CallStore, Order

_log = logging.getLogger(__name__)

WAIT_SECONDS: Final = 5.0
"""How long one look waits for an order to come."""
PAUSE_SECONDS: Final = 1.0
"""Before another look where the last one failed."""
HANG_UP: Final = "hang-up"
TRANSFER: Final = "transfer"
"""With `to`: a number in E.164, or a `sip:` address."""
OVER: Final = "over"
"""The carrier says that the call has ended."""
TOKEN: Final = "token"  # noqa: S105 - a kind of order
"""The carrier asked again how to answer, elsewhere, and got a new token."""


class Orders:
    """Takes what was ordered of our calls, and has it obeyed."""

    def __init__(self, store: CallStore, replica: str, obey: Callable[[Order], None]) -> None:
        self._store = store
        self._replica = replica
        self._obey = obey

    async def run(self) -> None:
        """Look for the life of the process; a store that is down is looked at again."""
        while True:
            try:
                for order in await self._store.take_orders(self._replica, WAIT_SECONDS):
                    fact(_log, "order.taken", call_sid=order.call_sid, kind=order.kind)
                    self._obey(order)
            except StoreError:
                await asyncio.sleep(PAUSE_SECONDS)
            except Exception as error:  # noqa: BLE001 - one order nobody can read must not stop the rest
                fact(_log, "order.failed", level=logging.ERROR, exc=error)
                await asyncio.sleep(PAUSE_SECONDS)
