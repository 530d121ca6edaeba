"""Names of gateway processes, and proof that one of them is gone.

A name is `host:pid:start:random`. `host` is only equal for processes that see the same process
table (same boot, same pid namespace): containers may share a host name and all be pid 1.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from pathlib import Path
from typing import Final

NO_PROC: Final = "-"
"""Start time on systems without /proc: only heartbeats tell there."""


def make_replica() -> str:
    """Return a new name for this process; call it once per application."""
    pid = os.getpid()
    return f"{_host()}:{pid}:{_start_of(pid) or NO_PROC}:{secrets.token_hex(4)}"


def proven_dead(replica: str) -> bool:
    """True when the process was one of this very machine and is gone; False says nothing."""
    host, pid, start, *_ = (*replica.split(":"), "", "", "")
    if host != _host() or start in {"", NO_PROC} or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass  # somebody else's process has the number: its start time decides, where we may read it
    now_running = _start_of(int(pid))
    return now_running is not None and now_running != start


def _host() -> str:
    """Host name and a digest of boot and pid namespace; the bare name where there is no /proc."""
    name = socket.gethostname().replace(":", "-")
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return name
    return f"{name}~{hashlib.sha256(f'{boot} {namespace}'.encode()).hexdigest()[:8]}"


def _start_of(pid: int) -> str | None:
    """Start time in clock ticks since boot (proc(5): field 22 of stat), `dead` for a zombie, or None."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The program's name, in parentheses, may hold spaces and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    state, start = fields[0], fields[19]
    return "dead" if state in {"Z", "X"} else start
