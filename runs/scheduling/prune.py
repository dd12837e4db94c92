"""`pierjob prune`: gives back the space of images and agents that were made here, and of large files of old trials."""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from docker.errors import DockerException, NotFound

from runs.errors import InputInvalid
from runs.sandboxes.docker_images import OWN_LABEL
from runs.sandboxes.engine import explain
from runs.sandboxes.host_installs import installs_folder
from runs.sandboxes.last_use import forget, last_use
from runs.trial.directory import WORKSPACE

if TYPE_CHECKING:
    from docker import APIClient

OWN_NAMES = "pier-site/"
# What the engine lists as the name of an image that has none.
NAMELESS = "<none>:<none>"
RECORDING = "recording.cast"
# By their paths below a trial's directory.
LARGE_FILES = (
    WORKSPACE,
    f"executions/*/{WORKSPACE}",
    f"agent/{RECORDING}",
    f"steps/*/agent/{RECORDING}",
    f"executions/*/agent/{RECORDING}",
)
UNIT_SEC = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def age_sec(text: str) -> float:
    """Seconds of an age such as `90m`, `12h`, `7d` or `2w`. Raises InputInvalid."""
    found = re.fullmatch(r"([0-9]{1,6})([mhdw])", text.strip())
    if not found:
        raise InputInvalid(f"{text!r} is no age: give a number and m, h, d or w, for example 7d")
    return float(found[1]) * UNIT_SEC[found[2]]


def prune_images(api: "APIClient", older_than_sec: float, *, dry_run: bool = False) -> Iterator[str]:
    """Remove images of ours that no container uses and no trial has used for that long; a line for each.

    Ours have our label, and names of ours alone or none at all: what others made from ours inherits the label, but not
    the name, and stays. Agents' layers go first, so that the images below them can go too.
    """
    before = time.time() - older_than_sec
    found = api.images(filters={"label": OWN_LABEL})
    for image in sorted(found, key=lambda image: int(image["Created"]), reverse=True):
        tags = [str(tag) for tag in image.get("RepoTags") or () if str(tag) != NAMELESS]
        if not all(tag.startswith(OWN_NAMES) for tag in tags):
            continue
        if max([image["Created"], *map(last_use, tags)]) > before:
            continue
        name = ", ".join(tags) or str(image["Id"]).removeprefix("sha256:")[:12]
        yield f"image {name} ({_size(image.get('Size', 0))}): {_removed(api, image['Id'], tags, dry_run=dry_run)}"


def _removed(api: "APIClient", image_id: str, tags: list[str], *, dry_run: bool) -> str:
    if dry_run:
        return "would be removed"
    try:
        for tag in tags or [image_id]:
            api.remove_image(tag)
            forget(tag)
    except NotFound:
        pass  # it went together with an image above it
    except (DockerException, requests.RequestException) as error:
        return f"stays: {explain(error)}"
    return "removed"


def prune_files(jobs: Path, older_than_sec: float, *, dry_run: bool = False) -> Iterator[str]:
    """Remove workspaces and recordings of finished trials below a folder of jobs; all else stays. A line for each."""
    before = time.time() - older_than_sec
    for path in sorted(path for name in LARGE_FILES for path in jobs.glob(f"*/*/{name}")):
        status = path.lstat()
        if status.st_mtime > before or path.is_symlink() or not _is_finished(jobs, path):
            continue
        if not dry_run:
            path.unlink(missing_ok=True)
        yield f"file {path} ({_size(status.st_size)}): {'would be removed' if dry_run else 'removed'}"


def _is_finished(jobs: Path, path: Path) -> bool:
    """Whether the trial, or the earlier execution of one, that the file belongs to has its result."""
    trial = Path(jobs, *path.relative_to(jobs).parts[:2])
    return any((folder / "result.json").is_file() for folder in path.parents if folder.is_relative_to(trial))


def prune_installs(older_than_sec: float, *, dry_run: bool = False) -> Iterator[str]:
    """Remove agents that were installed for the host sandbox and not used for that long; a line for each."""
    before = time.time() - older_than_sec
    folder = installs_folder()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.lstat().st_mtime > before:
            continue
        size = _size(sum(file.lstat().st_size for file in path.rglob("*")))
        if not dry_run:
            shutil.rmtree(path, ignore_errors=True)
        yield f"folder {path} ({size}): {'would be removed' if dry_run else 'removed'}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1024**2:.1f} MiB"
