"""Users of callers: made once per number, found again, and nothing of the number given away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.amigo.answers import NewUser, UserInfo
from gateway.bridge.identity import Callers, CallersAgent, Identity, is_caller
from gateway.clock import SystemClock
from gateway.errors import AmigoError, StoreError
from gateway.ids import UserId
from gateway.store import CallStore, open_store

ADMIN = UserId("boss")
NUMBER = "+4930123456"
NO_STORE: Any = None


class People:
    """The organization's users, as the API would keep them."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}
        """Address and id."""
        self.asked: list[str] = []
        self.gone: set[str] = set()
        self.trouble: AmigoError | None = None

    async def sign_in(self, user: UserId) -> None:
        if user in self.gone:
            raise AmigoError("sign-in", status=404)
        if self.trouble is not None:
            raise self.trouble

    async def create_user(self, acting: UserId, new: NewUser) -> UserId:
        self.asked.append(f"create as {acting} with role {new.role_name}")
        if self.trouble is not None:
            raise self.trouble
        await asyncio.sleep(0)
        if new.email in self.ids:
            raise AmigoError("create-user", status=409)
        self.ids[new.email] = f"user-{len(self.ids) + len(self.gone)}"
        return UserId(self.ids[new.email])

    async def users(self, acting: UserId, *, emails: tuple[str, ...]) -> list[UserInfo]:
        self.asked.append("look")
        return [
            UserInfo.model_validate({"user_id": self.ids[one], "email": one.upper()})
            for one in emails
            if one in self.ids
        ]

    def delete(self, user: str) -> None:
        self.gone.add(user)
        self.ids = {email: one for email, one in self.ids.items() if one != user}


def callers(people: People, store: CallStore, **changes: str) -> Callers:
    values = {"organization": "org", "secret": "hush", "role": "Visitor"} | changes
    return Callers(people, store, admin=ADMIN, **values)


@asynccontextmanager
async def shelf(tmp_path: Path) -> AsyncIterator[CallStore]:
    async with open_store(f"sqlite:///{tmp_path / 'calls.db'}", SystemClock()) as store:
        yield store


def subject(desk: Callers, number: str = NUMBER) -> UserId:
    found = desk.subject(number)
    assert found is not None
    return found


async def test_the_first_call_makes_a_user_and_the_next_one_finds_it(tmp_path: Path) -> None:
    people = People()
    async with shelf(tmp_path) as store:
        desk = callers(people, store)
        first = await desk.user(subject(desk))
        again = await callers(people, store).user(subject(desk))

    assert first == again
    assert people.asked == ["create as boss with role Visitor"]


async def test_nothing_the_api_is_told_holds_the_number(tmp_path: Path) -> None:
    people = People()
    async with shelf(tmp_path) as store:
        desk = callers(people, store)
        await desk.user(subject(desk))

    (email,) = people.ids
    assert email.endswith("@callers.example")
    assert NUMBER.strip("+") not in email + subject(desk)


async def test_a_user_somebody_else_made_is_found_by_its_address(tmp_path: Path) -> None:
    people = People()
    async with shelf(tmp_path / "one") as one, shelf(tmp_path / "two") as two:
        first = await callers(people, one).user(subject(callers(people, one)))
        second = await callers(people, two).user(subject(callers(people, two)))

    assert first == second
    assert len(people.ids) == 1


async def test_calls_of_one_number_at_the_same_time_make_one_user(tmp_path: Path) -> None:
    people = People()
    async with shelf(tmp_path) as store:
        desk = callers(people, store)
        found = await asyncio.gather(*(desk.user(subject(desk)) for _ in range(5)))

    assert len(set(found)) == len(people.ids) == 1


