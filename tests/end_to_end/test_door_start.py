"""The start of the gateway: told plainly where it cannot, loudly where it is open to everybody."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.end_to_end.door_carrier import new_call_sid
from tests.end_to_end.door_kit import open_grounds, open_house
from tests.end_to_end.door_process import Served


async def test_a_port_that_is_taken_is_told_in_one_line_with_status_2(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        async with open_grounds(tmp_path, env={"GATEWAY_PORT": port}) as grounds:
            process = await Served.start(grounds.folder, grounds.environ)
            assert await process.exit_status(40.0) == 2

    said = [line for line in process.log.read_text().splitlines() if not line.startswith("{")]
    assert len(said) == 1, said
    assert said[0].startswith("GATEWAY_PORT: ")
    assert port in said[0]


async def test_a_store_that_cannot_be_opened_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    url = f"sqlite:///{tmp_path / 'file' / 'calls.db'}"
    async with open_grounds(tmp_path, env={"GATEWAY_STORE_URL": url}) as grounds:
        process = await Served.start(grounds.folder, grounds.environ)
        assert await process.exit_status(40.0) == 1

    said = [line for line in process.log.read_text().splitlines() if not line.startswith("{")]
    assert len(said) == 1, said
    assert "cannot open" in said[0]


async def test_a_misspelt_variable_stops_the_start_and_names_the_right_one(tmp_path: Path) -> None:
    async with open_grounds(tmp_path, env={"GATEWAY_BUZY": "1"}) as grounds:
        process = await Served.start(grounds.folder, grounds.environ)
        assert await process.exit_status(40.0) == 2

    assert process.log.read_text().startswith("GATEWAY_BUZY: is not a setting; did you mean ")


async def test_what_stops_nothing_but_is_hardly_meant_is_a_warning(tmp_path: Path) -> None:
    env = {
        "AMIGO_FLAVOUR": "sweet",
        "GATEWAY_SERVICE_HOST": "10.0.0.1",
        "GATEWAY_IDENTITY": "per-caller",
        "GATEWAY_IDENTITY_SECRET": "hush",
        "AMIGO_ADMIN_USER_ID": "sandbox-admin",
    }
    async with open_grounds(tmp_path, env=env) as grounds, grounds.served() as (_, process):
        await process.ready()
        ignored = [line["setting"] for line in process.logged("setting.ignored")]
        weak = [line["setting"] for line in process.logged("setting.weak")]

    assert ignored == ["AMIGO_FLAVOUR"]
    assert weak == ["GATEWAY_IDENTITY_SECRET"]


async def test_without_signature_checks_anybody_may_call_and_the_log_says_so_loudly(
    tmp_path: Path,
) -> None:
    env = {"GATEWAY_INSECURE": "true"}
    async with open_house(tmp_path, env=env, expected={"gateway.insecure"}) as house:
        sid = new_call_sid()
        answer = await house.carrier.post("/twilio/voice", house.carrier.form(sid), signature=None)
        ws = await house.carrier.upgrade(answer.stream_url, signature=None)
        await ws.close()

        # the token is asked for all the same
        assert await house.carrier.refusal(answer.stream_url, signature=None) == 403
        await house.carrier.status(sid)


async def test_the_next_process_on_the_same_store_goes_on_counting(tmp_path: Path) -> None:
    async with open_grounds(tmp_path) as grounds:
        for _ in range(2):
            async with grounds.inside() as house:
                async with house.on_the_line() as stream:
                    await house.listening(stream.call_sid)
                    await stream.stop()
                await house.settled(stream.call_sid)
                await house.in_order()
        async with grounds.inside() as house:
            url = f"{house.target.connect_to}/v1/calls"
            async with house.http.get(url) as answer:
                assert len((await answer.json())["calls"]) == 2
