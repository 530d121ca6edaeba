"""The API's side of a call: one conversation, at most one open interaction, an owed finish.

Rules of this file (from the conversation API's own text):
- Nothing is asked of a conversation while a connection of it is open; what the caller says
  meanwhile waits here, in order, and goes out as one turn when the connection has ended.
- A conversation is owed a finish from the moment its id is known, unless it ended by itself.
- A turn that was voided before `interaction-complete` was not stored by the API: if its reply is no
  longer wanted, its words go out again in front of the next turn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from gateway.call.commands import (
    CloseTurn,
    Command,
    CountTurn,
    DropUtterance,
    ExtendTurn,
    FinishConversation,
    ForgetTurn,
    OpenConversation,
    RetryTurn,
    SealTurn,
    SendText,
    StartTurn,
)
from gateway.call.events import Failure, FailureKind, TurnClosed
from gateway.call.record import TurnRecord
from gateway.call.retry import Tries


class Conversation(Enum):
    """What we know of the conversation; the value is the record's `conversation_state`."""

    NONE = "none"
    OPEN = "open"
    OVER = "auto-finished"
    """It ended by itself: finish must not be called."""
    FINISHING = "finishing"
    SETTLED = "finished"


@dataclass(slots=True)
class Turn:
    """One exchange: the creation with its greeting (index 0), an utterance, or keys."""

    record: TurnRecord
    utterances: list[int] = field(default_factory=list)
    text: str = ""
    sealed: bool = False
    connected: bool = False
    completed: bool = False
    reset: bool = False
    """Its upload was cut in mid-sentence: the API stored nothing of it."""
    ends: bool = False
    """The agent ended the conversation with this turn."""
    audible: bool = False
    """Some of the reply's sound has arrived."""
    heard: bool = False
    """The reply was played to its end."""
    item: int | None = None
    """The playback item of the reply, once it was asked to be said."""
    tries: Tries = field(default_factory=Tries)

    @property
    def index(self) -> int:
        return self.record.index

    @property
    def is_greeting(self) -> bool:
        return self.record.kind == "greeting"


