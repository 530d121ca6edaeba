"""The two revisions of the API as data: what a request carries and how its body is framed.

The path says `/v1` in both; the service changed in place. "2025-06" is the page the project was
created from, "2026-04" the OpenAPI snapshot of spring 2026. What they *answer* differs too, but
`stream.py` reads both at once, so nothing here is needed for reading.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

Query = tuple[tuple[str, str], ...]
EventParts = tuple[tuple[str, str], ...]
"""Content and ISO 8601 time of external events (2026-04)."""

ACTIONS_WANTED: Final = "^action-too-long$"
"""The one action we act on: it brings a filler. All others would only cost bandwidth."""

_FORM: Final = 'Content-Disposition: form-data; name="{}"'
_FORM_TYPES: Final = ("multipart/form-data", "application/x-www-form-urlencoded")
"""The second was a slip of the documents of December 2025 for the first."""


@dataclass(frozen=True, slots=True)
class Framing:
    """What surrounds a recording in a request body, and what the body is then called."""

    content_type: str
    head: bytes = b""
    tail: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One state of the API, as far as requests differ."""

    name: str
    """`2025-06` or `2026-04`."""
    voice_in_form: bool
    """The recording is a part of a multipart form; else it is the whole body."""
    typed_messages: bool
    """A form says first what kind of message it holds (`initial_message_type`)."""
    describes_upload: bool
    """Voice requests name rate and width of the recording (`request_audio_config`)."""
    actions_on_request: bool
    """Action events come only if asked for; else always, and the filter alone decides."""
    response_query: Query = ()
    """Parameters that choose the format of the answer's audio, where the service has some."""

    def answer_query(self, response: str = "voice") -> Query:
        """Parameters of create and interact about the answer we want: usually speech and fillers."""
        on_request = (("emit_current_agent_action_event", "true"),)
        return (
            ("response_format", response),
            *(on_request if self.actions_on_request else ()),
            ("current_agent_action_type", ACTIONS_WANTED),
            *(self.response_query if response == "voice" else ()),
        )

    def upload_query(self, sample_rate: int) -> Query:
        """Parameters that describe an uploaded mono PCM16 recording of `sample_rate` Hz."""
        if not self.describes_upload:
            return ()
        config = {"type": "pcm", "frame_rate": sample_rate, "n_channels": 1, "sample_width": 2}
        return (("request_audio_config", json.dumps(config, separators=(",", ":"))),)

    def voice_framing(self, boundary: str, events: EventParts = ()) -> Framing:
        """How a WAV recording is wrapped; it goes out between head and tail as it is spoken."""
        if not self.voice_in_form:
            return Framing("audio/wav")
        recording = _part("recorded_message", filename="audio.wav", content_type="audio/wav")
        return self._form(boundary, recording, events=events)

    def text_body(
        self, text: str, boundary: str, kind: str = "user-message", events: EventParts = ()
    ) -> tuple[str, bytes]:
        """Content type and body of a turn of text, of an event, or of nothing (`skip`)."""
        if self.typed_messages:
            message = _part("recorded_message", "message.txt", "text/plain; charset=utf-8")
        else:
            message = _part("recorded_message")
        form = self._form(boundary, message, kind, events)
        return form.content_type, form.head + text.encode("utf-8", "replace") + form.tail

    def _form(
        self,
        boundary: str,
        last_part: str,
        kind: str = "user-message",
        events: EventParts = (),
    ) -> Framing:
        # The kind goes first so that the service knows what to do with the rest as it arrives.
        typed = [_part("initial_message_type") + f"{kind}\r\n"] if self.typed_messages else []
        told = [
            part
            for content, stamp in events
            for part in (
                _part("external_event_message_content") + f"{content}\r\n",
                _part("external_event_message_timestamp") + f"{stamp}\r\n",
            )
        ]
        parts = [*typed, *told, last_part]
        head = "".join(f"--{boundary}\r\n{part}" for part in parts)
        return Framing(
            content_type=f"multipart/form-data; boundary={boundary}",
            head=head.encode("utf-8", "replace"),
            tail=f"\r\n--{boundary}--\r\n".encode(),
        )


def _part(name: str, filename: str = "", content_type: str = "") -> str:
    """A form part's headers and the blank line after them."""
    file = f'; filename="{filename}"' if filename else ""
    kind = f"\r\nContent-Type: {content_type}" if content_type else ""
    return f"{_FORM.format(name)}{file}{kind}\r\n\r\n"


R2025_06: Final = Revision(
    name="2025-06",
    voice_in_form=False,
    typed_messages=False,
    describes_upload=False,
    actions_on_request=True,
)

R2026_04: Final = Revision(
    name="2026-04",
    voice_in_form=True,
    typed_messages=True,
    describes_upload=True,
    actions_on_request=False,
)

_AUDIO_CHOICES: Final[Query] = (
    ("audio_format", "pcm"),
    ("response_audio_format", '{"type":"pcm","sample_rate":16000}'),
)
"""Parameters that chose the answer's format between the two revisions and were mandatory then."""


def revision_named(name: str) -> Revision | None:
    """The revision of that name; None for a name this build does not know."""
    return {revision.name: revision for revision in (R2025_06, R2026_04)}.get(name)


def other_than(revision: Revision) -> Revision:
    """The revision left to try when `revision` is refused and nothing else is known."""
    return R2025_06 if revision.name == R2026_04.name else R2026_04


def revision_from_openapi(document: object) -> Revision | None:
    """The revision a service describes in its `/v1/openapi.json`; None if it does not say.

    Decided by the interact operation: a form body is 2026-04, a raw audio body or none is 2025-06.
    Builds in between name further parameters; those are taken over.
    """
    if not isinstance(document, Mapping):
        return None
    for path, item in _members(document, "paths").items():
        if str(path).endswith("/interact") and "/conversation/" in str(path):
            operation = _resolve(document, _members(item, "post"))
            return _described(document, operation) if operation else None
    return None


def _described(document: Mapping[str, object], operation: Mapping[str, object]) -> Revision:
    names = _parameter_names(document, operation)
    body = _resolve(document, _members(operation, "requestBody"))
    types = [str(kind) for kind in _members(body, "content")]
    chosen = tuple(choice for choice in _AUDIO_CHOICES if choice[0] in names)
    raw = any(kind.startswith("audio/") for kind in types)
    if not raw and any(kind in _FORM_TYPES for kind in types):
        return replace(R2026_04, response_query=chosen)
    if "request_audio_config" not in names:
        return replace(R2025_06, response_query=chosen)
    return replace(
        R2025_06,
        response_query=chosen,
        describes_upload=True,
        actions_on_request="emit_current_agent_action_event" in names,
    )


def _parameter_names(
    document: Mapping[str, object], operation: Mapping[str, object]
) -> frozenset[str]:
    listed = operation.get("parameters")
    parameters = listed if isinstance(listed, list) else []
    return frozenset(str(_resolve(document, parameter).get("name")) for parameter in parameters)


def _members(value: object, name: str) -> Mapping[str, object]:
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _resolve(document: Mapping[str, object], value: object) -> Mapping[str, object]:
    """Follow one local reference (`#/components/...`); the document's own are never nested."""
    if not isinstance(value, Mapping):
        return {}
    reference = value.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return value
    target: object = document
    for step in reference[2:].split("/"):
        target = target.get(step) if isinstance(target, Mapping) else None
    return target if isinstance(target, Mapping) else {}
