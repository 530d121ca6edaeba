"""The carrier's forms, read so that reading a stranger's costs next to nothing.

It is read before it is known who sent it: the signature covers the fields. So the bounds hold for
everybody. Of character sets only UTF-8 is taken: a client may name any, and `punycode` needs a
second of our only thread for 60 KB.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict, MultiDictProxy

FORM_TYPE: Final = "application/x-www-form-urlencoded"
MAX_FIELDS: Final = 256
"""The carrier sends some 40; checking a signature over 12000 takes a fifth of a second."""
_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii"})


async def read_form(request: web.Request) -> MultiDictProxy[str] | None:
    """Every field, repeated and empty ones too; None for anything that is no form of a carrier.

    Raises HTTPRequestEntityTooLarge for a body longer than the application takes.
    """
    charset = (request.charset or "utf-8").lower()
    if request.content_type != FORM_TYPE or charset not in _CHARSETS:
        return None
    body = (await request.read()).rstrip()
    if body.count(b"&") >= MAX_FIELDS:
        return None
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        return None
    return MultiDictProxy(MultiDict(fields))
