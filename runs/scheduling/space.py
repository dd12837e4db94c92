"""What takes the space: images that were made here, caches, and each job's workspaces and recordings.

Measured at most every few minutes and within bounds, so that a page may ask at each request.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import requests
from django.conf import settings
from docker.errors import DockerException
from pydantic import BaseModel, ConfigDict, ValidationError

from runs.files import write_atomically
from runs.sandboxes.docker_images import OWN_LABEL
from runs.sandboxes.engine import Engine, EngineUnavailable, explain
from runs.sandboxes.last_use import last_use
from runs.scheduling.prune import NAMELESS, OWN_NAMES, RECORDING
from runs.trial.directory import WORKSPACE

MAX_AGE_SEC = 300.0
FORGOTTEN_AFTER_SEC = 86_400.0
# One measurement looks at no more than this; what it leaves out is said.
MAX_FILES, MAX_SEC = 200_000, 5.0

ImageKind = Literal["task", "agent", "trust", "stage", "unnamed"]
KINDS: tuple[ImageKind, ...] = ("task", "agent", "trust", "stage")


class Measure(BaseModel):
    """Part of a measurement, as it is kept in the cache."""

    model_config = ConfigDict(frozen=True)


class ImageSpace(Measure):
    """One image that was made here. `size_bytes` is what it adds to the image below it; times are since 1970."""

    name: str
    kind: ImageKind
    size_bytes: int
    created_at_sec: float
    last_used_at_sec: float


class JobSpace(Measure):
    """One job's directory. Workspaces and recordings are part of `size_bytes`; `is_partial`: there is more."""

    directory: str
    size_bytes: int
    workspace_bytes: int
    recording_bytes: int
    is_partial: bool


class Space(Measure):
    """All of it, the largest first. `engine_problem` says why there are no images, where that is so."""

    measured_at_sec: float
    engine_problem: str | None
    images: tuple[ImageSpace, ...]
    installs_bytes: int
    toolchains_bytes: int
    jobs: tuple[JobSpace, ...]
    is_partial: bool


def space_used(job_directories: Sequence[Path], *, max_age_sec: float = MAX_AGE_SEC) -> Space:
    """What was measured last, if it is of these jobs and young enough; else a new measurement, which blocks.

    That takes a few calls of the engine, and at most MAX_SEC for files.
    """
    wanted = sorted({str(directory) for directory in job_directories})
    folder = Path(settings.CACHE_DIR, "space")
    # Who may see other jobs has other measurements.
    path = folder / f"{hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:24]}.json"
    try:
        kept = Space.model_validate_json(path.read_text())
        if 0 <= time.time() - kept.measured_at_sec < max_age_sec:
            return kept
    except (OSError, ValidationError):
        pass  # nothing is known yet, or by another version
    space = _measured(map(Path, wanted))
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        with suppress(FileNotFoundError):  # another process was first
            if time.time() - old.stat().st_mtime > FORGOTTEN_AFTER_SEC:
                old.unlink()
    write_atomically(path, space.model_dump_json())
    return space


def _measured(job_directories: Iterable[Path]) -> Space:
    images, problem = _images()
    walk = _Walk()
    cache = Path(settings.CACHE_DIR)
    installs, toolchains = (walk.sizes(cache / name) for name in ("installs", "toolchains"))
    jobs = []
    for directory in job_directories:
        sizes = walk.sizes(directory)
        jobs.append(
            JobSpace(
                directory=str(directory),
                size_bytes=sizes.all,
                workspace_bytes=sizes.workspaces,
                recording_bytes=sizes.recordings,
                is_partial=walk.is_over,
            )
        )
    return Space(
        measured_at_sec=time.time(),
        engine_problem=problem,
        images=tuple(sorted(images, key=lambda image: -image.size_bytes)),
        installs_bytes=installs.all,
        toolchains_bytes=toolchains.all,
        jobs=tuple(sorted(jobs, key=lambda job: -job.size_bytes)),
        is_partial=walk.is_over,
    )


class _Sizes:
    """Bytes below one folder."""

    def __init__(self) -> None:
        self.all = self.workspaces = self.recordings = 0

    def add(self, name: str, size_bytes: int) -> None:
        """Count a file."""
        self.all += size_bytes
        if name == WORKSPACE:
            self.workspaces += size_bytes
        elif name == RECORDING:
            self.recordings += size_bytes


class _Walk:
    """Looks at files until it has seen enough."""

    def __init__(self) -> None:
        self.files_left = MAX_FILES
        self.ends_at = time.monotonic() + MAX_SEC
        self.is_over = False

    def sizes(self, folder: Path) -> _Sizes:
        """What takes space on the disk below a folder; links are not followed."""
        sizes, folders = _Sizes(), [str(folder)]
        while folders and not self.is_over:
            try:
                with os.scandir(folders.pop()) as entries:
                    for entry in entries:
                        self.files_left -= 1
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
                        elif entry.is_file(follow_symlinks=False):
                            sizes.add(entry.name, entry.stat(follow_symlinks=False).st_blocks * 512)
            except OSError:
                continue  # it went away, or is not for us to see
            self.is_over = self.files_left < 0 or time.monotonic() > self.ends_at
        return sizes


def _images() -> tuple[list[ImageSpace], str | None]:
    try:
        engine = Engine.connect()
    except EngineUnavailable as error:
        return [], str(error)
    try:
        everything = {str(image["Id"]): image for image in engine.api.images(all=True)}
        ours = engine.api.images(filters={"label": OWN_LABEL})
        return [image for item in ours if (image := _image(item, everything))], None
    except (DockerException, requests.RequestException) as error:
        return [], explain(error)
    finally:
        engine.close()


def _image(item: dict[str, Any], everything: dict[str, dict[str, Any]]) -> ImageSpace | None:
    tags = [str(tag) for tag in item.get("RepoTags") or () if str(tag) != NAMELESS]
    if not all(tag.startswith(OWN_NAMES) for tag in tags):
        return None
    name = tags[0] if tags else str(item["Id"]).removeprefix("sha256:")[:12]
    kind: ImageKind = next((kind for kind in KINDS if name.startswith(f"{OWN_NAMES}{kind}:")), "unnamed")
    below = _named_below(item, everything)
    return ImageSpace(
        name=name,
        kind=kind,
        size_bytes=max(0, item["Size"] - (below["Size"] if below else 0)),
        created_at_sec=item["Created"],
        last_used_at_sec=max([item["Created"], *map(last_use, tags)]),
    )


def _named_below(item: dict[str, Any], everything: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """The next image below this one that has a name: what is above it is this one's own."""
    below = everything.get(str(item.get("ParentId")))
    while below and not any(tag != NAMELESS for tag in below.get("RepoTags") or ()):
        below = everything.get(str(below.get("ParentId")))
    return below
