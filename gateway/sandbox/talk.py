"""The two streaming operations: create a conversation, interact with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from gateway.sandbox import roles
from gateway.sandbox.agent import Agent, AgentState, Outcome
from gateway.sandbox.conversations import Done, Message, Sound, TurnKind
from gateway.sandbox.creation import CreateRequest, read_create
from gateway.sandbox.early import AUDIBLE_DBFS, EarlyEar
from gateway.sandbox.errors import Refusal
from gateway.sandbox.journal import Entry
from gateway.sandbox.queries import action_filter, message_format, path_id
from gateway.sandbox.reply import Exchange, answer
from gateway.sandbox.sound import loud_ms
from gateway.sandbox.state import ENTRY, IDENTITY, SANDBOX, Sandbox
from gateway.sandbox.stream import ClientGone, Event, EventStream
from gateway.sandbox.turns import Recording, UserTurn, understand
from gateway.sandbox.upload import expect, receive

log = logging.getLogger("gateway.sandbox")

SPEECH_MS: Final = 60
"""A recording with less than this much sound above that level holds no speech."""
NOTHING_SAID: Final = "the user message is empty: no speech in the recording"


async def create(request: web.Request) -> web.StreamResponse:
    """POST …/conversation/: open a conversation; the agent speaks first."""
    sandbox, entry = request.app[SANDBOX], request[ENTRY]
    voice = message_format(request.query, "response_format", rule="7") == "voice"
    actions = action_filter(request.query, sandbox.options, request[IDENTITY])
    request[IDENTITY].need(roles.CREATE)
    wanted = await read_create(request, sandbox.options)
    with sandbox.conversations.start(
        request[IDENTITY], wanted.service_id, wanted.version_set, wanted.tags
    ) as turn:
        entry.conversation_id = turn.conversation.id
        late = sandbox.strike("late-create", entry)
        if late is not None:
            await asyncio.sleep(late.ms / 1000)
        stream = EventStream(sandbox, entry, request, 201)
        exchange = Exchange(
            sandbox=sandbox, entry=entry, stream=stream, turn=turn, voice=voice, actions=actions
        )
        try:
            await stream.open()
            await _greet(exchange, wanted)
        except ClientGone:
            log.info("create: the client left, rolled back")
    await stream.finish()
    return stream.response


async def _greet(exchange: Exchange, wanted: CreateRequest) -> None:
    turn = exchange.turn
    opening: Event = {"type": "conversation-created", "conversation_id": turn.conversation.id}
    heard: list[Message] = []
    agent = exchange.sandbox.agent
    done = Done("greeting", wanted.initial_message or "", agent.greet())
    if wanted.initial_message is not None:
        message = turn.message(wanted.initial_kind, wanted.initial_message, voice=False)
        # No `user-message-available` here: one page of the docs draws it, but neither the OpenAPI
        # document nor the official client lets it pass in a create.
        heard.append(message)
        outcome = answered(agent, done.outcome.state, wanted.initial_kind, wanted.initial_message)
        done = Done("greeting", wanted.initial_message, outcome)
    await answer(exchange, (opening,), heard, done)


async def interact(request: web.Request) -> web.StreamResponse:
    """POST …/conversation/{cid}/interact: the caller's turn, then the agent's."""
    sandbox, entry = request.app[SANDBOX], request[ENTRY]
    spoken = message_format(request.query, "request_format", rule="14") == "voice"
    voice = message_format(request.query, "response_format", rule="14") == "voice"
    actions = action_filter(request.query, sandbox.options, request[IDENTITY])
    conversation_id = path_id(request, "conversation_id", rule="14")
    entry.conversation_id = conversation_id
    request[IDENTITY].need(roles.UPDATE_USER, roles.INTERACT)
    with sandbox.conversations.resume(request[IDENTITY], conversation_id) as turn:
        expected = expect(request, sandbox.options, voice=spoken)
        hints = sandbox.agent.hints(turn.conversation.state)
        async with EarlyEar(sandbox, hints) as ear:
            body = await receive(request, sandbox, entry, expected, ear)
            said = await understand(body, expected, sandbox, turn.conversation.created_at)
            text = await _text_of(said, sandbox, entry, ear, hints)
        stream = EventStream(sandbox, entry, request, 200)
        exchange = Exchange(
            sandbox=sandbox, entry=entry, stream=stream, turn=turn, voice=voice, actions=actions
        )
        try:
            await stream.open()
            await _respond(exchange, said, text)
        except ClientGone:
            log.info("interact: the client left, rolled back")
    await stream.finish()
    return stream.response


async def _text_of(
    said: UserTurn, sandbox: Sandbox, entry: Entry, ear: EarlyEar, hints: Sequence[str]
) -> str:
    """The words of the turn; empty when a recording holds none and that is told by an event."""
    if not isinstance(said.said, Recording):
        return said.said
    pcm, rate = said.said.pcm, said.said.rate
    entry.upload.audio_ms = len(pcm) * 1000 // rate
    text = ""
    if loud_ms(pcm, rate, AUDIBLE_DBFS) >= SPEECH_MS:
        early = await ear.text(pcm, rate)
        text = early if early is not None else await sandbox.transcribe(pcm, rate, hints)
    if not text and sandbox.options.silence == "status":
        # No rule is named: a client cannot know that what it sent holds no words.
        raise Refusal(400, NOTHING_SAID)
    return text


async def _respond(exchange: Exchange, said: UserTurn, text: str) -> None:
    turn = exchange.turn
    if not text and said.kind == "user-message":
        await exchange.stream.error(400, NOTHING_SAID)
        return
    heard = [turn.message("external-event", event, voice=False) for event in said.events]
    message = turn.message(
        "external-event" if said.kind == "external-event" else "user-message",
        text,
        voice=isinstance(said.said, Recording),
    )
    if said.kind != "skip":
        heard.append(message)
    if isinstance(said.said, Recording):
        turn.sounds.append(Sound(message.id, said.said.media, said.said.file))
    outcome = answered(exchange.sandbox.agent, turn.conversation.state, said.kind, text)
    log.debug("caller: %s; agent: %s", text, outcome.reply.text)
    await answer(exchange, (_available(message),), heard, Done(said.kind, text, outcome))


def answered(agent: Agent, state: AgentState, kind: TurnKind, text: str) -> Outcome:
    """What the agent makes of a turn of this kind."""
    match kind:
        case "greeting":
            return agent.greet()
        case "external-event":
            return agent.note_event(state, text)
        case "skip":
            return agent.prompt_again(state)
        case "user-message":
            return agent.hear(state, text)


def _available(message: Message) -> Event:
    return {
        "type": "user-message-available",
        "message_id": message.id,
        "user_message": message.text,
    }
