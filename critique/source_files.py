"""The files of a trial and its task that a critique was made of: their digests, and whether they are the same still.

Sizes and times are looked at first; contents are read once for each of those. Nothing is raised for what is missing.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from runs.errors import TaskInvalid
from runs.formats.task_directory import TASK_FILE, task_digest
from runs.indexing.stamps import RESULT, STRAY_TRAJECTORY_FILES, places
from runs.trial.directory import PATCH, WORKSPACE

MAX_TASK_FILES: Final = 20_000
MAX_AGENT_FILES: Final = 5_000
MAX_DEPTH: Final = 64
_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(slots=True)
class SourceFiles:
    """The files of a task and a trial as they are now; each kind (see KINDS) is looked at once."""

    task: Path | None
    trial: Path | None
    _stamps: dict[str, str] = field(default_factory=dict)

    def stamp(self, kind: str) -> str:
        """Names, sizes and times of the files of a kind in one digest; empty where there is none."""
        if kind not in self._stamps:
            root = self.task if kind == "task" else self.trial
            self._stamps[kind] = _stamp_of(root, sorted(KINDS[kind](root))) if root else ""
        return self._stamps[kind]

    def digest(self, kind: str) -> str:
        """Of their contents; empty where there is none, or they cannot be read."""
        stamp, root = self.stamp(kind), self.task if kind == "task" else self.trial
        return _digest_of(kind, root, stamp) if root and stamp else ""


def _task_files(root: Path) -> Iterator[Path]:
    """Those that count for the task's digest. None where it is no task, or more than any task has."""
    if (root / TASK_FILE).is_file():
        yield from _files_below(root, MAX_TASK_FILES)


def _trajectory_files(root: Path) -> Iterator[Path]:
    """Every JSON document of the agents, whatever refers to it; strays where there is none."""
    found = [
        path
        for place in places(root)
        for path in _files_below(root / place / "agent", MAX_AGENT_FILES)
        if path.name.endswith((".json", ".json.gz"))
    ]
    yield from found or [path for name in STRAY_TRAJECTORY_FILES if is_file(path := root / name)]


def _result_files(root: Path) -> Iterator[Path]:
    if is_file(root / RESULT):
        yield root / RESULT


def _workspace_files(root: Path) -> Iterator[Path]:
    """The working directory and all patches. What was kept may be removed to save space: then it is not compared."""
    if is_file(root / WORKSPACE):
        yield root / WORKSPACE
        yield from (path for place in places(root) if is_file(path := root / place / PATCH))


KINDS: Final[dict[str, Callable[[Path], Iterator[Path]]]] = {
    "task": _task_files,
    "trajectory": _trajectory_files,
    "result": _result_files,
    "workspace": _workspace_files,
}


def _files_below(root: Path, limit: int) -> Iterator[Path]:
    """The regular files below a folder, `limit` at most, without `.git`; no link is followed."""
    n_left = limit
    for folder, names, files in os.walk(root):
        depth = len(Path(folder).relative_to(root).parts)
        names[:] = sorted(name for name in names if name != ".git") if depth < MAX_DEPTH else []
        for name in sorted(files):
            path = Path(folder, name)
            if is_file(path):
                n_left -= 1
                if n_left < 0:
                    return
                yield path


def is_file(path: Path) -> bool:
    """Whether there is a regular file, which no link is."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def _stamp_of(root: Path, files: Iterable[Path]) -> str:
    digest, n_files = hashlib.sha256(), 0
    for path in files:
        try:
            status = path.lstat()
        except OSError:
            continue
        digest.update(
            f"{path.relative_to(root)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape")
        )
        n_files += 1
    return digest.hexdigest()[:32] if n_files else ""


@lru_cache(maxsize=4096)
def _digest_of(kind: str, root: Path, _stamp: str) -> str:
    """Of all contents; remembered for files of these sizes and times, which the stamp stands for."""
    try:
        return task_digest(root) if kind == "task" else _contents(root, sorted(KINDS[kind](root)))
    except (TaskInvalid, OSError):
        return ""


def _contents(root: Path, files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(os.fsencode(path.relative_to(root)) + b"\0")
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        digest.update(b"\0")
    return f"sha256:{digest.hexdigest()}"
