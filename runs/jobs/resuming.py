"""Goes on with a job that was stopped: runs what has not ended, and keeps what has, to the byte.

Which trials that is, is a function of what the directory holds; `runs.jobs.rerunning` chooses others.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pier_site.accounts.local import default_project
from runs.errors import InputInvalid, JobInvalid
from runs.formats.job import JobConfig, TaskSource
from runs.formats.lock import Effect, JobLock, TrialLock, differences
from runs.indexing.job import directory_of, index_job
from runs.indexing.scan import Kind, kind_of
from runs.jobs.naming import NEWEST, find_job
from runs.models import Job
from runs.scheduling.history import History
from runs.scheduling.holding import held
from runs.scheduling.host_environment import confirm_host_variables
from runs.scheduling.job_directory import Earlier, JobDirectory
from runs.scheduling.local import Announce, JobRun
from runs.scheduling.locking import job_lock, update_job_lock, write_job_lock
from runs.scheduling.reap import close_abandoned, is_abandoned, reap_before
from runs.scheduling.rows import take_over
from runs.scheduling.saved import SavedJob, SavedTrial, read_saved
from runs.trial.sandbox import sandbox_opener

MAX_NAMED_CHANGES = 12
NO_PART_OF_A_JOB = ("job_name", "jobs_dir", "n_concurrent_trials", "quiet", "debug")

type Choose = Callable[[SavedJob], Sequence[SavedTrial]]
"""Which trials of a job are to be run. Raises InputInvalid when that cannot be said."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a job goes on: with what is not kept in it, and what is agreed to."""

    n_concurrent: int | None = None
    accept_changes: bool = False
    assume_yes: bool = False


def unfinished(saved: SavedJob, filter_error_types: Sequence[str]) -> list[SavedTrial]:
    """The trials without a result, and those that ended with an exception of one of the types."""
    chosen = [trial for trial in saved.trials if trial.result is None]
    failed = [trial.again() for trial in saved.trials if trial.result and has_type(trial.history, filter_error_types)]
    wanted = {trial.plan.name: trial for trial in (*chosen, *failed)}
    return [wanted[trial.plan.name] for trial in saved.trials if trial.plan.name in wanted]


def has_type(history: History, names: Sequence[str]) -> bool:
    """Whether the trial ended with an exception of one of these names; `module.Name` counts as `Name`."""
    return bool(history.exception_type) and history.exception_type.rpartition(".")[2] in {
        name.rpartition(".")[2] for name in names
    }


def ignored_settings(config: JobConfig) -> list[str]:
    """What `config` sets otherwise than the saved job of its name has it, and what a resume therefore leaves out.

    Raises InputInvalid when there is no such job. How many run at once, and what is shown, is no part of a job.
    """
    if not config.path.is_dir():
        raise InputInvalid(f"{config.path}: there is no such job to go on with; without --resume it is begun")
    said, saved, unset = (
        one.model_dump(mode="json") for one in (config, read_saved(config.path).config, JobConfig(job_name="unset"))
    )
    return [name for name in said if name not in NO_PART_OF_A_JOB and said[name] not in (saved[name], unset[name])]


def job_directory(name: str) -> Path:
    """The directory of a job, given by it or by a name that the database knows. Raises InputInvalid."""
    path = Path(name.replace("\0", "")).expanduser()
    if not path.is_dir():
        path = Path(find_job(name).directory)
    if not path.is_dir():
        raise InputInvalid(f"{path}: there is no such directory any more")
    if kind_of(path) is Kind.TRIAL:
        raise InputInvalid(f"{path} is a trial: name its job directory, {path.parent}")
    return path.resolve()


def run_again(directory: Path, choose: Choose, terms: Terms, announce: Announce) -> JobRun | None:
    """Run the chosen trials of a job in its own directory; None when there is nothing to do.

    Raises InputInvalid, with no result touched: another runner has the job, its inputs have changed, a variable is
    missing, or its files cannot be run from.
    """
    with held(directory):
        saved = read_saved(directory)
        chosen = choose(saved)
        if not chosen and saved.is_finished:
            return None
        confirm_host_variables(_only(saved.config, chosen), assume_yes=terms.assume_yes)
        new_lock = _lock_of(saved, chosen, accept_changes=terms.accept_changes)
        reap_before(saved.config.environment)
        return _run(saved, chosen, new_lock, terms, announce)


