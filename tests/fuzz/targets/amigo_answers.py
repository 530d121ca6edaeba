"""Answers of the API that are no stream: errors of any shape, lists, its own description.

A first byte chooses what is read; headers and the body follow after a line `--`.
"""

from __future__ import annotations

import json
import math
from email.message import Message as Headers

from hypothesis import strategies as st

from gateway.amigo import answers, models
from gateway.amigo.refusal import EXCERPT, lifetime, refusal
from gateway.amigo.revisions import Revision, revision_from_openapi
from gateway.errors import AmigoError
from tests.fuzz.draw import tame

LONGEST = 8192
SECRET = "s3cret-canary"
STATUSES = (302, 400, 401, 403, 404, 408, 409, 413, 415, 418, 422, 425, 429, 500, 502, 503, 504)
MODELS: tuple[type[models.Answer], ...] = (
    *(models.SignInAnswer, models.ConversationPage, models.MessagePage, models.ServicePage),
    *(answers.Insights, answers.MessageSource, answers.Recommendations, answers.StarterList),
    *(answers.SimulatedReply, answers.FeedbackPage, answers.ConversationFeedbackMade),
    *(answers.InteractionFeedbackMade, answers.UserPage, answers.UserMade),
)
WORDS = (
    *(b"Retry-After: ", b"Date: ", b"X-RateLimit-Reset: ", b"x-request-id: ", b"\n--\n"),
    *(b"Wed, 21 Oct 2026 07:28:00 GMT", b"2026-10-21T07:28:00Z", b"-0000", b"<script", b"</style>"),
    *(SECRET.encode(), b"+1 (555) 000-2222", b'"loc"', b'"msg"', b'"detail"', b'"error_code"'),
    *(b'"paths"', b'"$ref"', b'"#/', b"/conversation/", b"/interact", b'"post"', b'"parameters"'),
    *(b'"requestBody"', b'"content"', b'"multipart/form-data"', b'"audio/wav"', b'"name"'),
    *(b'"request_audio_config"', b'"conversations"', b'"messages"', b'"created_at"', b'"users"'),
    *(b'"has_more"', b'"continuation_token"', b'"feedbacks"', b'"id_token"', b'"expires_at"'),
)


def run(data: bytes) -> None:
    option = data[0] if data else 0
    head, _, body = data[1:].partition(b"\n--\n")
    headers = Headers()
    for line in tame(head).split("\n"):
        name, colon, value = line.partition(": ")
        if colon and name.isascii() and name.isprintable() and value.isprintable():
            headers[name] = value
    _refused(STATUSES[option % len(STATUSES)], dict(headers.items()), body)
    _described(body)
    for model in MODELS:
        _answered(model, body)


def _refused(status: int, headers: dict[str, str], body: bytes) -> None:
    error = refusal("interact", status, headers, body, wall=1.8e9, secrets=(SECRET,))
    assert isinstance(error, AmigoError)
    assert SECRET not in str(error)
    assert len(error.detail) <= EXCERPT
    assert error.detail.isprintable()
    assert error.request_id is None or len(error.request_id) <= 128
    if error.retry_after is not None:
        assert math.isfinite(error.retry_after)
        assert error.retry_after >= 0
    seconds = lifetime(tame(body[:64]), headers, 1.8e9)
    assert seconds is None or math.isfinite(seconds)


def _described(body: bytes) -> None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return
    found = revision_from_openapi(document)
    assert found is None or isinstance(found, Revision)


def _answered(model: type[models.Answer], body: bytes) -> None:
    try:
        answer = models.read_answer(model, "list", 200, body)
    except AmigoError as error:
        assert len(error.detail) <= EXCERPT
        return
    if isinstance(answer, models.MessagePage):
        assert sorted(message.time() for message in answer.messages)[:1] is not None


def inputs() -> st.SearchStrategy[bytes]:
    words = st.sampled_from([word.strip(b'"').decode() for word in WORDS]) | st.text(max_size=10)
    leaf = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words
    value = st.recursive(
        leaf,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(words | st.sampled_from(["a/conversation/b/interact"]), inner)
        ),
        max_leaves=12,
    )
    body = value.map(lambda one: json.dumps(one).encode()) | st.binary(max_size=80)
    header = st.tuples(
        st.sampled_from(["Retry-After", "Date", "X-RateLimit-Reset", "x-request-id"]),
        st.sampled_from(["Wed, 21 Oct 2026 07:28:00 GMT", "12", "1.5", "-1"])
        | st.text(max_size=20),
    ).map(lambda pair: f"{pair[0]}: {pair[1]}".encode("utf-8", "replace"))
    return st.tuples(
        st.binary(min_size=1, max_size=1), st.lists(header, max_size=3).map(b"\n".join), body
    ).map(lambda parts: parts[0] + parts[1] + b"\n--\n" + parts[2])
