"""The turns of one call: performs what the core asks of the API's side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias, assert_never

from gateway.bridge.speech import Speech
from gateway.bridge.turn import Exchanges, Turn
from gateway.bridge.utterance import Utterance, UtteranceBody
from gateway.call import commands as cmd
from gateway.call import events as ev
from gateway.errors import GatewayError

TurnCommand: TypeAlias = (
    cmd.OpenConversation
    | cmd.StartTurn
    | cmd.ExtendTurn
    | cmd.SealTurn
    | cmd.SendText
    | cmd.RetryTurn
    | cmd.CloseTurn
    | cmd.ForgetTurn
)


class Turns:
    """Keeps what each turn says and got back, from its start until the core forgets it."""

    def __init__(
        self,
        exchanges: Exchanges,
        utterances: dict[int, Utterance],
        emit: Callable[[ev.Event], None],
        child: Callable[[Awaitable[None], str], asyncio.Task[None]],
    ) -> None:
        """`utterances` is the ears' own: what no turn needs any more is taken out of it."""
        self._exchanges = exchanges
        self._utterances = utterances
        self._emit = emit
        self._child = child
        self._turns: dict[int, Turn] = {}

    def reply(self, turn: int) -> Speech:
        return self._turns[turn].reply

    def filler(self, turn: int, filler: int) -> Speech:
        return self._turns[turn].fillers[filler]

    def close_all(self) -> None:
        """Close every connection that is open: the call cannot be held on."""
        for turn in self._turns.values():
            self._close(turn)

    def do(self, command: TurnCommand) -> None:
        """Perform one command; whatever takes time reports back as an event."""
        match command:
            case cmd.OpenConversation():
                turn = self._turns.setdefault(0, Turn(0, sealed=True))
                self._start(turn)
            case cmd.StartTurn():
                utterances = [self._utterance(one) for one in command.utterances]
                self._turns[command.turn] = turn = Turn(command.turn, utterances)
                self._start(turn)
            case cmd.SendText():
                self._turns[command.turn] = turn = Turn(
                    command.turn, text=command.text, sealed=True
                )
                self._start(turn)
            case cmd.ExtendTurn():
                utterance = self._utterance(command.utterance)
                turn = self._turns[command.turn]
                if turn.body is not None:
                    turn.body.extend(utterance)
            case cmd.SealTurn():
                turn = self._turns[command.turn]
                turn.sealed = True
                if turn.body is not None:
                    turn.body.seal()
            case cmd.RetryTurn():
                self._start(self._turns[command.turn])
            case cmd.CloseTurn():
                self._close(self._turns[command.turn])
            case cmd.ForgetTurn():
                self._forget(command)
            case _:
                assert_never(command)

    def _utterance(self, utterance: int) -> Utterance:
        """The kept utterance; the core never asks for one it dropped, so a missing one is a fault of ours."""
        kept = self._utterances.get(utterance)
        if kept is None:
            raise GatewayError(f"utterance {utterance} is gone")
        return kept

    def _start(self, turn: Turn) -> None:
        turn.cut = turn.reported = turn.body_sent = False
        turn.reply.release()
        turn.reply = Speech()
        turn.fillers.clear()
        if turn.utterances:
            turn.body = UtteranceBody(turn.utterances, lambda: self._body_sent(turn))
            if turn.sealed:
                turn.body.seal()
        turn.task = self._child(self._exchanges.run(turn), f"turn {turn.index}")
        turn.task.add_done_callback(lambda task: self._turn_done(turn, task))

    def _body_sent(self, turn: Turn) -> None:
        turn.body_sent = True
        self._emit(ev.BodySent(turn.index))

    def _turn_done(self, turn: Turn, task: asyncio.Task[None]) -> None:
        """An exchange that ended without a word (cut before it began, or broken) has ended all the same."""
        if not turn.reported and turn.task is task and (turn.cut or not task.cancelled()):
            turn.reported = True
            kind = ev.FailureKind.CLOSED if turn.cut else ev.FailureKind.VOID
            # cut before it began, nothing was asked
            failure = ev.Failure(kind, asked=not turn.cut or turn.body_sent)
            self._emit(ev.TurnClosed(turn.index, failure))

    def _close(self, turn: Turn) -> None:
        turn.cut = True
        if turn.task is not None:
            turn.task.cancel()

    def _forget(self, command: cmd.ForgetTurn) -> None:
        turn = self._turns.pop(command.turn, None)
        if turn is None:
            return
        turn.reply.release()
        if not command.keep_utterances:
            for utterance in turn.utterances:
                self._utterances.pop(utterance.id, None)
