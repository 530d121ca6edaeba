"""Where settings come from, which source wins, and what each is called in messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.settings import OPTIONS, Effective, load_settings, read_settings


def read(environ: dict[str, str] | None = None, **rest: object) -> Effective:
    return read_settings(environ=environ or {}, **({"dotenv": None} | rest))  # type: ignore[arg-type]


def problems(environ: dict[str, str] | None = None, **rest: object) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        read(environ, **rest)
    return str(refused.value).splitlines()


def source(effective: Effective, variable: str) -> tuple[object, str]:
    entry = next(entry for entry in effective.entries() if entry.variable == variable)
    return entry.value, entry.source


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_without_any_source_every_default_is_valid_and_frozen() -> None:
    settings = load_settings(environ={}, dotenv=None)

    assert settings.gateway_store_url == "sqlite:///voice-gateway.db"
    assert settings.turn_taking.end_silence_ms == 660
    assert settings.silence.filler_after_ms is None
    with pytest.raises(ValueError, match="frozen"):
        settings.gateway_port = 1  # type: ignore[misc]


def test_option_beats_environment_beats_dotenv_beats_toml_beats_default(tmp_path: Path) -> None:
    toml = write(tmp_path / "a.toml", "gateway_port = 1\n")
    dotenv = write(tmp_path / ".env", "GATEWAY_PORT=2\n")
    environ = {"GATEWAY_PORT": "3"}

    assert source(read(), "GATEWAY_PORT") == (8080, "default")
    assert source(read(config=toml), "GATEWAY_PORT") == (1, "file")
    assert source(read(config=toml, dotenv=dotenv), "GATEWAY_PORT") == (2, ".env")
    assert source(read(environ, config=toml, dotenv=dotenv), "GATEWAY_PORT") == (3, "env")
    given = read(environ, config=toml, dotenv=dotenv, options={"gateway_port": 4})
    assert source(given, "GATEWAY_PORT") == (4, "option")


def test_an_option_not_given_leaves_the_others_alone() -> None:
    assert source(read(options={"gateway_port": None}), "GATEWAY_PORT") == (8080, "default")


def test_an_empty_variable_counts_as_not_set() -> None:
    environ = {"GATEWAY_PORT": "", "AMIGO_API_KEY_FILE": "", "GATEWAY_ROUTES": ""}

    assert source(read(environ), "GATEWAY_PORT") == (8080, "default")


def test_tables_come_from_variables_and_from_toml(tmp_path: Path) -> None:
    toml = write(
        tmp_path / "a.toml",
        '[turn_taking]\nend_silence_ms = 500\npre_roll_ms = 300\n[playback]\nphrases_dir = "p"\n',
    )

    settings = read({"GATEWAY_TURN_TAKING__END_SILENCE_MS": "900"}, config=toml).settings

    assert (settings.turn_taking.end_silence_ms, settings.turn_taking.pre_roll_ms) == (900, 300)
    assert settings.playback.phrases_dir == Path("p")


def test_lists_and_queries_are_read_from_text_and_from_toml(tmp_path: Path) -> None:
    environ = {"AMIGO_USER_POOL": " a, b ,c,", "AMIGO_EXTRA_QUERY": 'f={"type":"pcm"}&x='}
    toml = write(
        tmp_path / "a.toml", 'amigo_user_pool = ["a", "b"]\namigo_extra_query = {x = 1, y = "2"}\n'
    )

    from_text, from_toml = read(environ).settings, read(config=toml).settings

    assert from_text.amigo_user_pool == ("a", "b", "c")
    assert from_text.amigo_extra_query == (("f", '{"type":"pcm"}'), ("x", ""))
    assert from_toml.amigo_user_pool == ("a", "b")
    assert from_toml.amigo_extra_query == (("x", "1"), ("y", "2"))


def test_dotenv_understands_export_quotes_and_comments_but_no_dollar(tmp_path: Path) -> None:
    dotenv = write(
        tmp_path / ".env",
        "# the sandbox's\nexport AMIGO_API_KEY='a$b${HOME}'\nAMIGO_API_KEY_ID=\"id\" # mine\n\n"
        "EDITOR=vi\nGATEWAY_PORT = 9\n",
    )

    settings = read(dotenv=dotenv).settings

    assert (settings.amigo_api_key, settings.amigo_api_key_id) == ("a$b${HOME}", "id")
    assert settings.gateway_port == 9


def test_a_missing_dotenv_is_no_fault_a_broken_line_is(tmp_path: Path) -> None:
    read(dotenv=tmp_path / "absent")
    dotenv = write(tmp_path / ".env", "GATEWAY_PORT=1\nthis is = not 'a line\n")

    assert problems(dotenv=dotenv) == [f"{dotenv}, line 2: is not NAME=value"]


def test_the_dotenv_of_the_working_directory_is_read_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / ".env", "GATEWAY_PORT=7\n")
    monkeypatch.chdir(tmp_path)

    assert load_settings(environ={}).gateway_port == 7


def test_the_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_MAX_CALLS", "12")

    assert load_settings(dotenv=None).gateway_max_calls == 12


# ---------------------------------------------------------------- secrets


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    file = write(tmp_path / "token", "primary,secondary\n")

    effective = read({"TWILIO_AUTH_TOKEN_FILE": str(file)})

    assert effective.settings.twilio_auth_token == ("primary", "secondary")
    assert source(effective, "TWILIO_AUTH_TOKEN") == ("********", "secret file")


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot read"), (b"", "is empty"), (b" \n", "is empty"), (b"\xff\xfe", "not a text")],
)
def test_a_secret_file_that_holds_no_secret_is_named(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)

    (line,) = problems({"AMIGO_API_KEY_FILE": str(file)})

    assert line.startswith("AMIGO_API_KEY_FILE: ")
    assert said in line


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "key", "k")

    (line,) = problems({"AMIGO_API_KEY": "k", "AMIGO_API_KEY_FILE": str(file)})

    assert line == "AMIGO_API_KEY: is set together with AMIGO_API_KEY_FILE; keep one"


def test_the_environment_beats_a_secret_file_named_in_dotenv(tmp_path: Path) -> None:
    dotenv = write(
        tmp_path / ".env", f"AMIGO_API_KEY_FILE={write(tmp_path / 'key', 'from-file')}\n"
    )

    assert read({"AMIGO_API_KEY": "from-env"}, dotenv=dotenv).settings.amigo_api_key == "from-env"


def test_a_secret_in_toml_is_refused_without_repeating_it(tmp_path: Path) -> None:
    toml = write(tmp_path / "a.toml", 'gateway_admin_token = "hush-hush"\n')

    (line,) = problems(config=toml)

    assert line.startswith("gateway_admin_token (in ")
    assert "GATEWAY_ADMIN_TOKEN_FILE" in line
    assert "hush" not in line


def test_no_way_of_showing_settings_shows_a_secret() -> None:
    environ = {
        "AMIGO_API_KEY": "hush-key",
        "TWILIO_AUTH_TOKEN": "hush-a,hush-b",
        "TWILIO_SIGNATURE_KEYS": "hush-s",
        "GATEWAY_ADMIN_TOKEN": "hush-t",
    }
    effective = read(environ)

    assert "hush" not in repr(effective.settings)
    assert "hush" not in str(effective.settings)
    assert "hush" not in repr(effective)
    assert "hush" not in repr(effective.entries())
    assert set(effective.settings.secrets()) == {"hush-key", "hush-a", "hush-b", "hush-s", "hush-t"}


@pytest.mark.parametrize("variable", [option.variable for option in OPTIONS if option.secret])
def test_a_wrong_secret_is_named_but_not_repeated(variable: str) -> None:
    (line,) = problems({variable: "hush\nhush"})

    assert line.startswith(f"{variable}: must not contain line ends")
    assert "hush" not in line


# ---------------------------------------------------------------- TOML as a file


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"gateway_port = ", "is not valid TOML"),
        (b"\xff\xfe", "is not valid TOML"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    toml = tmp_path / "a.toml"
    if content is not None:
        toml.write_bytes(content)

    (line,) = problems(config=toml)

    assert line.startswith(f"{toml}: {said}")


def test_a_value_where_a_table_belongs_is_explained(tmp_path: Path) -> None:
    toml = write(tmp_path / "a.toml", "silence = 3\n")

    assert problems(config=toml) == [
        f"silence (in {toml}): is a table; write [silence] above its keys"
    ]


def test_what_cannot_be_read_is_not_called_missing_as_well(tmp_path: Path) -> None:
    from gateway.settings import Needs

    lines = problems({"TWILIO_AUTH_TOKEN_FILE": str(tmp_path / "no")}, needs=Needs.SERVE)

    assert [line for line in lines if line.startswith("TWILIO_AUTH_TOKEN")] == [
        f"TWILIO_AUTH_TOKEN_FILE: cannot read '{tmp_path / 'no'}': No such file or directory"
    ]


# ---------------------------------------------------------------- --set


def test_an_assignment_beats_the_environment_and_an_option_beats_it() -> None:
    environ = {"GATEWAY_TURN_TAKING__END_SILENCE_MS": "700"}
    given = ["turn_taking.end_silence_ms=800", " turn_taking.end_silence_ms = 900 "]

    def silence(**rest: object) -> tuple[object, str]:
        effective = read(environ, assignments=given, **rest)
        return source(effective, "GATEWAY_TURN_TAKING__END_SILENCE_MS")

    assert silence() == (900, "option")
    assert silence(options={"gateway_turn_taking__end_silence_ms": 300}) == (300, "option")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("end_silence_ms=1", "is not a setting; did you mean turn_taking.end_silence_ms?"),
        ("turn_taking.end_silence_ms", "is not KEY=VALUE"),
        ("turn_taking.end_silence_ms=soon", "'soon' is not a whole number"),
        ("turn_taking.end_silence_ms=9", "'9' is too small; the least is 100"),
        ("amigo_api_key=x", "is a secret and has no place on a command line"),
    ],
)
def test_a_wrong_assignment_is_named_as_it_was_written(text: str, problem: str) -> None:
    (line,) = problems(assignments=[text])

    assert line.startswith(f"{text.partition('=')[0]} (--set): {problem}")
