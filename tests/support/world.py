"""A model of everything around one call's core: it performs commands and offers what could happen next.

It keeps the promises the bridge makes (one `TurnClosed` per exchange, playback events for queued
items only) and checks the promises the core makes, at every step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.call import commands as cmd
from gateway.call import events as ev
from gateway.call.phases import Phase
from gateway.call.policy import Policy
from gateway.call.record import CallRecord
from gateway.call.session import CallSession
from gateway.ids import ConversationId, StreamSid

Step = Callable[[], None]
LETTING_GO = {
    cmd.DropUtterance,
    cmd.CloseTurn,
    cmd.ClearSpeech,
    cmd.ResumeSpeech,
    cmd.CloseLine,
    cmd.CountTurn,
}
"""All that may be asked for a call that another replica has."""


def make_record() -> CallRecord:
    return CallRecord(
        call_sid="CA1",
        direction="inbound",
        caller="+15550001111",
        called="+15550002222",
        organization="org",
        service_id="0" * 24,
        user_id="user",
        replica="here",
        started_at=0.0,
    )


@dataclass
class Wire:
    """An exchange with the API whose connection is open."""

    turn: int
    created: bool = False
    understood: bool = False
    audio: bool = False
    completed: bool = False
    ended: bool = False
    sealed: bool = True
    cut: bool = False


@dataclass
class Playing:
    item: int
    turn: int | None
    began: bool = False
    starved: bool = False


@dataclass
class World:
    policy: Policy = field(default_factory=Policy)
    now: float = 0.0
    left: CallRecord | None = None
    """What a lost process left behind: the call is taken up, not begun."""
    trace: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.session = CallSession(self.left or make_record(), self.policy)
        self.wire: Wire | None = None
        self.queue: list[Playing] = []
        self.cleared: list[int] = []
        self.utterance: int | None = None
        self.accepted = 0
        self.next_utterance = 0
        self.conversations: list[str] = []
        self.over: set[str] = set()
        """Ended by themselves: finish is not allowed."""
        self.void: set[str] = set()
        self.finishes: dict[str, int] = {}
        self.finishing: str | None = None
        self.freeing = False
        self.line_open = False
        self.hanging_up = False
        self.words: dict[int, list[int]] = {}
        """The utterances of each turn."""
        self.halves: set[int] = set()
        """Utterances that were cut off by the loss of the line."""
        self.back_by = 0.0
        """When a caller who is away is given up."""
        self.ended: set[int] = set()
        """Turns with which the agent ended the conversation: their reply is never discarded."""
        if self.left is None:
            self.perform(self.session.begin(self.now))
            return
        if self.left.conversation_id is not None:
            self.conversations.append(self.left.conversation_id)
        self.perform(self.session.resume(self.now))

    # ------------------------------------------------------------ doing

    def happen(self, event: ev.Event) -> None:
        self.trace.append(f"{self.now:.2f} {event}")
        phase = self.session.phase
        reason = self.session.record.end_reason
        commands = self.session.handle(event, self.now)
        if phase is Phase.ENDED:
            assert commands == [], "an ended call asks for nothing"
        self._mind_away(event, phase)
        if isinstance(event, ev.TakenOver) and phase is not Phase.ENDED:
            assert self.session.disowned
            assert self.session.phase is Phase.ENDED
            assert {type(command) for command in commands} <= LETTING_GO
        self.perform(commands)
        assert reason in {None, self.session.record.end_reason}, "one end reason"

    def _mind_away(self, event: ev.Event, before: Phase) -> None:
        if self.session.phase is not Phase.AWAY:
            return
        assert self.session.record.status == "ringing"
        if before is not Phase.AWAY or isinstance(event, ev.TokenRenewed):
            self.back_by = self.now + self.policy.reconnect_seconds

    def wake(self) -> None:
        deadline = self.session.deadline
        if deadline is None:
            return
        self.now = max(self.now, deadline)
        self.trace.append(f"{self.now:.2f} wake")
        reason = self.session.record.end_reason
        self.perform(self.session.wake(self.now))
        assert reason in {None, self.session.record.end_reason}, "one end reason"
        if self.session.phase is Phase.AWAY:
            assert self.now < self.back_by, "nobody is waited for without end"

    def perform(self, commands: list[cmd.Command]) -> None:
        for command in commands:
            self.trace.append(f"      -> {command}")
            self._do(command)
        if self.session.phase is Phase.ENDED:
            assert self.session.deadline is None, "no deadline after the end"

    def _do(self, command: cmd.Command) -> None:
        if isinstance(command, cmd.SayReply | cmd.SayFiller | cmd.SayPhrase | cmd.CountDeadAir):
            assert self.line_open, "nothing is said, and no silence counted, where nobody can hear"
        match command:
            case cmd.OpenConversation():
                self._open(0)
            case cmd.StartTurn():
                assert command.utterances, "a voice turn has something to say"
                self._open(command.turn)
                assert self.wire is not None
                self.wire.sealed = False
                self.words[command.turn] = list(command.utterances)
                self._whole(command.turn)
            case cmd.ExtendTurn():
                self.words[command.turn].append(command.utterance)
            case cmd.SendText() | cmd.RetryTurn():
                self._open(command.turn)
                self._whole(command.turn)
            case cmd.SealTurn():
                self._whole(command.turn)
                if self.wire is not None and self.wire.turn == command.turn:
                    self.wire.sealed = True
            case cmd.CloseTurn():
                assert self.wire is not None, "only an open connection is closed"
                assert self.wire.turn == command.turn
                self.wire.cut = True
            case cmd.FinishConversation():
                self._finish()
            case cmd.FreeUser():
                self.freeing = True
            case cmd.SayReply():
                interrupted = self.session.record.turns[command.turn].interrupted
                assert not interrupted or command.turn in self.ended, (
                    "no audio of an abandoned turn"
                )
                self.queue.append(Playing(command.item, command.turn))
            case cmd.SayFiller():
                self.queue.append(Playing(command.item, command.turn))
            case cmd.SayPhrase():
                self.queue.insert(
                    0 if command.first else len(self.queue), Playing(command.item, None)
                )
            case cmd.ClearSpeech():
                self.cleared += [playing.item for playing in self.queue]
                self.queue.clear()
            case cmd.HangUp():
                assert not self.hanging_up, "one hang-up"
                assert self.session.record.end_reason != "transfer", "the carrier goes on with it"
                self.hanging_up = True
            case cmd.ReleaseLine():
                assert not self.hanging_up, "one hang-up"
                assert self.session.record.end_reason == "transfer"
                assert self.session.record.transfer_to is not None
                self.hanging_up = True
            case cmd.CloseLine():
                self.line_open = False
            case _:
                pass

    def _open(self, turn: int) -> None:
        assert self.wire is None, "at most one open interaction"
        assert self.finishing is None, "nothing is asked while finish runs"
        if turn != 0:
            assert self.conversations, "no turn without a conversation"
            assert self.conversations[-1] not in self.over, "no turn after the end"
        self.wire = Wire(turn)

    def _whole(self, turn: int) -> None:
        cut_off = self.halves.intersection(self.words.get(turn, ()))
        assert not cut_off, "half an utterance must not become a turn"

    def _finish(self) -> None:
        assert self.wire is None, "finish waits for the running interaction"
        name = self.conversations[-1] if self.conversations else "unknown"
        if name in self.finishes:
            name = "unknown"  # a create that was cut off before its id was known
        assert name not in self.over, "finish must not be called after an automatic end"
        self.finishes[name] = self.finishes.get(name, 0) + 1
        self.finishing = name

    # ------------------------------------------------------------ what could happen next

    def step(self, choice: int) -> None:
        """Let one thing happen: nearly always an ordinary one, so that lives get long enough to be interesting."""
        usual = self._caller_options() + self._playback_options() + self._api_options()
        if self.freeing:
            usual += [lambda: self._freed(True, False), lambda: self._freed(False, True)]
        if self.finishing is not None:
            usual += [lambda: self._settle("finished")]
        if not self.line_open:
            usual += [self._stream, self._stream, lambda: self._pass(12.0)]
        usual += [lambda: self._pass(0.2), lambda: self._pass(1.0)]
        rare = [self.wake, lambda: self._pass(12.0), *self._line_options(), *self._failures()]
        kinds, choice = (rare, choice // 24) if choice % 24 == 0 else (usual, choice // 24)
        kinds[choice % len(kinds)]()

    def _pass(self, seconds: float) -> None:
        until = self.now + seconds
        while (deadline := self.session.deadline) is not None and deadline <= until:
            self.wake()
        self.now = until
        if self.session.phase is Phase.AWAY:
            assert self.now < self.back_by, "nobody is waited for without end"

    def _line_options(self) -> list[Step]:
        house: list[Step] = [
            lambda: self.happen(ev.EndRequested("drain")),
            lambda: self.happen(ev.EndRequested("operator")),
            lambda: self.happen(ev.TransferRequested("+15550003333")),
            lambda: self.happen(ev.TakenOver()),
            lambda: self.happen(ev.Broken()),
        ]
        if not self.line_open:
            gone: Step = lambda: self.happen(ev.CallerGone())  # noqa: E731
            return [
                *[self._stream] * 4,
                *[lambda: self.happen(ev.TokenRenewed())] * 2,
                gone,
                *house,
            ]
        if self.hanging_up:
            return [lambda: self.happen(ev.LineClosed()), self._lose_line]
        return [
            *[self._lose_line] * 4,
            lambda: self.happen(ev.CallerGone()),
            self._stream,
            *house,
        ]

    def _stream(self) -> None:
        self.line_open = True
        self.happen(ev.StreamOpened(StreamSid("MZ1")))

    def _lose_line(self) -> None:
        """The socket is gone, and with it whatever the ears had open."""
        self.line_open = False
        if self.utterance is not None:
            self.halves.add(self.utterance)
            self.utterance = None
        self.happen(ev.LineLost())

    def _caller_options(self) -> list[Step]:
        if not self.line_open:
            return []
        digits: list[Step] = [
            lambda: self.happen(ev.DigitPressed("5")),
            lambda: self.happen(ev.DigitPressed("#")),
        ]
        if self.utterance is None:
            return [*digits, *[self._start_speaking] * 3]
        speech = [self._accept, self._accept, self._stop_speaking, self._full, self._pause]
        return [*digits, *speech, lambda: self.happen(ev.SpeechResumed(self.utterance or 0))]

    def _start_speaking(self) -> None:
        self.utterance, self.accepted = self.next_utterance, 0
        self.next_utterance += 1
        self.happen(ev.SpeechStarted(self.utterance))

    def _accept(self) -> None:
        assert self.utterance is not None
        self.accepted = 240 if self.accepted == 0 else 450
        self.happen(ev.SpeechAccepted(self.utterance, self.accepted))

    def _pause(self) -> None:
        assert self.utterance is not None
        self.happen(ev.SpeechPaused(self.utterance, min(self.accepted, 360)))
        if self.queue:
            assert not self.session.voice.held, "a pause lets our voice go on, or ends it"

    def _stop_speaking(self) -> None:
        utterance, self.utterance = self.utterance, None
        assert utterance is not None
        self.happen(ev.SpeechEnded(utterance, self.accepted, self.now - 1.5, self.now - 0.7))

    def _full(self) -> None:
        assert self.utterance is not None
        full, self.utterance = self.utterance, self.next_utterance
        self.next_utterance += 1
        self.happen(ev.UtteranceFull(full, self.utterance, self.now - 30, self.now))

    def _api_options(self) -> list[Step]:
        wire = self.wire
        if wire is None:
            return []
        if wire.cut:
            return [lambda: self._close(ev.Failure(ev.FailureKind.CLOSED))]
        if wire.turn == 0 and not wire.created:
            return [self._create]
        if not wire.sealed:
            return []
        if not wire.completed:
            return [self._audio, self._audio, self._complete, self._filler]
        return [self._finish_stream]

    def _failures(self) -> list[Step]:
        wire = self.wire
        if wire is None or wire.cut:
            return []
        if wire.completed:
            return [self._end_session, self._late_error]
        return [
            lambda: self._close(ev.Failure(ev.FailureKind.UNREACHABLE)),
            lambda: self._close(ev.Failure(ev.FailureKind.REFUSED, 409)),
            lambda: self._close(ev.Failure(ev.FailureKind.REFUSED, 409, finished=False)),
            lambda: self._close(ev.Failure(ev.FailureKind.REFUSED, 503, 1.0)),
            lambda: self._close(ev.Failure(ev.FailureKind.REFUSED, 400)),
            lambda: self._close(ev.Failure(ev.FailureKind.VOID)),
        ]

    def _create(self) -> None:
        assert self.wire is not None
        self.wire.created = True
        name = f"c{len(self.conversations)}"
        self.conversations.append(name)
        self.happen(ev.ConversationOpened(ConversationId(name)))

    def _audio(self) -> None:
        assert self.wire is not None
        self.happen(ev.ReplyAudio(self.wire.turn))

    def _filler(self) -> None:
        assert self.wire is not None
        self.happen(ev.FillerReady(self.wire.turn, 0))

    def _complete(self) -> None:
        assert self.wire is not None
        self.wire.completed = True
        self.happen(ev.ReplyCompleted(self.wire.turn, "m", "i", "text", ends=False))

    def _end_session(self) -> None:
        assert self.wire is not None
        if not self.wire.ended:
            self.wire.ended = True
            self.ended.add(self.wire.turn)
            self.happen(ev.ConversationEnded(self.wire.turn))

    def _finish_stream(self) -> None:
        wire, self.wire = self.wire, None
        assert wire is not None
        if wire.ended:
            self.over.add(self.conversations[-1])
        self.happen(ev.TurnClosed(wire.turn))

    def _late_error(self) -> None:
        wire, self.wire = self.wire, None
        assert wire is not None
        self.ended.add(wire.turn)
        self.happen(ev.TurnClosed(wire.turn, None, after_completion=True))

    def _close(self, failure: ev.Failure) -> None:
        wire, self.wire = self.wire, None
        assert wire is not None
        if wire.ended and wire.completed:
            self.over.add(self.conversations[-1])
        self.happen(ev.TurnClosed(wire.turn, None if wire.completed else failure))

    def _freed(self, freed: bool, held: bool) -> None:
        self.freeing = False
        self.happen(ev.UserFreed(freed, held))

    def _settle(self, state: str) -> None:
        self.finishing = None
        self.happen(ev.ConversationSettled(state))

    def _playback_options(self) -> list[Step]:
        if self.cleared:
            return [self._report_cleared] * 6
        if not self.queue:
            return []
        front = self.queue[0]
        if not front.began:
            # one that ran dry may have come to its end
            ended = [self._drain] if front.starved and not self._growing(front) else []
            return [*[lambda: self._began(front)] * 3, *ended]
        steps: list[Step] = [lambda: self.happen(ev.PlaybackHeard(front.item, self.now))]
        if self._growing(front):
            return [*steps, lambda: self._starve(front)]
        return [*steps, *[self._drain] * 4]

    def _growing(self, front: Playing) -> bool:
        wire = self.wire
        return wire is not None and front.turn == wire.turn and not wire.completed

    def _starve(self, front: Playing) -> None:
        front.began, front.starved = False, True
        self.happen(ev.PlaybackStarved(front.item))

    def _report_cleared(self) -> None:
        self.happen(ev.PlaybackCleared(self.cleared.pop(0), 500, "te"))

    def _began(self, front: Playing) -> None:
        front.began = True
        self.happen(ev.PlaybackBegan(front.item))

    def _drain(self) -> None:
        front = self.queue.pop(0)
        self.happen(ev.PlaybackDrained(front.item, 1000, "text"))

    # ------------------------------------------------------------ the end

    def hang_up_and_settle(self) -> None:
        """The caller is gone; everything still running ends in some way. Then nothing may be owed."""
        if self.session.phase not in {Phase.SETTLING, Phase.ENDED}:
            self.happen(ev.CallerGone())
        for _ in range(200):
            if self.session.phase is Phase.ENDED:
                break
            if self.wire is not None:
                self._close(ev.Failure(ev.FailureKind.CLOSED))
            elif self.finishing is not None:
                self._settle("finished")
            elif self.freeing:
                self._freed(False, False)
            else:
                self.wake()
        self.check_settled()

    def check_settled(self) -> None:
        assert self.session.phase is Phase.ENDED
        if self.session.disowned:
            assert self.wire is None or self.wire.cut, "what is open of the call is closed"
            assert all(count == 1 for count in self.finishes.values())
            return
        assert self.wire is None
        assert self.session.record.end_reason is not None
        for name in self.conversations:
            expected = 0 if name in self.over else 1
            assert self.finishes.get(name, 0) == expected, f"{name} finished wrongly"
        assert self.session.record.conversation_state != "open"
