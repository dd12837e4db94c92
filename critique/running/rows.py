"""The rows of a critique run that begins: its job, whose trials are the critics, the run itself, its open critiques."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from django.db import transaction

from critique.models import Critique, CritiqueRun, Outcome
from critique.running.planning import Plan, digest_of_prompt, job_config_of
from pier_site.accounts.models import Project, User
from runs.errors import InputInvalid
from runs.indexing.job import directory_of, index_job
from runs.models import Job, Purpose, Trial
from runs.scheduling.reap import close_abandoned, is_abandoned
from runs.scheduling.rows import create_rows, take_over
from runs.trial.plan import TrialPlan


def source_job_of(plan: Plan, project: Project) -> Job | None:
    """The row of the job that is looked at, which is indexed where it is not known; None for tasks."""
    if plan.config.subject == "task":
        return None
    known = Job.objects.filter(project=project, directory=directory_of(plan.config.source_dir)).first()
    return known or index_job(project, plan.config.source_dir).job


def run_row(
    plan: Plan, project: Project, *, run: CritiqueRun | None = None, approved_by: User | None = None
) -> CritiqueRun:
    """The row of the run, made or brought up to date; approved, by whom is known or by who started the command."""
    config = plan.config
    # First: where it is indexed only now, so are the critiques that it has.
    source_job = source_job_of(plan, project)
    run = run or CritiqueRun.objects.filter(project=project, directory=str(config.path)).first()
    run = run or CritiqueRun(project=project, directory=str(config.path))
    run.source_job = source_job
    run.name = config.run_name
    run.subject = config.subject
    run.rubric_id = plan.rubric_id
    run.prompt = config.prompt or ""
    run.prompt_digest = digest_of_prompt(config)
    run.config = config.model_dump(mode="json")
    run.parent = _parent(plan, project)
    run.question = config.question or ""
    if run.approved_at is None:
        run.plan = plan.as_json()
        run.approved_at, run.approved_by = datetime.now(UTC), approved_by
    run.save()
    return run


@transaction.atomic
def begin_rows(
    run: CritiqueRun, plan: Plan, plans: Sequence[TrialPlan], chosen: Sequence[TrialPlan], run_id: UUID
) -> dict[str, int]:
    """Make this process the runner of the chosen critics; returns the ids of all trials by name.

    Raises InputInvalid, with nothing written, when someone else runs them.
    """
    config = plan.config
    job = Job.objects.filter(project=run.project, directory=str(config.path)).first()
    if job is None:
        job, trial_ids = create_rows(run.project, job_config_of(config), run_id, plans)
        if len(chosen) < len(plans):
            trial_ids = take_over(job, plans, chosen)
    else:
        if is_abandoned(job):
            close_abandoned(job)
        trial_ids = take_over(job, plans, chosen)
    Job.objects.filter(pk=job.pk).update(purpose=Purpose.CRITIQUE, config=run.config)
    CritiqueRun.objects.filter(pk=run.pk).update(job=job)
    job.refresh_from_db()
    run.job = job
    _open_critiques(run, plan, trial_ids, [one.name for one in chosen])
    return trial_ids


def _open_critiques(run: CritiqueRun, plan: Plan, trial_ids: dict[str, int], chosen: Sequence[str]) -> None:
    """Each critique has a row from now on; those that are to be made are pending."""
    sources = _ids_of_sources(run)
    mine = Critique.objects.filter(trial__in=trial_ids.values())
    known = set(mine.values_list("trial__name", flat=True))
    mine.filter(trial__name__in=chosen).update(outcome=Outcome.PENDING, failure="")
    Critique.objects.bulk_create(
        [
            Critique(
                run=run,
                trial_id=trial_ids[item.name],
                source_trial_id=sources.get(item.source_name) if item.source else None,
                source_name=item.source_name,
                sample=item.sample,
            )
            for item in plan.items
            if item.name not in known
        ],
        batch_size=500,
    )


def _ids_of_sources(run: CritiqueRun) -> dict[str, int]:
    if run.source_job_id is None:
        return {}
    return dict(Trial.objects.filter(job=run.source_job_id).values_list("name", "pk"))


def _parent(plan: Plan, project: Project) -> Critique | None:
    """The critique that a question is about, if this site knows it."""
    name, _, of = (plan.config.parent or "").partition("/")
    directory = str(Path(plan.config.critiques_dir) / name)
    return Critique.objects.filter(run__project=project, run__directory=directory, trial__name=of).first()


def approved_plan(pk: int) -> CritiqueRun:
    """The plan of a number, which somebody approved. Raises InputInvalid: no approved plan, no spend."""
    run = CritiqueRun.objects.select_related("project", "approved_by").filter(pk=pk).first()
    if run is None:
        raise InputInvalid(f"there is no plan {pk}")
    if run.is_plan:
        raise InputInvalid(f"{run.name} is not approved: an owner approves it on its page, {run.get_absolute_url()}")
    return run
