"""One trial directory to one Trial row with its trajectories and artifacts, re-read only where files changed."""

from dataclasses import dataclass, replace
from pathlib import Path

from django.db import transaction

from runs.indexing.artifacts import write_artifacts
from runs.indexing.draft import Draft, DraftTask, draft_of, status_by_evidence, trial_name
from runs.indexing.following_up import Write, follower_of, steps_replaced
from runs.indexing.problems import Problem, as_rows
from runs.indexing.stamps import RESULT, Stamps, stamps_of
from runs.indexing.trajectories import write_trajectories
from runs.indexing.values import Json
from runs.models import Job, Origin, Status, Trial


@dataclass(frozen=True, slots=True)
class TrialReading:
    """What became of one trial directory. `is_torn`: a file was being written and must be read again soon."""

    trial: Trial
    was_read: bool
    problems: tuple[Problem, ...] = ()
    is_torn: bool = False


def index_trial(job: Job, directory: Path, *, only_if_changed: bool = True, owner: str = "") -> Trial:
    """Index one trial directory and return its row, made on first sight; the job's counters are not touched.

    A live row that another `owner` runs is returned as it is. Files are read first, then one transaction of about
    ten statements: a caller's own transaction would hold the database all the while.
    """
    row = Trial.objects.filter(job=job, name=trial_name(directory)).first()
    task = task_of(job, directory, row, only_if_changed=only_if_changed, owner=owner)
    return write_draft(job, row, task, draft_of(task)).trial if isinstance(task, DraftTask) else task.trial


def task_of(
    job: Job,
    directory: Path,
    row: Trial | None,
    *,
    told: Json | None = None,
    only_if_changed: bool = True,
    patience_sec: float = 0.0,
    owner: str = "",
) -> DraftTask | TrialReading:
    """What there is to read of a trial whose `row` is known, or at once the outcome when that is nothing.

    `told` is its result as the job's result.json had it, used where the directory holds none. Broken files younger
    than `patience_sec` are left for later.
    """
    known: Stamps = row.file_stamps if row and only_if_changed else {}
    follower = follower_of(job)
    followed = frozenset(follower.files(directory)) if follower else frozenset()
    stamps = stamps_of(directory, {*known, *followed})
    if row is not None:
        if _is_anothers(job, row, stamps, owner):
            return TrialReading(row, was_read=False)
        if only_if_changed and row.file_stamps == stamps and (row.uuid or not told):
            _settle(job, directory, row)
            return TrialReading(row, was_read=False, problems=_known_problems(directory, row))
    is_ours = job.origin == Origin.PIER_SITE
    return DraftTask(
        directory=directory,
        known=known,
        stamps=stamps,
        told=told or {},
        may_live=not is_ours and job.finished_at is None,
        keeps_status=is_ours and row is not None,
        patience_sec=patience_sec,
        followed=followed,
    )


def write_draft(job: Job, row: Trial | None, task: DraftTask, draft: Draft) -> TrialReading:
    """Write what was read, in one transaction; nothing if the row is no longer what it was when it was looked up."""
    name = trial_name(task.directory)
    follow: Write | None = None
    if follower := follower_of(job):
        problems = list(draft.problems)
        follow = follower.read(job, task.directory, problems)
        # A file that both of them read is broken once.
        problems = list(dict.fromkeys(problems))
        columns = {**draft.columns, "problems": as_rows(problems, task.directory)}
        draft = replace(draft, columns=columns, problems=tuple(problems))
    trial = _write(job, name, row, draft, follow)
    if trial is None:  # taken over by a runner, or made by another indexer, since it was looked up
        return TrialReading(Trial.objects.get(job=job, name=name), was_read=False)
    if row is not None and draft.trajectories is not None:
        steps_replaced(trial)
    return TrialReading(trial, was_read=True, problems=draft.problems, is_torn=draft.is_torn)


def _write(job: Job, name: str, row: Trial | None, draft: Draft, follow: Write | None) -> Trial | None:
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
        if follow is not None:
            follow(row)
    return row


def _is_anothers(job: Job, row: Trial, stamps: Stamps, owner: str) -> bool:
    """Whether a runner of Pier Site has the row: it alone writes a live one, whatever the files say meanwhile."""
    if not row.is_live or (owner and row.owner == owner):
        return False
    return bool(row.owner) or (job.origin == Origin.PIER_SITE and RESULT not in stamps)


def _settle(job: Job, directory: Path, row: Trial) -> None:
    """Look at the evidence again for an unchanged trial that has not ended: native logs may grow or stop."""
    if row.owner or row.status not in (Status.RUNNING, Status.INTERRUPTED) or job.origin == Origin.PIER_SITE:
        return
    status = status_by_evidence(directory, may_live=job.finished_at is None)
    if status != row.status and Trial.objects.filter(pk=row.pk, owner="").update(status=status):
        row.status = status


def _known_problems(directory: Path, row: Trial) -> tuple[Problem, ...]:
    return tuple(Problem(directory / problem["path"], problem["reason"]) for problem in row.problems)
