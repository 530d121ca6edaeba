"""Users and services of the organization: what the identity strategies and the preflight need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from gateway.amigo.answers import NewUser, UserInfo, UserMade, UserPage, UserUpdate
from gateway.amigo.limits import SERVICES, USERS, Limits
from gateway.amigo.models import ServiceInfo, ServicePage, read_answer
from gateway.amigo.signed import SignedIn
from gateway.ids import UserId


class Directory(SignedIn):
    """Operations on users and services; `acting` is the user in whose name they are done."""

    async def create_user(self, acting: UserId, new: NewUser) -> UserId:
        """Create a user; `AmigoConflict` where the address is taken, `AmigoNotFound` for an unknown role."""
        name, limits = "create-user", Limits("create-user")
        limits.filled(first_name=new.first_name, last_name=new.last_name, email=new.email)
        limits.variables({**new.variables, **new.secret_variables})
        body: dict[str, Any] = {
            "first_name": new.first_name,
            "last_name": new.last_name,
            "email": new.email,
            "role_name": new.role_name,
        }
        optional = {"login_link": new.login_link, "user_preferences": new.preferences}
        if self._later:
            optional["nonsensitive_user_variables"] = new.variables or None
            optional["sensitive_user_variables"] = new.secret_variables or None
        body |= {key: value for key, value in optional.items() if value is not None}
        place = "user/" if self._later else "user/invite"
        answer = await self._tell(acting, name, place, body)
        return UserId(read_answer(UserMade, name, 201, answer).user_id)

    async def users(
        self,
        acting: UserId,
        *,
        ids: Sequence[str] = (),
        emails: Sequence[str] = (),
        limit: int = USERS,
    ) -> list[UserInfo]:
        """Users of these ids and addresses (none given: all), from all pages."""
        Limits("users").page(limit, USERS)
        query = (
            *(("user_id", one) for one in ids),
            *(("email", one) for one in emails),
            ("limit", str(limit)),
        )
        pages = self._pages(
            acting,
            UserPage,
            lambda token: self._requests.plain(
                "users", "GET", "user/", (*query, ("continuation_token", str(token)))
            ),
        )
        return [one async for page in pages for one in page.users]

    async def search_users(self, acting: UserId, query: str) -> list[UserInfo]:
        """Users whose name or address holds the text."""
        name = "search-users"
        Limits(name).filled(query=query)
        body = await self._ask(acting, name, "GET", "user/search/", (("query", query),))
        return list(read_answer(UserPage, name, 200, body).users)

    async def update_user(self, acting: UserId, user: UserId, changes: UserUpdate) -> None:
        """Change what is given, leave the rest."""
        name = "update-user"
        Limits(name).filled(user_id=user)
        given = {key: value for key, value in asdict(changes).items() if value is not None}
        place = f"user/{quote(user, safe='')}"
        await self._tell(acting, name, place if self._later else f"{place}/user", given)

    async def modify_user_variables(
        self,
        acting: UserId,
        user: UserId,
        *,
        plain: Mapping[str, str] | None = None,
        secret: Mapping[str, str] | None = None,
        deletes: Sequence[str] = (),
    ) -> None:
        """Set and delete variables for the agent's tools (2026-04)."""
        name, limits = "user-variables", Limits("user-variables")
        self._current(name, offered=self._later)
        limits.filled(user_id=user)
        limits.variables({**(plain or {}), **(secret or {})})
        upserts = [
            {"name": key, "value": value, "is_secret": hidden}
            for hidden, variables in ((False, plain), (True, secret))
            for key, value in (variables or {}).items()
        ]
        body = {"upserts": upserts, "deletes": [{"name": key} for key in deletes]}
        await self._tell(acting, name, f"user/{quote(user, safe='')}/variable", body)

    async def delete_user(self, acting: UserId, user: UserId) -> None:
        Limits("delete-user").filled(user_id=user)
        await self._ask(acting, "delete-user", "DELETE", f"user/{quote(user, safe='')}")

    async def services(
        self, acting: UserId, *, ids: Sequence[str] = (), is_active: bool | None = None
    ) -> list[ServiceInfo]:
        """Services of the organization that this user may see."""
        Limits("service").ids(id=ids)
        active = () if is_active is None else (("is_active", "true" if is_active else "false"),)
        query = (*(("id", one) for one in ids), *active, ("limit", str(SERVICES)))
        pages = self._pages(
            acting,
            ServicePage,
            lambda token: self._requests.plain(
                "service", "GET", "service/", (*query, ("continuation_token", str(token)))
            ),
        )
        return [one async for page in pages for one in page.services]
