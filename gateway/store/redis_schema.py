"""The Redis schema as ordered steps; the key `{prefix}:schema` counts those a database has seen.

A step is Lua, run in one script with the version's change; `root` is the beginning of our keys. Redis
takes nothing back when a script fails half way, so a step must be harmless when it is run again. A step
is never edited once released: a change is a new step, with a test that upgrades every older version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

STEPS: Final = (
    # 1: nothing needs to be made beforehand.
    "",
    # 2: owners, addresses and orders need nothing either; but a program that does not know that
    # a call may be claimed must not begin to write here.
    "",
)

_UPGRADE: Final = """
local root = string.sub(KEYS[1], 1, -#'schema' - 1)
local steps = {%s}
local version = tonumber(redis.call('GET', KEYS[1]) or '0')
for n = version + 1, #steps do
  steps[n]()
  redis.call('SET', KEYS[1], n)
end
return math.max(version, #steps)
"""


def upgrade_script(steps: Sequence[str] = STEPS) -> str:
    """Return the Lua that brings a database to the newest version, and returns the version it has then."""
    return _UPGRADE % ", ".join(f"function() {step} end" for step in steps)