def _run(saved: SavedJob, chosen: Sequence[SavedTrial], new_lock: JobLock, terms: Terms, announce: Announce) -> JobRun:
    config, plans = saved.config, [trial.plan for trial in saved.trials]
    again = [trial.plan for trial in chosen]
    names = {plan.name for plan in again}
    open_sandbox, close = sandbox_opener(config.environment)
    try:
        job = _row_of(saved.directory)
        trial_ids = take_over(job, plans, again)
        job.refresh_from_db()
        kept = [trial.history.result for trial in saved.trials if trial.plan.name not in names]
        earlier = Earlier(saved.started_at, [result for result in kept if result], saved.n_retries)
        files = JobDirectory(config, saved.job_id, len(plans), earlier)
        _write_lock(saved, new_lock)
        files.log(f"goes on: {len(again)} of {len(plans)} trials are to be run")
        run = JobRun(job, config, files, again, trial_ids, open_sandbox, announce(config, again))
        asyncio.run(run.run(terms.n_concurrent or config.n_concurrent_trials))
        return run
    finally:
        close()


def _row_of(directory: Path) -> Job:
    """The job's row, brought up to date with its files; made where there is none."""
    known = Job.objects.filter(directory=directory_of(directory)).order_by(*NEWEST).first()
    if known and is_abandoned(known):
        close_abandoned(known)
    return index_job(known.project if known else default_project(), directory).job


def _only(config: JobConfig, chosen: Sequence[SavedTrial]) -> JobConfig:
    """The job with nothing but the tasks that are to be run."""
    paths = dict.fromkeys(trial.plan.task_path for trial in chosen)
    return config.model_copy(update={"datasets": [], "tasks": [TaskSource(path=path) for path in paths]})


def _lock_of(saved: SavedJob, chosen: Sequence[SavedTrial], *, accept_changes: bool) -> JobLock:
    """What the chosen trials are made of now. Raises JobInvalid when that has changed, and nobody agreed to it."""
    lock = job_lock(saved.config, [trial.plan for trial in chosen])
    changes = list(_changes(chosen, lock))
    if changes and not accept_changes:
        named = "; ".join(changes[:MAX_NAMED_CHANGES])
        more = f"; and {len(changes) - MAX_NAMED_CHANGES} more" if len(changes) > MAX_NAMED_CHANGES else ""
        raise JobInvalid(
            f"{saved.directory}: not what it was when the job began: {named}{more}. Put it back, or give "
            "--accept-changes to run the other trials with it"
        )
    return lock


def _changes(chosen: Sequence[SavedTrial], lock: JobLock) -> Iterator[str]:
    """Each change that a result may depend on, once, with the task whose it is."""
    found: dict[str, list[str]] = defaultdict(list)
    for trial, new in zip(chosen, lock.with_contents(), strict=True):
        if trial.lock is None:
            continue
        for sentence in _sentences(_comparable(trial.lock, new), new):
            found[sentence].append(trial.plan.name)
    yield from found


def _sentences(old: TrialLock, new: TrialLock) -> Iterator[str]:
    if new.pier_site.problem and not old.pier_site.problem:
        yield f"task {new.pier_site.problem}"
        return
    for difference in differences(old, new):
        if difference.effect is not Effect.NONE:
            of_task = difference.kind in ("task file", "task table") or difference.name.startswith("task.")
            yield f"{f'{new.task.name}: ' if of_task else ''}{difference.sentence()}"


def _comparable(old: TrialLock, new: TrialLock) -> TrialLock:
    """Of a lock of pier or harbor only the task's digest is compared: config.json has all else, and it alone."""
    return old if old.pier_site.trial_name else _with_task_of(old, new)


def _with_task_of(old: TrialLock, new: TrialLock) -> TrialLock:
    notes = new.pier_site.model_copy(update={"contents": None})
    return new.model_copy(update={"task": old.task, "pier_site": notes})


def _write_lock(saved: SavedJob, new: JobLock) -> None:
    if saved.lock:
        if new.trials:
            update_job_lock(saved.directory, saved.lock, new)
    elif not (saved.directory / "lock.json").exists():
        write_job_lock(saved.config, [trial.plan for trial in saved.trials])
