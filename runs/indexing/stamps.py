"""Sizes and times of a trial's files: what tells, by stat alone, that nothing has to be read again."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from runs.indexing.scan import purpose_of
from runs.models import Purpose

type Stamps = dict[str, list[int]]

CONFIG = "config.json"
RESULT = "result.json"
# What Pier calls these two in the directory of a critic's trial.
CRITIC_CONFIG = "critique-config.json"
CRITIC_RESULT = "critique-metadata.json"
TRAJECTORY_FILES = ("agent/trajectory.json", "agent/trajectory.json.gz")
STRAY_TRAJECTORY_FILES = ("artifacts/trajectory.json", "artifacts/trajectory.json.gz")
# The directory itself is stamped too: its time changes when a file is added without a manifest.
ARTIFACT_FILES = ("artifacts", "artifacts/manifest.json")
MAX_TASK_STEPS = 1000
# Evidence of life is looked for in the files an agent or a verifier writes, not in what they may have copied.
MAX_EVIDENCE_DEPTH = 3
MAX_EVIDENCE_FILES = 500


def task_steps(directory: Path) -> list[str]:
    """Names of the directories under `steps/`, sorted; links are not followed."""
    try:
        with os.scandir(directory / "steps") as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return sorted(names)[:MAX_TASK_STEPS]


def places(directory: Path) -> list[str]:
    """Where a trial keeps agent/ and artifacts/, relative to it: each TaskStep's directory, then its own.

    A critic's own comes first: its one step is the correction of what it wrote there.
    """
    steps = [f"steps/{name}/" for name in task_steps(directory)]
    return ["", *steps] if purpose_of(directory.parent) is Purpose.CRITIQUE else [*steps, ""]


def stamps_of(directory: Path, known: Iterable[str] = ()) -> Stamps:
    """Size and mtime (ns) of every file that indexing may read, plus those it has read before (`known`)."""
    found: Stamps = {}
    for name in {*_candidates(directory), *known}:
        stamp = stamp_of(directory / name)
        if stamp is not None:
            found[name] = stamp
    return found


def stamp_of(path: Path) -> list[int] | None:
    """Size and mtime (ns) of a file or directory, or None where there is none; links are not followed."""
    try:
        status = path.lstat()
    except (OSError, ValueError):
        return None
    return [0 if stat.S_ISDIR(status.st_mode) else status.st_size, status.st_mtime_ns]


def newest_change_at(directory: Path) -> float:
    """Unix time of the last change among the first files of a trial directory, 0.0 if there is none."""
    newest, n_seen = 0.0, 0
    pending = [(directory, 0)]
    while pending:
        folder, depth = pending.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    newest = max(newest, entry.stat(follow_symlinks=False).st_mtime)
                    n_seen += 1
                    if n_seen >= MAX_EVIDENCE_FILES:
                        return newest
                    if depth < MAX_EVIDENCE_DEPTH and entry.is_dir(follow_symlinks=False):
                        pending.append((Path(entry.path), depth + 1))
        except OSError:
            continue
    return newest


def _candidates(directory: Path) -> Iterator[str]:
    yield CONFIG
    yield RESULT
    for place in places(directory):
        for name in (*TRAJECTORY_FILES, *ARTIFACT_FILES):
            yield place + name
    yield from STRAY_TRAJECTORY_FILES
