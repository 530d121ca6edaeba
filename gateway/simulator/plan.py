"""What a simulated call is to do, and whom it calls: plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

MAX_ECHO_MS: Final = 5000
"""No network takes longer there and back."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """The caller says something."""

    sound: bytes = field(repr=False)
    """Mu-law, 8 kHz."""
    text: str = ""
    """The words, where known; compared with what was recognised."""
    name: str = ""
    """What to call it where the words are not known, e.g. the file's name."""
    interrupts: bool = False
    """Begin while the agent is talking instead of waiting for the turn."""

    @property
    def label(self) -> str:
        """For the reader of a report."""
        return f'"{self.text}"' if self.text else f"({self.name or 'a recording'})"


@dataclass(frozen=True, slots=True)
class Keys:
    """The caller presses keys."""

    digits: str
    """`0-9 * # A-D`, in order."""
    interrupts: bool = False

    @property
    def label(self) -> str:
        """For the reader of a report."""
        return self.digits


Item = Utterance | Keys

Ending = Literal["stop", "status-first", "status-only", "drop", "lost"]
"""How a call ends that the caller's side ends:

`stop` the carrier sends `stop`, then the status callback; `status-first` the callback overtakes
`stop`; `status-only` no `stop` ever comes; `drop` the socket is reset and the caller is gone;
`lost` the socket is reset but the caller is still there, so the carrier goes on with its markup.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How the caller behaves; the defaults are a patient, polite person."""

    quiet_ms: int = 700
    """The agent must have been silent this long before the caller speaks."""
    doubt_ms: int = 1200
    """After very few words (perhaps just "one moment") the caller waits this much longer."""
    barge_in_after_ms: int = 1200
    """An interruption begins this long after the agent began to speak."""
    patience_seconds: float = 20.0
    """The caller gives up when no agent sound comes for this long."""
    linger_seconds: float = 2.0
    """After the last reply the caller hangs up, unless the agent does so within this time."""
    key_gap_ms: int = 240
    """Time between two keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """The caller's telephone lets the agent's voice back onto the line; `ValueError` for what no line does."""

    gain: float
    """Level of the echo against what the caller hears, linear: 0.1 is 20 dB softer."""
    delay_ms: int = 120
    """From a sound at the caller's ear to its return on the line."""
    clip_dbfs: float | None = None
    """Level at which the loudspeaker cuts peaks off, before the echo is made softer; None: at full scale."""

    def __post_init__(self) -> None:
        if not (self.gain >= 0 and 0 <= self.delay_ms <= MAX_ECHO_MS):
            raise ValueError(f"an echo has a gain of 0 or more and 0 to {MAX_ECHO_MS} ms of delay")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPlan:
    """One call."""

    items: tuple[Item, ...] = ()
    """Said and pressed in this order, each when it is the caller's turn."""
    caller: str = "+15550001111"
    called: str = "+15550002222"
    habits: Habits = Habits()
    echo: Echo | None = None
    """What of the agent's voice comes back on the caller's line, if anything does."""
    hang_up_after: float | None = None
    """Seconds after the stream started at which the caller hangs up, whatever is going on."""
    ending: Ending = "stop"
    waits_when_lost: bool = True
    """Whether the caller holds the line while nothing is heard because a media socket was lost."""
    record: Path | None = None
    """Stereo WAV to write: left the caller, right the agent as actually played."""
    clear_within_ms: int = 1500
    """An interruption must be answered by `clear` within this time (S17)."""
    max_seconds: float = 300.0
    """The call is cut off after this long, and counts as failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayTarget:
    """A gateway and the credentials the carrier shares with it."""

    connect_to: str
    """Where it really listens, e.g. `http://127.0.0.1:8080`."""
    public_url: str
    """How the carrier was told to reach it; what is signed. Mapped to `connect_to`."""
    account_sid: str
    auth_token: str = field(repr=False)
    voice_path: str = "/twilio/voice"
    status_path: str = "/twilio/status"
    fallback_path: str = ""
    """The number's fallback URL, asked where a document could not be had; empty: none is configured."""
