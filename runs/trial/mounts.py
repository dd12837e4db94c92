"""The mounts of a job, made ready for a sandbox. The log folders need none: they are always there and always kept."""

import os
from collections.abc import Sequence
from pathlib import Path

from runs.errors import JobInvalid
from runs.formats.job import Mount
from runs.formats.template import resolve
from runs.sandboxes.base import AGENT_LOGS, ARTIFACTS, LOG_FOLDERS, VERIFIER_LOGS, MountSpec

# What Pier fills in itself when a job file restates its own log mounts.
LOG_PLACEHOLDERS = {
    "ENV_VERIFIER_LOGS_PATH": VERIFIER_LOGS,
    "ENV_AGENT_LOGS_PATH": AGENT_LOGS,
    "ENV_ARTIFACTS_PATH": ARTIFACTS,
}


def ready_mounts(mounts: Sequence[Mount] | None) -> list[MountSpec]:
    """The mounts with their variables resolved. Those that restate the log mounts are left out. Raises JobInvalid."""
    return [ready for mount in mounts or () if (ready := _ready(mount))]


def _ready(mount: Mount) -> MountSpec | None:
    target = resolve(mount.target, {**os.environ, **LOG_PLACEHOLDERS})
    if target.rstrip("/") in LOG_FOLDERS:
        return None
    if mount.type == "image":
        raise JobInvalid(f"mount of {target}: images cannot be mounted, only folders, files and volumes")
    source = resolve(mount.source or "", os.environ)
    if mount.type == "bind":
        path = Path(source).expanduser().absolute()
        if not source or not path.exists():
            raise JobInvalid(f"mount of {target}: {source or 'its source'} does not exist on this machine")
        source = str(path)
    if not target.startswith("/"):
        raise JobInvalid(f"mount of {source}: the target {target!r} is not an absolute path")
    return MountSpec(kind=mount.type, source=source, target=target, read_only=mount.read_only)
