"""The carrier's REST interface on loopback, as far as a live call needs it: hanging it up.

`POST /2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}.json` with HTTP Basic credentials and
`Status=completed` (telephony.md 2.6). An ended or unknown call answers 404 with code 20404, as the
carrier does; so a gateway that hangs up twice can be told apart from one that does it once.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiohttp import web


@dataclass(frozen=True, slots=True)
class RestRequest:
    """One update of a call, as it came."""

    call_sid: str
    fields: dict[str, str]
    answered: int
    """HTTP status."""


class RestDouble:
    """Listens on loopback while entered; simulated calls register themselves with `line`."""

    def __init__(
        self, account_sid: str, auth_token: str, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._account_sid = account_sid
        self._auth_token = auth_token
        self._host = host
        self._port = port
        self._lines: dict[str, Callable[[], None]] = {}
        self._runner: web.AppRunner | None = None
        self.base_url = ""
        """Value for `TWILIO_API_BASE_URL` while entered."""
        self.requests: list[RestRequest] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/2010-04-01/Accounts/{account}/Calls/{call}.json", self._update)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        host, port = self._runner.addresses[0][:2]
        self.base_url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @contextmanager
    def line(self, call_sid: str, hang_up: Callable[[], None]) -> Iterator[None]:
        """While entered, `Status=completed` for this call calls `hang_up`, at most once."""
        self._lines[call_sid] = hang_up
        try:
            yield
        finally:
            self._lines.pop(call_sid, None)

    async def _update(self, request: web.Request) -> web.Response:
        fields = {name: str(value) for name, value in (await request.post()).items()}
        call_sid = request.match_info["call"]
        answer = self._answer(request, call_sid, fields)
        self.requests.append(RestRequest(call_sid, fields, answer.status))
        return answer

    def _answer(self, request: web.Request, call_sid: str, fields: dict[str, str]) -> web.Response:
        if not self._authorised(request):
            return _problem(401, 20003, "Authenticate")
        if call_sid not in self._lines:
            return _problem(404, 20404, "The requested resource was not found")
        if fields != {"Status": "completed"}:
            return _problem(400, 20001, "only Status=completed is simulated")
        self._lines.pop(call_sid)()
        return web.json_response(
            {"sid": call_sid, "account_sid": self._account_sid, "status": "completed"}
        )

    def _authorised(self, request: web.Request) -> bool:
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        try:
            given = base64.b64decode(credentials, validate=True)
        except binascii.Error:
            return False
        wanted = f"{self._account_sid}:{self._auth_token}".encode()
        right_account = request.match_info["account"] == self._account_sid
        return scheme == "Basic" and right_account and hmac.compare_digest(given, wanted)


def _problem(status: int, code: int, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message, "status": status}, status=status)