class Remembering(People):
    """Tokens are kept as the client keeps them: signing in tells nothing while there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.held: set[str] = set()

    async def sign_in(self, user: UserId) -> None:
        if user not in self.held:
            await super().sign_in(user)
            self.held.add(user)

    @asynccontextmanager
    async def create(self, user: UserId) -> AsyncIterator[Any]:
        await self.sign_in(user)
        if user in self.gone:
            self.held.discard(user)
            await self.sign_in(user)
        yield user


async def test_a_user_deleted_behind_a_kept_token_is_made_anew_in_the_same_call(
    tmp_path: Path,
) -> None:
    people = Remembering()
    seen: list[UserId] = []

    def agent(user: UserId) -> Any:
        return SimpleNamespace(create=lambda: people.create(user))

    async with shelf(tmp_path) as store:
        desk = callers(people, store)
        async with CallersAgent(desk, subject(desk), agent, seen.append).create():
            (old,) = seen
        people.delete(old)
        async with CallersAgent(desk, subject(desk), agent, seen.append).create():
            new = seen[-1]

    assert new != old
    assert seen == [old, old, new], "the record learns the user who speaks at last"


async def test_a_refusal_of_another_kind_makes_nobody_anew(tmp_path: Path) -> None:
    people = Remembering()

    @asynccontextmanager
    async def refused() -> AsyncIterator[Any]:
        raise AmigoError("create", status=403)
        yield

    async with shelf(tmp_path) as store:
        desk = callers(people, store)
        agent: Any = SimpleNamespace(create=refused)
        own = CallersAgent(desk, subject(desk), lambda _user: agent, lambda _user: None)
        with pytest.raises(AmigoError):
            async with own.create():
                pass

    assert len(people.ids) == 1


async def test_a_user_deleted_at_the_api_is_made_anew(tmp_path: Path) -> None:
    people = People()
    async with shelf(tmp_path) as store:
        desk = callers(people, store)
        old = await desk.user(subject(desk))
        people.delete(old)
        new = await desk.user(subject(desk))
        again = await desk.user(subject(desk))

    assert new != old
    assert again == new


@pytest.mark.parametrize("status", [403, 404, 429, 503, None])
async def test_an_api_that_makes_no_user_says_why(tmp_path: Path, status: int | None) -> None:
    people = People()
    people.trouble = AmigoError("create-user", status=status)
    async with shelf(tmp_path) as store:
        desk = callers(people, store)
        with pytest.raises(AmigoError) as refused:
            await desk.user(subject(desk))

    assert refused.value.status == status


async def test_an_address_that_is_taken_by_nobody_is_no_busy_user(tmp_path: Path) -> None:
    people = People()
    async with shelf(tmp_path) as store:
        desk = callers(people, store)
        await desk.user(subject(desk))
        people.trouble = AmigoError("create-user", status=409)
        people.ids = {}
        other = subject(desk, "+4930999999")
        with pytest.raises(AmigoError) as refused:
            await desk.user(other)

    assert refused.value.status == 404


async def test_a_store_that_is_down_does_not_turn_the_caller_away(tmp_path: Path) -> None:
    class Down:
        async def user_of(self, organization: str, caller: str) -> UserId | None:
            raise StoreError("down")

        async def keep_user(self, organization: str, caller: str, user: UserId) -> UserId:
            raise StoreError("down")

    people = People()
    down: Any = Down()
    desk = callers(people, down)

    assert await desk.user(subject(desk)) == await desk.user(subject(desk))


@pytest.mark.parametrize(
    "number",
    [
        *("", " ", "anonymous", "Restricted", "unavailable", "UNKNOWN", "private", "Withheld"),
        *("+266696687", "266696687", "+7378742833", "+7378742883", "+86282452253", "+2562533"),
        *("+8656696", "+0", "0000", "+", "client:", "client:Anonymous"),
        *("sip:anonymous@anonymous.invalid", "sip:+266696687@host.example", "sip:host.example"),
        *("sip:", "sip:a@", "sip:@host.example"),
    ],
)
def test_who_withholds_who_calls_is_one_of_the_users_for_all(number: str) -> None:
    desk = callers(People(), NO_STORE)

    assert Identity((ADMIN,), desk).candidates(number) == (ADMIN,)
    assert Identity((), desk).candidates(number) == ()


def test_who_has_a_number_is_oneself_however_it_is_written() -> None:
    desk = callers(People(), NO_STORE)
    (own,) = Identity((ADMIN,), desk).candidates(NUMBER)

    assert is_caller(own)
    assert desk.subject("+49 (30) 12-34.56") == own
    assert desk.subject("+4930123457") != own


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        (
            "sip:ann@Host.Example",
            "sip:ann@host.example:5060;transport=tls?a=b",
            "sip:bob@host.example",
        ),
        ("sip:ann@host.example", "SIPS:ann;phone-context=x@host.example.", "sip:Ann@host.example"),
        ("sip:a@[::1]:5060", "sip:a@[::1]", "sip:a@[::2]"),
        (f"sip:{NUMBER}@host.example", f"sip:{NUMBER}@host.example:5061", NUMBER),
        ("client:ann", " Client:ann", "client:Ann"),
        ("12345", "12 345", "+12345"),
        ("015112345", "01511-2345", "15112345"),
        ("whatsapp:+4930123456", "WhatsApp:+4930123456", NUMBER),
        ("Zoë", "Zoë", "Zoe"),
        ("\ud800", "\ud800", "x"),
    ],
)
def test_any_caller_who_is_named_is_oneself(one: str, same: str, other: str) -> None:
    desk = callers(People(), NO_STORE)
    own = desk.subject(one)

    assert own is not None
    assert desk.subject(same) == own != desk.subject(other)


def test_numbers_keep_the_digests_they_had() -> None:
    expected = "caller:df9084223c13fce484023d2d9e153d0cdafd1e92"
    assert callers(People(), NO_STORE).subject(NUMBER) == expected


@pytest.mark.parametrize("change", [{"organization": "other"}, {"secret": "other"}])
def test_organizations_and_secrets_do_not_share_digests(change: dict[str, str]) -> None:
    one, other = callers(People(), NO_STORE), callers(People(), NO_STORE, **change)

    assert one.subject(NUMBER) != other.subject(NUMBER)
