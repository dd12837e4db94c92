"""Who runs a trial: `host:pid:start time`, so that a reused pid is not taken for a runner that died."""

import os
import re
import socket
from pathlib import Path

# States of a process that has ended and whose parent has not asked for its exit code yet.
ENDED_STATES = ("Z", "X")
OWNER = re.compile(r"(?P<host>[^:]+):(?P<pid>[0-9]{1,10}):(?P<started>[0-9]{1,20})")


def process_start_time(pid: int) -> str | None:
    """Start time of a live process in clock ticks since boot, or None when there is none (or no procfs)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the command in brackets and may hold spaces and brackets itself: count from its end.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in ENDED_STATES else fields[18]


def this_owner() -> str:
    """The identity of this process."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{process_start_time(pid) or 0}"


def is_alive(owner: str) -> bool:
    """Whether the process still runs. What cannot be known from here counts as alive: nobody may clean up after it.

    That is an owner on another machine, and a text that names no process.
    """
    parts = OWNER.fullmatch(owner)
    if parts is None or parts["host"] != socket.gethostname():
        return True
    pid, started = int(parts["pid"]), parts["started"]
    return _has_pid(pid) if started == "0" else process_start_time(pid) == started


def _has_pid(pid: int) -> bool:
    """All that can be asked where there is no procfs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
