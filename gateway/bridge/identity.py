"""Whose conversation a call is: a fixed user's, a pool's, or the caller's own.

The API lets a user hold one unfinished conversation per service, so a call leases whom it speaks for.
With users per caller the lease is the caller's: the user behind is found, or made, while the call
begins. A number never leaves this process but as a keyed digest.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.amigo.answers import NewUser, UserInfo
from gateway.amigo.interaction import InteractionStream
from gateway.amigo.models import VoiceBody
from gateway.bridge.turn import Agent
from gateway.errors import AmigoError, StoreError
from gateway.ids import ConversationId, UserId
from gateway.log import fact
from gateway.store import CallStore

_log = logging.getLogger(__name__)

PUNCTUATION: Final = re.compile(r"[\s().-]")
"""What people put between digits."""
SIP: Final = re.compile(r"sips?:(?:(?P<user>[^@]*)@)?(?P<host>\[[^\]]*\]|[^:;?]*)", re.IGNORECASE)
"""A `sip:` address up to its port, parameters and headers: those tell of a path, not of a caller."""
WITHHELD: Final = frozenset(
    {
        "anonymous",
        "blocked",
        "private",
        "restricted",
        "unavailable",
        "unknown",
        "withheld",
        "266696687",  # ANONYMOUS
        "7378742833",  # RESTRICTED
        "7378742883",  # RESTRICTED, as Twilio's documentation has it
        "2562533",  # BLOCKED
        "8656696",  # UNKNOWN
        "86282452253",  # UNAVAILABLE
    }
)
"""What stands for a caller where there is none: words, some spelled on a keypad, as carriers send them."""
CALLER: Final = "caller:"
"""Begins the name under which a caller, not a user, is leased."""
DIGEST_CHARACTERS: Final = 40
DOMAIN: Final = "callers.example"
"""Reserved (RFC 2606), so that no mail ever reaches anybody; `.invalid` is refused as an address."""
GONE: Final = frozenset({401, 403, 404})
"""Answers to the sign-in of a user who was deleted."""


class Directory(Protocol):
    """What is needed of the API client."""

    async def sign_in(self, user: UserId) -> None: ...

    async def create_user(self, acting: UserId, new: NewUser) -> UserId: ...

    async def users(self, acting: UserId, *, emails: tuple[str, ...]) -> list[UserInfo]: ...


def caller_of(text: str) -> str | None:
    """The one spelling of who calls: a number, a `sip:` address or another name; None: withheld.

    A `sip:` address never stands for the number in it: whoever can send one could pose as that number.
    """
    found = SIP.match(text.strip())
    if found is not None:
        user, host = (found["user"] or "").partition(";")[0], found["host"].lower().rstrip(".")
        return None if _withheld(user) or not host else f"sip:{user}@{host}"
    plain = PUNCTUATION.sub("", text)
    if re.fullmatch(r"\+?\d*", plain, re.ASCII):
        return None if _withheld(plain) or not plain.strip("+0") else plain
    scheme, colon, name = text.strip().rpartition(":")
    return None if _withheld(name) else f"{scheme.lower()}{colon}{name}"


def _withheld(name: str) -> bool:
    return not name or name.lower().removeprefix("+") in WITHHELD


def is_caller(subject: str) -> bool:
    """Whether this stands for a caller whose user is still to be found."""
    return subject.startswith(CALLER)


class Callers:
    """The users of one organization's callers: each made once, and found again by who calls."""

    def __init__(
        self,
        directory: Directory,
        store: CallStore,
        *,
        organization: str,
        secret: str,
        admin: UserId,
        role: str,
    ) -> None:
        self._directory = directory
        self._store = store
        self._organization = organization
        self._key = secret.encode()
        self._admin = admin
        self._role = role

    def subject(self, caller: str) -> UserId | None:
        """Under which name this caller is leased; None where the carrier does not say who calls."""
        known = caller_of(caller)
        if known is None:
            return None
        text = f"{self._organization}\0{known}".encode(errors="replace")
        digest = hmac.new(self._key, text, hashlib.sha256).hexdigest()
        return UserId(CALLER + digest[:DIGEST_CHARACTERS])

    async def user(self, subject: UserId) -> UserId:
        """The caller's user, made where there is none, ready to be signed in as.

        Raises `AmigoError` of `create-user`, `users` or `sign-in`.
        """
        kept = await self._kept(subject)
        if kept is None:
            return await self._keep(subject, await self._made(subject))
        try:
            await self._directory.sign_in(kept)
        except AmigoError as error:
            if error.status not in GONE:
                raise
            return await self._replaced(subject, kept)
        return kept

    async def _replaced(self, subject: UserId, gone: UserId) -> UserId:
        """The user was deleted at the API: the caller begins anew."""
        made = await self._made(subject)
        fact(_log, "caller.user-replaced", level=logging.WARNING)
        try:
            await self._store.forget_user(self._organization, subject, gone)
        except StoreError:
            fact(_log, "store.caller-not-kept", level=logging.WARNING)
        return await self._keep(subject, made)

    async def _made(self, subject: UserId) -> UserId:
        digest = subject.removeprefix(CALLER)
        email = f"caller-{digest}@{DOMAIN}"
        new = NewUser(first_name="Caller", last_name=digest[:8], email=email, role_name=self._role)
        try:
            return await self._directory.create_user(self._admin, new)
        except AmigoError as error:
            if error.status != 409:
                raise
        # made by another process, or by one that died before it could keep that
        found = await self._directory.users(self._admin, emails=(email,))
        match = next((one for one in found if one.email.lower() == email), None)
        if match is None:
            raise AmigoError("create-user", status=404, detail="the address is taken by nobody")
        return UserId(match.id)

    async def _kept(self, subject: UserId) -> UserId | None:
        try:
            return await self._store.user_of(self._organization, subject)
        except StoreError:
            fact(_log, "store.caller-unknown", level=logging.WARNING)
            return None

    async def _keep(self, subject: UserId, user: UserId) -> UserId:
        """Durable before a conversation is begun: whoever survives us finds that by its user."""
        try:
            return await self._store.keep_user(self._organization, subject, user)
        except StoreError:
            fact(_log, "store.caller-not-kept", level=logging.WARNING)
            return user


