"""The rows of a new job: it and all its trials are in the database from the moment they are queued."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from django.db import transaction

from pier_site.accounts.models import Project
from runs.agents.registry import agent_name
from runs.formats.job import JobConfig
from runs.formats.result import model_info_of
from runs.indexing.columns import label_of
from runs.indexing.job import refresh_counters
from runs.models import Job, Origin, Status, Trial
from runs.owner import this_owner
from runs.trial.plan import TrialPlan
from runs.trial.rows import cancel_queued

BATCH = 1000


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
        status=Status.RUNNING,
        config=config.model_dump(mode="json"),
        started_at=now,
        sorted_at=now,
        n_trials=len(plans),
        agents=sorted({_label(plan) for plan in plans}),
    )
    trials = Trial.objects.bulk_create([_trial(job, plan, owner) for plan in plans], batch_size=BATCH)
    return job, {trial.name: trial.pk for trial in trials}


def end_job(job: Job, *, cancelled: bool) -> None:
    """Write how the job ended."""
    if cancelled:
        cancel_queued(job)
    job.status = Status.CANCELLED if cancelled else Status.FINISHED
    job.finished_at = datetime.now(UTC)
    job.save(update_fields=["status", "finished_at"])
    refresh_counters(job)


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
        sandbox=plan.config.environment.type or "",
        owner=owner,
    )


def _label(plan: TrialPlan) -> str:
    model = model_info_of(plan.config.agent.model_name)
    return label_of(agent_name(plan.config.agent), model.name if model else "")
