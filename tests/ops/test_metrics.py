"""The series dashboards rely on (interface.md section 5)."""

from __future__ import annotations

from prometheus_client import Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import Metrics

PROMISED = {
    "voice_gateway_calls_active": (),
    "voice_gateway_calls_total": ("direction", "end_reason"),
    "voice_gateway_conversations_open": (),
    "voice_gateway_turns_total": ("kind", "interrupted"),
    "voice_gateway_turn_seconds": ("part",),
    "voice_gateway_barge_ins_total": ("outcome",),
    "voice_gateway_caller_silence_seconds": (),
    "voice_gateway_playback_underruns_total": (),
    "voice_gateway_amigo_requests_total": ("operation", "status"),
    "voice_gateway_amigo_request_seconds": ("operation",),
    "voice_gateway_finish_retries_total": (),
    "voice_gateway_orphans_finished_total": (),
    "voice_gateway_calls_taken_up_total": (),
    "voice_gateway_event_loop_lag_seconds": (),
    "voice_gateway_tasks": (),
    "voice_gateway_frames_total": ("direction",),
    "voice_gateway_build_info": ("version", "python"),
    "voice_gateway_media_errors_total": ("kind",),
    "voice_gateway_connections_cut_total": ("why",),
}


def instrument(metrics: Metrics, name: str) -> MetricWrapperBase:
    found = getattr(metrics, name.removeprefix("voice_gateway_"))
    assert isinstance(found, MetricWrapperBase)
    return found


def test_every_promised_series_is_there_with_its_labels_and_no_other_of_ours() -> None:
    metrics = Metrics()
    for name, labels in PROMISED.items():
        found = instrument(metrics, name)
        assert found._labelnames == labels
        child = found.labels(*("x" for _ in labels)) if labels else found
        if isinstance(child, Histogram):
            child.observe(1)
        elif name != "voice_gateway_build_info":
            child.inc()  # type: ignore[attr-defined]

    families = text_string_to_metric_families(metrics.render().decode())
    ours = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in families
        if family.name.startswith("voice_gateway_")
    }

    assert ours == set(PROMISED)


def test_series_with_known_labels_begin_at_zero_so_that_rates_see_the_first_event() -> None:
    text = Metrics().render().decode()

    assert 'voice_gateway_barge_ins_total{outcome="confirmed"} 0.0' in text
    assert 'voice_gateway_frames_total{direction="in"} 0.0' in text
    assert 'voice_gateway_turn_seconds_count{part="response_gap"} 0.0' in text
    assert "_created" not in text


def test_two_gateways_in_one_process_count_apart() -> None:
    first, second = Metrics(), Metrics()

    first.calls_active.inc()

    assert second.registry.get_sample_value("voice_gateway_calls_active") == 0
