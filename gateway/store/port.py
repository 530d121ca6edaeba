"""What survives a crash: the store's port, and the values that cross it.

A call is written before it is acted on: every method that changes something returns only when the
change is durable. Times are wall seconds; the callers' clock steps are theirs to survive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ids import CallSid, ConversationId, UserId

HEARTBEAT_TTL: Final = 12.0
"""Seconds without a heartbeat after which a replica counts as dead: three missed beats of 4 s."""

SETTLED_STATES: Final = ("none", "finished", "auto-finished")
"""Conversation states that owe the API nothing; an ended call in one of them is settled."""

ORDER_SECONDS: Final = 3600.0
"""Age at which an order nobody has taken is dropped."""
MAX_ORDERS: Final = 1000
"""Orders that may wait in one store; beyond, new ones are refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCall:
    """A call as the carrier's webhook announces it."""

    call_sid: CallSid
    account_sid: str
    direction: str
    caller: str
    called: str
    route: str
    organization: str
    service_id: str
    candidates: tuple[UserId, ...]
    """Users, or callers standing for one, of whom one is to be leased; the first is preferred
    where none was ever used."""
    replica: str
    token_digest: str
    """Digest of the media socket's token; the token itself is never stored."""
    token_expires: float
    answer: str
    """The markup answered, so that the same webhook again gets the same bytes."""
    record: Mapping[str, object]
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCall:
    """A call as the store knows it."""

    call_sid: CallSid
    account_sid: str
    user_id: UserId
    """Whom the call was leased: a user, or a caller whose user is found while the call begins."""
    route: str
    organization: str
    service_id: str
    conversation_id: ConversationId | None
    conversation_state: str
    status: str
    replica: str
    ended: bool
    token_digest: str
    token_expires: float
    token_used: bool
    answer: str
    record: dict[str, object]

    @property
    def turned_away(self) -> bool:
        """It was refused at the door: nobody was leased, no stream can open."""
        return self.ended and not self.answer


@dataclass(frozen=True, slots=True)
class Admitted:
    """The call is stored and this user is leased to it."""

    user_id: UserId


@dataclass(frozen=True, slots=True)
class Known:
    """The CallSid was stored before; nothing was changed."""

    call: StoredCall


@dataclass(frozen=True, slots=True)
class NoUserFree:
    """Every candidate is leased to an unsettled call; nothing was stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A message to whichever replica owns a call."""

    call_sid: CallSid
    kind: str
    body: Mapping[str, object]
    """Values JSON knows."""


@dataclass(frozen=True, slots=True)
class Risk:
    """Something that could cost calls although every change is taken."""

    what: str
    remedy: str


