"""One job directory to one Job row and its trials, idempotent; and the counters that lists show."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db.models import Count, Min, Q, Sum
from django.utils import timezone

from pier_site.accounts.models import Project
from runs.errors import InputInvalid
from runs.indexing.cleaning import clean_name, clip
from runs.indexing.columns import job_columns, label_of
from runs.indexing.draft import FRESH_SEC, Draft, DraftTask, one_by_one, trial_name
from runs.indexing.following_up import job_indexed
from runs.indexing.origin import LOCK, origin_of, zone_of
from runs.indexing.problems import Problem, as_rows
from runs.indexing.reader import Reader, is_young
from runs.indexing.repricing import REPRICING, index_repricing
from runs.indexing.scan import Kind, kind_of, purpose_of, terminal_bench_refused, trials_in
from runs.indexing.stamps import CONFIG, RESULT
from runs.indexing.trial import TrialReading, task_of, write_draft
from runs.indexing.values import Json, mapping, mappings
from runs.models import LIVE, Job, Origin, Status, Trial

Drafts = Callable[[Sequence[DraftTask]], Iterator[Draft]]

MAX_PATH_CHARS = 1024
# Of trial_results inside a job's result.json, and of labels in a list.
MAX_TOLD_TRIALS = 100_000
MAX_AGENTS = 50
MAX_NAMES_IN_QUERY = 500


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What indexing one job directory came to. `torn`: names of trials that were being written, to be read again."""

    job: Job
    n_trials: int
    n_read: int
    n_unchanged: int
    problems: tuple[Problem, ...]
    torn: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _JobFiles:
    config: Json
    result: Json
    lock: Json
    repricing: Json

    def told_results(self) -> dict[str, Json]:
        """Trial results by name, which Harbor's unfinished jobs of early 2026 kept in the job's file."""
        results = list(mappings(self.result.get("trial_results")))[:MAX_TOLD_TRIALS]
        named = ((result.get("trial_name"), result) for result in results)
        # A name with a separator in it would lead out of the job's directory.
        return {name: result for name, result in named if isinstance(name, str) and name == Path(name).name}


def directory_of(path: Path) -> str:
    """How `Job.directory` names a directory: absolute, links resolved. Raises `InputInvalid` if that is too long."""
    directory = clean_name(str(path.expanduser().resolve()))
    if len(directory) > MAX_PATH_CHARS:
        raise InputInvalid(f"{directory[:100]}… is longer than {MAX_PATH_CHARS} characters: move the job directory up")
    return directory


def index_job(
    project: Project,
    path: Path,
    *,
    only: set[str] | None = None,
    patience_sec: float = 0.0,
    draft: Drafts = one_by_one,
) -> IndexReport:
    """Bring the rows of a job directory up to date with its files; `only` limits it to trials of these names.

    What is broken is reported and passed over. Trials are read one at a time (memory is that of the largest one),
    unless `draft` reads them otherwise. Then who follows up on jobs is told.
    Raises `InputInvalid` for a Terminal-Bench 1 run.
    """
    directory = Path(directory_of(path))
    if kind_of(directory) is Kind.TERMINAL_BENCH:
        raise terminal_bench_refused(directory)
    reader = Reader(directory, patience_sec)
    files = _JobFiles(reader.mapping(CONFIG), reader.mapping(RESULT), reader.mapping(LOCK), reader.mapping(REPRICING))
    job = _job_row(project, directory, files)
    readings = _index_trials(job, directory, files, draft, only=only, patience_sec=patience_sec)
    problems = [*reader.problems, *(problem for reading in readings for problem in reading.problems)]
    if any(reading.was_read for reading in readings):
        _number_attempts(job)
    _finish(job, files, reader.problems, directory)
    problems += job_indexed(job)
    n_read = sum(reading.was_read for reading in readings)
    return IndexReport(
        job=job,
        n_trials=len(readings),
        n_read=n_read,
        n_unchanged=len(readings) - n_read,
        problems=tuple(problems),
        torn=tuple(reading.trial.name for reading in readings if reading.is_torn),
    )


def refresh_counters(job: Job) -> None:
    """Bring the job's counters up to date with its trials, in the database and in `job`; one aggregate query."""
    figures = job.trials.aggregate(
        n_rows=Count("pk"),
        n_finished=Count("pk", filter=~Q(status__in=LIVE)),
        n_running=Count("pk", filter=Q(status=Status.RUNNING)),
        n_exceptions=Count("pk", filter=~Q(exception_type="")),
        n_rewarded=Count("reward"),
        reward_sum=Sum("reward", default=0.0),
        cost_usd=Sum("cost_usd"),
    )
    figures["n_trials"] = max(job.n_trials, figures.pop("n_rows"))
    _update(job, figures)


