"""Calls whose process is gone, taken up by this one: each once, however many ask for it at a time."""

from __future__ import annotations

import asyncio
from asyncio import CancelledError

from gateway.bridge.bridge import Bridge
from gateway.bridge.calls import Calls
from gateway.bridge.neighbours import Neighbours, Unanswered
from gateway.ids import CallSid


class Takeovers:
    """Calls on their way here from another replica."""

    def __init__(self, neighbours: Neighbours, calls: Calls) -> None:
        self._neighbours = neighbours
        self._calls = calls
        self._under_way: dict[str, asyncio.Future[Bridge | None]] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def __contains__(self, call_sid: object) -> bool:
        return call_sid in self._under_way

    async def take_up(self, call_sid: CallSid, of: str) -> Bridge | None:
        """The call of the process `of`, going on here; None: it cannot, or is another's by now.

        Raises Unanswered where the store does not say, or the next question had better go elsewhere.
        """
        under_way = self._under_way.get(call_sid)
        if under_way is not None:
            return await asyncio.shield(under_way)
        if call_sid in self._calls or self._calls.tasks is None:
            return self._calls.get(call_sid)
        if self._calls.parting:
            raise Unanswered  # the next question may reach a replica that stays
        taking = asyncio.get_running_loop().create_future()
        self._under_way[call_sid] = taking
        try:
            bridge = await self._neighbours.take_up(call_sid, of)
        except BaseException as error:
            taking.set_exception(Unanswered() if isinstance(error, CancelledError) else error)
            taking.exception()  # whoever asked second gets it too; nobody asking is no fault
            raise
        else:
            if bridge is not None:
                self._calls.begin(bridge)
            taking.set_result(bridge)
            return bridge
        finally:
            del self._under_way[call_sid]
