"""What a Redis server says of itself that should worry whoever trusts it with calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.errors import StoreError
from gateway.store.port import Risk
from gateway.store.redis_rows import couples, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.store.redis_line import RedisLine


async def risks_of(line: RedisLine) -> list[Risk]:
    try:
        server = await line.command("INFO")
    except StoreError as error:
        return [Risk(f"whether it keeps what it is told is not known ({error})", "allow INFO")]
    found = []
    if not server.get("aof_enabled"):
        if not server.get("connected_slaves"):
            found.append(
                Risk(
                    "Redis has neither an append-only file nor a replica: when it stops, every call is lost",
                    "set appendonly yes with appendfsync always, or give it a replica",
                )
            )
    elif (synced := await _appendfsync(line)) not in {"always", None}:
        found.append(
            Risk(
                f"appendfsync is {synced}: a crash of the server can lose the last second or more",
                "set appendfsync always",
            )
        )
    policy = server.get("maxmemory_policy", "noeviction")
    if server.get("maxmemory") and policy != "noeviction":
        found.append(
            Risk(
                f"maxmemory-policy is {policy}: a full Redis drops calls without a word",
                "set maxmemory-policy noeviction",
            )
        )
    return found


async def _appendfsync(line: RedisLine) -> str | None:
    try:
        answer = await line.command("CONFIG GET", "appendfsync")
    except StoreError:
        return None  # hosted servers keep CONFIG to themselves
    return {text(key): text(value) for key, value in _items(answer)}.get("appendfsync")


def _items(answer: Any) -> Sequence[tuple[Any, Any]]:
    return list(answer.items()) if isinstance(answer, dict) else couples(answer)
