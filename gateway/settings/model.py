"""Every option of the gateway as one frozen tree: names, types, ranges, defaults, one line each.

An attribute is the variable's name in lower case; a table's option is also `GATEWAY_TABLE__OPTION`.
Rules that concern two options at once are in `rules.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.settings.values import (
    AccountSid,
    Count,
    Engine,
    Identity,
    Language,
    LogFormat,
    LogLevel,
    Mark,
    Milliseconds,
    Number,
    OptionalSecret,
    PhraseNames,
    Port,
    PublicAddress,
    Query,
    ReplicaAddress,
    Seconds,
    Secret,
    Secrets,
    ServiceId,
    Spoken,
    StoreUrl,
    Target,
    TurnModelPath,
    UserPool,
    WebAddress,
    Word,
)
from gateway.store import RedisPlace, store_place

DEFAULT_ROUTE: Final = "default"
SHORTEST_SECRET: Final = 16
"""Characters below which the secret of callers' digests is called weak."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TurnTaking(_Table):
    """When the caller's turn begins and ends, and what of it is sent when."""

    vad: Engine = Field(
        "auto",
        description="voice activity engine; auto is hybrid where the speech model runs, else webrtc",
    )
    end_silence_ms: Milliseconds = Field(
        660, ge=100, le=5000, description="silence that ends the caller's turn"
    )
    dictation_extra_ms: Milliseconds = Field(
        400,
        ge=0,
        le=5000,
        description="added to it after the agent asked for a number or an address (half: a name)",
    )
    yes_no_less_ms: Milliseconds = Field(
        160, ge=0, le=5000, description="taken off it after the agent asked for yes or no"
    )
    habit_extra_ms: Milliseconds = Field(
        400, ge=0, le=5000, description="the most added for a caller who often goes on after it"
    )
    turn_model: TurnModelPath | None = Field(
        None, description="end-of-turn model of your own, as `module:factory`"
    )
    pre_roll_ms: Milliseconds = Field(
        400, ge=0, le=2000, description="sound kept from before the detected onset"
    )
    upload_after_ms: Milliseconds = Field(
        240, ge=60, le=5000, description="accepted speech after which the upload opens"
    )
    merge_ms: Milliseconds = Field(
        0,
        ge=0,
        le=5000,
        description="how long an upload stays open after the turn's end for a caller who goes on",
    )
    max_utterance_ms: Milliseconds = Field(
        30_000,
        ge=2000,
        le=120_000,
        description="longest single turn; the rest becomes the next one",
    )
    digits_pause_ms: Milliseconds = Field(
        2500, ge=200, le=20_000, description="pause that ends a sequence of keys not ended by #"
    )


class BargeIn(_Table):
    """How the caller interrupts the agent."""

    enabled: bool = Field(default=True, description="whether speech may interrupt the agent at all")
    confirm_ms: Milliseconds = Field(
        450, ge=60, le=5000, description="gated speech over the agent's voice that interrupts it"
    )
    lookahead_ms: Milliseconds = Field(
        400, ge=100, le=5000, description="agent sound sent ahead of what is being played"
    )
    drain_ms: Milliseconds = Field(
        8000,
        ge=0,
        le=120_000,
        description="how long an interrupted reply is read on before its connection is closed",
    )
    protect_greeting: bool = Field(
        default=False, description="whether the first greeting is heard to its end"
    )
    protect_phrases: PhraseNames = Field(
        (), description="phrases of the gateway that are heard to their end (comma list)"
    )
    tell_agent: bool = Field(
        default=True,
        description="whether the agent is told what of its words was heard (revision 2026-04)",
    )
    echo_guard_db: Number = Field(
        14.0,
        ge=0,
        le=60,
        description="dB under the agent's level at which speech is taken for echo",
    )


class Silence(_Table):
    """What happens while nobody speaks."""

    prompt_after_ms: Milliseconds = Field(
        10_000, ge=100, le=600_000, description="caller's silence before a prompt"
    )
    prompts: Count = Field(2, ge=0, le=20, description="prompts before the call is ended")
    hang_up_after_ms: Milliseconds = Field(
        10_000, ge=100, le=600_000, description="silence after the last prompt that ends the call"
    )
    filler_after_ms: Milliseconds | None = Field(
        None, ge=100, le=60_000, description="wait for the agent before a filler phrase plays"
    )
    max_dead_air_ms: Milliseconds = Field(
        2500, ge=100, le=60_000, description="longest nothing in the agent's turn before a sound"
    )


