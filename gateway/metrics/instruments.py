"""The gateway's numbers for Prometheus, on a registry of their own (interface.md section 5).

No label names a call: every series here lives as long as the process.
"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from gateway.metrics.shelf import Shelf

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

TURN_PARTS: Final = (
    "speech",
    "endpoint_wait",
    "upload_tail",
    "transcription",
    "thinking",
    "first_audio_to_sent",
    "sent_to_played",
    "response_gap",
)
"""The ledger's parts, and the sum of the last six of them."""

TURN_KINDS: Final = ("greeting", "voice", "dtmf", "silence")

_TURN_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 5, 8, 13, 20, 30)
_REQUEST_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)
_SILENCE_BUCKETS: Final = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4, 6, 10, 20)
_LAG_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28)


class Metrics:
    """Every instrument as an attribute, named as in Prometheus without the prefix.

    With a shelf it counts for one of several workers, and `render` tells of all of them; a process
    has one of that kind at most.
    """

    def __init__(self, shelf: Shelf | None = None) -> None:
        # The library's extra `_created` series would double every counter for no reader.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._told = self.registry
        if shelf is not None:
            shelf.take()
            self._told = shelf.registry()
        self._calls_and_turns()
        self._amigo()
        self._process()

    def render(self) -> bytes:
        """Return the text of all series; takes milliseconds, so call it in a thread."""
        return generate_latest(self._told)

    def _calls_and_turns(self) -> None:
        self.calls_active = self._gauge("calls_active", "Calls in progress")
        self.calls_total = self._counter(
            "calls", "Calls that have ended", "direction", "end_reason"
        )
        self.conversations_open = self._gauge(
            "conversations_open", "Conversations created and not yet finished"
        )
        self.turns_total = self._counter("turns", "Turns completed", "kind", "interrupted")
        self.turn_seconds = self._histogram(
            "turn_seconds", "Parts of a turn's time", _TURN_BUCKETS, "part"
        )
        self.barge_ins_total = self._counter(
            "barge_ins", "Times the caller spoke over the agent", "outcome"
        )
        self.caller_silence_seconds = self._histogram(
            "caller_silence_seconds",
            "Dead air the caller heard while it was our turn",
            _SILENCE_BUCKETS,
        )
        self.playback_underruns_total = self._counter(
            "playback_underruns", "Times agent sound was due and had not arrived"
        )
        self.frames_total = self._counter("frames", "Media messages", "direction")
        self.media_errors_total = self._counter(
            "media_errors", "Media messages that could not be used", "kind"
        )
        self.connections_cut_total = self._counter(
            "connections_cut", "Connections closed for being slow, idle or too many", "why"
        )
        for part in TURN_PARTS:
            self.turn_seconds.labels(part)
        for kind in TURN_KINDS:
            self.turns_total.labels(kind, "false")
            self.turns_total.labels(kind, "true")
        for outcome in ("confirmed", "resumed"):
            self.barge_ins_total.labels(outcome)
        for direction in ("in", "out"):
            self.frames_total.labels(direction)

    def _amigo(self) -> None:
        self.amigo_requests_total = self._counter(
            "amigo_requests", "Requests to the conversation API", "operation", "status"
        )
        self.amigo_request_seconds = self._histogram(
            "amigo_request_seconds",
            "Seconds from request to its end, streams included",
            _REQUEST_BUCKETS,
            "operation",
        )
        self.finish_retries_total = self._counter(
            "finish_retries", "Attempts to finish a conversation beyond the first"
        )
        self.orphans_finished_total = self._counter(
            "orphans_finished", "Conversations finished for a replica that died"
        )

        self.calls_taken_up_total = self._counter(
            "calls_taken_up", "Live calls that went on here after another replica had them"
        )

    def _process(self) -> None:
        self.event_loop_lag_seconds = self._histogram(
            "event_loop_lag_seconds", "How late the event loop ran a timer", _LAG_BUCKETS
        )
        self.tasks = self._gauge("tasks", "Tasks of the event loop")
        self.build_info = self._gauge(
            "build_info", "Always 1", "version", "python", workers="livemax"
        )
        self.build_info.labels(_own_version(), platform.python_version()).set(1)
        ProcessCollector(registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"voice_gateway_{name}", text, labels, registry=self.registry)

    def _gauge(
        self, name: str, text: str, *labels: str, workers: Literal["livesum", "livemax"] = "livesum"
    ) -> Gauge:
        """`workers`: what several living workers come to together."""
        name = f"voice_gateway_{name}"
        return Gauge(name, text, labels, registry=self.registry, multiprocess_mode=workers)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        name = f"voice_gateway_{name}"
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)


def _own_version() -> str:
    try:
        return version("voice-gateway")
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "unknown"
