"""Mounts through which a sandbox with a closed network could get out all the same."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from runs.errors import SandboxFailed
from runs.formats.network import NetworkMode, NetworkPolicy
from runs.sandboxes.base import MountSpec

# With these, and what is below them, a container reaches the machine's processes, devices or settings.
SYSTEM_FOLDERS: Final = ("/proc", "/sys", "/dev", "/run", "/var/run")
# With these it has the whole machine, or the engine's own files.
WHOLE_FOLDERS: Final = ("/", "/var", "/var/lib", "/var/lib/docker", "/etc")
MAX_ENTRIES: Final = 10_000


def refuse_ways_out(mounts: Sequence[MountSpec], policy: NetworkPolicy) -> None:
    """Raise SandboxFailed for a mount that would open a network which is to be closed or to have an allowlist."""
    if policy.mode is NetworkMode.OPEN:
        return
    for mount in mounts:
        reason = _way_out(Path(mount.source)) if mount.kind == "bind" else None
        if reason:
            raise SandboxFailed(f"the network is closed, and the mount of {mount.source} would open it: {reason}")


def _way_out(source: Path) -> str | None:
    path = Path(os.path.realpath(source))
    for written in {os.path.normpath(source), str(path)}:
        if written in WHOLE_FOLDERS:
            return "it holds the machine's own files"
        if any(written == folder or written.startswith(f"{folder}/") for folder in SYSTEM_FOLDERS):
            return "it belongs to the system"
    for candidate in (path, *_entries(path)):
        try:
            mode = candidate.lstat().st_mode
        except OSError:
            continue
        if stat.S_ISSOCK(mode):
            return f"{candidate.name} is a socket"
        if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
            return f"{candidate.name} is a device"
    return None


def _entries(folder: Path) -> Iterator[Path]:
    """What lies directly in a folder: sockets are laid beside one another, not deep in a project's tree."""
    if folder.is_dir():
        for number, entry in enumerate(folder.iterdir()):
            if number >= MAX_ENTRIES:
                return
            yield entry
