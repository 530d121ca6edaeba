"""Every secret is planted as a word that can be searched for, and nothing that comes out has one."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web

import gateway
from gateway.sandbox.engines.tones import TonesRecogniser
from gateway.sandbox.options import Credentials, SandboxOptions
from tests.end_to_end.door_carrier import Carrier, eventually, new_call_sid
from tests.end_to_end.door_kit import Grounds, House, open_grounds
from tests.end_to_end.door_process import Served
from tests.end_to_end.door_stream import WEASELS
from tests.support.redis_server import running_redis
from tests.support.stack import TOKEN

KEYS = "8675309"
CALLER = "+15550001111"
PLANTED = {
    "auth token": TOKEN,
    "older auth token": "canary-auth-token-before",
    "API key": 'canary-api-key-with-"quotes"-in-it',
    "identity secret": "canary-identity-secret-&<>",
    "admin token": "canary-admin-token-0123456789",
    "signature key": "canary-signature-key-secret",
    "password of the store": "canary:store/password",
}
BEARER = "canary-bearer-of-the-sign-in.0123456789abcdef"


def environ() -> dict[str, str]:
    return {
        "LOG_LEVEL": "debug",
        "TWILIO_AUTH_TOKEN": f"{PLANTED['older auth token']},{TOKEN}",
        "TWILIO_SIGNATURE_KEYS": f"KX0001:{PLANTED['signature key']}",
        "AMIGO_API_KEY": PLANTED["API key"],
        "GATEWAY_IDENTITY_SECRET": PLANTED["identity secret"],
        "GATEWAY_ADMIN_TOKEN": PLANTED["admin token"],
    }


def spellings(secret: str) -> Iterator[str]:
    """The ways in which it might be written; a part of it gives it away too."""

    yield from {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe="")}
    yield from {secret[:14], secret[-14:]} if len(secret) > 20 else ()


def holds_none(text: str, secrets: Mapping[str, str], where: str) -> None:
    for name, secret in secrets.items():
        for spelling in spellings(secret):
            assert spelling not in text, f"{name} in {where}: {_around(text, spelling)}"


def _around(text: str, spelling: str) -> str:
    at = text.index(spelling)
    return text[max(0, at - 200) : at + 200]


async def told(house: House, *paths: str, admin: bool = True) -> str:
    """What the doors answer, heads and all."""
    bearer = {"Authorization": f"Bearer {PLANTED['admin token']}"} if admin else {}
    texts = []
    for path in paths:
        url = house.target.connect_to + path
        async with house.http.get(url, headers=bearer) as answer:
            texts.append(f"{dict(answer.headers)} {await answer.text()}")
    return "\n".join(texts)


async def printed(grounds: Grounds, *words: str) -> str:
    """What a command prints, on both outputs."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    repository = str(Path(gateway.__file__).parent.parent)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=kept | grounds.environ | {"PYTHONPATH": repository},
        cwd=grounds.folder,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return output.decode()


async def record_of(house: House, sid: str) -> dict[str, object]:
    url = f"{house.target.connect_to}/v1/calls/{sid}"
    bearer = {"Authorization": f"Bearer {PLANTED['admin token']}"}
    async with house.http.get(url, headers=bearer) as answer:
        return dict(await answer.json()) if answer.status == 200 else {}


async def settled(house: House, sid: str) -> None:
    async def done() -> bool:
        return (await record_of(house, sid)).get("status") in {"completed", "failed"}

    await eventually(done, 30.0, "the end of the call")


