"""The organization's users: those of the credentials, and those created over the API, with their roles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from gateway.sandbox.conversations import new_id
from gateway.sandbox.errors import Refusal, invalid
from gateway.sandbox.options import Credentials
from gateway.sandbox.records import Records
from gateway.sandbox.roles import GUEST, USER, Role

MAX_PLAIN_VARIABLES = 19
"""One of the twenty is the service's own."""
MAX_SECRET_VARIABLES = 20


@dataclass(slots=True, kw_only=True)
class Person:
    """One user created over the API."""

    id: str
    number: int
    first_name: str
    last_name: str
    email: str
    role: str
    created_at: float
    preferences: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    secret_variables: dict[str, str] = field(default_factory=dict)
    context: list[str] = field(default_factory=list)
    """What was said of the user for the agent to know (`additional_context`)."""


class People:
    """Who there is, and what each may do."""

    def __init__(self, credentials: Credentials, records: Records) -> None:
        self._credentials = credentials
        self._records = records
        rows = list(records.all("users"))
        self._deleted = {body["id"] for body in rows if body.get("deleted")}
        self._created = {
            body["id"]: Person(**body) for body in rows if body["id"] not in self._deleted
        }
        self._count = max((body["number"] for body in rows), default=0)

    def __iter__(self) -> Iterator[Person]:
        return iter(list(self._created.values()))

    def may_sign_in(self, user: str) -> bool:
        """Whether there is such a user; asked of every token, too, because users are deleted."""
        listed = self._credentials.users
        if user in self._deleted:
            return False
        return user in self._created or listed is None or user in listed

    def role_of(self, user: str) -> Role:
        """The role of a user; one nobody has heard of is a guest where guests are let in."""
        roles = self._credentials.roles
        if user in self._created:
            return roles.get(self._created[user].role, USER)
        usual = GUEST.name if self._credentials.users is None else USER.name
        return roles[self._credentials.role_of.get(user, usual)]

    def role_named(self, name: str) -> Role | None:
        return self._credentials.roles.get(name)

    def get(self, user: str) -> Person:
        """404 for a user who was not created here."""
        if user not in self._created:
            raise Refusal(404, "user not found", rule="users")
        return self._created[user]

    def create(self, person: Person) -> Person:
        """404 unknown role, 409 taken e-mail address; the id and number given here."""
        if self.role_named(person.role) is None:
            raise Refusal(404, f"there is no role {person.role!r}", rule="users")
        wanted = person.email.lower()
        if any(other.email.lower() == wanted for other in self):
            raise Refusal(409, "a user with this email exists", rule="users")
        self._count += 1
        person.id, person.number = new_id(), self._count
        self._created[person.id] = person
        self.keep(person)
        return person

    def keep(self, person: Person) -> None:
        self._records.put("users", person.id, person.number, asdict(person))

    def remove(self, user: str) -> None:
        """For good: only the id is kept, lest whoever bears it pass for a user nobody has heard of."""
        gone = self.get(user)
        del self._created[user]
        self._deleted.add(user)
        body = {"id": user, "number": gone.number, "deleted": True}
        self._records.put("users", user, gone.number, body)

    def set_variable(self, person: Person, name: str, value: str, *, secret: bool) -> None:
        """Set or replace; 400 where there would be too many of that kind."""
        kind = person.secret_variables if secret else person.variables
        other = person.variables if secret else person.secret_variables
        most = MAX_SECRET_VARIABLES if secret else MAX_PLAIN_VARIABLES
        if name not in kind and len(kind) >= most:
            raise Refusal(400, f"a user has at most {most} such variables", rule="users")
        other.pop(name, None)
        kind[name] = value


def checked_email(value: str) -> str:
    """A bare plausibility check: one @ with something on both sides, no blanks."""
    name, at, host = value.strip().rpartition("@")
    if not (name and at and "." in host.strip(".")) or any(c.isspace() for c in value.strip()):
        raise invalid("body", "email", "is not an e-mail address", rule="users")
    return value.strip()
