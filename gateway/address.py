"""Where other replicas reach this one."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

from yarl import URL

from gateway.store import RedisPlace, store_place

_ANY_PORT: Final = 9


def own_address(store_url: str, host: str, port: int) -> str:
    """The URL of this process for the others on the same store; `host` and `port` are what it is bound to.

    Where every interface is bound it is the one that leads to the store: what others reach it by, too.
    Empty where that cannot be found out.
    """
    if _is_any(host):
        place = store_place(store_url)
        towards = place.host if isinstance(place, RedisPlace) else "127.0.0.1"
        found = _towards(towards)
        if found is None:
            return ""
        host = found
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def with_port(url: str, port: int) -> str:
    """The same address (`http://HOST[:PORT]`) with another port."""
    return str(URL(url).with_port(port)).rstrip("/")


def private_host(store_url: str, host: str) -> str:
    """What a worker binds for the others on its store alone: no more than they need to reach it."""
    if _is_any(host) and not isinstance(store_place(store_url), RedisPlace):
        return "127.0.0.1"  # one file: all of them are on this machine
    return host


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _towards(host: str) -> str | None:
    """Our own address on the way to this host; nothing is sent."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, _ANY_PORT, type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError:
        return None
