"""Settings that are promised but not part of this version: refused in words, never ignored."""

from __future__ import annotations

from typing import Final

LATER: Final = {
    "GATEWAY_RETENTION_DAYS": "nothing is deleted by this version; unset it and delete old records yourself",
    "GATEWAY_BUNDLES_DIR": "call bundles are not part of this version; unset it",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "traces are not part of this version; unset it for this process",
}
"""Variable and what to say when it is set."""
