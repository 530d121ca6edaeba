"""The kinds of values settings are made of: each turns text into a value or says what is wrong.

The sentences begin with a verb: the message puts the option's name and value before them.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from enum import Enum
from typing import Annotated, Final, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator

from audio.vad import model_installed
from gateway.call.commands import Phrase
from gateway.store import store_place
from gateway.targets import checked_target

LONGEST_SPOKEN: Final = 4096
"""Characters in one text that Twilio speaks."""


class Mark(Enum):
    """What `config` and the sources must know of an option besides its type."""

    SECRET = "secret"  # noqa: S105 - the mark, not one
    """Never printed, never read from TOML; may come from a file named by VAR_FILE."""
    FROM_FILE = "from-file"
    """Not secret, but may come from a file named by VAR_FILE as well: it travels with a secret,
    or holds one that is masked wherever the value is shown."""


def is_loopback_name(host: str) -> bool:
    """True for `localhost` and the loopback addresses, with or without brackets."""
    name = host.strip("[]").lower().rstrip(".")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_this_machine(url: str) -> bool:
    """True for an address whose host is a loopback name."""
    return is_loopback_name(urlsplit(url).hostname or "")


def _web_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ValueError(f"is not a web address ({error})") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_fine:
        raise ValueError("is not a web address; expected https://host or https://host/prefix")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not carry a user name or password")
    if "?" in value or "#" in value:
        raise ValueError("must not have a query or a fragment")
    return value.rstrip("/")


def _public_address(value: str) -> str:
    address = _web_address(value)
    parts = urlsplit(address)
    if parts.scheme == "http" and not is_loopback_name(parts.hostname or ""):
        raise ValueError("must begin with https:// (plain http only for this machine itself)")
    return address


def _replica_address(value: str) -> str:
    """Where a process is reached by the others; empty: found out."""
    if value and urlsplit(_web_address(value)).path not in {"", "/"}:
        raise ValueError("must not have a path; expected http://HOST:PORT")
    return value.rstrip("/")


def _token(value: str) -> str:
    """One word that goes into a URL path or a header line."""
    if any(character.isspace() or not character.isprintable() for character in value):
        raise ValueError("must not contain spaces, line ends or control characters")
    if "/" in value:
        raise ValueError("must not contain a slash")
    return value


def _secret(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        raise ValueError("must not contain line ends, control characters or outer spaces")
    return value


def _service_id(value: str) -> str:
    if not re.fullmatch("[a-f0-9]{24}", value):
        raise ValueError("is not a service id; expected 24 hex digits in lower case")
    return value


def _account_sid(value: str) -> str:
    if not re.fullmatch("AC[0-9A-Za-z]+", value):
        raise ValueError("is not an account SID; it begins with AC and has letters and digits only")
    return value


def _spoken(value: str) -> str:
    """What the carrier's voice says."""
    if not value.strip():
        raise ValueError("is empty; say something")
    if len(value) > LONGEST_SPOKEN:
        raise ValueError(f"has {len(value)} characters; the carrier says at most {LONGEST_SPOKEN}")
    if not value.isprintable():
        raise ValueError("must not contain line ends or control characters")
    return value


def _language(value: str) -> str:
    if not re.fullmatch("[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", value):
        raise ValueError("is not a language; expected a tag such as en-US or de-DE (BCP 47)")
    return value


def _comma_list(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _no_twins(value: tuple[str, ...]) -> tuple[str, ...]:
    if twins := [name for name, times in Counter(value).items() if times > 1]:
        raise ValueError(f"names {twins[0]!r} more than once")
    return value


def _query(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tuple(parse_qsl(value.lstrip("?"), keep_blank_values=True, strict_parsing=True))
    except ValueError:
        raise ValueError("is not a query; expected name=value&name=value") from None


def _store(value: str) -> str:
    store_place(value)
    return value


def _number_not_truth(value: object) -> object:
    # TOML's `true` would pass for the number 1.
    if isinstance(value, bool):
        raise ValueError("is not a number")  # noqa: TRY004 - pydantic reports ValueError
    return value


def _finite(value: object) -> object:
    try:
        finite = math.isfinite(float(str(value)))
    except ValueError:
        return value  # pydantic says what it is not
    if not finite:
        raise ValueError("is not a number")
    return value


def _port(value: object) -> object:
    if isinstance(value, str) and "://" in value:
        # A Service called "gateway" makes Kubernetes set GATEWAY_PORT in every pod beside it.
        raise ValueError(
            "is not a port but a Kubernetes service link; set enableServiceLinks: false in the pod"
            " or give the Service another name"
        )
    return value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _known_phrases(names: tuple[str, ...]) -> tuple[str, ...]:
    known = {phrase.value for phrase in Phrase}
    for name in names:
        if name not in known:
            raise ValueError(f"names no phrase {name!r}; there are {', '.join(sorted(known))}")
    return names


def _turn_model(path: str) -> str:
    module, _, factory = path.partition(":")
    if not factory.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise ValueError("must be written module:factory, such as my_package.turns:load")
    return path


def _engine(value: object) -> object:
    name = _lower(value)
    if name in {"silero", "hybrid"} and not model_installed():
        raise ValueError(
            "needs the speech model's runtime: install voice-gateway[silero], or use webrtc"
        )
    return name


Milliseconds = Annotated[int, BeforeValidator(_number_not_truth)]
Count = Annotated[int, BeforeValidator(_number_not_truth)]
Number = Annotated[float, BeforeValidator(_number_not_truth), BeforeValidator(_finite)]
Seconds = Number
Word = Annotated[str, AfterValidator(_token)]
ReplicaAddress = Annotated[str, AfterValidator(_replica_address)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
_SecretText = Annotated[str, AfterValidator(_secret)]
# The mark stands outermost: inside of a union pydantic would not show it with the field.
Secret = Annotated[_SecretText, Mark.SECRET]
OptionalSecret = Annotated[_SecretText | None, Mark.SECRET]
Secrets = Annotated[
    tuple[_SecretText, ...],
    BeforeValidator(_comma_list),
    Mark.SECRET,
]
Target = Annotated[str, AfterValidator(checked_target)]
Spoken = Annotated[str, AfterValidator(_spoken)]
Language = Annotated[str, AfterValidator(_language)]
PublicAddress = Annotated[str, AfterValidator(_public_address)]
ServiceId = Annotated[str, AfterValidator(_service_id)]
AccountSid = Annotated[str, AfterValidator(_account_sid)]
StoreUrl = Annotated[str, AfterValidator(_store), Mark.FROM_FILE]
UserPool = Annotated[tuple[Word, ...], BeforeValidator(_comma_list), AfterValidator(_no_twins)]
PhraseNames = Annotated[
    tuple[Word, ...], BeforeValidator(_comma_list), AfterValidator(_known_phrases)
]
TurnModelPath = Annotated[str, AfterValidator(_turn_model)]
Query = Annotated[tuple[tuple[str, str], ...], BeforeValidator(_query)]
Port = Annotated[Count, BeforeValidator(_port)]
Engine = Annotated[Literal["auto", "webrtc", "silero", "hybrid"], BeforeValidator(_engine)]
Identity = Literal["fixed", "pool", "per-caller"]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]
LogFormat = Annotated[Literal["json", "text"], BeforeValidator(_lower)]
