"""The preflight against a sandbox and a carrier's double: what it finds, and how to mend it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer, unused_port

from gateway.cli import main
from gateway.commands._answering import Finding
from gateway.commands.check import examine
from gateway.sandbox.engines import load_engines
from gateway.sandbox.options import Credentials, SandboxOptions
from gateway.sandbox.roles import CREATE, PERMISSIONS, Role
from gateway.sandbox.server import make_app
from gateway.settings import Settings, load_settings
from tests.support.redis_server import running_redis

from .conftest import ACCOUNT, NUMBER, SERVICE, Numbers, SetEnvironment

PUBLIC = "https://gateway.invalid"


def environment(tmp_path: Path, amigo: str, **changes: str) -> dict[str, str]:
    return {
        "AMIGO_BASE_URL": amigo,
        "AMIGO_ORGANIZATION_ID": "sandbox",
        "AMIGO_API_KEY": "sandbox-key",
        "AMIGO_API_KEY_ID": "sandbox-key-id",
        "AMIGO_USER_ID": "sandbox-caller",
        "AMIGO_SERVICE_ID": SERVICE,
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": "token",
        "TWILIO_API_BASE_URL": f"http://127.0.0.1:{unused_port()}",
        "GATEWAY_PUBLIC_URL": f"http://127.0.0.1:{unused_port()}",
        "GATEWAY_STORE_URL": f"sqlite:///{tmp_path}/calls.db",
    } | changes


def settings_for(tmp_path: Path, amigo: str, **changes: str) -> Settings:
    return load_settings(environ=environment(tmp_path, amigo, **changes), dotenv=None)


async def look(
    settings: Settings, number: str | None = None, *, fix: bool = False
) -> dict[str, Finding]:
    """Return the last finding on each subject."""
    return {found.subject: found async for found in examine(settings, number, fix=fix)}


def verdicts(found: dict[str, Finding]) -> dict[str, str]:
    return {subject: finding.verdict for subject, finding in found.items()}


async def test_all_is_well_but_what_is_only_for_this_machine(tmp_path: Path, sandbox: str) -> None:
    found = await look(settings_for(tmp_path, sandbox))

    assert verdicts(found) == {
        "settings": "ok",
        "store": "ok",
        "identity": "warn",
        "rate limits": "ok",
        "Amigo revision": "ok",
        "Amigo sign-in": "ok",
        "Amigo service": "ok",
        "public URL": "warn",
        "carrier number": "warn",
    }
    assert "one call at a time" in found["identity"].detail
    assert found["Amigo revision"].detail == "2025-06"


async def test_every_user_of_a_pool_is_signed_in(tmp_path: Path, sandbox: str) -> None:
    pool = {"GATEWAY_IDENTITY": "pool", "AMIGO_USER_POOL": "a,b,c"}

    found = await look(settings_for(tmp_path, sandbox, **pool))

    assert found["Amigo sign-in"].detail.startswith("3 of 3")
    assert found["identity"] == Finding("identity", "ok", "3 users: 3 calls at once, then busy")


@pytest.mark.parametrize(
    ("changes", "subject", "advice"),
    [
        ({"AMIGO_API_KEY": "wrong"}, "Amigo", "AMIGO_API_KEY"),
        ({"AMIGO_ORGANIZATION_ID": "wrong"}, "Amigo", "AMIGO_ORGANIZATION_ID"),
        ({"AMIGO_SERVICE_ID": "0" * 24}, "Amigo service", "AMIGO_SERVICE_ID"),
        (
            {"AMIGO_VERSION_SET": "nightly"},
            "Amigo service",
            "AMIGO_VERSION_SET to one of edge, rel",
        ),
    ],
)
async def test_a_wrong_amigo_setting_fails_and_is_named(
    tmp_path: Path, sandbox: str, changes: dict[str, str], subject: str, advice: str
) -> None:
    found = await look(settings_for(tmp_path, sandbox, **changes))

    assert found[subject].verdict == "fail"
    assert advice in found[subject].fix
    assert "wrong" not in found[subject].detail


async def test_a_user_who_may_not_create_conversations_fails(tmp_path: Path) -> None:
    listener = Role(name="Listener", permissions=frozenset(PERMISSIONS) - {CREATE})
    usual = Credentials()
    credentials = Credentials(
        roles={**usual.roles, "Listener": listener}, role_of={"mute": "Listener"}
    )
    engines = load_engines("tones")
    options = SandboxOptions(credentials=credentials)
    async with TestServer(make_app(options, engines.recogniser, engines.voice)) as server:
        pool = {"GATEWAY_IDENTITY": "pool", "AMIGO_USER_POOL": "ada,mute"}
        found = await look(settings_for(tmp_path, str(server.make_url("")), **pool))

    assert found["Amigo role"].verdict == "fail"
    assert "'mute'" in found["Amigo role"].detail
    assert "Conversation:CreateConversation" in found["Amigo role"].fix


async def test_an_amigo_that_does_not_answer_fails(tmp_path: Path) -> None:
    found = await look(settings_for(tmp_path, f"http://127.0.0.1:{unused_port()}"))

    assert found["Amigo"].verdict == "fail"
    assert "AMIGO_BASE_URL" in found["Amigo"].fix
    assert found["store"].verdict == "ok"


async def test_another_revision_than_the_one_set_is_a_warning(tmp_path: Path, sandbox: str) -> None:
    found = await look(settings_for(tmp_path, sandbox, AMIGO_API_REVISION="2026-04"))

    assert found["Amigo revision"].verdict == "warn"
    assert "2025-06" in found["Amigo revision"].detail


async def test_a_conversation_begun_elsewhere_that_keeps_callers_out_is_found(
    tmp_path: Path, sandbox: str
) -> None:
    await begin_conversation(sandbox)

    found = await look(settings_for(tmp_path, sandbox))
    allowed = await look(settings_for(tmp_path, sandbox, AMIGO_FINISH_FOREIGN="true"))

    assert found["Amigo conversation"].verdict == "warn"
    assert "AMIGO_FINISH_FOREIGN" in found["Amigo conversation"].fix
    assert "Amigo conversation" not in allowed


async def begin_conversation(sandbox: str) -> None:
    base = f"{sandbox.rstrip('/')}/v1/sandbox"
    keys = {
        "x-api-key": "sandbox-key",
        "x-api-key-id": "sandbox-key-id",
        "x-user-id": "sandbox-caller",
    }
    async with ClientSession() as session:
        async with session.post(f"{base}/user/signin_with_api_key", headers=keys) as answer:
            token = (await answer.json())["id_token"]
        async with session.post(
            f"{base}/conversation/",
            params={"response_format": "text"},
            json={"service_id": SERVICE, "service_version_set_name": "release"},
            headers={"Authorization": f"Bearer {token}"},
        ) as created:
            assert created.status < 300, await created.text()
            await created.read()


async def test_a_store_we_may_not_write_fails(tmp_path: Path, sandbox: str) -> None:
    (tmp_path / "file").write_text("")
    url = f"sqlite:///{tmp_path}/file/calls.db"

    found = await look(settings_for(tmp_path, sandbox, GATEWAY_STORE_URL=url))

    assert found["store"].verdict == "fail"
    assert found["public URL"].verdict == "warn"


async def test_a_redis_that_keeps_nothing_is_warned_of_and_its_password_is_not_shown(
    tmp_path: Path, sandbox: str
) -> None:
    with running_redis(tmp_path, "--requirepass", "hush") as server:
        url = f"redis://:hush@127.0.0.1:{server.port}/0?prefix=mine"
        found = await look(settings_for(tmp_path, sandbox, GATEWAY_STORE_URL=url))
    gone = await look(settings_for(tmp_path, sandbox, GATEWAY_STORE_URL=url))

    assert found["store"].verdict == "ok"
    assert f"redis://127.0.0.1:{server.port}/0 (keys {{mine}}:*)" in found["store"].detail
    assert found["store's memory"].verdict == "warn"
    assert "appendonly yes" in found["store's memory"].fix
    assert gone["store"].verdict == "fail"
    assert not any("hush" in str(finding) for finding in (*found.values(), *gone.values()))


async def test_what_is_risky_is_said(tmp_path: Path, sandbox: str) -> None:
    risky = {
        "GATEWAY_INSECURE": "true",
        "GATEWAY_ADMIN_TOKEN": "short",
        "AMIGO_USER_POOL": "a,b",
    }

    found = await look(settings_for(tmp_path, sandbox, **risky))

    for subject in ("signatures", "admin token", "identity"):
        assert found[subject].verdict == "warn"
        assert found[subject].fix
    assert "AMIGO_USER_POOL" in found["identity"].detail


async def test_directories_that_cannot_be_used_fail(tmp_path: Path, sandbox: str) -> None:
    (tmp_path / "file").write_text("")
    wrong = {
        "GATEWAY_RECORDINGS_DIR": str(tmp_path / "file"),
        "GATEWAY_PLAYBACK__PHRASES_DIR": str(tmp_path / "absent"),
    }

    found = await look(settings_for(tmp_path, sandbox, **wrong))
    made_at_start = await look(
        settings_for(tmp_path, sandbox, GATEWAY_RECORDINGS_DIR=str(tmp_path / "absent"))
    )

    assert [found[name].verdict for name in wrong] == ["fail", "fail"]
    assert "GATEWAY_RECORDINGS_DIR" not in made_at_start


async def test_a_public_address_that_answers_otherwise_is_a_warning(
    tmp_path: Path, sandbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is public by name only: every name is this machine while the test runs."""

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({}, status=status)

    app, status = web.Application(), 200
    app.router.add_get("/healthz", healthz)
    async with TestServer(app) as server:
        public = {"GATEWAY_PUBLIC_URL": str(server.make_url("")).rstrip("/")}
        settings = settings_for(tmp_path, sandbox).model_copy(
            update={"gateway_public_url": public["GATEWAY_PUBLIC_URL"]}
        )
        monkeypatch.setattr("gateway.settings.values.is_loopback_name", lambda _: False)
        well = (await look(settings))["public URL"]
        status = 502
        ill = (await look(settings))["public URL"]
    gone = (await look(settings))["public URL"]

    assert [finding.verdict for finding in (well, ill, gone)] == ["ok", "warn", "warn"]
    assert "502" in ill.detail


