"""One trial directory to one Trial row with its trajectories and artifacts, re-read only where files changed."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction

from runs.indexing.artifacts import artifact_rows, write_artifacts
from runs.indexing.cleaning import clean_name
from runs.indexing.columns import trial_columns
from runs.indexing.problems import Problem, as_rows
from runs.indexing.reader import Reader
from runs.indexing.stamps import ARTIFACT_FILES, CONFIG, RESULT, Stamps, newest_change_at, stamps_of
from runs.indexing.trajectories import TrialTrajectories, read_trajectories, write_trajectories
from runs.indexing.values import Json
from runs.models import Artifact, Cause, Job, Origin, Status, Trial

# A trial without a result whose files changed since then is taken to be running.
FRESH_SEC = 120.0
MAX_NAME_CHARS = 255
OTHER_FILES = {CONFIG, RESULT, *(name.rpartition("/")[2] for name in ARTIFACT_FILES)}


@dataclass(frozen=True, slots=True)
class TrialReading:
    """What became of one trial directory. `is_torn`: a file was being written and must be read again soon."""

    trial: Trial
    was_read: bool
    problems: tuple[Problem, ...] = ()
    is_torn: bool = False


@dataclass(frozen=True, slots=True)
class _Draft:
    """All that a trial's directory says, before anything is written. No trajectories: their files didn't change."""

    columns: dict[str, Any]
    trajectories: TrialTrajectories | None
    artifacts: list[Artifact]


def index_trial(job: Job, directory: Path, *, only_if_changed: bool = True, owner: str = "") -> Trial:
    """Index one trial directory and return its row, made on first sight; the job's counters are not touched.

    A live row that another `owner` runs is returned as it is. One transaction of about ten statements.
    """
    row = Trial.objects.filter(job=job, name=trial_name(directory)).first()
    return read_trial(job, directory, row, only_if_changed=only_if_changed, owner=owner).trial


def trial_name(directory: Path) -> str:
    """The name of a trial's row: that of its directory, in storable form."""
    return clean_name(directory.name)[:MAX_NAME_CHARS]


def read_trial(
    job: Job,
    directory: Path,
    row: Trial | None,
    *,
    told: Json | None = None,
    only_if_changed: bool = True,
    patience_sec: float = 0.0,
    owner: str = "",
) -> TrialReading:
    """Like `index_trial`, for a caller that knows the trial's `row`.

    `told` is its result as the job's result.json had it, used where the directory holds none. Broken files younger
    than `patience_sec` are left for later.
    """
    known: Stamps = row.file_stamps if row and only_if_changed else {}
    stamps = stamps_of(directory, known)
    if row is not None:
        if _is_anothers(job, row, stamps, owner):
            return TrialReading(row, was_read=False)
        if only_if_changed and row.file_stamps == stamps and (row.uuid or not told):
            _settle(job, directory, row)
            return TrialReading(row, was_read=False, problems=_known_problems(directory, row))
    reader = Reader(directory, patience_sec)
    draft = _draft(job, reader, row, told or {}, known, stamps)
    trial = _write(job, trial_name(directory), row, draft)
    if trial is None:  # taken over by a runner, or made by another indexer, since it was looked up
        return TrialReading(Trial.objects.get(job=job, name=trial_name(directory)), was_read=False)
    return TrialReading(trial, was_read=True, problems=tuple(reader.problems), is_torn=bool(reader.torn))


def _draft(job: Job, reader: Reader, row: Trial | None, told: Json, known: Stamps, stamps: Stamps) -> _Draft:
    config, result = reader.mapping(CONFIG), reader.mapping(RESULT) or told
    columns = trial_columns(result, config)
    columns["task_name"] = columns["task_name"] or directory_task(reader.root)
    if not (row is not None and job.origin == Origin.PIER_SITE and not result):
        columns["status"] = _status(job, reader.root, columns)
    trajectories = None
    if not known or _trajectory_stamps(known) != _trajectory_stamps(stamps):
        trajectories = read_trajectories(reader)
        columns |= trajectories.missing_in(columns)
    else:
        del columns["n_agent_steps"]
    artifacts = artifact_rows(reader)
    read = {**stamps, **reader.stamps}
    columns["file_stamps"] = {name: stamp for name, stamp in read.items() if name not in reader.torn}
    columns["problems"] = as_rows(reader.problems, reader.root)
    return _Draft(columns, trajectories, artifacts)


def directory_task(directory: Path) -> str:
    """The task's name as a trial's directory name has it: `<task>__<random>`."""
    name = trial_name(directory)
    return name.rpartition("__")[0] or name


def _write(job: Job, name: str, row: Trial | None, draft: _Draft) -> Trial | None:
    """Write the draft in one transaction; None if the row is no longer what it was when it was looked up."""
    with transaction.atomic():
        if row is None:
            row, is_new = Trial.objects.get_or_create(job=job, name=name, defaults=draft.columns)
            if not is_new:
                return None
        else:
            unmoved = Trial.objects.filter(pk=row.pk, owner=row.owner, execution=row.execution)
            if not unmoved.update(**draft.columns):
                return None
            for column, value in draft.columns.items():
                setattr(row, column, value)
        if draft.trajectories is not None:
            write_trajectories(row, draft.trajectories)
        write_artifacts(row, draft.artifacts)
    return row


def _is_anothers(job: Job, row: Trial, stamps: Stamps, owner: str) -> bool:
    """Whether a runner of Pier Site has the row: it alone writes a live one, whatever the files say meanwhile."""
    if not row.is_live or (owner and row.owner == owner):
        return False
    return bool(row.owner) or (job.origin == Origin.PIER_SITE and RESULT not in stamps)


def _status(job: Job, directory: Path, columns: dict[str, Any]) -> Status:
    if columns["cause"] == Cause.CANCELLED:
        return Status.CANCELLED
    if columns["finished_at"] or columns["rewards"] is not None:
        return Status.FINISHED
    return _status_by_evidence(job, directory)


def _status_by_evidence(job: Job, directory: Path) -> Status:
    """Running or interrupted: a peer's trial has no heartbeat, so its files' times are all there is."""
    if job.origin == Origin.PIER_SITE or job.finished_at:
        return Status.INTERRUPTED
    is_fresh = time.time() - newest_change_at(directory) < FRESH_SEC
    return Status.RUNNING if is_fresh else Status.INTERRUPTED


def _settle(job: Job, directory: Path, row: Trial) -> None:
    """Look at the evidence again for an unchanged trial that has not ended: native logs may grow or stop."""
    if row.owner or row.status not in (Status.RUNNING, Status.INTERRUPTED) or job.origin == Origin.PIER_SITE:
        return
    status = _status_by_evidence(job, directory)
    if status != row.status and Trial.objects.filter(pk=row.pk, owner="").update(status=status):
        row.status = status


def _trajectory_stamps(stamps: Stamps) -> Stamps:
    """The stamps of everything but config, result and artifacts: if they are the same, no step has changed."""
    return {name: stamp for name, stamp in stamps.items() if name.rpartition("/")[2] not in OTHER_FILES}


def _known_problems(directory: Path, row: Trial) -> tuple[Problem, ...]:
    return tuple(Problem(directory / problem["path"], problem["reason"]) for problem in row.problems)
