"""Our line to a Redis server: one script, tried again where that is safe, and never for long.

A change that was given up must not happen later: a server that was stopped for a while would otherwise
do what it finds in its sockets, whatever has been decided meanwhile. So every change carries the server
time after which it is void, told from the server's clock as this line last saw it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import redis.exceptions as refused
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.errors import StoreError
from gateway.redact import without
from gateway.store.port import HEARTBEAT_TTL, MAX_ORDERS, ORDER_SECONDS, SETTLED_STATES
from gateway.store.redis_schema import STEPS, upgrade_script

if TYPE_CHECKING:
    from gateway.store.place import RedisPlace

_log = logging.getLogger(__name__)

PATIENCE: Final = 2.5
"""Seconds one request may take, tries and waits included."""
CONNECT_SECONDS: Final = 1.0
PAUSES: Final = (0.0, 0.2)
"""Seconds before the second and the third try of a request whose connection broke."""
CONNECTIONS: Final = 9
"""One of them mostly waits for orders."""
BELL_SECONDS: Final = 1.0
"""Longest wait for a bell in one request; well within what an answer may take."""
SCRIPT_PARTS: Final = ("redis.lua", "redis_replicas.lua", "redis_run.lua")
CLOCK_SECONDS: Final = 30.0
"""How long the server's clock is taken to go as ours does."""
OLDEST_SERVER: Final = (6, 2)

UVLOOP_CLOSED: Final = "the handler is closed"
"""What uvloop says where a client writes to a transport that the peer's reset has closed meanwhile."""
_NO_USE: Final = (refused.AuthenticationError, refused.AuthorizationError)
"""Kinds of `ConnectionError` that another try does not mend."""


class RedisLine:
    """Connections to one server, opened when they are needed and again when they broke."""

    def __init__(self, place: RedisPlace) -> None:
        self._place = place
        self._redis = Redis(connection_pool=_pool(place))
        # Any: redis-py leaves this method without types
        self._execute: Any = self._redis.execute_command
        self._script = _script()
        self._sha = hashlib.sha1(self._script.encode(), usedforsecurity=False).hexdigest()
        self._schema_key = f"{{{place.prefix}}}:schema"
        self._ahead: float | None = None
        """The server's clock minus the loop's; None: to be asked."""
        self._asked_at = 0.0

    async def close(self) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def upgrade(self, *, must_exist: bool) -> None:
        """Bring the schema to our version; `StoreError` where it is newer, or `must_exist` and does not."""
        if must_exist and await self.command("GET", self._schema_key) is None:
            raise StoreError(f"there is no store at {self._place} yet")
        await self._look_at_version()
        version = int(await self.command("EVAL", upgrade_script(), 1, self._schema_key))
        if version > len(STEPS):
            raise StoreError(
                f"the store has schema version {version}, this program knows {len(STEPS)};"
                " use a newer version of the program"
            )

    async def _look_at_version(self) -> None:
        try:
            version = str((await self.command("INFO", "server"))["redis_version"])
        except (StoreError, KeyError):
            return  # not ours to ask: the script itself will tell
        if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST_SERVER:
            raise StoreError(f"Redis 6.2 or newer is needed; {self._place} is {version}")

    async def change(self, operation: str, *values: object) -> Any:
        """Change something, all or nothing; `StoreError`: it did not happen, or nobody knows."""
        until = asyncio.get_running_loop().time() + PATIENCE
        return await self._patiently(lambda: self._change(operation, until, values), until)

    async def look(self, operation: str, *values: object) -> Any:
        """Read by the script: one moment's view of everything."""
        return await self._patiently(lambda: self._run(operation, b"", values))

    async def bell(self, replica: str, seconds: float) -> None:
        """Wait until an order may have come for this replica, or so long; at most `BELL_SECONDS`."""
        key = f"{{{self._place.prefix}}}:bell:{replica}"
        # below a millisecond, and zero, would be without end
        await self.command("BLPOP", key, max(0.01, min(seconds, BELL_SECONDS)))

    async def command(self, *words: Any) -> Any:
        """Give a command of Redis itself."""
        return await self._patiently(lambda: self._execute(*words))

    async def _patiently(self, work: Any, until: float | None = None) -> Any:
        """Try the work, again where the connection broke; every failure becomes a `StoreError`."""
        until = asyncio.get_running_loop().time() + PATIENCE if until is None else until
        pauses = iter(PAUSES)
        try:
            async with asyncio.timeout_at(until):
                while True:
                    try:
                        return await _closed_is_broken(work)
                    except (refused.ConnectionError, refused.TimeoutError, _TooLate) as error:
                        self._ahead = None  # the next connection may lead to another server
                        pause = next(pauses, None)
                        if pause is None or isinstance(error, _NO_USE):
                            raise
                        await asyncio.sleep(pause)
        except TimeoutError:
            raise Unanswered(f"{self._place} did not answer within {PATIENCE:g} s") from None
        except (refused.RedisError, OSError, _TooLate) as error:
            raise self._translated(error) from None

    async def _change(self, operation: str, until: float, values: tuple[object, ...]) -> Any:
        void_after = until + await self._clock_ahead()
        try:
            return await self._run(operation, repr(void_after).encode(), values)
        except refused.ResponseError as error:
            if "TOOLATE" in str(error):
                raise _TooLate from None
            raise

    async def _run(self, operation: str, void_after: bytes, values: tuple[object, ...]) -> Any:
        words = (1, self._schema_key, operation, void_after, *map(_as_bytes, values))
        try:
            return await self._execute("EVALSHA", self._sha, *words)
        except refused.NoScriptError:
            # a server started anew; EVAL teaches it the script
            return await self._execute("EVAL", self._script, *words)

    async def _clock_ahead(self) -> float:
        now = asyncio.get_running_loop().time()
        if self._ahead is None or now - self._asked_at > CLOCK_SECONDS:
            seconds, micros = await self._execute("TIME")
            self._asked_at = asyncio.get_running_loop().time()
            # as if the answer had taken no time to come: errs towards giving up early
            self._ahead = seconds + micros / 1e6 - self._asked_at
        return self._ahead

    def _translated(self, error: Exception) -> StoreError:
        """Say it in our error, without the password: a server may repeat what it did not understand.

        The cause is left out for the same reason: it would be printed with ours.
        """
        match error:
            case _TooLate():
                text = "its clock jumps"
            case refused.MovedError() | refused.ClusterDownError():
                text = "it is a node of a Redis Cluster that does not hold our keys; name the one that does"
            case _:
                text = f"{type(error).__name__}: {error}"
        if self._place.password:
            text = without(text, (self._place.password,))
        answered = isinstance(error, refused.ResponseError | _TooLate)
        return (StoreError if answered else Unanswered)(f"{self._place}: {text}")