# ---------------------------------------------------------------- the carrier's number


async def test_a_number_that_calls_here_is_well(
    tmp_path: Path, sandbox: str, numbers: Numbers
) -> None:
    settings = settings_for(
        tmp_path, sandbox, TWILIO_API_BASE_URL=numbers.base_url, GATEWAY_PUBLIC_URL=PUBLIC
    )
    numbers.voice_url = f"{PUBLIC}/twilio/voice"

    assert (await look(settings, NUMBER))["carrier number"].verdict == "ok"
    assert not numbers.changes


async def test_a_number_that_calls_elsewhere_fails_until_it_is_mended(
    tmp_path: Path, sandbox: str, numbers: Numbers
) -> None:
    settings = settings_for(
        tmp_path, sandbox, TWILIO_API_BASE_URL=numbers.base_url, GATEWAY_PUBLIC_URL=PUBLIC
    )
    numbers.voice_url = "https://elsewhere.example/voice"

    looked = (await look(settings, NUMBER))["carrier number"]
    mended = (await look(settings, NUMBER, fix=True))["carrier number"]
    again = (await look(settings, NUMBER))["carrier number"]

    assert [found.verdict for found in (looked, mended, again)] == ["fail", "ok", "ok"]
    assert "--fix" in looked.fix
    assert numbers.changes == [
        {
            "VoiceUrl": f"{PUBLIC}/twilio/voice",
            "VoiceMethod": "POST",
            "StatusCallback": f"{PUBLIC}/twilio/status",
            "StatusCallbackMethod": "POST",
        }
    ]


