"""The gateway's numbers for Prometheus: of this process, or of all workers of the machine together."""

from gateway.metrics.instruments import CONTENT_TYPE, TURN_KINDS, TURN_PARTS, Metrics
from gateway.metrics.shelf import VARIABLE, Shelf

__all__ = ["CONTENT_TYPE", "TURN_KINDS", "TURN_PARTS", "VARIABLE", "Metrics", "Shelf"]
