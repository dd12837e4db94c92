"""Cleans up after runners that died: their sandboxes go, their rows become `interrupted`, half-written files go.

What is alive is never touched, nor what is foreign: owners on other machines, and things without an owner.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from runs.errors import InputInvalid, PierError
from runs.files import remove_temporaries
from runs.formats.job import EnvironmentConfig
from runs.indexing.job import index_job, refresh_counters
from runs.models import LIVE, Job, Origin, Status, Trial
from runs.owner import is_alive
from runs.sandboxes.host import remove_leftover_folders
from runs.trial.directory import TrialDirectory

if TYPE_CHECKING:
    from docker import APIClient


def reap(api: "APIClient | None") -> list[str]:
    """Clean up, and tell it in one line for each thing; no lines when there was nothing. `api` is None for no engine.

    Sandboxes go first, so that nothing they do can still change what is indexed. Costs two queries and three calls of
    the engine when there is nothing to do.
    """
    lines = []
    if api is not None:
        from runs.sandboxes.docker_reap import remove_leftovers

        lines += remove_leftovers(api)
    lines += [f"folder {folder}: removed" for folder in remove_leftover_folders()]
    for job in abandoned_jobs():
        lines += close_abandoned(job)
    return lines


def reap_before(environment: EnvironmentConfig) -> None:
    """Clean up, without a word, before a job is run in this kind of sandbox. Raises EngineUnavailable."""
    if environment.import_path or environment.type not in ("docker", "host"):
        return
    if environment.type == "host":
        reap(None)
        return
    from runs.sandboxes.engine import Engine

    engine = Engine.connect()
    try:
        reap(engine.api)
    finally:
        engine.close()


def abandoned_jobs() -> list[Job]:
    """Jobs with a live trial whose owner is dead, and live jobs whose trials' owners are all dead."""
    with_trials = Trial.objects.live().exclude(owner="").values_list("job", "owner").distinct().order_by("job")
    found = {job for job, owner in with_trials if not is_alive(owner)}
    for job in Job.objects.filter(origin=Origin.PIER_SITE, status__in=LIVE).only("pk"):
        if _has_only_dead_owners(job):
            found.add(job.pk)
    return list(Job.objects.filter(pk__in=found).select_related("project").order_by("pk"))


def is_abandoned(job: Job) -> bool:
    """Whether the job is one of `abandoned_jobs`."""
    live = job.trials.live().exclude(owner="").values_list("owner", flat=True).distinct()
    return any(not is_alive(owner) for owner in live) or (job.is_live and _has_only_dead_owners(job))


def _has_only_dead_owners(job: Job) -> bool:
    owners = _owners(job)
    return bool(owners) and not any(map(is_alive, owners))


def _owners(job: Job) -> set[str]:
    return set(job.trials.exclude(owner="").values_list("owner", flat=True).distinct())


def close_abandoned(job: Job) -> list[str]:
    """End the rows of dead owners in a job as its files say: with the result where it is complete, else interrupted.

    A trial that another runner has taken over has that runner's name, and is not touched.
    """
    dead = [owner for owner in _owners(job) if not is_alive(owner)]
    orphans = job.trials.live().filter(owner__in=dead)
    names = list(orphans.values_list("name", flat=True))
    orphans.update(status=Status.INTERRUPTED, phase="")
    directory = Path(job.directory)
    lines = []
    try:
        lines += [f"file {path}: removed" for path in _remove_partial_files(directory, names)]
        if not directory.is_dir():
            raise InputInvalid(f"{directory}: there is no such directory any more")
        # The only writer of these rows is dead, so the files say how each trial ended.
        index_job(job.project, directory)
    except (PierError, OSError) as error:
        # One broken directory must not keep others from being cleaned up, nor new jobs from starting.
        refresh_counters(job)
        Job.objects.filter(pk=job.pk).update(status=Status.INTERRUPTED)
        lines.append(f"job {job.name}: its files could not be read ({error})")
    now = dict(job.trials.filter(name__in=names).values_list("name", "status")) if names else {}
    lines += [f"trial {job.name}/{name}: {now[name]}" for name in names]
    job.refresh_from_db()
    return [*lines, f"job {job.name}: {job.status}, {job.n_finished} of {job.n_trials} trials have ended"]


def _remove_partial_files(job: Path, trials: Iterable[str]) -> list[Path]:
    """What a write left that was cut off; `executions/` is history and stays as it is."""
    folders = [job]
    for name in trials:
        folders += TrialDirectory(job / name).written_folders()
    return [path for folder in folders for path in remove_temporaries(folder)]