@pytest.fixture(params=["sqlite", "redis"])
def store_env(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    if request.param == "sqlite":
        yield {}
        return

    password = PLANTED["password of the store"]
    folder = tmp_path / "redis"
    folder.mkdir()
    with running_redis(folder, "--requirepass", password) as server:
        address = f"redis://:{quote(password, safe='')}@127.0.0.1:{server.port}/0"
        yield {"GATEWAY_STORE_URL": address}


async def test_a_whole_call_with_faults_at_debug_level_tells_no_secret(
    tmp_path: Path, store_env: dict[str, str]
) -> None:
    options = SandboxOptions(think_ms=30, credentials=Credentials(api_key=PLANTED["API key"]))
    ears = TonesRecogniser(["the words of the caller", "more of them"])
    async with (
        open_grounds(tmp_path, options, recogniser=ears, env=environ() | store_env) as grounds,
        grounds.served() as (house, process),
    ):
        await house.faults("sign-in-500=1", "create-401=1", "interact-429=1@100", "cut-mid-reply=1")
        sid, url = await house.answered()
        secrets = PLANTED | {"media token": url.rpartition("/")[2]}
        async with house.socket(url, sid) as stream:
            await stream.start()
            await stream.hears(seconds=30)
            await stream.say(WEASELS)
            for key in KEYS + "#":
                await stream.send(stream.message("dtmf", {"track": "inbound", "digit": key}))
            await stream.send("rubbish" + PLANTED["admin token"])
            assert await house.carrier.refusal(url) == 403
            await stream.stop()
        await settled(house, sid)
        forged = await house.carrier.post("/twilio/voice", {"x": "y"}, signature="forged")
        wrong = {"Authorization": "Bearer " + "wrong-" + PLANTED["admin token"][:4]}
        async with house.http.get(f"{house.target.connect_to}/v1/calls", headers=wrong) as refused:
            texts = [forged.text, await refused.text()]
        texts.append(
            await told(house, "/v1/calls", f"/v1/calls/{sid}", "/metrics", "/readyz", "/healthz")
        )
        commands = (
            ["config"],
            ["calls"],
            ["calls", sid],
            ["calls", sid, "--json"],
            ["rca", sid],
            ["check"],
            ["check", "--json"],
        )
        texts += [await printed(grounds, *words) for words in commands]
        process.signal(signal.SIGTERM)
        assert await process.exit_status(30) == 0
        log = process.log.read_text()

        assert '"level": "debug"' in log
        holds_none(log, secrets, "the log")
        assert "eyJ" not in log, "a token of the sandbox's sign-in"
        assert CALLER not in log
        assert KEYS not in log
        assert "words of the caller" not in log
        holds_none("\n".join(texts), secrets, "answers and outputs")
        assert "eyJ" not in "\n".join(texts)


# ---------------------------------------------------------------- others who repeat what we sent


def _heads(request: web.Request) -> str:
    return " ".join(f"{name}: {value}" for name, value in request.headers.items())


async def echo_api(request: web.Request) -> web.StreamResponse:
    """A conversation API that signs in, and answers all else by repeating our request's head."""
    if request.path.endswith("/signin_with_api_key"):
        return web.json_response({"id_token": BEARER, "expires_at": "2099-01-01T00:00:00Z"})
    said = f"{_heads(request)} body {(await request.read())[:200]!r}"
    return web.json_response(
        {"error_code": said, "message": said, "detail": [{"loc": [said], "msg": said}]},
        status=400,
        headers={"X-Request-Id": request.headers.get("Authorization", "-")},
    )


async def echo_sign_in(request: web.Request) -> web.StreamResponse:
    """A sign-in that repeats the key it refuses."""
    return web.Response(text=f"<p>no such key: {_heads(request)}</p>", status=403)


async def echo_carrier(request: web.Request) -> web.StreamResponse:
    return web.json_response({"code": 20003, "message": _heads(request)}, status=400)


@asynccontextmanager
async def serving(handler: object) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", handler)  # type: ignore[arg-type]
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("api", [echo_api, echo_sign_in])
async def test_an_api_and_a_carrier_that_repeat_our_secrets_are_not_quoted(
    tmp_path: Path, api: object
) -> None:
    async with (
        serving(api) as api_url,
        serving(echo_carrier) as rest_url,
        open_grounds(
            tmp_path, rest_url=rest_url, env=environ() | {"AMIGO_BASE_URL": api_url}
        ) as grounds,
        grounds.served() as (house, process),
    ):
        sid = new_call_sid()
        answer = await house.carrier.voice(sid)
        if "Connect" in answer.verbs:
            async with house.socket(answer.stream_url, sid) as stream:
                await stream.start()
                await eventually(stream.closed.is_set, 30.0, "the gateway's goodbye")
            await house.carrier.connected(sid)
            await house.carrier.status(sid)
        await settled(house, sid)
        basic = _basic(house.carrier)
        secrets = PLANTED | {"bearer": BEARER, "the carrier's credentials": basic}
        texts = [
            await told(house, "/v1/calls", f"/v1/calls/{sid}", "/metrics"),
            await printed(grounds, "calls", sid),
            await printed(grounds, "rca", sid),
            await printed(grounds, "check", "--number", "+15550002222"),
        ]
        process.signal(signal.SIGTERM)
        await process.exit_status(30)

        holds_none(process.log.read_text(), secrets, "the log")
        holds_none("\n".join(texts), secrets, "answers and outputs")
        assert "***" in texts[-1], "what was repeated is quoted, without the secrets"


def _basic(carrier: Carrier) -> str:
    pair = f"{carrier.account}:{PLANTED['older auth token']}"
    return base64.b64encode(pair.encode()).decode()


# ---------------------------------------------------------------- secrets that are wrong


@pytest.mark.parametrize(
    "change",
    [
        {"GATEWAY_STORE_URL": "redis://:canary-wrong-password@[::1:6379/0"},
        {"GATEWAY_STORE_URL": "mysql://user:canary-wrong-password@host/0"},
        {"GATEWAY_ADMIN_TOKEN": "canary-wrong\ttoken"},
        {"AMIGO_API_KEY": "canary-wrong\x1bkey"},
        {"TWILIO_AUTH_TOKEN": "canary-wrong\x07token,other"},
        {"TWILIO_SIGNATURE_KEYS": "KX1:canary-wrong\x07key"},
        {"GATEWAY_PUBLIC_URL": "https://user:canary-wrong-password@gateway.example"},
        {"AMIGO_BASE_URL": "https://user:canary-wrong-password@api.example"},
        {"GATEWAY_ADMIN_TOKN": "canary-wrong-name"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_a_setting_that_is_refused_is_not_quoted_where_it_may_be_a_secret(
    tmp_path: Path, change: dict[str, str]
) -> None:
    async with open_grounds(tmp_path, env=environ() | change) as grounds:
        for command in ("config", "check", "serve"):
            output = await printed(grounds, command)
            assert next(iter(change)) in output
            assert "canary" not in output, output


async def test_a_crash_at_the_start_tells_no_secret(tmp_path: Path) -> None:
    """A store that is no store: whatever is printed, trace or not."""
    (tmp_path / "calls.db").write_bytes(b"this is no database" * 100)
    async with open_grounds(tmp_path, env=environ()) as grounds:
        process = await Served.start(grounds.folder, grounds.environ)
        assert await process.exit_status(40) not in {0, None}
        holds_none(process.log.read_text(), PLANTED, "the log")
