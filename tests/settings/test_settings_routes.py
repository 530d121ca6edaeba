"""Routes: what a number sets itself, what it inherits, and how wrong files are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.settings import Needs, Route, Settings, load_settings, read_settings
from tests.settings.test_settings_problems import COMPLETE

BERLIN = """
["+4930111111"]
organization = "berlin"
api_key_env = "BERLIN_KEY"
api_key_id_env = "BERLIN_KEY_ID"
service_id = "aaaaaaaaaaaaaaaaaaaaaaaa"
identity = "pool"
user_pool = ["ann", "ben"]
overflow = "+4930222222"
transfer = "sip:desk@example.org"

["+4930111111".turn_taking]
end_silence_ms = 900

["+15550002222"]
version_set = "edge"
"""
KEYS = {"BERLIN_KEY": "berlin-key", "BERLIN_KEY_ID": "berlin-id"}


def load(tmp_path: Path, text: str, **environ: str) -> Settings:
    path = tmp_path / "routes.toml"
    path.write_text(text)
    values = {**COMPLETE, **environ, "GATEWAY_ROUTES": str(path)}
    return load_settings(
        needs=Needs.SERVE,
        environ={name: value for name, value in values.items() if value},
        dotenv=None,
    )


def routes(settings: Settings) -> dict[str, Route]:
    return {route.number: route for route in settings.routes}


def problems(tmp_path: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, text, **environ)
    return [line.removeprefix("GATEWAY_ROUTES ") for line in str(refused.value).splitlines()]


def test_a_route_sets_its_own_and_inherits_the_rest(tmp_path: Path) -> None:
    settings = load(tmp_path, BERLIN, GATEWAY_SILENCE__PROMPTS="5", **KEYS)
    berlin, edge = routes(settings)["+4930111111"], routes(settings)["+15550002222"]

    assert berlin.settings.amigo_organization_id == "berlin"
    assert (berlin.settings.amigo_api_key, berlin.settings.amigo_api_key_id) == (
        "berlin-key",
        "berlin-id",
    )
    assert berlin.settings.amigo_user_pool == ("ann", "ben")
    assert berlin.settings.turn_taking.end_silence_ms == 900
    assert berlin.settings.silence.prompts == 5
    assert (berlin.overflow, berlin.transfer) == ("+4930222222", "sip:desk@example.org")
    assert edge.settings.amigo_version_set == "edge"
    assert edge.settings.amigo_service_id == COMPLETE["AMIGO_SERVICE_ID"]
    assert edge.settings.amigo_api_key == COMPLETE["AMIGO_API_KEY"]
    assert settings.turn_taking.end_silence_ms == 660


def test_a_route_to_another_organization_inherits_nothing_of_the_first(tmp_path: Path) -> None:
    assert problems(tmp_path, '["+4930111111"]\norganization = "berlin"\n') == [
        "+4930111111.api_key_env: is required: key that signs in",
        "+4930111111.api_key_id: is required: id of that key",
        "+4930111111.service_id: is required: service that answers (24 hex digits)",
        "+4930111111.user_id: is required: identity is fixed",
    ]


def test_the_settings_own_service_is_only_needed_where_a_route_leans_on_it(tmp_path: Path) -> None:
    own = '[default]\nservice_id = "aaaaaaaaaaaaaaaaaaaaaaaa"\n'

    assert load(tmp_path, own, AMIGO_SERVICE_ID="").answers_itself is False
    assert problems(tmp_path, '["+4930111111"]\nrating = true\n', AMIGO_SERVICE_ID="") == [
        "+4930111111.service_id: is required: service that answers (24 hex digits)"
    ]


@pytest.mark.parametrize(("needs", "answers"), [("", True), ("[default]\nrating = true\n", False)])
def test_numbers_without_a_route_go_to_the_settings_own_service(
    tmp_path: Path, needs: str, answers: Any
) -> None:
    text = '["+4930111111"]\nversion_set = "edge"\n' + needs

    assert load(tmp_path, text).answers_itself is answers


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "GATEWAY_ROUTES: '{path}' names no route"),
        ("[default", "GATEWAY_ROUTES: '{path}' is not valid TOML"),
        ("[berlin]\n", "berlin: is no number like +15550001111, no sip: address and not `default`"),
        ('"+4930111111" = 3\n', '+4930111111: is a table; write ["+4930111111"] above its keys'),
        (
            '[default]\nservise_id = "a"\n',
            "default.servise_id: is not a setting of a route; did you",
        ),
        (
            "[default]\nport = 1\n",
            "default.port: is not a setting of a route but of all calls: GATEWAY_PORT",
        ),
        (
            "[default]\ncolour = 1\n",
            "default.colour: is not a setting of a route; a route has orga",
        ),
        (
            '[default]\napi_key = "hush"\n',
            "default.api_key: no secret stands in this file; api_key_env names the variable",
        ),
        (
            '[default]\nidentity_secret = "hush"\n',
            "default.identity_secret: no secret stands in this file; identity_secret_env names",
        ),
        (
            '["+4930111111"]\noverflow = "+4930111111"\n',
            "+4930111111.overflow: '+4930111111' is this very number: a caller would be passed on",
        ),
        (
            '["sip:a@b.example"]\noverflow = "sip:a@B.example"\n',
            "sip:a@b.example.overflow: 'sip:a@B.example' is this very number",
        ),
        (
            '[default]\nservice_id = "x"\n',
            "default.service_id: 'x' is not a service id; expected 24",
        ),
        ('[default]\nidentity = "all"\n', "default.identity: 'all' is unknown; expected 'fixed',"),
        ('[default]\noverflow = "desk"\n', "default.overflow: 'desk' is neither a number like"),
        ("[default]\ntransfer = 3\n", "default.transfer: 3 is not text"),
        ("[default]\nturn_taking = 3\n", 'default.turn_taking: is a table; write ["default".turn'),
        (
            "[default.turn_taking]\nend_silence = 3\n",
            "default.turn_taking.end_silence: is not a setting; did you mean turn_taking.end_silence",
        ),
        (
            "[default.turn_taking]\nend_silence_ms = 3\n",
            "default.turn_taking.end_silence_ms: 3 is too small; the least is 100",
        ),
        (
            "[default.playback]\nmessage_ms = 500\n",
            "default.barge_in.lookahead_ms: 400 is less than one message",
        ),
        ('[default]\napi_key_env = "sk 1"\n', "default.api_key_env: is not the name of an environ"),
        (
            '[default]\napi_key_env = "NO_KEY"\n',
            "default.api_key_env: neither NO_KEY nor NO_KEY_FILE",
        ),
        ('[default]\nservice = "a"\nservice_id = "b"\n', "default.service_id: is given twice"),
        (
            '[default]\nidentity = "pool"\n',
            "default.user_pool: is required: identity is pool",
        ),
    ],
)
def test_what_is_wrong_is_named_by_route_and_key(tmp_path: Path, text: str, said: str) -> None:
    lines = problems(tmp_path, text)

    assert any(line.startswith(said.format(path=tmp_path / "routes.toml")) for line in lines), lines


def test_a_secret_in_the_place_of_a_name_is_not_repeated(tmp_path: Path) -> None:
    assert "sk-1/2" not in str(problems(tmp_path, '[default]\napi_key_env = "sk-1/2"\n'))


def test_a_key_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    environ = {"BERLIN_KEY_FILE": str(tmp_path / "key"), "BERLIN_KEY_ID": "i"}

    settings = load(tmp_path, BERLIN, **environ)

    assert routes(settings)["+4930111111"].settings.amigo_api_key == "from-file"
    assert "from-file" in settings.secrets()


def test_a_variable_a_route_names_is_not_taken_for_a_misspelt_setting(tmp_path: Path) -> None:
    path = tmp_path / "routes.toml"
    path.write_text('[default]\napi_key_env = "GATEWAY_STORE"\napi_key_id_env = "AMIGO_X"\n')
    given = {"GATEWAY_ROUTES": str(path), "GATEWAY_STORE": "a key", "AMIGO_X": "id"}
    environ = {**COMPLETE, **given}

    assert read_settings(environ=environ, dotenv=None).ignored == ()
    with pytest.raises(ConfigError, match="GATEWAY_STORES: is not a setting"):
        load_settings(environ=environ | {"GATEWAY_STORES": "x"}, dotenv=None)


def test_what_is_wrong_for_all_calls_is_told_once(tmp_path: Path) -> None:
    lines = problems(tmp_path, BERLIN, GATEWAY_SILENCE__PROMPTS="many", **KEYS)

    assert [line.split(":")[0] for line in lines] == ["GATEWAY_SILENCE__PROMPTS"]


def test_what_a_route_sets_is_shown_without_secrets(tmp_path: Path) -> None:
    path = tmp_path / "routes.toml"
    path.write_text(BERLIN)
    shown = read_settings(
        environ={**COMPLETE, **KEYS, "GATEWAY_ROUTES": str(path)}, dotenv=None
    ).route_entries()
    berlin = {entry.key: entry.value for entry in shown["+4930111111"]}

    assert berlin["organization"] == "berlin"
    assert berlin["api_key_env"] == "********"
    assert berlin["turn_taking.end_silence_ms"] == 900
    assert berlin["overflow"] == "+4930222222"
    assert "berlin-key" not in str(shown)
