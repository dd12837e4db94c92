"""Asking what is queued or running to stop. Whoever runs the trials does it, at its next heartbeat."""

from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction

from runs.errors import InputInvalid
from runs.indexing.job import refresh_counters
from runs.jobs.naming import find_job_or_trial
from runs.models import Job, Status, Trial
from runs.owner import is_alive


@dataclass(frozen=True, slots=True)
class Cancellation:
    """What was asked for: so many running trials will be stopped, so many queued ones are cancelled already."""

    name: str
    n_running: int
    n_queued: int


def cancel(name: str) -> Cancellation:
    """Cancel the job or the trial of a name. Raises InputInvalid when there is none, or nothing of it runs here."""
    return cancel_target(find_job_or_trial(name))


def cancel_target(target: Job | Trial) -> Cancellation:
    """Cancel a job, or one trial of it. Raises InputInvalid when nothing of it runs here.

    A running trial is stopped within seconds: its sandbox goes and its result says `CancelledError`.
    """
    job = target if isinstance(target, Job) else target.job
    trials = job.trials.live() if isinstance(target, Job) else Trial.objects.live().filter(pk=target.pk)
    owners = set(trials.values_list("owner", flat=True).distinct())
    if not owners:
        raise InputInvalid(f"{target.name}: nothing of it is queued or running, it is {target.status}")
    if owners == {""}:
        raise InputInvalid(f"{target.name} is not run by Pier Site: stop the program that runs it")
    if not any(is_alive(owner) for owner in owners if owner):
        raise InputInvalid(f"{target.name}: the process that ran it has died; `pierjob reap` cleans up after it")
    with transaction.atomic():
        # First all, then the queued ones: what moves between the two states meanwhile is found by its runner.
        trials.update(cancel_requested_at=datetime.now(UTC))
        n_queued = trials.filter(status=Status.QUEUED).update(status=Status.CANCELLED)
        n_running = trials.filter(status=Status.RUNNING).count()
    refresh_counters(job)
    return Cancellation(target.name, n_running=n_running, n_queued=n_queued)
