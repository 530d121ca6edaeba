"""What the agent does not know: which of its words the caller never heard.

The API stores every reply as said. Where a caller interrupted it, or spoke on before it began, the
agent would go on as if all of it had been heard; an external event before the caller's next words
tells it (revision 2026-04).
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.call.record import TurnRecord


def untold(turns: Iterable[TurnRecord]) -> list[tuple[int, str]]:
    """(turn, what to tell the agent) for each stored reply that was cut off and not told of yet."""
    return [
        (turn.index, _words(turn))
        for turn in turns
        if (turn.interrupted or turn.abandoned) and not turn.told and turn.agent_message_id
    ]


def _words(turn: TurnRecord) -> str:
    heard = (turn.heard_text or "").strip()
    if heard:
        return f'The caller interrupted your last message after hearing only this of it: "{heard}"'
    return "The caller was still speaking and heard nothing of your last message."
