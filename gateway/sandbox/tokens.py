"""Sign-in tokens: JSON Web Tokens signed with HS256 by a secret made at start."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import Any

from gateway.clock import Clock


class BadToken(Exception):  # noqa: N818 - reads as the sentence it is
    """Not a token of ours, or no longer valid."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token speaks for."""

    organization: str
    user: str


class Tokens:
    """Issues and reads tokens; a restart of the sandbox makes all old ones invalid."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._secret = secrets.token_bytes(32)

    def issue(self, identity: Identity) -> tuple[str, float]:
        """A new token and the wall time (seconds) at which it expires."""
        now = self._clock.wall()
        claims = {
            "sub": identity.user,
            "org": identity.organization,
            "iat": now,
            "exp": now + self._seconds,
            "jti": secrets.token_hex(8),
        }
        signed = f"{_pack({'alg': 'HS256', 'typ': 'JWT'})}.{_pack(claims)}"
        return f"{signed}.{self._signature(signed)}", now + self._seconds

    def read(self, token: str) -> Identity:
        """Raises `BadToken` unless we signed it and it has not expired."""
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(signed).encode()):
            raise BadToken("not a token of this service")
        claims = _unpack(signed.partition(".")[2])
        if self._clock.wall() >= claims["exp"]:
            raise BadToken("the token has expired")
        return Identity(claims["org"], claims["sub"])

    def _signature(self, signed: str) -> str:
        return _text(hmac.new(self._secret, signed.encode(), hashlib.sha256).digest())


def _pack(value: dict[str, Any]) -> str:
    return _text(json.dumps(value, separators=(",", ":")).encode())


def _unpack(text: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return claims


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
