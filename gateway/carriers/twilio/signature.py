"""Twilio's request signatures: only Twilio, and whoever holds a secret, gets past this.

The signature covers the URL Twilio was given and the form's fields (Twilio docs, "Webhooks
security"). The URL is rebuilt from the configured public URL and the path as it was received, never
from `Host` or `X-Forwarded-*`: those are the sender's to choose. A public URL may carry a path
prefix that the proxy in front of us strips.

The checking itself is the twilio package's `RequestValidator`, asked about a short fixed list of
spellings of one URL: exact, with a slash behind it, and with the default port written out. The
last is needed for sockets, where the validator would try port 80 by itself.

Two schemes exist. By default the account's auth token signs with HMAC-SHA1; several tokens are
tried, so that they can be rotated. A request that carries `X-Twilio-Webhooks-Signature-Settings`
(`key=ID,algorithm=HMAC_SHA256`; twilio package 9.13) names its algorithm and the shared key whose
secret signed it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlparse

from twilio.request_validator import (
    HMAC_SHA1,
    HMAC_SHA256,
    SIGNATURE_HEADER,
    SIGNATURE_SETTINGS_HEADER,
    RequestValidator,
    get_signature_algorithm,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SOCKET_SCHEMES: Final = {"https": "wss", "http": "ws"}


class SignatureCheck:
    """Knows the secrets and our public name; says of a request whether Twilio signed it."""

    def __init__(
        self,
        auth_tokens: tuple[str, ...],
        public_url: str,
        shared_keys: tuple[str, ...] = (),
    ) -> None:
        """`public_url` is `https://host[:port][/prefix]`; `shared_keys` are `KEY_ID:SECRET` each.

        A shared key without an id (just `SECRET`) is tried for every key id. Empty secrets are
        passed over: an unset token must not make everybody's signature computable.
        """
        self._validators = tuple(RequestValidator(token) for token in auth_tokens if token)
        self._shared = tuple(_shared_keys(shared_keys))
        scheme, _, rest = public_url.rstrip("/").partition("://")
        if scheme not in _SOCKET_SCHEMES:
            raise ValueError(f"not an http(s) URL: {public_url!r}")
        self._webhook_bases = _bases(scheme, rest)
        self._socket_bases = _bases(_SOCKET_SCHEMES[scheme], rest)

    def webhook(
        self, raw_path: str, params: Mapping[str, object], headers: Mapping[str, str]
    ) -> bool:
        """Whether Twilio signed this form POST.

        `raw_path` is path and query as received, undecoded. `params` holds every field, empty and
        unknown ones too; a multi-dict counts repeated names. `headers` finds names in any case.
        """
        if not all(isinstance(value, str) for value in params.values()):
            return False  # a file upload: not a carrier's form, and the validator would raise
        return self._signed(self._webhook_bases, raw_path, params, headers)

    def socket(self, raw_path: str, headers: Mapping[str, str]) -> bool:
        """Whether Twilio signed this WebSocket handshake, over the `wss://` form of its URL."""
        return self._signed(self._socket_bases, raw_path, {}, headers)

    def _signed(
        self,
        bases: tuple[str, ...],
        raw_path: str,
        params: Mapping[str, object],
        headers: Mapping[str, str],
    ) -> bool:
        signature = headers.get(SIGNATURE_HEADER)
        if not signature or not _is_plain(bases[0], raw_path):
            return False
        settings = headers.get(SIGNATURE_SETTINGS_HEADER, "")
        algorithm = get_signature_algorithm(settings).upper()
        if algorithm not in {HMAC_SHA1, HMAC_SHA256}:
            return False
        try:
            return any(
                validator.validate(url, params, signature, algorithm)
                for validator in self._validators_for(settings)
                for url in _spellings(bases, raw_path)
            )
        except UnicodeError:  # a field that UTF-8 cannot carry: nobody signed it
            return False

    def _validators_for(self, settings: str) -> Iterator[RequestValidator]:
        yield from self._validators
        named = _setting(settings, "key")
        for key_id, validator in self._shared:
            if settings and key_id in {"", named}:
                yield validator


def _is_plain(base: str, raw_path: str) -> bool:
    """False for a target that the validator would tidy up first, or that reaches into the host.

    It drops an empty `?`, `;` or `#` and any tab from a URL, and so would accept what was never
    signed; and an absolute-form request target would continue our host name.
    """
    url = base + raw_path
    return raw_path.startswith("/") and urlparse(url).geturl() == url


def _bases(scheme: str, rest: str) -> tuple[str, ...]:
    exact = f"{scheme}://{rest}"
    if urlparse(exact).port is not None or scheme not in {"https", "wss"}:
        return (exact,)
    host, slash, prefix = rest.partition("/")
    return exact, f"{scheme}://{host}:443{slash}{prefix}"


def _spellings(bases: tuple[str, ...], raw_path: str) -> Iterator[str]:
    for base in bases:
        yield base + raw_path
    if not raw_path.endswith("/") and "?" not in raw_path:
        yield f"{bases[0]}{raw_path}/"


def _shared_keys(texts: tuple[str, ...]) -> Iterator[tuple[str, RequestValidator]]:
    for text in texts:
        key_id, colon, secret = (part.strip() for part in text.partition(":"))
        if not colon:
            key_id, secret = "", key_id
        if secret:
            yield key_id, RequestValidator(secret)


def _setting(settings: str, name: str) -> str:
    for part in settings.split(","):
        found, _, value = part.partition("=")
        if found.strip() == name:
            return value.strip()
    return ""
