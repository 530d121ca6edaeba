"""A model of the conversation API, written from its published behaviour, with faults of every kind.

It answers connections of `network`; nothing of it runs in a gateway's process. It knows the truth the
judge needs: which conversations came to be, who finished them, and what was open at the same time.
"""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, Final

from tests.simulation import sound
from tests.simulation.loop import Process
from tests.simulation.network import Asked, Connection, Fate
from tests.simulation.plan import ORGANIZATION, SERVICE, Plan
from tests.simulation.sound import Voice
from tests.simulation.world import WALL_START, World

_BASE: Final = f"/v1/{ORGANIZATION}/"
_NDJSON: Final = {"Content-Type": "application/x-ndjson"}
_STATUSES: Final = {409: "busy", 429: "too many", 500: "broken", 503: "maintenance", 403: "no"}
_TEXTS: Final = (
    "All right.",
    "What is your telephone number, please?",
    "Is that correct?",
    "May I have your name?",
    "I have written that down for you and shall pass it on.",
)
_OPERATIONS: Final = re.compile(
    r"conversation/([0-9a-f]{24})/(interact|finish/|messages/|feedback|tags/)"
)


@dataclass(slots=True)
class Interaction:
    """One exchange: what was said to the agent, and what came of it."""

    number: int
    connection: Connection
    process: Process
    utterances: dict[int, int] = field(default_factory=dict)
    text: str = ""
    whole: bool = False
    """The body arrived to its clean end."""
    stored: bool = False
    voided: bool = False
    """It failed by an `error` event, which the client is still there to read."""
    voided_at: float = 0.0
    ends: bool = False
    running: bool = True
    """The service works on it."""
    first: bool = False
    """The creation."""

    @property
    def crossed(self) -> bool:
        """The client closed the connection while the news of its failure was on its way there."""
        closed = self.connection.closed_at
        return closed is not None and closed < self.voided_at + self.connection.latency


@dataclass(slots=True)
class Conversation:
    """The truth about one conversation."""

    id: str
    user: str
    created: float
    """True wall time."""
    interactions: list[Interaction] = field(default_factory=list)
    finished_by: str | None = None
    """`finish`, `auto`, or None."""
    deleted: bool = False
    over: bool = False
    """The agent has ended it, but post-processing failed: only finish is left."""
    named: bool = False
    """Its id has left for the client."""
    named_to: Process | None = None
    too_late: bool = False
    """Made when whoever had asked for it was long gone: nobody looks for it any more."""
    finishing: int = 0
    finishes: list[Finish] = field(default_factory=list)

    @property
    def open(self) -> bool:
        return self.finished_by is None and not self.deleted

    @property
    def busy(self) -> bool:
        return self.finishing > 0 or any(one.running for one in self.interactions)


@dataclass(slots=True)
class Finish:
    """One finish request."""

    at: float
    process: Process
    connection: Connection

    @property
    def known(self) -> bool:
        """Whoever asked has read the answer, and is still there to know it."""
        return self.connection.read_to_end and not self.process.gone


