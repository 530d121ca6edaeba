"""What is uploaded to the sandbox: content type and query a line each after a first byte, then the body."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cache
from urllib.parse import quote

from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import strategies as st

from gateway.amigo.revisions import R2026_04
from gateway.sandbox.engines.tones import TonesRecogniser, TonesVoice
from gateway.sandbox.errors import Refusal
from gateway.sandbox.multipart import BadForm, boundary_of, read_form
from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.server import make_app
from gateway.sandbox.state import SANDBOX
from gateway.sandbox.turns import Recording, understand
from gateway.sandbox.upload import expect
from tests.fuzz.draw import lines, tame
from tests.fuzz.targets import voice_decoder

LONGEST = 8192
FORM = b"multipart/form-data; boundary=b"
HEAD = b'--b\r\nContent-Disposition: form-data; name="'
WORDS = (
    *(FORM, b"audio/wav", b"audio/mpeg", b"--b\r\n", b"\r\n--b--\r\n", HEAD, b'"\r\n\r\n'),
    *(b"initial_message_type", b"recorded_message", b"external_event_message_content"),
    *(b"external_event_message_timestamp", b"user-message", b"external-event", b"skip"),
    *(b"2026-01-01T00:00:00Z", b"0001-01-01T00:00:00+23:59", b'; filename="audio.wav"'),
    *(b'{"type":"mp3"}', b'{"type":"pcm","frame_rate":8000,"n_channels":1,"sample_width":2}'),
    *(
        b"Content-Type: audio/wav",
        b"name*=utf-8''recorded%5Fmessage",
        b"boundary*0=",
        *voice_decoder.WORDS,
    ),
)


def run(data: bytes) -> None:
    option, rest = (data[0] if data else 0), data[1:]
    declared, config, body = lines(rest, 3)
    content_type = "".join(one for one in tame(declared) if one.isprintable())
    house = _house()
    sandbox = house.new if option & 1 else house.old
    request = make_mocked_request(
        "POST",
        f"/interact?request_audio_config={quote(config)}",
        headers={"Content-Type": content_type},
        app=sandbox,
        loop=house.loop.get_loop(),
    )
    try:
        expected = expect(request, sandbox[SANDBOX].options, voice=option & 2 == 2)
        said = house.loop.run(understand(body, expected, sandbox[SANDBOX], 1.7e9))
    except Refusal as refusal:
        assert refusal.status in {400, 415, 422}
        assert refusal.response().status == refusal.status
    else:
        if isinstance(said.said, Recording):
            assert 4000 <= said.said.rate <= 48000
            assert said.said.pcm.size <= 8 * len(body) + 8192
        else:
            said.said.encode()
    _form(content_type, body)
    _round_trip(tame(body))


def _form(content_type: str, body: bytes) -> None:
    try:
        fields = read_form(body, boundary_of(content_type) or "b")
    except BadForm:
        return
    assert sum(len(field.value) for field in fields) <= len(body)


def _round_trip(text: str) -> None:
    """What the gateway writes as a form is what the sandbox reads."""
    if "--b" in text:
        return  # the gateway's own boundary is random
    content_type, form = R2026_04.text_body(text, "b")
    kind, message = read_form(form, boundary_of(content_type) or "")
    assert (kind.name, kind.value) == ("initial_message_type", b"user-message")
    assert (message.name, message.value) == ("recorded_message", text.encode())


@dataclass(frozen=True, slots=True)
class _House:
    loop: asyncio.Runner
    old: web.Application
    new: web.Application
    runners: tuple[web.AppRunner, ...]


@cache
def _house() -> _House:
    old, new = (
        make_app(SandboxOptions(revision=revision), TonesRecogniser(), TonesVoice())
        for revision in ("2025-06", "2026-04")
    )
    loop, runners = asyncio.Runner(), (web.AppRunner(old), web.AppRunner(new))
    for runner in runners:
        loop.run(runner.setup())
    return _House(loop, old, new, runners)


def close() -> None:
    if _house.cache_info().currsize:
        house = _house()
        for runner in house.runners:
            house.loop.run(runner.cleanup())
        house.loop.close()
        _house.cache_clear()


def inputs() -> st.SearchStrategy[bytes]:
    name = st.sampled_from(
        [
            *(b"initial_message_type", b"recorded_message", b"external_event_message_content"),
            b"external_event_message_timestamp",
        ]
    ) | st.text(max_size=5).map(lambda text: text.encode())
    value = (
        st.sampled_from([b"user-message", b"skip", b"external-event", b"2026-01-01T00:00:00Z"])
        | voice_decoder.wavs()
        | st.binary(max_size=40)
    )
    extra = st.sampled_from([b"", b'; filename="a.wav"', b"\r\nContent-Type: audio/wav", b"; x"])
    part = st.builds(
        lambda one, more, body: HEAD + one + b'"' + more + b"\r\n\r\n" + body + b"\r\n",
        name,
        extra,
        value,
    )
    form = st.lists(part, max_size=5).map(lambda parts: b"".join(parts) + b"--b--\r\n")
    kind = st.sampled_from([FORM, FORM, b"audio/wav", b"audio/mpeg", b"text/plain"])
    config = st.sampled_from(
        [
            b'{"type":"mp3"}',
            b'{"type":"pcm","frame_rate":8000,"n_channels":1,"sample_width":4}',
            b"",
        ]
    )
    return st.tuples(
        st.integers(0, 3).map(lambda one: bytes([one])),
        st.tuples(kind, config, form | voice_decoder.wavs() | st.binary(max_size=60)).map(
            b"\n".join
        ),
    ).map(b"".join)
