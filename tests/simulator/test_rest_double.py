"""The carrier's REST interface, as far as it is simulated."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from gateway.simulator import RestDouble
from tests.simulator.switchboard import ACCOUNT, AUTH_TOKEN

CALL = "CA00000000000000000000000000000001"


async def post(
    double: RestDouble,
    *,
    sid: str = CALL,
    token: str = AUTH_TOKEN,
    account: str = ACCOUNT,
    **fields,
) -> tuple[int, dict[str, Any]]:
    url = f"{double.base_url}/2010-04-01/Accounts/{account}/Calls/{sid}.json"
    headers = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT, token)} if token else {}
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, data=fields or {"Status": "completed"}, headers=headers) as answer,
    ):
        return answer.status, await answer.json()


async def test_completed_hangs_the_call_up_once():
    hung_up = []
    async with RestDouble(ACCOUNT, AUTH_TOKEN) as double:
        with double.line(CALL, lambda: hung_up.append(CALL)):
            first, body = await post(double)
            second, problem = await post(double)

    assert hung_up == [CALL]
    assert (first, body["status"]) == (200, "completed")
    assert (second, problem["code"]) == (404, 20404)
    assert [request.answered for request in double.requests] == [200, 404]


async def test_an_ended_call_is_not_found():
    async with RestDouble(ACCOUNT, AUTH_TOKEN) as double:
        with double.line(CALL, lambda: None):
            pass
        status, problem = await post(double)

    assert (status, problem["code"]) == (404, 20404)


@pytest.mark.parametrize("wrong", [{"token": "wrong"}, {"token": ""}, {"account": "AC" + "9" * 32}])
async def test_wrong_credentials_are_refused(wrong):
    async with RestDouble(ACCOUNT, AUTH_TOKEN) as double:
        with double.line(CALL, pytest.fail):
            status, _ = await post(double, **wrong)

    assert status == 401


async def test_other_updates_are_refused_rather_than_ignored():
    async with RestDouble(ACCOUNT, AUTH_TOKEN) as double:
        with double.line(CALL, pytest.fail):
            status, _ = await post(double, Twiml="<Response/>")

    assert status == 400


async def test_a_taken_port_is_an_error_not_a_leak():
    async with RestDouble(ACCOUNT, AUTH_TOKEN) as double:
        port = int(double.base_url.rpartition(":")[2])
        with pytest.raises(OSError):
            await RestDouble(ACCOUNT, AUTH_TOKEN, port=port).__aenter__()