class Playback(_Table):
    """How sound goes to the carrier."""

    message_ms: Milliseconds = Field(
        100, ge=20, le=1000, multiple_of=20, description="sound in one media message"
    )
    phrases_dir: Path | None = Field(
        None, description="directory with own WAVs in place of the shipped phrases"
    )


class Settings(_Table):
    """The whole tree. Text that is required but not set is empty; `load_settings(needs=...)` sees to it."""

    amigo_base_url: WebAddress = Field("https://api.amigo.ai", description="Amigo API base")
    amigo_organization_id: Word = Field("", description="Amigo organization")
    amigo_api_key: Secret = Field("", repr=False, description="key that signs in")
    amigo_api_key_id: Annotated[Word, Mark.FROM_FILE] = Field("", description="id of that key")
    amigo_user_id: Word = Field("", description="user the key acts as, for identity fixed")
    amigo_user_pool: UserPool = Field(
        (), description="users leased to calls, for identity pool (comma list)"
    )
    amigo_admin_user_id: Word = Field(
        "", description="user who creates users, for identity per-caller"
    )
    amigo_new_user_role: Word = Field(
        "DefaultUserRole", description="role of users created for callers"
    )
    amigo_service_id: ServiceId = Field("", description="service that answers (24 hex digits)")
    amigo_version_set: Word = Field("release", description="service version set")
    amigo_api_revision: Literal["auto", "2025-06", "2026-04"] = Field(
        "auto", description="API revision; auto asks /v1/openapi.json"
    )
    amigo_audio_format: Literal["auto", "pcm16", "wav", "mp3"] = Field(
        "auto", description="format of the agent's voice; auto sniffs it"
    )
    amigo_audio_rate: Count = Field(
        16_000, ge=8000, le=48_000, description="Hz of headerless PCM16 voice"
    )
    amigo_extra_query: Query = Field(
        (), description="query parameters added to create and interact"
    )
    amigo_cluster_name: Word | None = Field(None, description="x-mongo-cluster-name header")
    amigo_finish_foreign: bool = Field(
        default=False, description="finish unfinished conversations our store does not own"
    )
    amigo_patience_seconds: Seconds = Field(
        45.0, ge=1, le=600, description="wait for the agent's first sound before an apology"
    )

    twilio_account_sid: AccountSid = Field("", description="carrier account (AC...)")
    twilio_auth_token: Secrets = Field(
        (),
        repr=False,
        description="signature checks and REST; a comma list while it rotates, newest first",
    )
    twilio_signature_keys: Secrets = Field(
        (), repr=False, description="shared keys of the newer signature scheme (comma list)"
    )
    twilio_api_base_url: WebAddress = Field(
        "https://api.twilio.com", description="carrier REST base"
    )

    gateway_public_url: PublicAddress = Field(
        "", description="how the carrier reaches us, https://host[/prefix]"
    )
    gateway_host: Word = Field("0.0.0.0", description="address to bind")  # noqa: S104 - interface.md
    gateway_port: Port = Field(
        8080, ge=0, le=65_535, description="port to bind; 0 takes a free one"
    )
    gateway_workers: Count = Field(
        1, ge=1, le=64, description="processes that share the port; one uses one core"
    )
    gateway_store_url: StoreUrl = Field(
        "sqlite:///voice-gateway.db",
        description="where calls are kept: sqlite:///PATH, or redis://HOST:PORT/DATABASE (rediss: TLS) for several gateways",
    )
    gateway_admin_token: OptionalSecret = Field(
        None, repr=False, description="bearer token of /v1/*; unset: only this machine may ask"
    )
    gateway_max_calls: Count = Field(
        200, ge=1, le=100_000, description="calls at once of each process; more get busy"
    )
    gateway_max_lag_ms: Milliseconds = Field(
        100,
        ge=10,
        le=5000,
        description="event loop this late for most of two seconds: new calls get busy",
    )
    gateway_replica_url: ReplicaAddress = Field(
        "", description="how other replicas reach this one, http://HOST:PORT; unset: found out"
    )
    gateway_max_call_seconds: Seconds = Field(3600.0, ge=1, le=86_400, description="longest call")
    gateway_drain_seconds: Seconds = Field(
        600.0, ge=0, le=86_400, description="after SIGTERM, how long live calls may go on"
    )
    gateway_identity: Identity = Field(
        "fixed",
        description="whose conversation: fixed (one call at a time), pool (leased users) "
        "or per-caller (a user for each caller)",
    )
    gateway_identity_secret: OptionalSecret = Field(
        None, repr=False, description="keys the digest of who calls, for per-caller"
    )
    gateway_busy_wait_seconds: Seconds = Field(
        0.0,
        ge=0,
        le=600,
        description="how long a caller may hold the line for a free user; 0: busy",
    )
    gateway_hold_text: Spoken = Field(
        "All our lines are busy. Please hold the line.",
        description="what the carrier says to a caller who waits for a free user",
    )
    gateway_busy_text: Spoken = Field(
        "We are sorry, all our lines are busy. Please call again later.",
        description="what it says to one who has waited in vain",
    )
    gateway_sorry_text: Spoken = Field(
        "We are sorry, this call cannot be connected right now. Please call again later.",
        description="what it says to one whom our own voice cannot reach",
    )
    gateway_lost_text: Spoken = Field(
        "We are sorry, the connection was lost. Please call again.",
        description="what it says to one whose call was held by a process that is gone",
    )
    gateway_say_language: Language = Field(
        "en-US", description="language of these four texts (BCP 47)"
    )
    gateway_routes: Path | None = Field(
        None, description="TOML file: dialled number to organization, service, manner (routes)"
    )
    gateway_reconnect_seconds: Seconds = Field(
        10.0,
        ge=0,
        le=600,
        description="how long a call whose line or process was lost waits for its caller",
    )
    gateway_reconcile_seconds: Seconds = Field(
        0.0,
        ge=0,
        le=86_400,
        description="how often the API's list of our users' unfinished conversations is looked through; 0: never",
    )
    gateway_rating: bool = Field(
        default=False, description="ask for a rating by keypad when the agent has ended the call"
    )
    gateway_recordings_dir: Path | None = Field(
        None, description="stereo WAV per call (caller left, agent right)"
    )
    gateway_insecure: bool = Field(default=False, description="serve without signature checks")
    log_level: LogLevel = Field("info", description="least level logged")
    log_format: LogFormat | None = Field(
        None, description="json or text; unset: text on a terminal, else json"
    )

    turn_taking: TurnTaking = TurnTaking()
    barge_in: BargeIn = BargeIn()
    silence: Silence = Silence()
    playback: Playback = Playback()

    routes: tuple[Route, ...] = ()
    """What the file named by `gateway_routes` says; no option of its own."""

    def secrets(self) -> tuple[str, ...]:
        """Every secret value of this tree, for the log's last net."""
        place = store_place(self.gateway_store_url)
        one = (
            *(self.amigo_api_key, self.gateway_admin_token, self.gateway_identity_secret),
            place.password if isinstance(place, RedisPlace) else None,
        )
        keys = self.twilio_signature_keys
        # written ID:SECRET, and a secret by itself too
        many = (*self.twilio_auth_token, *keys, *(key.partition(":")[2].strip() for key in keys))
        theirs = (secret for route in self.routes for secret in route.settings.secrets())
        return tuple({secret for secret in (*one, *many, *theirs) if secret})

    @property
    def guessable_callers(self) -> bool:
        """Whether callers' digests are made with a secret that somebody could guess."""
        secret = self.gateway_identity_secret or ""
        return self.gateway_identity == "per-caller" and len(secret) < SHORTEST_SECRET

    @property
    def answers_itself(self) -> bool:
        """Whether numbers without a route are answered by this tree's own service."""
        has_default = any(route.number == DEFAULT_ROUTE for route in self.routes)
        return not has_default and (not self.routes or bool(self.amigo_service_id))


class Route(_Table):
    """How calls to one number are answered."""

    number: str
    """E.164, a `sip:` address, or `default`."""
    settings: Settings
    """Everything, inherited where the route says nothing."""
    overflow: Target | None = None
    """Who gets a call that cannot be taken."""
    transfer: Target | None = None
    """Who gets a call that an operator hands over without saying to whom."""


Settings.model_rebuild()


TABLES: Final[dict[str, type[BaseModel]]] = {
    "turn_taking": TurnTaking,
    "barge_in": BargeIn,
    "silence": Silence,
    "playback": Playback,
}
"""The TOML tables by name."""
