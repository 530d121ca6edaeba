"""Outside the API, for tests and the curious: the journal, and faults set at run time."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from gateway.clock import iso
from gateway.sandbox.bodies import outside_json
from gateway.sandbox.conversations import Conversation
from gateway.sandbox.errors import Refusal
from gateway.sandbox.faults import parse_fault
from gateway.sandbox.state import SANDBOX


async def show_log(request: web.Request) -> web.Response:
    """GET /_sandbox/log: requests, violations, conversations with their messages, faults.

    `?after=NUMBER` leaves out the requests up to this one: whoever looks again and again misses none.
    """
    sandbox = request.app[SANDBOX]
    after = request.query.get("after", "0")
    if not after.isascii() or not after.isdigit():
        raise Refusal(422, "after is the number of a request")
    return web.json_response(
        {
            **sandbox.journal.report(int(after)),
            "conversations": [_conversation(item) for item in sandbox.conversations],
            "faults": sandbox.faults.report(),
        }
    )


async def show_faults(request: web.Request) -> web.Response:
    """GET /_sandbox/faults: the rules in force and how often each struck."""
    return web.json_response({"faults": request.app[SANDBOX].faults.report()})


async def set_faults(request: web.Request) -> web.Response:
    """POST /_sandbox/faults `{"faults": ["interact-429=1:1", …]}`: these rules replace all others."""
    faults = request.app[SANDBOX].faults
    try:
        body: Any = outside_json(await request.read())
        rules = [parse_fault(str(text)) for text in body["faults"]]
    except (ValueError, KeyError, TypeError) as exc:
        raise Refusal(422, f'expected {{"faults": ["NAME=RATE"]}}: {exc}') from None
    faults.replace(rules)
    return web.json_response({"faults": faults.report()})


def _conversation(item: Conversation) -> dict[str, Any]:
    return {
        "id": item.id,
        "user_id": item.user_id,
        "service_id": item.service_id,
        "version_set": item.version_set,
        "tags": dict(item.tags),
        "finished": item.finished,
        "finish_owed": item.finish_owed,
        "running": item.running,
        "state": item.state.name,
        "slots": {slot: list(values) for slot, values in item.state.values.items()},
        "messages": [
            {
                "id": message.id,
                "interaction_id": message.interaction_id,
                "at": iso(message.created_at),
                "type": message.kind,
                "voice": message.voice,
                "text": message.text,
            }
            for message in item.messages
        ],
    }
