"""One exchange with the API: the upload that follows the caller, the reply that becomes speech."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Literal, Protocol

from audio.decode import VoiceDecoder
from audio.errors import UnsupportedAudio
from gateway.amigo.client import AmigoClient
from gateway.amigo.interaction import InteractionStream
from gateway.amigo.models import VoiceBody
from gateway.amigo.revisions import R2026_04
from gateway.amigo.stream import (
    AgentAction,
    AgentPiece,
    ConversationCreated,
    InteractionCompleted,
    InteractionEvent,
    MalformedLine,
    SessionEnded,
    StreamError,
    UnknownEvent,
    UserMessage,
)
from gateway.amigo.wishes import ExternalEvent
from gateway.bridge.news import News
from gateway.bridge.speech import Speech
from gateway.bridge.utterance import Utterance, UtteranceBody
from gateway.call import events as ev
from gateway.clock import Clock
from gateway.errors import AmigoError, AmigoNotOffered
from gateway.ids import ConversationId, UserId
from gateway.log import fact

_log = logging.getLogger(__name__)

BEFORE_THE_TURN: Final = frozenset({"sign-in", "create-user", "users"})
"""Operations that only prepare what was to be asked: when one fails, that was never asked."""
NEWS_AGE: Final = 0.1
"""Seconds that news are dated back: the API's clock may be a little behind ours."""
DECODE_BYTES = 32_768
"""Sound decoded at a time: a reply in one huge piece must not hold up the frames of other calls."""


