"""The rows of a job that is run: it and all its trials are in the database from the moment they are queued."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from pier_site.accounts.models import Project
from runs.agents.registry import agent_name
from runs.errors import InputInvalid
from runs.formats.job import JobConfig
from runs.formats.result import model_info_of
from runs.indexing.columns import label_of
from runs.indexing.following_up import job_indexed
from runs.indexing.job import refresh_counters
from runs.indexing.scan import purpose_of
from runs.models import Job, Origin, Status, Trial
from runs.owner import is_alive, this_owner
from runs.trial.plan import TrialPlan
from runs.trial.rows import cancel_queued

BATCH = 1000
# What the row of a trial that waits for its next execution says: nothing of the earlier ones.
NOT_BEGUN: Final[dict[str, Any]] = {
    "status": Status.QUEUED,
    "phase": "",
    "reward": None,
    "rewards": None,
    "exception_type": "",
    "exception_message": "",
    "cause": "",
    "step_results": [],
    "cost_usd": None,
    "repriced_usd": None,
    "started_at": None,
    "finished_at": None,
    "heartbeat_at": None,
    "cancel_requested_at": None,
    # Also an unchanged file is read again, should the trial not be begun after all.
    "file_stamps": {},
}


@transaction.atomic
def create_rows(
    project: Project, config: JobConfig, job_id: UUID, plans: Sequence[TrialPlan]
) -> tuple[Job, dict[str, int]]:
    """Write the job and its queued trials; returns the job and the ids of the trials by name.

    They are this process's from now on: should it die, the reaper finds those that it never began.
    """
    now, owner = datetime.now(UTC), this_owner()
    job = Job.objects.create(
        project=project,
        directory=str(config.path),
        name=config.job_name,
        uuid=str(job_id),
        origin=Origin.PIER_SITE,
        purpose=purpose_of(config.path),
        status=Status.RUNNING,
        config=config.model_dump(mode="json"),
        started_at=now,
        sorted_at=now,
        n_trials=len(plans),
        agents=sorted({_label(plan) for plan in plans}),
    )
    trials = Trial.objects.bulk_create([_trial(job, plan, owner) for plan in plans], batch_size=BATCH)
    return job, {trial.name: trial.pk for trial in trials}


@transaction.atomic
def take_over(job: Job, plans: Sequence[TrialPlan], chosen: Sequence[TrialPlan]) -> dict[str, int]:
    """Make this process the runner of an existing job: queue the chosen trials, and return the ids of all by name.

    `plans` are all trials that the job has: a row that is none of them was never begun, and goes; one that is missing
    is made. Raises InputInvalid, with nothing written, when someone else runs the job.
    """
    # Two that come at the same time: the second one waits here, and finds the trials of the first.
    job = Job.objects.select_for_update().get(pk=job.pk)
    _refuse_if_run_by_others(job)
    rows = {trial.name: trial for trial in job.trials.only("pk", "name", "execution")}
    names = {plan.name for plan in plans}
    job.trials.filter(pk__in=[row.pk for name, row in rows.items() if name not in names]).delete()
    missing = [plan for plan in plans if plan.name not in rows]
    rows |= {row.name: row for row in Trial.objects.bulk_create([_trial(job, plan, "") for plan in missing])}
    owner, queued = this_owner(), []
    for plan in chosen:
        fresh = {**NOT_BEGUN, "owner": owner, "execution": plan.execution, "attempt": plan.attempt}
        for column, value in fresh.items():
            setattr(rows[plan.name], column, value)
        queued.append(rows[plan.name])
    Trial.objects.bulk_update(queued, [*NOT_BEGUN, "owner", "execution", "attempt"], batch_size=BATCH)
    Job.objects.filter(pk=job.pk).update(
        status=Status.RUNNING, finished_at=None, origin=Origin.PIER_SITE, n_trials=len(plans)
    )
    return {name: rows[name].pk for name in names}


def _refuse_if_run_by_others(job: Job) -> None:
    """Raise InputInvalid when a process that lives, or another program, has trials of the job."""
    # Between its last trial's end and its own a job is live and none of its trials is.
    trials = job.trials.all() if job.is_live else job.trials.live()
    owners = set(trials.values_list("owner", flat=True).distinct())
    others = sorted(owner for owner in owners - {"", this_owner()} if is_alive(owner))
    if others:
        raise InputInvalid(f"{job.name}: {others[0]} is running this job; nothing was done")
    if job.trials.live().filter(owner="").exists():
        raise InputInvalid(
            f"{job.name}: its files changed within the last two minutes, another program may be running it: "
            "stop that, or wait and try again"
        )


def end_job(job: Job, status: Status) -> None:
    """Write how the job ended; trials that were not begun are cancelled with a cancelled job.

    Who follows up on jobs is told.
    """
    if status == Status.CANCELLED:
        cancel_queued(job)
    job.status = status
    job.finished_at = None if status == Status.INTERRUPTED else datetime.now(UTC)
    job.save(update_fields=["status", "finished_at"])
    refresh_counters(job)
    job_indexed(job)


def _trial(job: Job, plan: TrialPlan, owner: str) -> Trial:
    model = model_info_of(plan.config.agent.model_name)
    return Trial(
        job=job,
        name=plan.name,
        task_name=plan.task_path.name,
        task_path=str(plan.task_path),
        source=plan.config.task.source or "",
        attempt=plan.attempt,
        agent_name=agent_name(plan.config.agent),
        model_name=model.name if model else "",
        model_provider=model.provider or "" if model else "",
        reasoning_effort=str(plan.config.agent.kwargs.get("reasoning_effort") or "")[:40],
        sandbox=plan.config.environment.type or "",
        owner=owner,
    )


def _label(plan: TrialPlan) -> str:
    model = model_info_of(plan.config.agent.model_name)
    return label_of(agent_name(plan.config.agent), model.name if model else "")
