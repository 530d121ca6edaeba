"""How the API refuses: a status, JSON `{"detail": ...}`, and the rule that was broken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

Detail = str | list[dict[str, Any]]


class Refusal(Exception):  # noqa: N818 - reads as the sentence it is
    """An HTTP error answer; becomes the response at the front door."""

    def __init__(
        self,
        status: int,
        detail: Detail,
        *,
        rule: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.rule = rule
        """Number of the broken rule in the protocol dossier's checklist; empty for injected faults."""
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        return web.json_response({"detail": self.detail}, status=self.status, headers=self.headers)


def invalid(where: str, name: str, problem: str, *, rule: str) -> Refusal:
    """422 in the shape of the service's validation library: `where` is path, query, header or body."""
    return Refusal(422, [{"loc": [where, name], "msg": problem, "type": "value_error"}], rule=rule)
