"""Everything that can happen to a call, as a closed union of frozen values.

Events come from the shells (`gateway/bridge`, `gateway/web`) in the order in which they happened.
An event about a turn, utterance or playback the session no longer knows is stale and ignored.
Times inside events are monotonic seconds on the clock of `handle(event, now)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gateway.ids import ConversationId, StreamSid

# ---------------------------------------------------------------- the line


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The carrier's media stream is up: the caller can hear and be heard."""

    stream_sid: StreamSid


@dataclass(frozen=True, slots=True)
class TokenRenewed:
    """The carrier asked again how to answer and got a new token: the wait for its stream starts over."""


@dataclass(frozen=True, slots=True)
class CallerGone:
    """The caller hung up: `stop`, final status callback, or a lost line that nobody comes back on."""

    reason: str = "caller-hangup"


@dataclass(frozen=True, slots=True)
class LineLost:
    """The media socket is gone without a word; the caller may still be there and come back with a new one."""


@dataclass(frozen=True, slots=True)
class LineClosed:
    """Our own hang-up took effect: socket closed, call completed."""


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """The caller pressed a key: one of `0-9 * # A-D`."""

    digit: str


# ---------------------------------------------------------------- the caller's voice


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The detector accepted an onset; from here on the bridge keeps the utterance, pre-roll included."""

    utterance: int


@dataclass(frozen=True, slots=True)
class SpeechAccepted:
    """So much gated speech was heard in this utterance (one event per milestone)."""

    utterance: int
    ms: int


@dataclass(frozen=True, slots=True)
class SpeechPaused:
    """Speech that was not long enough to interrupt has stopped for a moment, or for good."""

    utterance: int
    ms: int
    """Firm speech in the run of words that has stopped."""


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """Speech that had paused is back, in the same utterance."""

    utterance: int


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The end of speech was declared; the utterance is closed."""

    utterance: int
    accepted_ms: int
    began_at: float
    """When the first speech frame was received."""
    last_at: float
    """When the last speech frame was received: the response gap counts from here."""


@dataclass(frozen=True, slots=True)
class LineMeasured:
    """What the ears know of the line by now."""

    noise_floor_dbfs: float
    echo_return_db: float | None
    """Level of our echo against what we play; None while none was found."""
    echo_delay_ms: float | None


@dataclass(frozen=True, slots=True)
class UtteranceFull:
    """The cap was reached: `utterance` is closed without losing a sample and `successor` goes on."""

    utterance: int
    successor: int
    began_at: float
    last_at: float


# ---------------------------------------------------------------- the conversation


@dataclass(frozen=True, slots=True)
class ConversationOpened:
    """The API named the conversation; a finish is owed from now on."""

    conversation_id: ConversationId


class FailureKind(Enum):
    """How an exchange with the API failed."""

    VOID = "void"
    """It began, then an `error` event or the end of the stream came before `interaction-complete`."""
    REFUSED = "refused"
    """An HTTP status instead of a stream: nothing happened."""
    UNREACHABLE = "unreachable"
    """No answer at all."""
    CLOSED = "closed"
    """We closed the connection ourselves; what the API made of it is unknown."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an exchange did not complete."""

    kind: FailureKind
    status: int | None = None
    retry_after: float | None = None
    finished: bool = False
    """The API says that the conversation is finished (looked up after a 409)."""
    asked: bool = True
    """False: the request never left, so nothing can have come of it."""
    operation: str | None = None
    """Which request it was, where it is known: the turn's own, or one that only prepared it."""


@dataclass(frozen=True, slots=True)
class BodySent:
    """The last byte of the turn's upload was handed to the network."""

    turn: int


@dataclass(frozen=True, slots=True)
class CallerUnderstood:
    """`user-message-available`: what the API heard."""

    turn: int
    message_id: str
    text: str


@dataclass(frozen=True, slots=True)
class FillerReady:
    """An `action-too-long` filler with sound arrived for this turn."""

    turn: int
    filler: int


@dataclass(frozen=True, slots=True)
class ReplyAudio:
    """A piece of the agent's voice arrived and is ready to be played."""

    turn: int


@dataclass(frozen=True, slots=True)
class ReplyCompleted:
    """`interaction-complete` (with the end of the conversation where the API says so)."""

    turn: int
    message_id: str
    interaction_id: str
    text: str
    ends: bool


@dataclass(frozen=True, slots=True)
class ConversationEnded:
    """`end-session` (revision 2025-06): the agent has ended the conversation."""

    turn: int


@dataclass(frozen=True, slots=True)
class TurnClosed:
    """The exchange's connection has ended; only now may anything else be asked of the conversation."""

    turn: int
    failure: Failure | None = None
    after_completion: bool = False
    """An `error` event came after `interaction-complete`, or may have come after that of a last turn whose
    connection broke: the turn stands, the conversation has ended, finish is ours to call."""


@dataclass(frozen=True, slots=True)
class UserFreed:
    """The search for a left-over conversation of our user is done."""

    freed: bool
    """True: one of our own was finished, creating again can succeed."""
    held: bool
    """True: an unfinished conversation exists that is not ours to touch."""


@dataclass(frozen=True, slots=True)
class ConversationSettled:
    """The owed finish is settled."""

    state: str
    """`finished`, `auto-finished`, `finish-failed` or `none` (nothing had come into being)."""


# ---------------------------------------------------------------- our own voice


@dataclass(frozen=True, slots=True)
class PlaybackBegan:
    """The first frame of an item left for the carrier, or the first after it ran dry (`PlaybackStarved`)."""

    item: int


@dataclass(frozen=True, slots=True)
class PlaybackHeard:
    """The first frames of an item were played to the caller (mark echo, or the playout clock)."""

    item: int
    at: float


@dataclass(frozen=True, slots=True)
class PlaybackStarved:
    """Everything there is of an item was played, but its end has not arrived."""

    item: int


@dataclass(frozen=True, slots=True)
class PlaybackDrained:
    """An item was played to its end."""

    item: int
    heard_ms: int
    heard_text: str | None = None
    """What of the reply's text that was, where the bridge knows."""


@dataclass(frozen=True, slots=True)
class PlaybackCleared:
    """An item was cut off after so much of it was heard."""

    item: int
    heard_ms: int
    heard_text: str | None = None


# ---------------------------------------------------------------- the house


@dataclass(frozen=True, slots=True)
class EndRequested:
    """An operator or the shutdown asks for a polite end: `operator` or `drain`."""

    reason: str


@dataclass(frozen=True, slots=True)
class TransferRequested:
    """The caller is to be connected with somebody else."""

    target: str
    """A number in E.164, or a `sip:` address."""


@dataclass(frozen=True, slots=True)
class TakenOver:
    """Another replica has the call by now: nothing of it is ours to say, to save or to finish."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A part of the shell failed unexpectedly; the caller must not hear dead air for it."""


Event = (
    StreamOpened
    | TokenRenewed
    | CallerGone
    | LineLost
    | LineClosed
    | DigitPressed
    | SpeechStarted
    | SpeechAccepted
    | SpeechPaused
    | SpeechResumed
    | SpeechEnded
    | LineMeasured
    | UtteranceFull
    | ConversationOpened
    | BodySent
    | CallerUnderstood
    | FillerReady
    | ReplyAudio
    | ReplyCompleted
    | ConversationEnded
    | TurnClosed
    | UserFreed
    | ConversationSettled
    | PlaybackBegan
    | PlaybackHeard
    | PlaybackStarved
    | PlaybackDrained
    | PlaybackCleared
    | EndRequested
    | TransferRequested
    | TakenOver
    | Broken
)