async def test_a_number_that_is_not_ours_or_ruled_by_an_application_fails(
    tmp_path: Path, sandbox: str, numbers: Numbers
) -> None:
    settings = settings_for(tmp_path, sandbox, TWILIO_API_BASE_URL=numbers.base_url)
    numbers.application = "AP1"

    assert (await look(settings, "+15559999999"))["carrier number"].verdict == "fail"
    assert "AP1" in (await look(settings, NUMBER, fix=True))["carrier number"].detail
    assert not numbers.changes


async def test_a_carrier_that_does_not_answer_fails_and_names_no_token(
    tmp_path: Path, sandbox: str
) -> None:
    settings = settings_for(tmp_path, sandbox, TWILIO_AUTH_TOKEN="hush-hush")

    found = (await look(settings, NUMBER))["carrier number"]

    assert found.verdict == "fail"
    assert "hush" not in found.detail + found.fix


# ---------------------------------------------------------------- the command


async def test_the_command_prints_json_and_fails_when_something_failed(
    tmp_path: Path,
    sandbox: str,
    set_environment: SetEnvironment,
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_environment(environment(tmp_path, sandbox))
    assert await asyncio.to_thread(main, ["check", "--json"]) == 0
    good = json.loads(capsys.readouterr().out)

    set_environment({"AMIGO_API_KEY": "hush-hush"})
    assert await asyncio.to_thread(main, ["check", "--json"]) == 1
    output = capsys.readouterr().out
    bad = json.loads(output)

    assert (good["ok"], bad["ok"]) == (True, False)
    assert all(set(found) == {"subject", "verdict", "detail", "fix"} for found in bad["findings"])
    assert "hush" not in output


async def test_the_command_prints_a_line_for_each_finding(
    tmp_path: Path,
    sandbox: str,
    set_environment: SetEnvironment,
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_environment(environment(tmp_path, sandbox))

    await asyncio.to_thread(main, ["check"])

    lines = capsys.readouterr().out.splitlines()
    assert "ok    Amigo service: " + SERVICE in "\n".join(lines)
    assert any(line.startswith("      -> for more, set GATEWAY_IDENTITY=pool") for line in lines)


def test_wrong_settings_are_named_and_exit_with_2(
    set_environment: SetEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    set_environment({"GATEWAY_PORT": "x"})

    assert main(["check"]) == 2
    text = capsys.readouterr()
    assert main(["check", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)

    assert text.out == ""
    assert "GATEWAY_PORT: 'x' is not a whole number" in text.err.splitlines()
    names = {found["subject"] for found in document["findings"]}
    assert {"GATEWAY_PORT", "AMIGO_API_KEY", "GATEWAY_PUBLIC_URL"} <= names
    assert not document["ok"]


def test_mending_needs_to_know_which_number(
    set_environment: SetEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    set_environment({})

    assert main(["check", "--fix"]) == 2
    assert "--number" in capsys.readouterr().err


# ---------------------------------------------------------------- identities and routes

PER_CALLER = {
    "GATEWAY_IDENTITY": "per-caller",
    "AMIGO_ADMIN_USER_ID": "sandbox-admin",
    "GATEWAY_IDENTITY_SECRET": "0123456789abcdef",
    "AMIGO_USER_ID": "",
}


async def test_users_per_caller_need_an_admin_who_may_look_users_up(
    tmp_path: Path, sandbox: str
) -> None:
    found = await look(settings_for(tmp_path, sandbox, **PER_CALLER))
    nobody = {"AMIGO_ADMIN_USER_ID": await ordinary_user(sandbox)}
    weak = await look(settings_for(tmp_path, sandbox, **PER_CALLER | nobody))

    assert found["identity"].detail.endswith("those who withhold who they are hear busy")
    assert found["Amigo users"].verdict == "ok"
    assert weak["Amigo users"].verdict == "fail"
    assert "AMIGO_ADMIN_USER_ID" in weak["Amigo users"].fix


async def ordinary_user(sandbox: str) -> str:
    """A user with the usual role, who may not look at others."""
    keys = {"x-api-key": "sandbox-key", "x-api-key-id": "sandbox-key-id"}
    person = {
        "first_name": "P",
        "last_name": "C",
        "email": "p@callers.example",
        "role_name": "DefaultUserRole",
    }
    async with ClientSession(f"{sandbox}/v1/sandbox/") as http:
        headers = keys | {"x-user-id": "sandbox-admin"}
        async with http.post("user/signin_with_api_key", headers=headers) as answer:
            token = (await answer.json())["id_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        async with http.post("user/invite", json=person, headers=bearer) as answer:
            return str((await answer.json())["user_id"])


async def test_a_short_identity_secret_is_a_warning(tmp_path: Path, sandbox: str) -> None:
    short = PER_CALLER | {"GATEWAY_IDENTITY_SECRET": "hush", "AMIGO_USER_ID": "anybody"}
    found = await look(settings_for(tmp_path, sandbox, **short))

    assert found["GATEWAY_IDENTITY_SECRET"].verdict == "warn"
    assert "hush" not in str(found)
    assert found["identity"].detail.endswith("share 1 user(s)")


async def test_no_more_users_are_signed_in_than_the_limit_allows(
    tmp_path: Path, sandbox: str
) -> None:
    pool = {"GATEWAY_IDENTITY": "pool", "AMIGO_USER_POOL": ",".join("abcdefgh")}
    found = await look(settings_for(tmp_path, sandbox, **pool))

    assert found["Amigo sign-in"].detail.startswith("4 of 8")
    assert "40 new calls a minute" in found["rate limits"].detail
    assert "warm after 2 min" in found["rate limits"].detail


async def test_every_route_is_looked_at_under_its_number(tmp_path: Path, sandbox: str) -> None:
    (tmp_path / "routes.toml").write_text(
        f'["+4930111111"]\nservice_id = "{"0" * 24}"\n["+4930222222"]\napi_key_env = "NEW"\n'
        'api_key_id = "x"\n'
    )
    routes = {"GATEWAY_ROUTES": str(tmp_path / "routes.toml"), "NEW": "wrong-key"}
    found = await look(settings_for(tmp_path, sandbox, **routes))

    assert found["Amigo service"].verdict == "ok"
    assert found["+4930111111: Amigo service"].verdict == "fail"
    assert found["+4930222222: Amigo"].verdict == "fail"
    assert "wrong-key" not in str(found)


async def test_a_routes_findings_are_told_in_its_own_words(tmp_path: Path, sandbox: str) -> None:
    (tmp_path / "routes.toml").write_text(
        f'["+4930111111"]\nservice_id = "{"0" * 24}"\nuser_pool = ["a"]\n'
    )
    routes = {"GATEWAY_ROUTES": str(tmp_path / "routes.toml")}
    settings = settings_for(tmp_path, sandbox, **routes)
    found = [one async for one in examine(settings)]
    fixes = {one.fix for one in found if one.subject.startswith("+4930111111: ")}

    assert "for more, set identity=pool and user_pool, or identity=per-caller" in fixes
    assert "set service_id to one of the organization's services" in fixes
    assert (
        "for more, set GATEWAY_IDENTITY=pool and AMIGO_USER_POOL, or GATEWAY_IDENTITY=per-caller"
        in {one.fix for one in found if one.subject == "identity"}
    )


async def test_where_calls_overflow_to_is_told_and_circles_are_warned_of(
    tmp_path: Path, sandbox: str
) -> None:
    (tmp_path / "routes.toml").write_text(
        '["+4930111111"]\noverflow = "+4930222222"\n'
        '["+4930222222"]\noverflow = "sip:desk@example.org"\n'
        f'[default]\noverflow = "{NUMBER}"\n'
    )
    settings = settings_for(tmp_path, sandbox, GATEWAY_ROUTES=str(tmp_path / "routes.toml"))
    found, named = await look(settings), await look(settings, NUMBER)

    assert found["+4930111111: overflow"].verdict == "warn"
    assert "passed around" in found["+4930111111: overflow"].detail
    assert found["+4930222222: overflow"].detail == (
        "calls that cannot be taken go to sip:desk@example.org"
    )
    assert [one["default: overflow"].verdict for one in (found, named)] == ["ok", "warn"]


async def test_a_variable_that_means_nothing_is_a_warning(
    tmp_path: Path,
    sandbox: str,
    set_environment: SetEnvironment,
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_environment(environment(tmp_path, sandbox) | {"GATEWAY_FLAVOUR": "1"})

    assert await asyncio.to_thread(main, ["check"]) == 0
    assert "warn  GATEWAY_FLAVOUR: is not a setting and has no effect" in capsys.readouterr().out

    set_environment({"GATEWAY_BUZY": "1"})
    assert await asyncio.to_thread(main, ["check"]) == 2
    assert "GATEWAY_BUZY: is not a setting; did you mean GATEWAY_BUSY" in capsys.readouterr().err
