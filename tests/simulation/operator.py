"""Operators who end or hand over calls, at any replica and at any instant."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from tests.simulation.carrier import Call, Carrier
from tests.simulation.doors import SimRequest
from tests.simulation.plan import OrderPlan, Plan
from tests.simulation.world import World

TARGET: Final = "+15550009999"
OBEYED: Final = 6.0
"""Seconds within which an order has had its effect where nothing fails: a phrase of ours, and the line."""
_PATHS: Final = {"hang-up": "hangup", "transfer": "transfer"}
_HINDRANCES: Final = frozenset(
    {"socket-lost", "socket-silent", "never-streams", "answer-lost", "token-twice"}
    | {"hang-up-refused", "hang-up-late", "hang-up-answer-lost"}
)
"""Faults of the carrier under which an order takes longer."""


class Operator:
    """Gives the orders of a plan."""

    def __init__(self, world: World, plan: Plan, carrier: Carrier) -> None:
        self._world = world
        self._carrier = carrier
        troubles = (plan.store, plan.store_outages, plan.processes, plan.wall_steps)
        self._calm = not any(troubles) and not _HINDRANCES.intersection(plan.carrier)

    async def give(self, order: OrderPlan) -> None:
        """Ask any gateway that listens; what it accepts must happen."""
        await asyncio.sleep(order.at)
        calls = [one for one in self._carrier.calls.values() if one.began]
        if not calls or self._world.calm:
            return
        call = calls[order.which % len(calls)]
        gateway = self._carrier.balance(call)
        if gateway is None:
            return
        body = json.dumps({"to": TARGET}) if order.kind == "transfer" else ""
        request = SimRequest("POST", f"/v1/calls/{call.sid}/{_PATHS[order.kind]}", text=body)
        call.unwanted = call.unwanted or order.kind == "hang-up"
        try:
            status, _ = await self._carrier.ask(gateway, request, 10.0)
        except (ConnectionError, TimeoutError):
            return
        self._world.note("operator", f"{call.sid} {order.kind} at {gateway.name}", status)
        self._world.facts[f"order {order.kind} {status}"] += 1
        if status == 202 and self._calm:
            await self._obeyed(call, order)

    async def _obeyed(self, call: Call, order: OrderPlan) -> None:
        """The call ends, or is handed over, soon."""
        until = self._world.loop.time() + OBEYED
        while self._world.loop.time() < until:
            if call.over.done() or any(told.how == "dial" for told in call.told):
                return
            await asyncio.sleep(0.1)
        self._world.violated("order-unheeded", f"{call.sid}: {order.kind}")
