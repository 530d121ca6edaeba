"""Reads the carrier's markup (TwiML) the way the carrier does: strictly, verb by verb.

Facts: telephony.md 1.1 and 2.5. What the carrier would refuse outright raises `BadTwiml`; what it
would only complain about, and what strands callers in practice, is listed in `Document.flaws`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree as ET

TERMINATING: Final = ("Hangup", "Reject", "Redirect")
"""Verbs after which nothing is left to chance; `<Connect>` should be followed by one of them."""


class BadTwiml(ValueError):  # noqa: N818 - reads as the sentence it is
    """The carrier would play its 'application error' and hang up; the text says why."""


@dataclass(frozen=True, slots=True)
class ConnectStream:
    """`<Connect><Stream>`: hands the call's sound to a socket until the far side closes it."""

    url: str
    action: str | None
    method: str
    parameters: Mapping[str, str]
    name: str | None
    status_callback: str | None


@dataclass(frozen=True, slots=True)
class Hangup:
    """`<Hangup/>`"""


@dataclass(frozen=True, slots=True)
class Reject:
    """`<Reject/>`: the call is never answered."""

    reason: str


@dataclass(frozen=True, slots=True)
class Say:
    """`<Say>`: the carrier's own voice; noted, not spoken here."""

    text: str


@dataclass(frozen=True, slots=True)
class Play:
    """`<Play>`: a recording or key tones by the carrier; noted, not played here."""

    what: str


@dataclass(frozen=True, slots=True)
class Pause:
    """`<Pause>`: nothing is said for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Dial:
    """`<Dial>`: the call is handed to somebody else; noted, as if they talked and hung up."""

    targets: tuple[str, ...]
    action: str | None
    method: str


@dataclass(frozen=True, slots=True)
class Redirect:
    """`<Redirect>`: go on with another document."""

    url: str
    method: str


Verb = ConnectStream | Hangup | Reject | Say | Play | Pause | Dial | Redirect


@dataclass(frozen=True, slots=True)
class Document:
    """One answer of the gateway: what to do, in order."""

    verbs: tuple[Verb, ...]
    flaws: tuple[str, ...] = field(default=())


def parse(text: str, fetched_from: str) -> Document:
    """Read a document fetched from the (public) URL given; relative URLs are resolved against it.

    Raises `BadTwiml`.
    """
    if "<!DOCTYPE" in text:
        raise BadTwiml("a document type declaration is not TwiML")
    try:
        # Our own gateway's answer on a loopback test call; entities cannot be declared without a DOCTYPE.
        root = ET.fromstring(text.encode())  # noqa: S314
    except ET.ParseError as error:
        raise BadTwiml(f"not XML: {error}") from error
    if root.tag != "Response":
        raise BadTwiml(f"the root element is {root.tag!r}, not 'Response'")
    verbs = tuple(_verb(element, fetched_from) for element in root)
    # A gateway that is itself called over plain http, on this machine, has no TLS for its socket.
    plain = urlsplit(fetched_from).scheme == "http"
    return Document(verbs, tuple(_flaws(root, verbs, ("wss", "ws") if plain else ("wss",))))


def _verb(element: ET.Element, base: str) -> Verb:
    text = (element.text or "").strip()
    method = element.get("method", "POST")
    match element.tag:
        case "Connect":
            return _connect(element, base, method)
        case "Hangup":
            return Hangup()
        case "Reject":
            return Reject(element.get("reason", "rejected"))
        case "Say":
            return Say(text)
        case "Play":
            return Play(text or element.get("digits", ""))
        case "Pause":
            return Pause(_seconds(element.get("length", "1")))
        case "Dial":
            targets = tuple((child.text or "").strip() for child in element) or (text,)
            return Dial(targets, _absolute(base, element.get("action")), method)
        case "Redirect":
            return Redirect(urljoin(base, text), method)
        case other:
            raise BadTwiml(f"unknown verb {other!r}")


def _connect(element: ET.Element, base: str, method: str) -> ConnectStream:
    children = list(element)
    if len(children) != 1 or children[0].tag != "Stream":
        raise BadTwiml("<Connect> must hold exactly one <Stream>")
    stream = children[0]
    if not stream.get("url"):
        raise BadTwiml("<Stream> has no url")
    # A relative stream url is taken from the document's, in its socket form.
    socket_base = base.replace("https://", "wss://", 1).replace("http://", "ws://", 1)
    return ConnectStream(
        url=_resolved(socket_base, stream.get("url", "")),
        action=_absolute(base, element.get("action")),
        method=method,
        parameters={child.get("name", ""): child.get("value", "") for child in stream},
        name=stream.get("name"),
        status_callback=_absolute(base, stream.get("statusCallback")),
    )


def _absolute(base: str, url: str | None) -> str | None:
    return None if url is None else urljoin(base, url)


def _resolved(base: str, url: str) -> str:
    # urljoin leaves schemes it does not know (ws, wss) unresolved.
    if urlsplit(url).scheme:
        return url
    scheme, _, rest = base.partition("://")
    return f"{scheme}://" + urljoin(f"http://{rest}", url).removeprefix("http://")


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise BadTwiml(f"<Pause length> is not a number: {text!r}") from error


def _flaws(root: ET.Element, verbs: tuple[Verb, ...], schemes: tuple[str, ...]) -> list[str]:
    flaws: list[str] = []
    for index, verb in enumerate(verbs):
        match verb:
            case ConnectStream():
                flaws += _stream_flaws(verb, schemes)
                track = root[index][0].get("track", "inbound_track")
                if track != "inbound_track":
                    flaws.append(f"track {track!r} with <Connect> (31941)")
                if index + 1 == len(verbs) or root[index + 1].tag not in (*TERMINATING, "Dial"):
                    flaws.append(
                        "no terminating verb right after <Connect>: the caller is stranded"
                    )
            case Reject() if index:
                flaws.append("<Reject> must be the first verb")
            case _:
                continue
    return flaws


def _stream_flaws(stream: ConnectStream, schemes: tuple[str, ...]) -> list[str]:
    parts = urlsplit(stream.url)
    flaws = []
    if parts.scheme not in schemes:
        flaws.append(f"the stream url's scheme is {parts.scheme!r}, not 'wss' (31922)")
    if parts.query:
        flaws.append("the stream url has a query string (31920)")
    if "" in stream.parameters:
        flaws.append("a <Parameter> without a name")
    return flaws