class Exchange:
    """Turns, connections and the debt of one call; appends commands to `out`."""

    def __init__(self, out: list[Command], turns: list[TurnRecord]) -> None:
        self._out = out
        self._records = turns
        self.conversation = Conversation.NONE
        self.maybe_created = False
        """A create was cut off before its outcome was known."""
        self.freeing = False
        """A left-over conversation of the user is being looked for and finished."""
        self.closing = False
        """The agent has ended the conversation: no further turn."""
        self.current: Turn | None = None
        """The turn whose reply is wanted."""
        self.draining: Turn | None = None
        """A turn whose reply is no longer wanted, while its connection is open."""
        self.waiting: list[int] = []
        """Utterances for the next turn."""
        self.waiting_sealed = True
        self.waiting_text = ""
        self._uncounted: set[int] = set()

    # ------------------------------------------------------------ facts

    @property
    def connected(self) -> Turn | None:
        """The turn whose connection is open, or None."""
        for turn in (self.draining, self.current):
            if turn is not None and turn.connected:
                return turn
        return None

    @property
    def free(self) -> bool:
        """The conversation can be asked something now."""
        return (
            self.conversation is Conversation.OPEN
            and not self.closing
            and self.current is None
            and self.draining is None
        )

    @property
    def owed(self) -> bool:
        return self.conversation is Conversation.OPEN or (
            self.conversation is Conversation.NONE and self.maybe_created
        )

    @property
    def unsealed(self) -> bool:
        """Words of the caller's are being sent, or wait, that further ones may still join."""
        current = self.current
        if current is not None and not current.sealed:
            return True
        return bool(self.waiting) and not self.waiting_sealed

    def find(self, index: int) -> Turn | None:
        for turn in (self.current, self.draining):
            if turn is not None and turn.index == index:
                return turn
        return None

    def new_record(self, kind: str) -> TurnRecord:
        record = TurnRecord(len(self._records), kind)
        self._records.append(record)
        self._uncounted.add(record.index)
        return record

    # ------------------------------------------------------------ turns

    def open(self) -> Turn:
        """Create the conversation; the greeting is turn 0."""
        turn = Turn(self.new_record("greeting"), sealed=True, connected=True)
        self.current = turn
        self._out.append(OpenConversation())
        return turn

    def take(self, utterance: int) -> None:
        """The caller has the floor: this utterance is, or belongs to, the next turn."""
        self.waiting.append(utterance)
        self.waiting_sealed = False
        self.start_next()

    def keep(self, utterance: int) -> None:
        """The caller said this in full while nothing could be sent: it belongs to the next turn."""
        self.waiting.append(utterance)

    def extend(self, utterance: int) -> None:
        """The caller went on before the body was closed."""
        if self.current is None:
            raise AssertionError("only an open turn is extended")
        self.current.utterances.append(utterance)
        self._out.append(ExtendTurn(self.current.index, utterance))

    def seal(self) -> None:
        """The caller has finished: the body ends."""
        self.waiting_sealed = True
        turn = self.current
        if turn is not None and not turn.sealed:
            turn.sealed = True
            self._out.append(SealTurn(turn.index))

    def key_in(self, text: str) -> None:
        """Keys to be sent as a text turn of their own."""
        self.waiting_text += text
        self.start_next()

    def start_next(self) -> Turn | None:
        """Start the next turn if something waits and nothing is in the way; voice goes before keys."""
        if not self.free:
            return None
        if self.waiting:
            turn = Turn(self.new_record("voice"), utterances=self.waiting, connected=True)
            self.waiting = []
            self._out.append(StartTurn(turn.index, tuple(turn.utterances)))
            self.current = turn
            if self.waiting_sealed:
                self.seal()
        elif self.waiting_text:
            turn = Turn(
                self.new_record("dtmf"), text=self.waiting_text, sealed=True, connected=True
            )
            self.waiting_text = ""
            self._out.append(SendText(turn.index, turn.text))
            self.current = turn
        else:
            return None
        return turn

    def retry(self) -> None:
        """Send the failed turn again, from the start."""
        turn = self.current or self.draining
        if turn is None or turn.connected:
            return
        turn.connected = True
        turn.audible = False
        turn.item = None
        turn.record.retries += 1
        if turn.is_greeting:
            self._out.append(OpenConversation())
        else:
            self._out.append(RetryTurn(turn.index))

    def abandon(self) -> Turn | None:
        """The running turn's reply is no longer wanted; returns it while its connection is open.

        A greeting whose conversation does not exist yet stays: without it there is nothing to talk to.
        """
        turn = self.current
        if turn is None:
            return None
        self.current = None
        if turn.connected or (turn.is_greeting and not turn.completed):
            self.draining = turn
            if not turn.sealed and turn.utterances:
                turn.sealed = True
                self._out.append(SealTurn(turn.index))
            return turn
        if turn.completed:
            self.forget(turn)
        else:
            self._reclaim(turn)
        return None

    def forget(self, turn: Turn) -> None:
        """This turn is over; its sound is no longer needed."""
        if self.current is turn:
            self.current = None
        if self.draining is turn:
            self.draining = None
        self.count(turn.index)
        self._out.append(ForgetTurn(turn.index))

    def count(self, index: int) -> None:
        """This turn's record is complete."""
        if index in self._uncounted:
            self._uncounted.discard(index)
            self._out.append(CountTurn(index))

    def count_rest(self) -> None:
        """The call is over, and with it every turn."""
        for index in sorted(self._uncounted):
            self.count(index)

    def drained(self, turn: Turn, failure: Failure | None) -> None:
        """The unwanted reply's connection has ended."""
        self.draining = None
        closed = (
            failure is not None and failure.kind is FailureKind.CLOSED and failure.asked
        )  # else the API has not got all of it, and makes nothing of a half
        stored = turn.completed or (closed and not turn.reset)
        if failure is not None and not stored and failure.status != 400 and not turn.is_greeting:
            self._reclaim(turn)
        else:
            self.forget(turn)

    def close_current(self) -> None:
        """Cut the open connection: its end comes as `TurnClosed`."""
        turn = self.connected
        if turn is not None:
            self._out.append(CloseTurn(turn.index))

    def cut_short(self, utterance: int) -> None:
        """This utterance will never be complete: half of it must not become a turn, what came before it may."""
        if utterance in self.waiting:
            self.waiting.remove(utterance)
        turn = self.current
        if turn is not None and utterance in turn.utterances and not turn.sealed:
            turn.utterances.remove(utterance)
            turn.sealed = turn.reset = True
            self.current = None
            if turn.connected:
                self.draining = turn
                self._out.append(CloseTurn(turn.index))
            else:
                self._reclaim(turn)
        self.waiting_sealed = True

    def drop_waiting(self) -> None:
        for utterance in self.waiting:
            self._out.append(DropUtterance(utterance))
        self.waiting = []
        self.waiting_sealed = True
        self.waiting_text = ""

    def closed(self, event: TurnClosed) -> Turn | None:
        """A connection has ended; returns its turn, or None when it is stale."""
        turn = self.find(event.turn)
        if turn is None or not turn.connected:
            return None
        turn.connected = False
        if (
            turn.is_greeting
            and event.failure is not None
            and self.conversation is Conversation.NONE
        ):
            # only a status, or never having asked, proves that nothing came into being
            refused = event.failure.kind is FailureKind.REFUSED or not event.failure.asked
            self.maybe_created = self.maybe_created or not refused
        if event.after_completion:
            turn.ends = True
        elif turn.ends and turn.completed and event.failure is None:
            self.conversation = Conversation.OVER
        return turn

    # ------------------------------------------------------------ the debt

    def pay(self) -> bool:
        """Ask for the owed finish if there is one and no connection is open; True when asked."""
        if self.connected is not None or self.freeing or not self.owed:
            return False
        self.conversation = Conversation.FINISHING
        self._out.append(FinishConversation())
        return True

    def _reclaim(self, turn: Turn) -> None:
        """Put an unstored turn's words in front of what waits."""
        if turn.utterances and not self.waiting:
            self.waiting_sealed = turn.sealed
        self.waiting = turn.utterances + self.waiting
        self.waiting_text = turn.text + self.waiting_text
        self.count(turn.index)
        self._out.append(ForgetTurn(turn.index, keep_utterances=True))
