"""Everything a call can ask its bridge to do, as a closed union of frozen values.

The bridge performs commands in order and without waiting; whatever takes time reports back as an
event. Turn 0 is the creation of the conversation with its greeting.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Phrase(Enum):
    """The gateway's own shipped phrases; the value is the name of the sound file."""

    APOLOGY = "apology"
    BUSY = "busy"
    STILL_THERE = "still-there"
    SILENCE_GOODBYE = "silence-goodbye"
    CLOSING = "closing"
    TIME_UP = "time-up"
    ONE_MOMENT = "one-moment"
    LOST_ANSWER = "lost-answer"
    RATE = "rate"
    THANKS = "thanks"
    RECONNECTED = "reconnected"
    TRANSFER = "transfer"
    COMFORT = "comfort"
    """Not words: the soft sound that says the line is alive."""


# ---------------------------------------------------------------- the conversation


@dataclass(frozen=True, slots=True)
class OpenConversation:
    """Create the conversation (turn 0); `TurnClosed(0)` ends it."""


@dataclass(frozen=True, slots=True)
class FreeUser:
    """Creation was refused: look for a left-over conversation of our own; answer with `UserFreed`."""

    maybe_created: bool
    """An earlier create of this very call was cut off: what it may have made is ours too."""


@dataclass(frozen=True, slots=True)
class StartTurn:
    """Send these utterances as one voice turn, from the first sample of the first; open-ended until sealed."""

    turn: int
    utterances: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExtendTurn:
    """The caller goes on: this utterance belongs to the open turn too."""

    turn: int
    utterance: int


@dataclass(frozen=True, slots=True)
class SealTurn:
    """No utterance will follow: the upload's body ends with the last one."""

    turn: int


@dataclass(frozen=True, slots=True)
class SendText:
    """Send a text turn that is answered by voice."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class RetryTurn:
    """Send the same turn again from its kept utterance or text; its old reply is forgotten."""

    turn: int


@dataclass(frozen=True, slots=True)
class CloseTurn:
    """Close the turn's connection now: an unfinished upload is reset, never ended cleanly."""

    turn: int


@dataclass(frozen=True, slots=True)
class ForgetTurn:
    """Nothing of this turn's sound is needed any more."""

    turn: int
    keep_utterances: bool = False
    """Its utterances go out again with a later turn."""


@dataclass(frozen=True, slots=True)
class SetPatience:
    """End the caller's turns after this much silence from now on, an open one included."""

    ms: int


@dataclass(frozen=True, slots=True)
class DropUtterance:
    """This utterance will not be sent."""

    utterance: int


@dataclass(frozen=True, slots=True)
class FinishConversation:
    """Pay the owed finish; answer with `ConversationSettled`."""


# ---------------------------------------------------------------- our own voice


@dataclass(frozen=True, slots=True)
class SayReply:
    """Queue the turn's reply (from where it was last stopped)."""

    item: int
    turn: int


@dataclass(frozen=True, slots=True)
class SayFiller:
    """Queue one of the turn's fillers."""

    item: int
    turn: int
    filler: int


@dataclass(frozen=True, slots=True)
class SayPhrase:
    """Queue one of our own phrases; `first`: before what is queued (a reply that ran dry goes on after it)."""

    item: int
    phrase: Phrase
    first: bool = False


@dataclass(frozen=True, slots=True)
class HoldSpeech:
    """Stop feeding the carrier; what it already has plays on."""


@dataclass(frozen=True, slots=True)
class ResumeSpeech:
    """Go on feeding at the exact frame."""


@dataclass(frozen=True, slots=True)
class ClearSpeech:
    """Drop the queue and what the carrier still holds; `PlaybackCleared` follows for each item dropped."""


# ---------------------------------------------------------------- the line and the record


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call: carrier REST, then the socket; answer with `LineClosed`."""


@dataclass(frozen=True, slots=True)
class ReleaseLine:
    """Close the media socket only: the carrier asks what is next. Answer with `LineClosed`."""


@dataclass(frozen=True, slots=True)
class CloseLine:
    """Close the media socket: the caller is no longer there."""


@dataclass(frozen=True, slots=True)
class Save:
    """The record changed: store it."""


@dataclass(frozen=True, slots=True)
class CountBargeIn:
    """A barge-in candidate was settled."""

    confirmed: bool


@dataclass(frozen=True, slots=True)
class CountDeadAir:
    """So many seconds of our turn passed with nothing playing."""

    seconds: float


@dataclass(frozen=True, slots=True)
class CountTurn:
    """A turn is over; its record is complete."""

    turn: int


Command = (
    OpenConversation
    | FreeUser
    | StartTurn
    | ExtendTurn
    | SealTurn
    | SendText
    | RetryTurn
    | CloseTurn
    | ForgetTurn
    | SetPatience
    | DropUtterance
    | FinishConversation
    | SayReply
    | SayFiller
    | SayPhrase
    | HoldSpeech
    | ResumeSpeech
    | ClearSpeech
    | HangUp
    | ReleaseLine
    | CloseLine
    | Save
    | CountBargeIn
    | CountDeadAir
    | CountTurn
)
