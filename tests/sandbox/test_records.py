"""What is kept in a folder outlives the sandbox, as far as it was committed; the rest was never said."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from gateway.errors import ConfigError
from gateway.sandbox.records import Records
from tests.sandbox.house import Guest, open_house


async def test_everything_is_there_again(tmp_path):
    async with open_house(data=tmp_path) as house:
        guest, admin = await house.caller(), await house.caller("sandbox-admin")
        conversation = await guest.begin()
        spoken = await guest.speak(conversation)
        message = spoken.of("user-message-available")[0]["message_id"]
        await guest.ask(
            "POST", f"/v1/sandbox/conversation/{conversation}/feedback", json={"comment": "fine"}
        )
        person = {"first_name": "P", "last_name": "C", "email": "c@caller.invalid",
                  "role_name": "DefaultUserRole"}  # fmt: skip
        await admin.ask("POST", "/v1/sandbox/user/invite", json=person)
        before = await guest.messages(conversation)
        token = guest.token
    async with open_house(data=tmp_path) as house:
        guest = house.guest()
        guest.token = token  # signed with a secret that was kept, too
        admin = await house.caller("sandbox-admin")
        path = f"/v1/sandbox/conversation/{conversation}"
        feedback = await guest.ask(
            "GET", "/v1/sandbox/conversation/feedback/", params={"type": "conversation"}
        )

        assert await guest.messages(conversation) == before
        assert (await guest.ask("GET", f"{path}/messages/{message}/source")).status == 200
        assert len(feedback.json["feedbacks"]) == 1
        assert len((await admin.ask("GET", "/v1/sandbox/user/")).json["users"]) == 1
        assert (await guest.create()).status == 400
        assert (await guest.say(conversation, "goodbye")).status == 200
        assert (await guest.listed())[0]["is_finished"] is True


async def test_a_deleted_conversation_stays_deleted(tmp_path):
    async with open_house(data=tmp_path, failed_create="keep") as house:
        guest = await house.caller()
        await guest.ask("POST", "/_sandbox/faults", json={"faults": ["create-error-before=1"]})
        conversation = (await guest.create()).conversation_id
        assert await guest.finish(conversation) == 204
    async with open_house(data=tmp_path) as house:
        assert await (await house.caller()).listed() == []


async def test_two_sandboxes_on_one_folder_are_refused(tmp_path):
    first = Records(tmp_path)
    try:
        with pytest.raises(ConfigError, match="database is locked"):
            Records(tmp_path)
    finally:
        first.close()


@pytest.mark.parametrize("kind", ["a file", "not a database", "newer"])
def test_a_folder_that_cannot_be_used_is_named(tmp_path, kind):
    if kind == "a file":
        (tmp_path / "data").write_text("x")
    else:
        (tmp_path / "data").mkdir()
        if kind == "newer":
            records = Records(tmp_path / "data")
            records._db.execute("PRAGMA user_version = 99")
            records.close()
        else:
            (tmp_path / "data" / "sandbox.db").write_text("certainly not SQLite" * 100)
    with pytest.raises(ConfigError, match="--data: cannot use"):
        Records(tmp_path / "data")


@pytest.mark.slow
async def test_what_was_running_when_it_was_killed_was_never_said(tmp_path):
    async with (
        _process(tmp_path, "--think-ms", "60000") as (process, base),
        aiohttp.ClientSession() as http,
    ):
        guest = Guest(http, base, "2025-06", "sandbox-caller")
        await guest.sign_in()
        running = asyncio.create_task(guest.create())
        await guest.busy()
        process.send_signal(signal.SIGKILL)
        await asyncio.gather(running, return_exceptions=True)
    async with (
        _process(tmp_path, "--think-ms", "0") as (_, base),
        aiohttp.ClientSession() as http,
    ):
        guest = Guest(http, base, "2025-06", "sandbox-caller")
        await guest.sign_in()

        assert await guest.listed() == []
        assert (await guest.create()).status == 201


@asynccontextmanager
async def _process(folder: Path, *options: str) -> AsyncIterator[tuple[subprocess.Popen[str], str]]:
    """A sandbox of its own process. Its output stays open: writing into a closed pipe would end it."""
    command = [sys.executable, "-m", "gateway", "sandbox", "--engine", "tones", "--port", "0"]
    with subprocess.Popen(  # noqa: ASYNC220 - its first line is waited for in a thread
        [*command, "--data", str(folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            assert process.stdout is not None
            line = await asyncio.to_thread(process.stdout.readline)
            found = re.fullmatch(r"export AMIGO_BASE_URL=(http://127.0.0.1:\d+)\n", line)
            assert found is not None
            yield process, found[1]
        finally:
            process.kill()
