"""Wrong settings: each is named, with its value and what is wrong, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.settings import OPTIONS, Needs, load_settings, read_settings

COMPLETE = {
    "AMIGO_ORGANIZATION_ID": "org",
    "AMIGO_API_KEY": "k",
    "AMIGO_API_KEY_ID": "i",
    "AMIGO_USER_ID": "user",
    "AMIGO_SERVICE_ID": "5a9db0c55a9db0c55a9db0c5",
    "TWILIO_ACCOUNT_SID": "AC00000000000000000000000000000000",
    "TWILIO_AUTH_TOKEN": "t",
    "GATEWAY_PUBLIC_URL": "https://gateway.example",
}


def problems(environ: dict[str, str], needs: Needs = Needs.NOTHING) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load_settings(environ=environ, dotenv=None, needs=needs)
    return str(refused.value).splitlines()


def in_toml(tmp_path: Path, text: str) -> list[str]:
    toml = tmp_path / "a.toml"
    toml.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_settings(environ={}, dotenv=None, config=toml)
    return [line.replace(f" (in {toml})", "") for line in str(refused.value).splitlines()]


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("GATEWAY_PORT", "80x", "'80x' is not a whole number"),
        ("GATEWAY_PORT", "70000", "'70000' is too large; the most is 65535"),
        ("GATEWAY_MAX_CALLS", "0", "'0' is too small; the least is 1"),
        ("GATEWAY_MAX_CALL_SECONDS", "nan", "'nan' is not a number"),
        ("GATEWAY_DRAIN_SECONDS", "ten", "'ten' is not a number"),
        ("GATEWAY_INSECURE", "perhaps", "'perhaps' is neither true nor false"),
        ("AMIGO_API_REVISION", "2027", "expected 'auto', '2025-06' or '2026-04'"),
        ("AMIGO_SERVICE_ID", "5A9D", "'5A9D' is not a service id; expected 24 hex digits"),
        ("AMIGO_ORGANIZATION_ID", "a/b", "'a/b' must not contain a slash"),
        ("AMIGO_BASE_URL", "api.amigo.ai", "is not a web address"),
        ("AMIGO_BASE_URL", "https://a:99999", "is not a web address"),
        ("AMIGO_EXTRA_QUERY", "audio_format", "is not a query; expected name=value"),
        ("AMIGO_USER_POOL", "a,b,a", "names 'a' more than once"),
        ("TWILIO_ACCOUNT_SID", "0123456789abcdef", "is not an account SID; it begins with AC"),
        ("GATEWAY_PUBLIC_URL", "http://gateway.example", "must begin with https://"),
        ("GATEWAY_PUBLIC_URL", "https://gateway.example/?a=b", "must not have a query"),
        ("GATEWAY_PUBLIC_URL", "wss://gateway.example", "is not a web address"),
        ("GATEWAY_STORE_URL", "postgres://db", "expected sqlite:///PATH"),
        ("GATEWAY_STORE_URL", "sqlite:///", "names no file"),
        ("GATEWAY_STORE_URL", "redis:localhost", "expected redis://HOST:PORT/DATABASE"),
        ("GATEWAY_STORE_URL", "redis://", "expected redis://HOST:PORT/DATABASE"),
        ("GATEWAY_STORE_URL", "redis://host/calls", "names no database of Redis"),
        ("GATEWAY_STORE_URL", "redis://host?timeout=3", "has the unknown option 'timeout'"),
        ("GATEWAY_STORE_URL", "redis://host?prefix=a{b}", "has a prefix that is none"),
        ("GATEWAY_STORE_URL", "redis://host?ca=/x.pem", "only for rediss://"),
        ("GATEWAY_STORE_URL", "redis+sentinel://host", "names Sentinel"),
        ("GATEWAY_SAY_LANGUAGE", "German!", "'German!' is not a language; expected a tag such as"),
        ("GATEWAY_HOLD_TEXT", "   ", "'' is empty; say something"),
        ("GATEWAY_BUSY_TEXT", "a\nb", "must not contain line ends"),
        ("GATEWAY_LOST_TEXT", "x" * 4097, "has 4097 characters; the carrier says at most 4096"),
        ("GATEWAY_PLAYBACK__MESSAGE_MS", "110", "'110' is not a multiple of 20"),
        ("GATEWAY_SILENCE__PROMPTS", "-1", "'-1' is too small; the least is 0"),
        ("LOG_LEVEL", "loud", "'loud' is unknown; expected 'debug', 'info'"),
    ],
)
def test_a_wrong_value_is_named_repeated_and_explained(
    variable: str, value: str, said: str
) -> None:
    (line,) = problems({variable: value})

    assert line.startswith(f"{variable}: ")
    assert said in line


@pytest.mark.parametrize(
    ("variable", "value", "attribute", "expected"),
    [
        ("GATEWAY_PUBLIC_URL", "https://g.example/a/", "gateway_public_url", "https://g.example/a"),
        ("GATEWAY_PUBLIC_URL", "http://127.0.0.1:80", "gateway_public_url", "http://127.0.0.1:80"),
        ("GATEWAY_PUBLIC_URL", "http://[::1]:8080", "gateway_public_url", "http://[::1]:8080"),
        ("GATEWAY_INSECURE", "yes", "gateway_insecure", True),
        ("GATEWAY_HOST", "::", "gateway_host", "::"),
        ("LOG_LEVEL", "DEBUG", "log_level", "debug"),
        ("LOG_FORMAT", "JSON", "log_format", "json"),
        ("GATEWAY_MAX_CALL_SECONDS", "0x", None, None),
        ("GATEWAY_DRAIN_SECONDS", "0.5", "gateway_drain_seconds", 0.5),
        ("GATEWAY_PORT", " 8081 ", "gateway_port", 8081),
    ],
)
def test_a_value_is_taken_as_meant(
    variable: str, value: str, attribute: str | None, expected: object
) -> None:
    if attribute is None:
        assert problems({variable: value})
        return
    settings = load_settings(environ={variable: value}, dotenv=None)

    assert getattr(settings, attribute) == expected


def test_a_password_in_an_address_is_not_repeated() -> None:
    for variable in ("GATEWAY_STORE_URL", "GATEWAY_PUBLIC_URL", "AMIGO_BASE_URL"):
        (line,) = problems({variable: "rediss+x://user:hush@host/0"})

        assert "hush" not in line
        assert "rediss+x://***@host/0" in line


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hu/sh@host",
        "redis://:hush@host:port",
        "redis:user:hush@host",
        "redis://:x@hush@host:1:2",
        "redis://:hush#1@host",
        "redis://:hush?a@host",
    ],
)
def test_a_password_in_a_misspelt_store_is_not_repeated(url: str) -> None:
    (line,) = problems({"GATEWAY_STORE_URL": url})

    assert "hush" not in line
    assert "hu/sh" not in line


def test_a_redis_store_is_taken_from_a_file_too_and_its_password_is_a_secret(
    tmp_path: Path,
) -> None:
    file = tmp_path / "store"
    file.write_text("rediss://gateway:h%40sh@redis.example:7000/2?prefix=a-b\n")
    effective = read_settings(environ={"GATEWAY_STORE_URL_FILE": str(file)}, dotenv=None)

    (entry,) = [one for one in effective.entries() if one.variable == "GATEWAY_STORE_URL"]
    assert entry.value == "rediss://***@redis.example:7000/2?prefix=a-b"
    assert "h@sh" in effective.settings.secrets()


def test_a_value_of_a_thousand_characters_does_not_fill_the_screen() -> None:
    (line,) = problems({"GATEWAY_PORT": "x" * 1000})

    assert len(line) < 150


def test_a_kubernetes_service_link_is_recognised() -> None:
    links = {
        "GATEWAY_SERVICE_HOST": "10.0.0.1",
        "GATEWAY_SERVICE_PORT": "80",
        "GATEWAY_SERVICE_PORT_HTTP": "80",
        "GATEWAY_PORT_80_TCP": "tcp://10.0.0.1:80",
        "GATEWAY_PORT_80_TCP_ADDR": "10.0.0.1",
        "GATEWAY_METRICS_SERVICE_HOST": "10.0.0.2",
        "GATEWAY_POOL_PORT": "tcp://10.0.0.2:80",
        "AMIGO_SERVICE_HOST": "10.0.0.3",
        "AMIGO_PORT": "tcp://10.0.0.3:80",
    }

    assert read_settings(environ=links, dotenv=None).ignored == ()

    (line,) = problems(links | {"GATEWAY_PORT": "tcp://10.0.0.1:80"})

    assert "enableServiceLinks: false" in line


def test_toml_types_are_held_to(tmp_path: Path) -> None:
    lines = in_toml(
        tmp_path,
        "gateway_port = true\namigo_organization_id = 5\nlog_level = [1]\n"
        "[turn_taking]\nend_silence_ms = 700.5\n[barge_in]\nenabled = 3\n",
    )

    assert sorted(line.split(": ")[0] for line in lines) == [
        "amigo_organization_id",
        "barge_in.enabled",
        "gateway_port",
        "log_level",
        "turn_taking.end_silence_ms",
    ]


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("GATEWAY_MAXCALLS", "GATEWAY_MAX_CALLS"),
        ("GATEWAY_STORE", "GATEWAY_STORE_URL"),
        ("AMIGO_SERVICE", "AMIGO_SERVICE_ID"),
        ("TWILIO_AUTH_TOKENS", "TWILIO_AUTH_TOKEN"),
        ("GATEWAY_BUZY", "GATEWAY_BUSY_WAIT_SECONDS"),
        ("GATEWAY_PROT", "GATEWAY_PORT"),
        ("AMIGO_VERSION", "AMIGO_VERSION_SET"),
        ("GATEWAY_TURN_TAKING__END_SILENCE", "GATEWAY_TURN_TAKING__END_SILENCE_MS"),
        ("GATEWAY_BARGEIN__ENABLED", "GATEWAY_BARGE_IN__ENABLED"),
    ],
)
def test_a_misspelt_variable_names_its_nearest(variable: str, nearest: str) -> None:
    (line,) = problems({variable: "1"})

    assert line.startswith(f"{variable}: is not a setting; did you mean {nearest}")


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("GATEWAY_PORT_FILE", "is not a setting; GATEWAY_PORT is no secret and comes from no file"),
        ("GATEWAY_SILENCE__ANYTHING_AT_ALL", "is not a setting; [silence] has prompt_after_ms, "),
        ("GATEWAY_MANNER__TONE", "is not a setting"),
    ],
)
def test_an_unknown_variable_that_is_surely_meant_for_us_is_wrong(variable: str, said: str) -> None:
    (line,) = problems({variable: "1"})

    assert line.startswith(f"{variable}: {said}")


@pytest.mark.parametrize(
    "variable",
    [
        "AMIGO_THEME",
        "AMIGO_OPENAPI",
        "AMIGO_API_KEY_BERLIN",
        "GATEWAY_INTERFACE",
        "GATEWAY_HOST_IP",
    ],
)
def test_a_variable_with_our_prefix_that_means_nothing_is_told_and_stops_nothing(
    variable: str,
) -> None:
    read = read_settings(environ={variable: "1", "PORT": "2"}, dotenv=None)

    assert [str(one) for one in read.ignored] == [f"{variable}: is not a setting and has no effect"]


@pytest.mark.parametrize(
    "variable", ["TWILIO_PHONE_NUMBER", "TWILIO_API_SECRET", "PORT", "SILENCE__X", "GATEWAY"]
)
def test_variables_of_others_are_left_alone(variable: str) -> None:
    assert read_settings(environ={variable: "1"}, dotenv=None).ignored == ()


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("gateway_prot = 1", "gateway_prot", "gateway_port"),
        ("GATEWAY_PORT = 1", "GATEWAY_PORT", "gateway_port"),
        ("[turn_taking]\nend_silence = 1", "turn_taking.end_silence", "turn_taking.end_silence_ms"),
        ("[turntaking]\nend_silence_ms = 1", "turntaking", "turn_taking"),
    ],
)
def test_an_unknown_key_names_its_nearest(
    tmp_path: Path, text: str, key: str, nearest: str
) -> None:
    (line,) = in_toml(tmp_path, text)

    assert line.startswith(f"{key}: is not a setting; did you mean {nearest}")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("entirely_foreign = 1", "entirely_foreign: is not a setting"),
        (
            "[silence]\nfoo = 1",
            "silence.foo: is not a setting; [silence] has prompt_after_ms, prompts",
        ),
    ],
)
def test_nothing_far_fetched_is_suggested(tmp_path: Path, text: str, line: str) -> None:
    (said,) = in_toml(tmp_path, text)

    assert said.startswith(line)
    assert "did you mean" not in said


@pytest.mark.parametrize(
    "variable",
    [
        "GATEWAY_RETENTION_DAYS",
        "GATEWAY_BUNDLES_DIR",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ],
)
def test_what_comes_later_is_refused_never_ignored(variable: str) -> None:
    (line,) = problems({variable: "hush"})

    assert line.startswith(f"{variable}: ")
    assert "this version" in line
    assert "hush" not in line


def test_what_comes_later_is_refused_in_toml_too(tmp_path: Path) -> None:
    lines = in_toml(tmp_path, "gateway_retention_days = 3\nbundles_dir = 'x'\n")

    assert all("this version" in line for line in lines)
    assert len(lines) == 2


@pytest.mark.parametrize("engine", ["silero", "hybrid"])
def test_an_engine_whose_model_cannot_run_is_refused_with_what_to_install(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.settings.values.model_installed", lambda: False)

    (line,) = problems({"GATEWAY_TURN_TAKING__VAD": engine})

    assert "voice-gateway[silero]" in line
    assert "use webrtc" in line


# ---------------------------------------------------------------- rules


def test_a_complete_environment_may_serve() -> None:
    settings = load_settings(environ=COMPLETE, dotenv=None, needs=Needs.SERVE)

    assert settings.amigo_user_id == "user"


@pytest.mark.parametrize("missing", COMPLETE)
def test_serving_names_what_is_missing_looking_does_not(missing: str) -> None:
    environ = {name: value for name, value in COMPLETE.items() if name != missing}
    load_settings(environ=environ, dotenv=None)

    (line,) = problems(environ, Needs.SERVE)

    assert line.startswith(f"{missing}: is required")


def test_identity_pool_needs_a_pool_and_no_single_user() -> None:
    pool = {name: value for name, value in COMPLETE.items() if name != "AMIGO_USER_ID"}
    pool["GATEWAY_IDENTITY"] = "pool"

    assert problems(pool, Needs.SERVE) == ["AMIGO_USER_POOL: is required: GATEWAY_IDENTITY is pool"]
    load_settings(environ=pool | {"AMIGO_USER_POOL": "a,b"}, dotenv=None, needs=Needs.SERVE)


def test_users_per_caller_need_an_admin_and_a_secret_and_no_user() -> None:
    own = {name: value for name, value in COMPLETE.items() if name != "AMIGO_USER_ID"}
    own["GATEWAY_IDENTITY"] = "per-caller"

    assert problems(own, Needs.SERVE) == [
        "AMIGO_ADMIN_USER_ID: is required: GATEWAY_IDENTITY is per-caller",
        "GATEWAY_IDENTITY_SECRET: is required: GATEWAY_IDENTITY is per-caller",
    ]
    given = {"AMIGO_ADMIN_USER_ID": "boss", "GATEWAY_IDENTITY_SECRET": "hush"}
    load_settings(environ=own | given, dotenv=None, needs=Needs.SERVE)


def test_options_that_do_not_fit_each_other_are_named() -> None:
    lines = problems(
        {
            "GATEWAY_TURN_TAKING__MAX_UTTERANCE_MS": "2000",
            "GATEWAY_TURN_TAKING__END_SILENCE_MS": "1900",
            "GATEWAY_BARGE_IN__LOOKAHEAD_MS": "100",
            "GATEWAY_PLAYBACK__MESSAGE_MS": "200",
        }
    )

    assert [line.split(":")[0] for line in lines] == [
        "GATEWAY_TURN_TAKING__MAX_UTTERANCE_MS",
        "GATEWAY_BARGE_IN__LOOKAHEAD_MS",
    ]


def test_everything_wrong_is_reported_at_once_one_line_each() -> None:
    environ = {name: value for name, value in COMPLETE.items() if name != "AMIGO_API_KEY"} | {
        "GATEWAY_PORT": "x",
        "GATEWAY_MAXCALLS": "1",
        "GATEWAY_ROUTES": "no/routes.toml",
        "GATEWAY_TURN_TAKING__VAD": "psychic",
        "GATEWAY_BARGE_IN__LOOKAHEAD_MS": "100",
        "GATEWAY_PLAYBACK__MESSAGE_MS": "200",
        "AMIGO_SERVICE_ID": "short",
    }

    lines = problems(environ, Needs.SERVE)

    assert sorted(line.split(":")[0] for line in lines) == [
        "AMIGO_API_KEY",
        "AMIGO_SERVICE_ID",
        "GATEWAY_BARGE_IN__LOOKAHEAD_MS",
        "GATEWAY_MAXCALLS",
        "GATEWAY_PORT",
        "GATEWAY_ROUTES",
        "GATEWAY_TURN_TAKING__VAD",
    ]


# ---------------------------------------------------------------- the list of options


def test_every_option_says_what_it_is_in_one_line() -> None:
    for option in OPTIONS:
        assert option.description, option.variable
        assert "\n" not in option.description
        assert not option.description.endswith(".")


def test_every_default_passes_its_own_validation() -> None:
    for option in OPTIONS:
        if option.default in (None, "", ()):
            continue
        value = str(option.default).lower() if isinstance(option.default, bool) else option.default

        load_settings(environ={option.variable: str(value)}, dotenv=None)