class Refused(Exception):  # noqa: N818 - reads as the sentence it is
    """An answer that is no success."""

    def __init__(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers or {}


class Api:
    """The service."""

    def __init__(self, world: World, plan: Plan, witness: Witness) -> None:
        self._world = world
        self._plan = plan
        self._witness = witness
        self._chance = world.chance("api")
        self._later = plan.settings.amigo_api_revision == "2026-04"
        self.conversations: dict[str, Conversation] = {}
        self.interactions: dict[int, Interaction] = {}
        """By the number that their sound carries."""
        self._tokens: dict[str, str] = {}
        self._signed_in = 0
        self._users: dict[str, str] = {}
        """Users made for callers: address to id."""
        self._next = 0
        self.unheard: set[int] = set()
        """Utterances in which the service found no words."""

    # ------------------------------------------------------------ faults

    def _strikes(self, kind: str, who: str) -> bool:
        if self._world.calm:
            return False
        rate = self._plan.api.get(kind, 0.0)
        if rate and self._chance.random() < rate:
            self._world.fault(f"api-{kind}", who)
            return True
        return False

    def _outage(self) -> str | None:
        if self._world.calm:
            return None
        now = self._world.now()
        return next((one.how for one in self._plan.api_outages if one.holds(now)), None)

    def fate(self, asked: Asked, who: str) -> str:
        """What becomes of a request on its way."""
        outage = self._outage()
        if outage == "connect-refused":
            self._world.fault("api-outage", who)
            return Fate.REFUSED
        for fate in (Fate.REFUSED, Fate.NO_CONNECTION, Fate.LOST):
            if self._strikes(fate, who):
                return fate
        return Fate.ARRIVES

    def latency(self) -> float:
        return self._chance.uniform(0.005, 0.06)

    # ------------------------------------------------------------ requests

    async def serve(self, asked: Asked, connection: Connection) -> None:
        """Answer one request; runs as a task of the world."""
        who = connection.process.name
        place = asked.path.removeprefix(_BASE)
        self._arrives(asked, place, connection)
        if (outage := self._outage()) is not None:
            self._world.fault("api-outage", who)
            if outage == "slow-answer":
                await asyncio.sleep(self._chance.uniform(5.0, 15.0))
            else:
                self._answer(asked, connection, 503, {})
                return
        slow = self._strikes("slow-answer", who)
        lost = self._strikes("answer-lost", who)
        if slow:
            await asyncio.sleep(self._chance.choice((2.0, 12.0)))
        try:
            body = await self._do(asked, place, connection, silent=lost)
        except Refused as refused:
            if lost:
                connection.cut()
                return
            self._answer(asked, connection, refused.status, refused.headers)
            return
        if body is None:
            return
        if lost:
            connection.cut()
            return
        status, document = body
        self._note(asked, connection, status)
        connection.respond(status, {"Date": formatdate(self._wall(), usegmt=True)})
        if document is not None:
            connection.send(json.dumps(document).encode())

    def _arrives(self, asked: Asked, place: str, connection: Connection) -> None:
        """Tell the witness at once, however long the service takes."""
        token = asked.headers.get("Authorization", "").removeprefix("Bearer ")
        if place == "conversation/" and asked.method == "POST":
            self._witness.creates(self._tokens.get(token, ""), connection)
        found = _OPERATIONS.match(place)
        conversation = None if found is None else self.conversations.get(found[1])
        if found is None or conversation is None:
            return
        if found[2] == "interact":
            self._witness.interacts(conversation, connection)
        elif found[2] == "finish/":
            finish = Finish(self._world.now(), connection.process, connection)
            self._witness.finishes(conversation, finish)
            conversation.finishes.append(finish)

    def _answer(
        self, asked: Asked, connection: Connection, status: int, headers: Mapping[str, str]
    ) -> None:
        self._note(asked, connection, status)
        connection.respond(status, {"Date": formatdate(self._wall(), usegmt=True), **headers})
        connection.send(b'{"detail":"' + _STATUSES.get(status, "no").encode() + b'"}')

    def _note(self, asked: Asked, connection: Connection, status: int) -> None:
        place = asked.path.removeprefix(_BASE)
        self._world.note(
            "api", f"{asked.method} {place} -> {status}", f"for {connection.process.name}"
        )

    async def _do(
        self, asked: Asked, place: str, connection: Connection, *, silent: bool
    ) -> tuple[int, object] | None:
        who = connection.process.name
        if place == "user/signin_with_api_key":
            await asyncio.sleep(self._chance.uniform(0.01, 0.2))
            self._maybe_refuse(who, (429, 503))
            return 200, self._sign_in(asked)
        user = self._user(asked, who)
        self._maybe_refuse(who, (429, 500, 503, 403))
        if place == "conversation/" and asked.method == "POST":
            return await self._create(user, connection, silent=silent)
        if place == "conversation/":
            await asyncio.sleep(self._chance.uniform(0.01, 0.2))
            return 200, self._list(asked, user)
        if place in {"user/", "user/invite"}:
            return self._of_users(asked, connection)
        found = _OPERATIONS.match(place)
        if found is None:
            raise Refused(404)
        conversation = self.conversations.get(found[1])
        if conversation is None or conversation.deleted:
            raise Refused(404)
        match found[2]:
            case "interact":
                return await self._interact(conversation, asked, connection, silent=silent)
            case "finish/":
                return await self._finish(conversation, connection)
            case "messages/":
                await asyncio.sleep(self._chance.uniform(0.01, 0.2))
                return 200, {"messages": [], "has_more": False, "continuation_token": None}
            case "feedback":
                return 200, {"conversation_feedback_id": "f" * 24}
            case _:
                return 204, None

    def _maybe_refuse(self, who: str, statuses: tuple[int, ...]) -> None:
        for status in statuses:
            if self._strikes(f"status-{status}", who):
                after = self._chance.choice((None, "1", "3", "20"))
                named = {} if after is None or status not in {429, 503} else {"Retry-After": after}
                raise Refused(status, named)

    # ------------------------------------------------------------ users

    def _sign_in(self, asked: Asked) -> object:
        self._signed_in += 1
        token = f"token-{self._signed_in}"
        self._tokens[token] = asked.headers["x-user-id"]
        lifetime = self._chance.choice((15.0, 900.0, 3600.0))
        until = datetime.fromtimestamp(self._wall() + lifetime, UTC).isoformat()
        return {"id_token": token, "expires_at": until}

    def _user(self, asked: Asked, who: str) -> str:
        token = asked.headers.get("Authorization", "").removeprefix("Bearer ")
        if self._strikes("status-401", who):
            self._tokens.pop(token, None)
        user = self._tokens.get(token)
        if user is None:
            raise Refused(401)
        return user

    def _of_users(self, asked: Asked, connection: Connection) -> tuple[int, object]:
        if asked.method == "POST":
            address = json.loads(bytes(connection.body))["email"]
            if address in self._users:
                raise Refused(409)
            self._users[address] = f"made{len(self._users)}"
            return 201, {"user_id": self._users[address], "verify_link": ""}
        wanted = [value for name, value in asked.query if name == "email"]
        users = [
            {"user_id": user, "email": address}
            for address, user in self._users.items()
            if address in wanted
        ]
        return 200, {"users": users, "has_more": False, "continuation_token": None}

    # ------------------------------------------------------------ lists

    def _list(self, asked: Asked, user: str) -> object:
        wanted = dict(asked.query)
        ids = [value for name, value in asked.query if name == "id"]
        finished = wanted.get("is_finished")
        found = [
            {
                "id": one.id,
                "user_id": one.user,
                "service_id": SERVICE,
                "is_finished": not one.open,
                "created_at": datetime.fromtimestamp(one.created, UTC).isoformat(),
                "num_messages": len([i for i in one.interactions if i.stored]),
            }
            for one in self.conversations.values()
            if one.user == user
            and not one.deleted
            and (not ids or one.id in ids)
            and (finished is None or finished == ("false" if one.open else "true"))
        ]
        return {"conversations": found, "has_more": False, "continuation_token": None}

    # ------------------------------------------------------------ create and interact

    async def _create(
        self, user: str, connection: Connection, *, silent: bool
    ) -> tuple[int, object] | None:
        theirs = [one for one in self.conversations.values() if one.user == user]
        if any(one.busy for one in theirs) or self._strikes("status-409", connection.process.name):
            raise Refused(409)
        if any(one.open for one in theirs):
            raise Refused(400)
        if self._strikes("status-400", connection.process.name):
            raise Refused(400)
        await asyncio.sleep(self._chance.uniform(0.02, 0.3))
        number = len(self.conversations) + 1
        conversation = Conversation(f"{0xC0:06x}{number:018x}", user, self._wall())
        self.conversations[conversation.id] = conversation
        gone = not (connection.client_open and connection.process.running)
        conversation.too_late = gone and self._world.loop.time() - connection.began > 5.0
        interaction = self._interaction(conversation, connection)
        interaction.first = interaction.whole = True
        try:
            if silent:
                connection.cut()
            else:
                self._note_stream("create", conversation, connection, 201)
                connection.respond(201, _NDJSON)
            await self._reply(conversation, interaction)
        finally:
            interaction.running = False
        return None

    async def _interact(
        self, conversation: Conversation, asked: Asked, connection: Connection, *, silent: bool
    ) -> tuple[int, object] | None:
        who = connection.process.name
        if not conversation.open or conversation.over:
            raise Refused(409)
        if conversation.busy or self._strikes("status-409", who):
            raise Refused(409)
        interaction = self._interaction(conversation, connection)
        try:
            end = await connection.whole_body()
            if end == "ended" and self._strikes("status-408", who):
                end = "stalled"
            if end == "reset":
                await asyncio.sleep(self._chance.uniform(0.0, 1.0))
                return None
            if end == "stalled":
                if self._later:
                    raise Refused(408)
                connection.cut()
                return None
            self._understand(asked, connection, interaction)
            self._witness.understood(conversation, interaction)
            if self._strikes("status-400", who) or not (interaction.utterances or interaction.text):
                # refused keys give the turn back to the caller as well, whatever was said before them
                for one in conversation.interactions if interaction.text else (interaction,):
                    self.unheard.update(one.utterances)
                raise Refused(400)
            if silent:
                connection.cut()
            else:
                self._note_stream("interact", conversation, connection, 200)
                connection.respond(200, _NDJSON)
            self._event(
                connection,
                "user-message-available",
                message_id=self._id(),
                user_message=interaction.text or "words",
            )
            await self._reply(conversation, interaction)
        finally:
            interaction.running = False
        return None

    def _interaction(self, conversation: Conversation, connection: Connection) -> Interaction:
        number = len(self.interactions) + 1
        interaction = Interaction(number, connection, connection.process)
        self.interactions[number] = interaction
        conversation.interactions.append(interaction)
        return interaction

    def _note_stream(
        self, what: str, conversation: Conversation, connection: Connection, status: int
    ) -> None:
        self._world.note(
            "api",
            f"{what} {conversation.id[-4:]} -> {status}",
            f"interaction {conversation.interactions[-1].number}",
            f"for {connection.process.name}",
        )

    def _understand(self, asked: Asked, connection: Connection, interaction: Interaction) -> None:
        body = bytes(connection.body)
        interaction.whole = True
        if not asked.streamed:
            begins = body.rfind(b"\r\n\r\n") + 4
            interaction.text = body[begins : body.find(b"\r\n--", begins)].decode()
            return
        begins = body.find(b"RIFF") + 44
        ends = body.rfind(b"\r\n--") if self._later else len(body)
        interaction.utterances = sound.heard_in(body[begins:ends])

    async def _reply(self, conversation: Conversation, interaction: Interaction) -> None:
        """Think, speak, complete; with whatever goes wrong in between."""
        connection, chance = interaction.connection, self._chance
        who = connection.process.name
        if interaction.first:
            conversation.named_to = connection.process
            received = connection.answered and connection.process.running
            conversation.named = conversation.named or received
            self._event(connection, "conversation-created", conversation_id=conversation.id)
        if self._strikes("cut-before", who):
            connection.cut()
        if await self._went(conversation, interaction, chance.uniform(0.1, 1.5)):
            return
        if self._strikes("error-before", who):
            self._void(conversation, interaction)
            return
        if self._strikes("slow-first-sound", who):
            if chance.random() < 0.5:
                self._filler(connection, interaction)
            if await self._went(conversation, interaction, chance.choice((4.0, 12.0, 50.0))):
                return
        text = chance.choice(_TEXTS)
        pieces = chance.randint(1, 4)
        for number in range(pieces):
            self._piece(interaction, number, last=number == pieces - 1)
            if await self._went(conversation, interaction, chance.uniform(0.0, 0.5)):
                return
            if self._strikes("error-mid", who):
                self._void(conversation, interaction)
                return
            if self._strikes("malformed", who):
                connection.send(b'{"type":"new-mess\n{"type":"never-heard-of"}\n')
            if self._strikes("cut-mid", who):
                connection.cut()
            if self._strikes("eof-early", who):
                connection.end()
                interaction.stored = chance.random() < 0.5
                return
            if self._strikes("stall-mid", who) and await self._went(
                conversation, interaction, chance.choice((1.0, 5.0, 30.0))
            ):
                return
        held = sum(1 for one in conversation.interactions if one.stored)
        ends = held >= self._plan.ends_after and chance.random() < 0.7
        await self._complete(conversation, interaction, text, ends=ends)

    async def _complete(
        self, conversation: Conversation, interaction: Interaction, text: str, *, ends: bool
    ) -> None:
        connection, chance = interaction.connection, self._chance
        who = connection.process.name
        interaction.stored = True
        interaction.ends = ends
        self._world.facts["turns"] += 1
        self._world.note("api", f"interaction {interaction.number} stored", "ends" if ends else "")
        self._event(
            connection,
            "interaction-complete",
            message_id=self._id(),
            interaction_id=self._id(),
            full_message=text,
            **({"conversation_completed": ends} if self._later else {}),
        )
        if self._strikes("cut-after", who):
            connection.cut()
        await asyncio.sleep(chance.choice((0.0, 0.05, 1.0)) * chance.random())
        if self._strikes("error-after", who):
            conversation.over = interaction.ends = True
            self._event(connection, "error", http_error_code=500, error_description="late")
            return
        if ends:
            if not self._later:
                self._event(connection, "end-session")
            conversation.finished_by = "auto"
            self._world.note("api", f"{conversation.id[-4:]} ends by itself")

    async def _went(
        self, conversation: Conversation, interaction: Interaction, seconds: float
    ) -> bool:
        """Let time pass; True when the client has gone and the service gives up with it."""
        await asyncio.sleep(seconds)
        connection = interaction.connection
        if not connection.broken or not self._plan.rolls_back:
            return False
        if interaction.first and not self._plan.void_create_stays:
            conversation.deleted = True
        self._world.note("api", f"interaction {interaction.number} rolled back")
        return True

    def _void(self, conversation: Conversation, interaction: Interaction) -> None:
        """An `error` event before the end: nothing of the interaction stays."""
        self._event(interaction.connection, "error", http_error_code=500, error_description="void")
        self._world.note("api", f"interaction {interaction.number} voided")
        interaction.voided = interaction.connection.client_open
        interaction.voided_at = self._world.loop.time()
        if interaction.first and not self._plan.void_create_stays:
            conversation.deleted = True

    def _piece(self, interaction: Interaction, number: int, *, last: bool) -> None:
        frames = self._chance.randint(5, 50)
        self._event(
            interaction.connection,
            "new-message",
            message=b64encode(sound.pcm(Voice.AGENT, interaction.number, frames)).decode(),
            message_id="a" * 24,
            stop=last,
            sequence_number=number,
            transcript_alignment=None,
        )

    def _filler(self, connection: Connection, interaction: Interaction) -> None:
        wav = sound.wav_file(Voice.FILLER, interaction.number, 40)
        self._event(
            connection,
            "current-agent-action",
            action={"type": "action-too-long", "filler": b64encode(wav).decode()},
        )

    def _event(self, connection: Connection, kind: str, **members: Any) -> None:
        connection.send(json.dumps({"type": kind, **members}).encode() + b"\n")

    # ------------------------------------------------------------ finish

    async def _finish(
        self, conversation: Conversation, connection: Connection
    ) -> tuple[int, object]:
        if conversation.busy or self._strikes("status-409", connection.process.name):
            raise Refused(409)
        if not conversation.open:
            raise Refused(409)
        conversation.finishing += 1
        try:
            await asyncio.sleep(self._chance.uniform(0.02, 0.5))
            conversation.finished_by = "finish"
        finally:
            conversation.finishing -= 1
        self._world.note("api", f"{conversation.id[-4:]} finished", f"by {connection.process.name}")
        return 204, None

    # ------------------------------------------------------------ small things

    def _wall(self) -> float:
        return WALL_START + self._world.now()

    def _id(self) -> str:
        self._next += 1
        return f"{0xA0:06x}{self._next:018x}"


@dataclass(slots=True)
class Witness:
    """Who is told what arrives at the service, at the moment it does."""

    creates: Callable[[str, Connection], None]
    interacts: Callable[[Conversation, Connection], None]
    understood: Callable[[Conversation, Interaction], None]
    finishes: Callable[[Conversation, Finish], None]