@dataclass(frozen=True, slots=True)
class Identity:
    """Who may be leased to a call."""

    users: tuple[UserId, ...]
    """The fixed user or the pool; with users per caller, for those who withhold who they are."""
    callers: Callers | None = None

    def candidates(self, number: str) -> tuple[UserId, ...]:
        """One of whom is leased; none: nobody can be found for this caller."""
        own = None if self.callers is None else self.callers.subject(number)
        return self.users if own is None else (own,)


class CallersAgent:
    """The conversation API as the caller's own user, who is looked for when the conversation begins."""

    def __init__(
        self,
        callers: Callers,
        subject: UserId,
        make: Callable[[UserId], Agent],
        found: Callable[[UserId], None],
    ) -> None:
        self._callers = callers
        self._subject = subject
        self._make = make
        self._found = found
        self._agent: Agent | None = None

    @asynccontextmanager
    async def create(self) -> AsyncIterator[InteractionStream]:
        async with AsyncExitStack() as open_streams:
            try:
                stream = await open_streams.enter_async_context((await self._whose()).create())
            except AmigoError as error:
                if error.operation != "sign-in" or error.status not in GONE:
                    raise
                # A token of an earlier call hid that the user was deleted; it is refused by now.
                self._agent = None
                stream = await open_streams.enter_async_context((await self._whose()).create())
            yield stream

    async def _whose(self) -> Agent:
        if self._agent is None:
            user = await self._callers.user(self._subject)
            self._found(user)
            self._agent = self._make(user)
        return self._agent

    def speak(
        self, conversation: ConversationId, body: VoiceBody, news: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[InteractionStream]:
        return self._own().speak(conversation, body, news)

    def key_in(
        self, conversation: ConversationId, text: str, news: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[InteractionStream]:
        return self._own().key_in(conversation, text, news)

    @property
    def takes_news(self) -> bool:
        return self._own().takes_news

    async def is_finished(self, conversation: ConversationId) -> bool:
        return await self._own().is_finished(conversation)

    def _own(self) -> Agent:
        if self._agent is None:
            raise AssertionError("no turn before the conversation is open")
        return self._agent
