"""What the sandbox can be told: who may sign in, which revision it speaks, how it sounds, how it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from gateway.sandbox.faults import FaultRule
from gateway.sandbox.roles import ADMIN, BUILT_IN, Role

Revision = Literal["2025-06", "2026-04"]
VoiceFormat = Literal["pcm16", "wav", "wav-pieces", "mp3"]
LimitScope = Literal["off", "user", "organization"]

REVISIONS: Final[tuple[Revision, ...]] = ("2025-06", "2026-04")
VOICE_FORMATS: Final[tuple[VoiceFormat, ...]] = ("pcm16", "wav", "wav-pieces", "mp3")
VOICE_RATES: Final = (8000, 16000, 22050, 24000, 44100, 48000)
LIMIT_SCOPES: Final[tuple[LimitScope, ...]] = ("off", "user", "organization")


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the organization; every service is answered by the same front desk."""

    id: str
    name: str
    version_sets: tuple[str, ...] = ("release", "edge")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The organization, its one key, its users and services."""

    organization: str = "sandbox"
    api_key: str = field(default="sandbox-key", repr=False)
    api_key_id: str = "sandbox-key-id"
    user: str = "sandbox-caller"
    """The user named in the printed settings."""
    users: frozenset[str] | None = None
    """Who may be signed in besides users created over the API; None = anybody."""
    roles: Mapping[str, Role] = field(
        default_factory=lambda: {role.name: role for role in BUILT_IN}
    )
    """Roles by name."""
    role_of: Mapping[str, str] = field(default_factory=lambda: {"sandbox-admin": ADMIN.name})
    """Names of the roles of listed users; all others have the usual one."""
    admin: str | None = "sandbox-admin"
    """Who may make users, named in the printed settings; None where nobody listed may."""
    services: tuple[Service, ...] = (Service("5a9db0c55a9db0c55a9db0c5", "front desk"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """One sandbox. Where the documentation leaves a rule open, there is a switch for it here."""

    revision: Revision = "2025-06"
    credentials: Credentials = field(default_factory=Credentials)
    token_seconds: float = 3600.0
    """Life of a sign-in token."""
    limits: LimitScope = "off"
    """Whom the published requests-per-minute limits count, if anybody."""

    think_ms: int = 300
    """The agent's silence between hearing the caller and its first piece."""
    voice_format: VoiceFormat = "pcm16"
    voice_rate: int = 16_000
    """Hz of the agent's voice on the wire."""
    piece_ms: int = 600
    """Sound in one `new-message` event."""

    upload_timeout: float = 10.0
    """Seconds without a byte of an upload: 408 (2026-04) or a connection reset (2025-06)."""
    max_upload: int = 32 * 1024 * 1024
    """Bytes of one upload."""
    early_hearing: bool = False
    """Begin to recognise an upload in its pauses, before it is complete."""
    silence: Literal["status", "event"] = "status"
    """Audio without speech: HTTP 400, or an `error` event in a stream that began with 200."""
    on_disconnect: Literal["continue", "rollback"] = "continue"
    """What becomes of an interaction whose client went away while the reply streamed."""
    failed_create: Literal["remove", "keep"] = "remove"
    """What becomes of a conversation whose greeting failed."""
    empty_finish: Literal["delete", "refuse"] = "delete"
    """Finishing a conversation without messages: 204 and it is gone, or 400."""
    share_conversations: bool = False
    """Let any user of the organization use any conversation, instead of 403."""
    accept_x_wav: bool = False
    """Take `audio/x-wav` for `audio/wav` (2025-06)."""
    strict: bool = True
    """Refuse unknown body fields, invalid expressions, and WAV headers that contradict the config."""

    faults: tuple[FaultRule, ...] = ()
    seed: int = 1
    """Of the faults' dice."""
    data: Path | None = None
    """Folder in which everything is kept; None = in memory, for one run."""
    source_seconds: float = 300.0
    """Life of the URL of a message's source."""

    def service(self, service_id: str) -> Service | None:
        """The service of this id, if there is one."""
        return next((one for one in self.credentials.services if one.id == service_id), None)
