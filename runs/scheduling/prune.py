"""`pierjob prune`: gives back the space of images that were built here and of workspaces that were kept."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from docker.errors import DockerException

from runs.errors import InputInvalid
from runs.sandboxes.docker import LABEL
from runs.sandboxes.engine import explain
from runs.trial.directory import WORKSPACE

if TYPE_CHECKING:
    from docker import APIClient

OWN_NAMES = "pier-site/"
UNIT_SEC = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def age_sec(text: str) -> float:
    """Seconds of an age such as `90m`, `12h`, `7d` or `2w`. Raises InputInvalid."""
    found = re.fullmatch(r"([0-9]{1,6})([mhdw])", text.strip())
    if not found:
        raise InputInvalid(f"{text!r} is no age: give a number and m, h, d or w, for example 7d")
    return float(found[1]) * UNIT_SEC[found[2]]


def prune_images(api: "APIClient", older_than_sec: float, *, dry_run: bool = False) -> Iterator[str]:
    """Remove images that have our label and our name and that no container uses; a line for each.

    Images of others that were made from ours inherit the label, but not the name, and stay.
    """
    before = time.time() - older_than_sec
    for image in api.images(filters={"label": f"{LABEL}=1"}):
        tags = [str(tag) for tag in image.get("RepoTags") or ()]
        if not tags or not all(tag.startswith(OWN_NAMES) for tag in tags) or image["Created"] > before:
            continue
        outcome = "would be removed" if dry_run else "removed"
        try:
            for tag in tags if not dry_run else ():
                api.remove_image(tag)
        except (DockerException, requests.RequestException) as error:
            outcome = f"stays: {explain(error)}"
        yield f"image {', '.join(tags)} ({_size(image.get('Size', 0))}): {outcome}"


def prune_workspaces(jobs: Path, older_than_sec: float, *, dry_run: bool = False) -> Iterator[str]:
    """Remove the workspaces of finished trials below a folder of jobs; patches and all else stay. A line for each."""
    before = time.time() - older_than_sec
    for pattern in (f"*/*/{WORKSPACE}", f"*/*/executions/*/{WORKSPACE}"):
        for path in sorted(jobs.glob(pattern)):
            status = path.lstat()
            if status.st_mtime > before or path.is_symlink() or not (path.parent / "result.json").is_file():
                continue
            if not dry_run:
                path.unlink(missing_ok=True)
            yield f"file {path} ({_size(status.st_size)}): {'would be removed' if dry_run else 'removed'}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1024**2:.1f} MiB"
