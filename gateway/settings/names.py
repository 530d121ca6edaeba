"""Names that are no settings: the nearest one there is, and what is not meant for us at all."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

from gateway.settings.later import LATER
from gateway.settings.model import TABLES
from gateway.settings.options import BY_VARIABLE, OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE_SUFFIX: Final = "_FILE"
OWN_PREFIXES: Final = ("GATEWAY_", "AMIGO_")
PREFIXES: Final = (*OWN_PREFIXES, "TWILIO_")
"""Others have variables that begin with TWILIO_: of these only misspelt ones are our business."""
CLOSE_ENOUGH: Final = 0.75
"""Likeness, without the prefix, from which a name is taken for a misspelt one of ours."""
SHORTEST: Final = 3
"""Characters below which everything is like everything."""
SERVICE_LINK: Final = re.compile(
    r"(GATEWAY|AMIGO)(_\w+)?_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)"
)
"""What Kubernetes sets in every pod beside a Service called "gateway" or "gateway-...": not meant for us."""
LINKED_ADDRESS: Final = re.compile("(tcp|udp|sctp)://")
"""The value of such a link whose name says less: `GATEWAY_OTHER_PORT=tcp://10.0.0.1:80`."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one this was probably meant to be; None where a suggestion would be far-fetched.

    A name of fewer words is compared with the beginnings of longer ones: `GATEWAY_STORE`.
    """
    tail = _tail(name)
    if len(tail) < SHORTEST:
        return None
    found = {one: _likeness(tail, _tail(one)) for one in known}
    best = max(found, key=lambda one: found[one], default=None)
    return best if best is not None and found[best][0] >= CLOSE_ENOUGH else None


def _tail(name: str) -> str:
    """Without the prefix, which would make all names alike."""
    upper = name.upper()
    prefix = next((one for one in PREFIXES if upper.startswith(one)), "")
    return upper.removeprefix(prefix)


def _likeness(tail: str, known: str) -> tuple[float, bool]:
    """How alike, and whether as a whole: of two that begin alike the shorter is meant."""
    beginning = "_".join(known.split("_")[: tail.count("_") + 1])
    return max((_ratio(tail, known), True), (_ratio(tail, beginning), False))


def _ratio(one: str, other: str) -> float:
    """How alike, 0 where the lengths alone rule it out: the matcher's time grows with their product."""
    if 2 * min(len(one), len(other)) < CLOSE_ENOUGH * (len(one) + len(other)):
        return 0.0
    return difflib.SequenceMatcher(None, one, other).ratio()


# ---------------------------------------------------------------- variables


def is_foreign(name: str, value: str) -> bool:
    """Whether this variable is meant for somebody else, whatever it looks like."""
    if not name.startswith(PREFIXES) or SERVICE_LINK.fullmatch(name):
        return True
    return name.startswith(OWN_PREFIXES) and LINKED_ADDRESS.match(value) is not None


def misspelt(name: str) -> str | None:
    """What is wrong with an unknown variable that was meant for us; None where it need not be."""
    without = name.removesuffix(FILE_SUFFIX)
    if without != name and without in BY_VARIABLE:
        return f"is not a setting; {without} is no secret and comes from no file"
    table, between, _ = name.removeprefix("GATEWAY_").partition("__")
    if between and name.startswith("GATEWAY_"):
        return _unknown_in_table(name, table)
    prefix = next(one for one in PREFIXES if name.startswith(one))
    known = [one for one in (*BY_VARIABLE, *LATER) if one.startswith(prefix)]
    if any(name.startswith(f"{one}_") for one in known):
        return (
            None  # more likely another's, such as AMIGO_API_KEY_BERLIN, than one misspelt by a word
        )
    found = nearest(name, known)
    return None if found is None else f"is not a setting; did you mean {found}?"


def _unknown_in_table(name: str, table: str) -> str:
    found = nearest(name, [one for one in BY_VARIABLE if "__" in one])
    if found is not None:
        return f"is not a setting; did you mean {found}?"
    return unknown_key(table.lower(), "")


def unknown_key(table: str, key: str) -> str:
    """What to say of a key, and its table, that may not exist."""
    if table not in TABLES:
        found = nearest(table, TABLES)
        return f"is not a setting; did you mean {found}?" if found else "is not a setting"
    known = [option.path[1] for option in OPTIONS if option.path[0] == table]
    found = nearest(key, known)
    if found is not None:
        return f"is not a setting; did you mean {table}.{found}?"
    return f"is not a setting; [{table}] has {', '.join(known)}"
