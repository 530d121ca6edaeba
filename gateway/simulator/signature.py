"""The carrier's request signature, computed from its public description.

Written without the carrier's library on purpose: the gateway checks with that library, so agreement
between the two is evidence (telephony.md 3.1; test vectors A to D).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable

HEADER = "X-Twilio-Signature"


def sign(auth_token: str, url: str, fields: Iterable[tuple[str, str]] = ()) -> str:
    """Base64 HMAC-SHA1 over the URL and, for a form POST, its fields.

    `url` is what the carrier was told to fetch, query included, `wss://` for a media socket. Fields
    are ordered by name, then value, and an exact repetition counts once; empty values count.
    """
    signed = url + "".join(name + value for name, value in sorted(set(fields)))
    digest = hmac.new(auth_token.encode(), signed.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()
