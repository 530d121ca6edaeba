"""The caller's side: what every carrier's adapter offers, and what can arrive on a line.

A carrier is a folder beside this file with four modules: `wire` (socket text to events and back),
`markup` (answers to webhooks), `signature` (who is knocking) and `rest` (orders to a live call).
Nothing above this package knows a carrier's field names. The list of carriers is in `app.py`.

Input from a wire never raises: what cannot be read is a `Malformed`, what may be skipped an
`Ignored`; both carry a reason out of a small fixed set, fit for a metric's label and a log line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ids import CallSid, StreamSid

__all__ = [
    "ULAW",
    "Answer",
    "CallerAudio",
    "Connected",
    "DigitPressed",
    "Ignored",
    "LineEvent",
    "Malformed",
    "MarkReached",
    "Remote",
    "Signatures",
    "StreamStarted",
    "StreamStopped",
    "Wire",
]

ULAW: Final = "audio/x-mulaw"
"""How `StreamStarted.encoding` spells G.711 mu-law, whatever the carrier called it."""


# ------------------------------------------------------------------ line events


@dataclass(frozen=True, slots=True)
class Connected:
    """The socket is up; the stream is not yet named."""


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """The stream of a call begins; it comes once, and before any sound."""

    stream_sid: StreamSid
    call_sid: CallSid
    """Never empty; still to be compared with the call the socket's token was made for."""
    account_sid: str
    """Empty where the carrier does not name an account."""
    encoding: str
    """`ULAW`, or the carrier's own lower-case word for something else."""
    sample_rate: int
    """Hz; 0 where the carrier's value made no sense."""
    channels: int
    parameters: Mapping[str, str]
    """What the webhook's answer attached to the stream."""

    @property
    def decodable(self) -> bool:
        """True for mono mu-law at 8 kHz, the one format we hear and speak on this line."""
        return self.encoding == ULAW and self.sample_rate == 8000 and self.channels == 1


@dataclass(frozen=True, slots=True)
class CallerAudio:
    """A piece of the caller's sound."""

    payload: bytes
    """Mu-law, 8 kHz, mono: 1 to 32768 bytes, usually 160 (20 ms)."""
    timestamp_ms: int | None
    """Milliseconds since the start of the stream; a jump tells of sound lost on its way."""


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """The caller pressed a key."""

    digit: str
    """One of `0123456789*#ABCD`."""


@dataclass(frozen=True, slots=True)
class MarkReached:
    """The carrier gives a mark back: played up to here, or thrown away by a clear."""

    name: str


@dataclass(frozen=True, slots=True)
class StreamStopped:
    """The carrier has ended the stream; nothing may be sent any more."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A message that is well formed but not for us."""

    reason: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message that cannot be used; many of them mean that this is no carrier."""

    reason: str


LineEvent: TypeAlias = (
    Connected
    | StreamStarted
    | CallerAudio
    | DigitPressed
    | MarkReached
    | StreamStopped
    | Ignored
    | Malformed
)
"""Everything `Wire.receive` can answer; match on it down to `assert_never`."""


# ------------------------------------------------------------------ ports


class Wire(Protocol):
    """One stream's codec: text in, events out, text back. It holds no socket and never waits."""

    @property
    def sequence_breaks(self) -> int:
        """How often the carrier's numbering of messages jumped."""
        ...

    def receive(self, text: str) -> LineEvent:
        """Read one message; never raises."""
        ...

    def speak(self, payload: bytes) -> str:
        """Write sound to be queued at the carrier: mu-law, 8 kHz, mono, without any header."""
        ...

    def mark(self, name: str) -> str:
        """Write a mark; it comes back as `MarkReached` when the sound before it is done with."""
        ...

    def clear(self) -> str:
        """Write the order to drop all sound queued at the carrier; pending marks come back."""
        ...


class Answer(Protocol):
    """What to tell the carrier that asks what to do with a call; a module may be one."""

    def connect(
        self,
        stream_url: str,
        action_url: str,
        status_url: str,
        parameters: Mapping[str, str] = ...,
    ) -> str: ...

    def hangup(self) -> str: ...

    def busy(self) -> str: ...

    def reject(self) -> str: ...

    def dial(self, target: str) -> str: ...

    def hold(self, text: str | None, seconds: int, url: str, language: str = ...) -> str: ...

    def say_and_hangup(self, text: str, language: str = ...) -> str: ...


class Signatures(Protocol):
    """Tells the carrier's requests from everybody else's."""

    def webhook(
        self, raw_path: str, params: Mapping[str, object], headers: Mapping[str, str]
    ) -> bool: ...

    def socket(self, raw_path: str, headers: Mapping[str, str]) -> bool: ...


class Remote(Protocol):
    """Orders to the carrier about a live call."""

    async def hang_up(self, call_sid: CallSid) -> None:
        """End the call; one that is over already is fine. Raises CarrierError."""
        ...
