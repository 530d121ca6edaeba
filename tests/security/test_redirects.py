"""Between replicas nothing follows a redirect: what the carrier signed stays where it was sent."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, make_mocked_request

from gateway.web.relay import open_relay, process_mark

STATUSES = (301, 302, 303, 307, 308)


class Elsewhere:
    """A host that would answer everything, and another that sends everybody there."""

    def __init__(self, status: int) -> None:
        self.visits: list[str] = []
        self._status = status
        self.elsewhere = self._server(self.answer)
        self.redirecting = self._server(self.redirect)

    @staticmethod
    def _server(handler: object) -> TestServer:
        app = web.Application()
        app.router.add_route("*", "/{anything:.*}", handler)  # type: ignore[arg-type]
        return TestServer(app)

    async def answer(self, request: web.Request) -> web.Response:
        self.visits.append(request.path)
        return web.json_response({"alive": True, "process": process_mark("b")})

    async def redirect(self, request: web.Request) -> web.Response:
        to = str(self.elsewhere.make_url(request.path))
        return web.Response(status=self._status, headers={"Location": to})


@pytest.fixture(params=STATUSES)
async def hosts(request: pytest.FixtureRequest) -> AsyncIterator[Elsewhere]:
    hosts = Elsewhere(request.param)
    async with hosts.elsewhere, hosts.redirecting:
        yield hosts


async def test_no_request_socket_or_probe_follows_a_replica_elsewhere(hosts: Elsewhere) -> None:
    address = str(hosts.redirecting.make_url("/")).rstrip("/")
    async with open_relay() as relay:
        posted = make_mocked_request("POST", "/twilio/connected")
        upgrade = make_mocked_request("GET", "/twilio/media/a-token")

        assert await relay.request(posted, address) is None
        assert await relay.socket(upgrade, address) is None
        assert not await relay.alive(address, "b")
        assert await relay.alive(str(hosts.elsewhere.make_url("/")).rstrip("/"), "b")
    assert hosts.visits == ["/healthz"], "only what was asked of that host itself"
