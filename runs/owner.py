"""Who runs a trial: `host:pid:start time`, so that a reused pid is not taken for a runner that died."""

import os
import socket
from pathlib import Path


def process_start_time(pid: int) -> str | None:
    """Start time of a process in clock ticks since boot, or None when there is no such process (or no procfs)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the command in brackets and may hold spaces and brackets itself: count from its end.
    return stat.rpartition(")")[2].split()[19]


def this_owner() -> str:
    """The identity of this process."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{process_start_time(pid) or 0}"
