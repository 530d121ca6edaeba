"""Sign-in tokens: JSON Web Tokens signed with HS256, carrying user, organization and role."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

import jwt

from gateway.clock import Clock
from gateway.sandbox.errors import Refusal
from gateway.sandbox.roles import Role

_ALGORITHM: Final = "HS256"
_CLAIMS: Final = ("sub", "org", "role", "exp")


class BadToken(Exception):  # noqa: N818 - reads as the sentence it is
    """Not a token of ours, or no longer valid."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Whom a token speaks for."""

    organization: str
    user: str
    role: str


@dataclass(frozen=True, slots=True)
class Identity:
    """A signed-in user and what the role allows."""

    organization: str
    user: str
    role: Role

    def may(self, permission: str) -> bool:
        return permission in self.role.permissions

    def need(self, *permissions: str) -> None:
        """403 naming the first permission the role lacks."""
        for permission in permissions:
            if not self.may(permission):
                raise Refusal(403, f"the permission {permission} is missing", rule="5")


class Tokens:
    """Issues and reads tokens. With a kept secret they survive a restart of the sandbox."""

    def __init__(self, clock: Clock, seconds: float, secret: bytes | None = None) -> None:
        self._clock = clock
        self._seconds = seconds
        self._secret = secret or secrets.token_bytes(32)

    def issue(self, claims: Claims) -> tuple[str, float]:
        """A new token and the wall time (seconds) at which it expires."""
        now = self._clock.wall()
        payload = {
            "sub": claims.user,
            "org": claims.organization,
            "role": claims.role,
            "iat": now,
            "exp": now + self._seconds,
            "jti": secrets.token_hex(8),
        }
        return jwt.encode(payload, self._secret, algorithm=_ALGORITHM), now + self._seconds

    def read(self, token: str) -> Claims:
        """Raises `BadToken` unless we signed it and it has not expired."""
        try:
            # Expiry is ours to check: the sandbox's clock may be moved in tests, the library's cannot.
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                options={"require": list(_CLAIMS), "verify_exp": False, "verify_iat": False},
            )
        except jwt.PyJWTError as problem:
            raise BadToken("not a token of this service") from problem
        if not isinstance(claims["exp"], int | float) or self._clock.wall() >= claims["exp"]:
            raise BadToken("the token has expired")
        return Claims(str(claims["org"]), str(claims["sub"]), str(claims["role"]))
