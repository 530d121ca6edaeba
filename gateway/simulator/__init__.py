"""A telephone that calls the gateway: the carrier's side of webhooks and Media Streams, and a caller.

It is written from the carrier's public description (never from the gateway's code), and is stricter
than real carriers are: what they would warn about once and then hide, it names.
"""

from gateway.simulator.caller import Moment, Said
from gateway.simulator.judge import Violation
from gateway.simulator.phone import place_call
from gateway.simulator.plan import (
    CallPlan,
    Echo,
    Ending,
    GatewayTarget,
    Habits,
    Item,
    Keys,
    Utterance,
)
from gateway.simulator.rest_double import RestDouble
from gateway.simulator.result import CallResult
from gateway.simulator.words import WordErrors, word_errors

__all__ = [
    "CallPlan",
    "CallResult",
    "Echo",
    "Ending",
    "GatewayTarget",
    "Habits",
    "Item",
    "Keys",
    "Moment",
    "RestDouble",
    "Said",
    "Utterance",
    "Violation",
    "WordErrors",
    "place_call",
    "word_errors",
]
