"""What a serving process does to itself before anybody can reach it."""

from __future__ import annotations

import os
import resource
from typing import Final

PER_CALL: Final = 4
"""Descriptors: the media socket, the API's two connections, a recording."""
BESIDES: Final = 1024
"""Descriptors: connections without a stream, the store, the log, what libraries hold."""


def keep_files_private() -> None:
    """Let nobody else on this machine read what is written from now on: records hold what was said."""
    os.umask(os.umask(0o077) | 0o027)


def allow_open_files(calls: int) -> int | None:
    """Raise our own limit of open files to what so many calls need; return it where that is too few.

    Where files run out, nobody can connect any more, and live calls cannot reach the API either.
    """
    needed = calls * PER_CALL + BESIDES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return None
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    return None if allowed >= needed else max(soft, allowed)
