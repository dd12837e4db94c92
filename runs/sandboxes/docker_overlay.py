"""What a container changed, read from its overlay directory where the runner may: the engine's own diff takes 0.4 s.

Only names and kinds are looked at; no file is opened and no link is followed.
"""

import os
import stat
from pathlib import Path
from typing import Any

import docker

from runs.sandboxes.trees import MAX_MEMBERS, Change

OPAQUE, REDIRECT = "trusted.overlay.opaque", "trusted.overlay.redirect"


def overlay_changes(api: docker.APIClient, container: str) -> list[Change] | None:
    """The changes of a container in about 2 ms, or None where only the engine can tell.

    That is: another storage driver, an engine elsewhere, a user who may not read its files, a folder that was replaced.
    """
    driver: dict[str, Any] = api.inspect_container(container).get("GraphDriver") or {}
    data = driver.get("Data") or {}
    if driver.get("Name") != "overlay2" or not data.get("UpperDir"):
        return None
    upper, lowers = Path(data["UpperDir"]), [Path(lower) for lower in str(data.get("LowerDir", "")).split(":")]
    try:
        if not upper.is_dir() or not all(os.access(folder, os.R_OK | os.X_OK) for folder in (upper, *lowers)):
            return None
        return _changes(upper, lowers)
    except OSError:
        return None


def _changes(upper: Path, lowers: list[Path]) -> list[Change] | None:
    found: list[Change] = []
    for folder, names, files in os.walk(upper, onerror=_raise):
        for name in (*names, *files):
            path = Path(folder, name)
            relative = path.relative_to(upper)
            status = path.lstat()
            was_there = any(os.path.lexists(lower / relative) for lower in lowers)
            is_folder = stat.S_ISDIR(status.st_mode)
            if is_folder and was_there and _is_replaced(path):
                return None
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                found.append(Change(f"/{relative}", "deleted"))
            else:
                found.append(Change(f"/{relative}", "modified" if was_there else "added"))
            if len(found) > MAX_MEMBERS:
                return None
    return found


def _is_replaced(folder: Path) -> bool:
    """Whether what the image has below this folder is hidden, or comes from another place."""
    names = os.listxattr(folder, follow_symlinks=False)
    return OPAQUE in names or REDIRECT in names


def _raise(error: OSError) -> None:
    raise error
