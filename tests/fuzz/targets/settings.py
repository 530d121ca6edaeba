"""Everything an operator writes: environment, `.env`, TOML file, routes, `--set`; parts end with a line `===`.

The files lie in a folder of the target's own. A first byte says whether a complete, right environment
with secrets stands under what the input adds.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.settings import Needs, read_settings
from gateway.settings.options import OPTIONS
from tests.fuzz.draw import tame, wild

LONGEST = 4096
SECRET = "s3cret-canary-0123456789"
COMPLETE = {
    "AMIGO_ORGANIZATION_ID": "org",
    "AMIGO_API_KEY": SECRET,
    "AMIGO_API_KEY_ID": "key",
    "AMIGO_USER_ID": "user",
    "AMIGO_SERVICE_ID": "0123456789abcdef01234567",
    "TWILIO_ACCOUNT_SID": "AC00000000000000000000000000000001",
    "TWILIO_AUTH_TOKEN": SECRET,
    "GATEWAY_PUBLIC_URL": "https://gateway.example",
    "GATEWAY_ADMIN_TOKEN": SECRET,
    "GATEWAY_STORE_URL": f"redis://user:{SECRET}@store:6379/0",
}
PARTS = ("environment", "dotenv", "toml", "routes", "assignments")
WORDS = (
    *(f"{option.variable}=".encode() for option in OPTIONS),
    *(f"{option.key} = ".encode() for option in OPTIONS if "." not in option.key),
    *(
        b"[turn_taking]\n",
        b"[barge_in]\n",
        b"[silence]\n",
        b"[playback]\n",
        b"end_silence_ms = 600",
    ),
    *(
        b'["+15550002222"]\n',
        b"[default]\n",
        b'service = "0123456789abcdef01234567"',
        b"overflow = ",
    ),
    *(b'api_key_env = "AMIGO_API_KEY"', b'organization = "other"', b"'+15550003333'", b"_FILE="),
    *(
        b"\n===\n",
        b"export ",
        b'"""',
        b"1979-05-27T07:32:00Z",
        b"inf",
        b"nan",
        b"{a=1}",
        b"[[",
        b"0x",
    ),
)


def run(data: bytes) -> None:
    if b"/dev/" in data or b"/proc/" in data:
        return  # whoever may write settings may have us wait for a terminal
    option, parts = (data[0] if data else 0), data[1:].split(b"\n===\n", len(PARTS) - 1)
    texts = dict(zip(PARTS, parts, strict=False))
    folder = _folder()
    for name in ("dotenv", "toml", "routes"):
        (folder / name).write_bytes(texts.get(name, b""))
    environ = dict(COMPLETE) if option & 1 else {}
    if texts.get("routes"):
        environ["GATEWAY_ROUTES"] = str(folder / "routes")
    environ |= _pairs(texts.get("environment", b""))
    try:
        effective = read_settings(
            needs=Needs.SERVE if option & 2 else Needs.NOTHING,
            environ=environ,
            dotenv=folder / "dotenv",
            config=folder / "toml" if texts.get("toml") else None,
            assignments=tame(texts.get("assignments", b"")).splitlines(),
        )
    except ConfigError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.problem
            assert len(str(problem)) < 4 * len(data) + 4000
        told = str(error)
    else:
        entries = [*effective.entries(), *sum(effective.route_entries().values(), ())]
        told = json.dumps([(entry.key, entry.value, entry.source) for entry in entries])
        assert SECRET in effective.settings.secrets() or not option & 1 or texts
    assert SECRET not in told


def _pairs(text: bytes) -> dict[str, str]:
    """Variables, as an operating system could hand them over."""
    pairs = (line.partition("=") for line in wild(text.replace(b"\0", b"")).split("\n"))
    return {name: value for name, equals, value in pairs if equals and name}


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-settings-"))


def close() -> None:
    if _folder.cache_info().currsize:
        shutil.rmtree(_folder())
        _folder.cache_clear()


def inputs() -> st.SearchStrategy[bytes]:
    value = st.sampled_from(
        [
            "1",
            "true",
            "0.5",
            "-1",
            "'x'",
            '"+15550001111"',
            "[1, 'a']",
            "{ a = 'b' }",
            "webrtc",
            "https://a.b",
        ]
    ) | st.text(max_size=8)
    variable = st.tuples(st.sampled_from([one.variable for one in OPTIONS]), value).map("=".join)
    near = st.text("ADEGIMORTWY_", min_size=1, max_size=12).map(lambda tail: f"GATEWAY_{tail}=1")
    key = st.tuples(st.sampled_from([one.key.rpartition(".")[2] for one in OPTIONS]), value)
    line = key.map(" = ".join) | st.sampled_from(
        ["[turn_taking]", "[barge_in]", "[silence]", "[playback]", "[routes]", "", "# remark"]
    )
    head = st.sampled_from(['["+15550002222"]', "[default]", '["sip:desk@host"]', "[x]"])
    route = st.sampled_from(
        ['service = "0123456789abcdef01234567"', 'overflow = "+15550003333"', 'api_key_env = "KEY"']
    )
    assignment = st.tuples(st.sampled_from([one.key for one in OPTIONS]), value).map("=".join)

    def block(one: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.lists(one, max_size=5).map("\n".join)

    parts = st.tuples(
        *(block(variable | near), block(variable | st.text(max_size=10)), block(line)),
        *(block(head | route | line), block(assignment | st.text(max_size=8))),
    )
    body = parts.map("\n===\n".join).map(lambda text: text.encode("utf-8", "replace"))
    return st.tuples(st.integers(0, 3).map(lambda one: bytes([one])), body).map(b"".join)
