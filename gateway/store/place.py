"""Where a store is, as `GATEWAY_STORE_URL` says it; nothing is opened here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

SQLITE: Final = "sqlite:///"
REDIS_PORT: Final = 6379
PREFIX: Final = "vg"
"""Name before every key of ours, where the URL names none."""

_PREFIX: Final = re.compile("[A-Za-z0-9_.-]{1,64}")
_OPTIONS: Final = frozenset({"prefix", "ca"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisPlace:
    """A Redis server, and the name our keys have there."""

    host: str
    port: int
    database: int
    username: str | None
    password: str | None = field(repr=False)
    tls: bool
    authority: str | None
    """File with the certificates that vouch for the server; None: the system's."""
    prefix: str

    def __str__(self) -> str:
        """Say where it is, without who we are there."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "rediss" if self.tls else "redis"
        return f"{scheme}://{host}:{self.port}/{self.database} (keys {{{self.prefix}}}:*)"


def store_place(url: str) -> Path | RedisPlace:
    """Return the file or the server that this URL names; ValueError says what is wrong."""
    if url.startswith(("redis:", "rediss:", "redis+", "rediss+")):
        return redis_place(url)
    return store_path(url)


def store_path(url: str) -> Path:
    """Return the file of `sqlite:///PATH` (four slashes: an absolute path); ValueError says what is wrong."""
    if not url.startswith(SQLITE):
        raise ValueError("is not a store; expected sqlite:///PATH or redis://HOST:PORT/DATABASE")
    path = url.removeprefix(SQLITE)
    if not path or path == ":memory:" or path.endswith("/"):
        raise ValueError("names no file; calls must survive this process")
    if "?" in path or "#" in path or not path.isprintable():
        raise ValueError("must not have a query, a fragment or control characters")
    return Path(path)


def redis_place(url: str) -> RedisPlace:
    """Return the server of `redis[s]://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE][?prefix=NAME&ca=FILE]`.

    ValueError says what is wrong, and repeats nothing that could be a password.
    """
    if url.startswith(("redis+", "rediss+")):
        raise ValueError(
            "names Sentinel or a socket, which this version does not use;"
            " expected redis://HOST:PORT/DATABASE of the primary"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # the parser's own words would repeat what stands where a port is expected: a password, maybe
        raise ValueError(
            "is not a Redis address; write a password's special characters as %XX"
        ) from None
    if not url.startswith(("redis://", "rediss://")) or not parts.hostname or parts.fragment:
        raise ValueError("is not a Redis address; expected redis://HOST:PORT/DATABASE")
    if not url.isprintable() or port == 0:
        raise ValueError("is not a Redis address; it has control characters or port 0")
    options = _options(parts.query, tls=parts.scheme == "rediss")
    return RedisPlace(
        host=parts.hostname,
        port=port or REDIS_PORT,
        database=_database(parts.path.removeprefix("/")),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=parts.scheme == "rediss",
        authority=options.get("ca"),
        prefix=options.get("prefix", PREFIX),
    )


def _database(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise ValueError("names no database of Redis; expected a number after the last slash")
    return int(text)


def _options(query: str, *, tls: bool) -> dict[str, str]:
    try:
        options = dict(parse_qsl(query, strict_parsing=True)) if query else {}
    except ValueError:
        raise ValueError("has a query that is none; expected ?prefix=NAME") from None
    if unknown := sorted(options.keys() - _OPTIONS):
        raise ValueError(f"has the unknown option {unknown[0]!r}; there are prefix and ca")
    if "ca" in options and not tls:
        raise ValueError("has ca, which is only for rediss://")
    if not _PREFIX.fullmatch(options.get("prefix", PREFIX)):
        raise ValueError("has a prefix that is none; letters, digits, '.', '_' and '-', at most 64")
    return options