class CallStore(Protocol):
    """Calls and who owns them, orders to owners, leases of users, heartbeats, a few remembered facts.

    A call is owned by one replica at a time: the one that admitted, adopted or claimed it last. Who
    lost a call learns of it by `Fenced` at the next change; what was asked before the loss counts.
    Every method raises `StoreError` when the store cannot be reached or refuses. Where a caller is
    cancelled (a time-out) before the change began, it does not happen; a cancelled `admit` leaves
    nothing behind in any case.
    """

    async def admit(self, new: NewCall) -> Admitted | Known | NoUserFree:
        """In one transaction: known call, or lease the free candidate unused for longest and store the call.

        A call that was turned away before may be admitted now: the carrier asks again where it got no answer.
        """
        ...

    async def turn_away(self, new: NewCall) -> None:
        """Store a refused call, over as its record says; a call stored before stays as it is."""
        ...

    async def renew_token(
        self, call_sid: CallSid, digest: str, expires: float, answer: str
    ) -> bool:
        """Give the call a new, unused token and the answer that carries it; any replica may.

        False where the call has ended: nothing was changed. `Forgotten` where there is no such call.
        """
        ...

    async def use_token(self, digest: str, now: float) -> StoredCall | None:
        """Spend the token, once; None when it is unknown, used, expired or its call has ended."""
        ...

    async def token_call(self, digest: str, now: float) -> StoredCall | None:
        """Look up what `use_token` would give, without spending the token."""
        ...

    async def save(
        self,
        call_sid: CallSid,
        *,
        replica: str,
        record: Mapping[str, object],
        status: str,
        end_reason: str | None,
        conversation_id: ConversationId | None,
        conversation_state: str,
        ended: bool,
    ) -> None:
        """Replace the call's record (taken as it is now) and its indexed facts, for its owner `replica`.

        `Fenced`: the call is another replica's. `Forgotten` where there is no such call.
        """
        ...

    async def release_user(self, call_sid: CallSid, replica: str) -> None:
        """End the lease of a call of `replica`.

        No effect where it has none, the user is leased to another call, or the call is another
        replica's by now.
        """
        ...

    async def user_of(self, organization: str, caller: str) -> UserId | None:
        """Return the user kept for this caller."""
        ...

    async def keep_user(self, organization: str, caller: str, user: UserId) -> UserId:
        """Keep the user made for this caller; one kept before stays, and is returned."""
        ...

    async def forget_user(self, organization: str, caller: str, user: UserId) -> None:
        """Drop this user of the caller, who is gone from the API; another kept by now stays."""
        ...

    async def heartbeat(self, replica: str, now: float, address: str | None = None) -> None:
        """Say that this replica is alive and, where `address` is given, where others reach it."""
        ...

    async def address_of(self, replica: str, now: float | None) -> str | None:
        """Return where this replica is reached, empty where it never said; None where it is dead.

        `now=None`: where it was reached when it last said, dead or not; None where nobody knows it.
        """
        ...

    async def orphans(self, now: float, replica: str) -> list[StoredCall]:
        """List unsettled calls, oldest first, whose replica is dead and is not `replica`.

        A replica that never beat is dead.
        """
        ...

    async def owned(self, replica: str) -> list[CallSid]:
        """List unsettled calls, oldest first, that are this replica's; names only: they are many.

        One it does not hold was lost on its way: a claim whose answer never came.
        """
        ...

    async def adopt(
        self, call_sid: CallSid, from_replica: str, to_replica: str, now: float
    ) -> bool:
        """Take over a call of a dead replica; False when another was quicker or it lives again."""
        ...

    async def claim(
        self, call_sid: CallSid, to_replica: str, now: float, holder: str | None = None
    ) -> StoredCall | None:
        """Make `to_replica` the owner of a call that has not ended, whoever has it, dead or alive.

        With `holder` only from that one: where another has it by now, it keeps it, and the call is
        returned as it is.

        Returns the call as it now stands; None where it is unknown or has ended. Its own call is
        returned to its owner. The record's `replica` may lag; that of the call returned is
        `to_replica`, unless another claimed it while a lost answer was asked for again.
        """
        ...

    async def order(self, order: Order, now: float) -> bool:
        """Keep a message for the call's owner; False where the call is unknown or has ended.

        It dies with its call, and after `ORDER_SECONDS`. `StoreError` also where `MAX_ORDERS` wait.
        """
        ...

    async def take_orders(self, replica: str, wait: float) -> list[Order]:
        """Return the orders to calls that are this replica's now, in the order they were given.

        Waits up to `wait` seconds for the first one. Each is handed out once: one that was not
        taken before its call changed hands goes to the new owner, one whose taker was cancelled is
        handed out by its next look. One taker per replica at a time.
        """
        ...

    async def live_holder(self, conversation_id: ConversationId, now: float) -> StoredCall | None:
        """Return the call of a living replica that holds this conversation and has not ended."""
        ...

    async def find_conversation(self, conversation_id: ConversationId) -> StoredCall | None:
        """Return the latest call that had this conversation; None: it is not ours."""
        ...

    async def get(self, call_sid: CallSid) -> StoredCall | None: ...

    async def calls(
        self, limit: int, cursor: str | None = None
    ) -> tuple[list[dict[str, object]], str | None]:
        """Return records, newest first, and the cursor of the next page; ValueError: not our cursor."""
        ...

    async def remember(self, key: str, value: str) -> None:
        """Keep a small fact, such as the API revision last seen."""
        ...

    async def recall(self, key: str) -> str | None: ...

    async def risks(self) -> list[Risk]:
        """List what speaks against trusting this store with what must survive; empty: nothing."""
        ...

    async def ping(self) -> None:
        """Return when the store would take a write; the caller bounds the wait."""
        ...

    async def flush(self) -> None:
        """Return when every change asked for before is durable."""
        ...
