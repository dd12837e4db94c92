"""Reads all that a trial's directory says, before anything is written: pure work, so that a pool can share it."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runs.indexing.artifacts import artifact_rows
from runs.indexing.cleaning import clean_name
from runs.indexing.columns import trial_columns
from runs.indexing.problems import Problem, as_rows
from runs.indexing.reader import Reader
from runs.indexing.stamps import (
    ARTIFACT_FILES,
    CONFIG,
    CRITIC_CONFIG,
    CRITIC_RESULT,
    RESULT,
    Stamps,
    newest_change_at,
)
from runs.indexing.trajectories import TrialTrajectories, read_trajectories
from runs.indexing.values import Json
from runs.models import Artifact, Cause, Status

# A trial without a result whose files changed since then is taken to be running.
FRESH_SEC = 120.0
MAX_NAME_CHARS = 255
OTHER_FILES = {CONFIG, RESULT, *(name.rpartition("/")[2] for name in ARTIFACT_FILES)}


@dataclass(frozen=True, slots=True)
class DraftTask:
    """What has to be known to read a trial: where it is, what was read before, and what its job says of it.

    `may_live`: a trial without a result may be running. `keeps_status`: without a result the row's status stands.
    `followed`: files that others make rows from; no step is in them.
    """

    directory: Path
    known: Stamps
    stamps: Stamps
    told: Json
    may_live: bool
    keeps_status: bool
    patience_sec: float
    followed: frozenset[str] = frozenset()

    @property
    def size_bytes(self) -> int:
        """About how much there is to read."""
        return sum(size for size, _ in self.stamps.values())


@dataclass(frozen=True, slots=True)
class Draft:
    """A trial's columns and rows, unsaved. No trajectories: their files didn't change."""

    columns: dict[str, Any]
    trajectories: TrialTrajectories | None
    artifacts: list[Artifact]
    problems: tuple[Problem, ...]
    is_torn: bool


def draft_of(task: DraftTask) -> Draft:
    """Read a trial's files. Asks the database nothing; never raises for what is in them."""
    reader = Reader(task.directory, task.patience_sec)
    config, result = reader.mapping(CONFIG), reader.mapping(RESULT) or task.told
    if task.followed:
        config, result = config or reader.mapping(CRITIC_CONFIG), result or reader.mapping(CRITIC_RESULT)
    columns = trial_columns(result, config)
    columns["task_name"] = columns["task_name"] or _directory_task(task.directory)
    if result or not task.keeps_status:
        columns["status"] = _status(task, columns)
    trajectories = None
    if not task.known or _trajectory_stamps(task, task.known) != _trajectory_stamps(task, task.stamps):
        trajectories = read_trajectories(reader)
        columns |= trajectories.missing_in(columns)
    else:
        del columns["n_agent_steps"]
    artifacts = artifact_rows(reader)
    read = {**task.stamps, **reader.stamps}
    columns["file_stamps"] = {name: stamp for name, stamp in read.items() if name not in reader.torn}
    columns["problems"] = as_rows(reader.problems, task.directory)
    return Draft(columns, trajectories, artifacts, tuple(reader.problems), bool(reader.torn))


def one_by_one(tasks: Iterable[DraftTask]) -> Iterator[Draft]:
    """Drafts made in this process, each when it is asked for."""
    return map(draft_of, tasks)


def trial_name(directory: Path) -> str:
    """The name of a trial's row: that of its directory, in storable form."""
    return clean_name(directory.name)[:MAX_NAME_CHARS]


def status_by_evidence(directory: Path, *, may_live: bool) -> Status:
    """Running or interrupted: a peer's trial has no heartbeat, so its files' times are all there is."""
    is_fresh = may_live and time.time() - newest_change_at(directory) < FRESH_SEC
    return Status.RUNNING if is_fresh else Status.INTERRUPTED


def _status(task: DraftTask, columns: dict[str, Any]) -> Status:
    if columns["cause"] == Cause.CANCELLED:
        return Status.CANCELLED
    if columns["finished_at"] or columns["rewards"] is not None:
        return Status.FINISHED
    return status_by_evidence(task.directory, may_live=task.may_live)


def _directory_task(directory: Path) -> str:
    """The task's name as a trial's directory name has it: `<task>__<random>`."""
    name = trial_name(directory)
    return name.rpartition("__")[0] or name


def _trajectory_stamps(task: DraftTask, stamps: Stamps) -> Stamps:
    """The stamps of everything but config, result and artifacts: if they are the same, no step has changed."""
    others = {name for name in stamps if name in task.followed or name.rpartition("/")[2] in OTHER_FILES}
    return {name: stamp for name, stamp in stamps.items() if name not in others}