class Agent(Protocol):
    """What a call needs of the conversation API, bound to its user."""

    def create(self) -> AbstractAsyncContextManager[InteractionStream]: ...

    def speak(
        self, conversation: ConversationId, body: VoiceBody, news: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[InteractionStream]: ...

    def key_in(
        self, conversation: ConversationId, text: str, news: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[InteractionStream]: ...

    @property
    def takes_news(self) -> bool:
        """Whether the API can be told what happened besides the caller's words."""
        ...

    async def is_finished(self, conversation: ConversationId) -> bool: ...


class AmigoAgent:
    """The conversation API as one user in one service."""

    def __init__(
        self, client: AmigoClient, user: UserId, service_id: str, version_set: str, clock: Clock
    ) -> None:
        self._client = client
        self._clock = clock
        self._user = user
        self._service_id = service_id
        self._version_set = version_set

    def create(self) -> AbstractAsyncContextManager[InteractionStream]:
        return self._client.create(self._user, self._service_id, self._version_set)

    def speak(
        self, conversation: ConversationId, body: VoiceBody, news: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[InteractionStream]:
        events = self._events(news)
        return self._client.interact_voice(self._user, conversation, body, events=events)

    def key_in(
        self, conversation: ConversationId, text: str, news: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[InteractionStream]:
        events = self._events(news)
        return self._client.interact_text(self._user, conversation, text, events=events)

    @property
    def takes_news(self) -> bool:
        return self._client.revision.name == R2026_04.name

    def _events(self, news: Sequence[str]) -> tuple[ExternalEvent, ...]:
        """External events of this moment: in the past by the time the API looks at them."""
        now = self._clock.wall() - NEWS_AGE
        return tuple(ExternalEvent(words, now + at / 1000) for at, words in enumerate(news))

    async def is_finished(self, conversation: ConversationId) -> bool:
        """Whether the API lists the conversation as finished; False where it cannot be asked."""
        try:
            found = await self._client.conversations(self._user, ids=(conversation,))
        except AmigoError:
            return False
        return any(one.id == conversation and one.is_finished for one in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceFormat:
    """How the agent's voice is encoded, where the API's own bytes do not say."""

    format: Literal["auto", "pcm16", "wav", "mp3"] = "auto"
    pcm_rate: int = 16_000


@dataclass(slots=True)
class Turn:
    """What the bridge holds of one turn: what to send, what came back."""

    index: int
    utterances: list[Utterance] = field(default_factory=list)
    text: str = ""
    sealed: bool = False
    body: UtteranceBody | None = None
    reply: Speech = field(default_factory=Speech)
    fillers: list[Speech] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    cut: bool = False
    """The core asked for the connection to be closed."""
    tries: int = 0
    body_sent: bool = False
    """All that was said has left, in the latest try: the API may make a turn of it."""
    reported: bool = False
    """The core was told that this exchange's connection has ended."""


class Exchanges:
    """Runs the exchanges of one call and tells the core what comes of them."""

    def __init__(
        self,
        agent: Agent,
        voice: VoiceFormat,
        emit: Callable[[ev.Event], None],
        opened: Callable[[ConversationId], Awaitable[None]],
        count_oddity: Callable[[str], None],
        news: News,
    ) -> None:
        self._agent = agent
        self._format = voice.format
        self._pcm_rate = voice.pcm_rate
        self._emit = emit
        self._opened = opened
        self._count_oddity = count_oddity
        self._news = news
        self.conversation: ConversationId | None = None

    async def run(self, turn: Turn) -> None:
        """Hold the exchange to the end of its connection; `TurnClosed` is emitted exactly once."""
        turn.tries += 1
        reading = _Reading(turn, self._decoder())
        if turn.index and self._agent.takes_news:
            reading.news = self._news.due()
        failure: ev.Failure | None = None
        try:
            try:
                await self._read(reading)
            except AmigoError as error:
                if not _may_be_the_news(error, reading):
                    raise
                reading.news = ()
                await self._read(reading)
                self._news.refused()
        except AmigoError as error:
            failure = await self._why(error, reading)
        except UnsupportedAudio as error:
            fact(_log, "agent.audio-unsupported", level=logging.WARNING, detail=str(error))
            failure = ev.Failure(ev.FailureKind.REFUSED, 415)
        except asyncio.CancelledError:
            if not turn.cut:
                raise
            _uncancel()
            asked = reading.began or turn.body is None or turn.body_sent
            failure = ev.Failure(ev.FailureKind.CLOSED, asked=asked)
        self._close(reading, failure)

    async def _read(self, reading: _Reading) -> None:
        async with self._open(reading) as stream:
            reading.began = True
            async for event in stream:
                await self._take(event, reading)
            reading.cut = stream.cut

    def _open(self, reading: _Reading) -> AbstractAsyncContextManager[InteractionStream]:
        turn = reading.turn
        if turn.index == 0:
            return self._agent.create()
        if self.conversation is None:
            raise AssertionError("no turn before the conversation is open")
        if turn.body is not None:
            return self._agent.speak(self.conversation, turn.body, reading.words)
        return self._agent.key_in(self.conversation, turn.text, reading.words)

    async def _take(self, event: InteractionEvent, reading: _Reading) -> None:
        turn = reading.turn
        match event:
            case ConversationCreated():
                self.conversation = event.conversation_id
                self._emit(ev.ConversationOpened(event.conversation_id))
                await self._opened(event.conversation_id)
            case UserMessage():
                self._emit(ev.CallerUnderstood(turn.index, event.message_id, event.text))
            case AgentAction():
                self._filler(event, turn)
            case AgentPiece():
                await self._piece(event, reading)
            case InteractionCompleted():
                reading.completed = True
                reading.ends = reading.ends or event.ends_conversation
                self._news.told(reading.news)
                self._end_of_sound(reading)
                turn.reply.text = event.text
                self._emit(
                    ev.ReplyCompleted(
                        turn.index,
                        event.message_id,
                        event.interaction_id,
                        event.text,
                        event.ends_conversation,
                    )
                )
            case SessionEnded():
                reading.ends = True
                self._emit(ev.ConversationEnded(turn.index))
            case StreamError():
                reading.error = event
            case UnknownEvent():
                self._count_oddity("api-unknown-event")
            case MalformedLine():
                self._count_oddity("api-malformed-line")
                fact(_log, "agent.malformed-line", level=logging.WARNING, reason=event.reason)

    async def _piece(self, piece: AgentPiece, reading: _Reading) -> None:
        turn = reading.turn
        if piece.alignment:
            turn.reply.alignment.extend(piece.alignment)
        if piece.audio is None:
            if piece.text:
                self._count_oddity("api-text-piece")
            return
        for at in range(0, len(piece.audio), DECODE_BYTES):
            await turn.reply.room()
            self._sound(reading, reading.decoder.push(piece.audio[at : at + DECODE_BYTES]))
            if len(piece.audio) > DECODE_BYTES:
                await asyncio.sleep(0)

    def _sound(self, reading: _Reading, ulaw: bytes) -> None:
        if ulaw:
            reading.turn.reply.append(ulaw)
            self._emit(ev.ReplyAudio(reading.turn.index))

    def _end_of_sound(self, reading: _Reading) -> None:
        if reading.flushed:
            return
        reading.flushed = True
        self._sound(reading, reading.decoder.flush())
        reading.turn.reply.close()
        self._mind_rate(reading)

    def _mind_rate(self, reading: _Reading) -> None:
        """Headerless sound much shorter or longer than its own alignment was taken at a wrong rate."""
        alignment = reading.turn.reply.alignment
        if not alignment:
            return
        better = reading.decoder.implausible_rate(alignment[-1][0])
        if better is not None:
            fact(
                _log,
                "agent.audio-rate",
                level=logging.WARNING,
                assumed=self._pcm_rate,
                likely=better,
            )
            self._count_oddity("api-audio-rate")
            self._pcm_rate = better

    def _filler(self, action: AgentAction, turn: Turn) -> None:
        """A hold phrase with sound is ready at once; one of text only is for agents that are read."""
        if not isinstance(action.filler, bytes):
            return
        decoder = self._decoder()
        try:
            ulaw = decoder.push(action.filler) + decoder.flush()
        except UnsupportedAudio:
            self._count_oddity("api-filler")
            return
        speech = Speech(ulaw)
        speech.close()
        turn.fillers.append(speech)
        self._emit(ev.FillerReady(turn.index, len(turn.fillers) - 1))

    def _decoder(self) -> VoiceDecoder:
        return VoiceDecoder(self._format, self._pcm_rate)

    async def _why(self, error: AmigoError, reading: _Reading) -> ev.Failure | None:
        """The failure in the core's words; none where the interaction had completed before."""
        if reading.completed:
            return None
        fact(
            _log,
            "agent.failed",
            level=logging.WARNING,
            operation=error.operation,
            status=error.status,
        )
        if error.status is None:
            if reading.began:
                return ev.Failure(ev.FailureKind.VOID, operation=error.operation)
            asked = error.asked and error.operation not in BEFORE_THE_TURN
            return ev.Failure(ev.FailureKind.UNREACHABLE, asked=asked, operation=error.operation)
        finished = False
        if error.status == 409 and reading.turn.tries > 1 and self.conversation is not None:
            finished = await self._agent.is_finished(self.conversation)
        return ev.Failure(
            ev.FailureKind.REFUSED,
            error.status,
            error.retry_after,
            finished,
            operation=error.operation,
        )

    def _close(self, reading: _Reading, failure: ev.Failure | None) -> None:
        index = reading.turn.index
        if failure is None and not reading.completed:
            failure = ev.Failure(ev.FailureKind.VOID, reading.error.code if reading.error else None)
        if failure is not None:
            reading.turn.reply.close()
        reading.turn.reported = True
        # where the connection of the last turn broke, an error after it may have been lost
        failed = reading.error is not None or (reading.ends and reading.cut)
        after = reading.completed and failed
        self._emit(ev.TurnClosed(index, failure, after))


@dataclass(slots=True)
class _Reading:
    """The state of reading one reply."""

    turn: Turn
    decoder: VoiceDecoder
    began: bool = False
    """The API answered with a stream."""
    completed: bool = False
    ends: bool = False
    """The agent ended the conversation."""
    cut: bool = False
    """The connection broke after the interaction had completed."""
    flushed: bool = False
    error: StreamError | None = None
    news: tuple[tuple[int, str], ...] = ()
    """What the agent is told before the caller's words: (turn, words)."""

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(words for _, words in self.news)


def _may_be_the_news(error: AmigoError, reading: _Reading) -> bool:
    """Refused before it began, for the events that went with it perhaps: the words alone may be taken."""
    if not reading.news or reading.began:
        return False
    return error.status == HTTPStatus.BAD_REQUEST or isinstance(error, AmigoNotOffered)


def _uncancel() -> None:
    """The cancellation was ours and is done with: the task may go on."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