class Unanswered(StoreError):  # noqa: N818 - reads as the sentence it is
    """No answer came: whether the change was made, nobody knows."""


class _TooLate(Exception):  # noqa: N818 - reads as the sentence it is
    """The server's clock is past the time a change was allowed, although we still wait for it."""


async def _closed_is_broken(work: Any) -> Any:
    """Do the work; the event loop's own word for a connection that was just closed becomes the client's."""
    try:
        return await work()
    except RuntimeError as error:
        if UVLOOP_CLOSED not in str(error):
            raise
        raise refused.ConnectionError("the connection was closed") from None


def _pool(place: RedisPlace) -> BlockingConnectionPool:
    secure: dict[str, Any] = {"ssl_ca_certs": place.authority} if place.tls else {}
    return BlockingConnectionPool(
        max_connections=CONNECTIONS,
        timeout=PATIENCE,
        connection_class=SSLConnection if place.tls else Connection,
        host=place.host,
        port=place.port,
        db=place.database,
        username=place.username,
        password=place.password,
        socket_timeout=PATIENCE,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),  # what may be tried again is decided here
        protocol=2,
        **secure,
    )


def _script() -> str:
    text = "\n".join((files("gateway.store") / part).read_text() for part in SCRIPT_PARTS)
    settled = ", ".join(f"['{state}'] = true" for state in SETTLED_STATES)
    return (
        text.replace("@HEARTBEAT_TTL@", repr(HEARTBEAT_TTL))
        .replace("@SETTLED@", settled)
        .replace("@ORDER_SECONDS@", repr(ORDER_SECONDS))
        .replace("@MAX_ORDERS@", str(MAX_ORDERS))
        .replace("@VERSION@", str(len(STEPS)))
    )


def _as_bytes(value: object) -> bytes:
    match value:
        case str():
            # whatever a carrier sends: half a character must not keep a call from being stored
            return value.encode("utf-8", "surrogatepass")
        case bool():
            return b"1" if value else b"0"
        case None:
            return b""
        case _:
            return repr(value).encode()