def _job_row(project: Project, directory: Path, files: _JobFiles) -> Job:
    """The job's row with what its own files say; a row whose runner is alive is left to that runner."""
    columns = job_columns(files.config, files.result, zone=zone_of(files.result, files.lock))
    origin = origin_of(files.config, files.result, files.lock)
    job, is_new = Job.objects.get_or_create(
        project=project,
        directory=str(directory),
        defaults={
            **columns,
            "name": clip(directory.name, 255) or "job",
            "origin": origin,
            "purpose": purpose_of(directory),
            "sorted_at": columns["started_at"] or timezone.now(),
        },
    )
    if not is_new and not _has_runner(job):
        # The files may have been removed or torn since; what they said before is better than nothing.
        told = {name: value for name, value in columns.items() if value} | {"purpose": purpose_of(directory)}
        _update(job, told | ({"origin": origin} if job.origin == Origin.UNKNOWN else {}))
    return job


def _has_runner(job: Job) -> bool:
    return job.origin == Origin.PIER_SITE and job.is_live and job.trials.live().exists()


def _index_trials(
    job: Job, directory: Path, files: _JobFiles, draft: Drafts, *, only: set[str] | None, patience_sec: float
) -> list[TrialReading]:
    rows = job.trials.defer("exception_message", "step_results", "rewards")
    told = files.told_results()
    if only is None:
        folders = trials_in(directory)
        known = {folder.name for folder in folders}
        folders += [directory / name for name in sorted(told.keys() - known)]
    else:
        folders = [directory / name for name in sorted(only)]
        if len(only) <= MAX_NAMES_IN_QUERY:
            rows = rows.filter(name__in=[trial_name(folder) for folder in folders])
    by_name = {trial.name: trial for trial in rows}
    found: list[DraftTask | TrialReading] = []
    for folder in folders:
        row = by_name.get(trial_name(folder))
        found.append(task_of(job, folder, row, told=told.get(folder.name), patience_sec=patience_sec))
    drafts = draft([item for item in found if isinstance(item, DraftTask)])
    return [
        write_draft(job, by_name.get(trial_name(item.directory)), item, next(drafts))
        if isinstance(item, DraftTask)
        else item
        for item in found
    ]


def _number_attempts(job: Job) -> None:
    """Number the attempts of a task by an agent, in order of start, where the files gave two the same number.

    Peers write no number. Rows that a runner made have theirs already, and are never renumbered.
    """
    groups: dict[tuple[str, str, str], list[Trial]] = {}
    order = job.trials.order_by("started_at", "name")
    for trial in order.only("pk", "task_name", "agent_name", "model_name", "attempt", "owner"):
        groups.setdefault((trial.task_name, trial.agent_name, trial.model_name), []).append(trial)
    changed = []
    for trials in groups.values():
        if len({trial.attempt for trial in trials}) == len(trials) or any(trial.owner for trial in trials):
            continue
        for attempt, trial in enumerate(trials, start=1):
            if trial.attempt != attempt:
                trial.attempt = attempt
                changed.append(trial)
    Trial.objects.bulk_update(changed, ["attempt"], batch_size=1000)


def _finish(job: Job, files: _JobFiles, problems: list[Problem], directory: Path) -> None:
    """What follows from the trials: counters, labels, status and times that the job's own files don't give."""
    refresh_counters(job)
    columns: dict[str, Any] = {"problems": as_rows(problems, directory)}
    labels = {label_of(*names) for names in job.trials.values_list("agent_name", "model_name").distinct()[:MAX_AGENTS]}
    if labels - {""}:
        columns["agents"] = sorted(labels - {""})
    if not _has_runner(job):
        columns["status"] = _status(job, files)
        started_at = job.started_at or job.trials.aggregate(first=Min("started_at"))["first"]
        if started_at is not None:
            columns |= {"started_at": started_at, "sorted_at": started_at}
    _update(job, columns)
    index_repricing(job, files.repricing)


def _status(job: Job, files: _JobFiles) -> Status:
    stats = mapping(files.result.get("stats"))
    if job.finished_at:
        is_cancelled = bool(stats.get("n_cancelled_trials")) or files.result.get("status") == Status.CANCELLED
        return Status.CANCELLED if is_cancelled else Status.FINISHED
    if job.n_running:
        return Status.RUNNING
    if job.n_trials and job.n_finished >= job.n_trials and not job.trials.filter(status=Status.INTERRUPTED).exists():
        return Status.FINISHED
    # Between two trials of a peer's job nothing runs, but its result.json has just been written.
    is_fresh = job.origin != Origin.PIER_SITE and is_young(Path(job.directory) / RESULT, FRESH_SEC)
    return Status.RUNNING if is_fresh else Status.INTERRUPTED


def _update(job: Job, columns: dict[str, Any]) -> None:
    """Write the columns that differ, if any: a write wakes every reader that follows the job."""
    changed = {name: value for name, value in columns.items() if getattr(job, name) != value}
    for name, value in changed.items():
        setattr(job, name, value)
    if changed:
        Job.objects.filter(pk=job.pk).update(**changed)
