"""How a call is to be held: patience, barge-in, silence. Seconds are `float`, lengths of sound `int` ms."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.call.patience import PatiencePolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The tunables of one call's core; built from settings by `gateway/compose.py`."""

    token_seconds: float = 60.0
    """How long the carrier may take to open the media stream."""
    max_call_seconds: float = 3600.0
    reconnect_seconds: float = 10.0
    """How long a caller whose line was lost is waited for."""

    upload_after_ms: int = 240
    """Accepted speech after which an utterance is worth sending."""
    patience: PatiencePolicy = field(default_factory=PatiencePolicy)
    merge_ms: int = 0
    """How long a turn's body stays open after the declared end for a caller who goes on."""
    digits_pause_ms: int = 2500
    """A pause that ends a sequence of keys, where `#` does not."""

    barge_in: bool = True
    confirm_ms: int = 450
    """Gated speech over the agent's voice that makes an interruption."""
    drain_ms: int = 8000
    """How long an interrupted reply may be read on before its connection is closed."""
    goes_on_ms: int = 1500
    """A caller who speaks again so soon after the declared end, unanswered, had only paused."""
    words_within_seconds: float = 3.0
    """A short word over the agent's voice is listening; a second one within this time may be more:"""
    words_share: float = 1.65
    """together they interrupt from so many times `confirm_ms` on."""
    protect_greeting: bool = False
    protected_phrases: frozenset[str] = frozenset()
    """Names of our own phrases that are heard to their end."""
    early_answer_ms: int = 1000
    """A short answer over the agent's last words counts if the agent falls silent within this time."""

    prompt_after_ms: int = 10_000
    prompts: int = 2
    hang_up_after_ms: int = 10_000
    filler_after_ms: int | None = None
    max_dead_air_ms: int = 2500

    patience_seconds: float = 45.0
    """From the end of the caller's speech (or the stream's start) to the agent's first sound."""
    stall_seconds: float = 20.0
    """The longest gap between pieces of one reply."""
    settle_seconds: float = 30.0
    """After the caller is gone: how long a running exchange may be read on before it is closed."""
    last_words_seconds: float = 150.0
    """Bound of the agent's last words and of our closing phrase."""
    rating: bool = False
    """Whether the caller is asked for a rating when the agent has ended the conversation."""
    rating_seconds: float = 6.0
    """How long a key is waited for after the question."""
    hang_up_seconds: float = 6.0
    """Bound of the carrier's confirmation of our own hang-up."""
