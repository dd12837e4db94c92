"""What became of a container's limits, asked of the engine: nothing inside the container is believed."""

import time
from datetime import datetime

import docker
import docker.errors

FROM_THE_BEGINNING = 1


def memory_kills(api: docker.APIClient, container_id: str) -> int:
    """How often the kernel killed processes of the container for want of memory, as far as the engine remembers.

    The flag `OOMKilled` is about PID 1 only and stays false when the process of an exec is killed, so the engine's
    events are asked; it keeps the last 256 of all its containers. Two calls, about 15 ms.
    """
    # Until now, by the engine's clock, which may be another machine's: the answer ends there instead of waiting.
    now = datetime.fromisoformat(api.info()["SystemTime"]).timestamp()
    events = api.events(  # type: ignore[call-overload] # the engine takes fractions of a second, the stubs don't
        since=FROM_THE_BEGINNING,
        until=f"{now:.9f}",
        filters={"container": container_id, "event": "oom"},
        decode=True,
    )
    return sum(1 for _ in events)


def written_bytes(api: docker.APIClient, container_id: str) -> int | None:
    """Size of the container's writable layer, volumes not counted. The engine walks all files that were written."""
    found = api.containers(all=True, size=True, filters={"id": container_id})
    return int(found[0].get("SizeRw") or 0) if found else None


def stays_running(api: docker.APIClient, container_id: str) -> bool:
    """Whether the container runs, now and half a second later: the engine learns of its end after that of an exec."""
    for delay in (0.0, 0.5):
        time.sleep(delay)
        try:
            if not api.inspect_container(container_id)["State"]["Running"]:
                return False
        except docker.errors.NotFound:
            return False
    return True
