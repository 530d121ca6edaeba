"""What every answer says of itself, whoever made it."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from aiohttp import hdrs, web

ALWAYS: Final = MappingProxyType(
    {
        hdrs.SERVER: "voice-gateway",  # not which version of what
        "X-Content-Type-Options": "nosniff",
    }
)
UNLESS_SAID: Final = MappingProxyType(
    {
        # Markup holds a token, records hold numbers and words: nobody on the way is to keep them.
        hdrs.CACHE_CONTROL: "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
    }
)


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """For `on_response_prepare`."""
    response.headers.update(ALWAYS)
    for name, value in UNLESS_SAID.items():
        response.headers.setdefault(name, value)
