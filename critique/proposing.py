"""From a wish to an approved run: a plan is kept, and a person approves or discards it. Only then is it started."""

from django.db import IntegrityError, transaction
from django.utils import timezone

from critique.formats.config import CritiqueRunConfig, SelectionConfig
from critique.models import Critique, CritiqueRun, Rubric
from critique.starting import start_run
from pier_site.accounts.models import User
from runs.errors import InputInvalid
from runs.models import Job, Origin

# Programs whose runs only they can go on with.
PEERS = (Origin.PIER, Origin.HARBOR)


def propose(
    config: CritiqueRunConfig, *, job: Job, by: User, rubric: Rubric | None, parent: Critique | None = None
) -> CritiqueRun:
    """Keep the plan of `config`, to be approved. Nothing is started, and no directory made.

    The trials of the plan are named one by one in the kept configuration: what is run is what was approved, whatever
    is added to the job meanwhile. Raises InputInvalid where nothing can be looked at.
    """
    from critique.running.planning import plan_run

    plan = plan_run(config, job.project)
    if not plan.wanted:
        reasons = "; ".join(f"{refusal.name}: {refusal.reason}" for refusal in plan.refused[:5])
        raise InputInvalid(f"There is nothing that a critic could look at. {reasons}")
    names = list(dict.fromkeys(item.source_name for item in plan.wanted if not item.is_summary))
    fixed = plan.config.model_copy(update={"selection": SelectionConfig(trial_names=names)})
    for number in range(1, 100):
        name = config.run_name if number == 1 else f"{config.run_name}-{number}"
        fixed = fixed.model_copy(update={"run_name": name})
        if fixed.path.exists():
            continue
        try:
            with transaction.atomic():
                return CritiqueRun.objects.create(
                    project=job.project,
                    source_job=job,
                    name=name,
                    directory=str(fixed.path),
                    subject=fixed.subject,
                    rubric=rubric,
                    prompt=fixed.prompt or "",
                    config=fixed.model_dump(mode="json"),
                    plan=plan.as_json() | {"n_sources": len(names)},
                    parent=parent,
                    question=fixed.question or "",
                    created_by=by,
                )
        except IntegrityError:
            # Another plan was made in the same second.
            continue
    raise InputInvalid(f"{config.run_name}: there are too many runs of this name")


def approve(run: CritiqueRun, by: User) -> bool:
    """Approve a plan and start it; False where it was approved before. Raises InputInvalid where no process starts.

    Of several who approve at once, one starts it.
    """
    written = CritiqueRun.objects.filter(pk=run.pk, approved_at=None).update(approved_at=timezone.now(), approved_by=by)
    if not written:
        return False
    run.refresh_from_db()
    start_run(run)
    return True


def discard(run: CritiqueRun) -> None:
    """Forget a plan. Raises InputInvalid where it was approved meanwhile."""
    deleted, _ = CritiqueRun.objects.filter(pk=run.pk, approved_at=None).delete()
    if not deleted:
        raise InputInvalid(f"{run.name} was approved meanwhile: cancel it instead")


def start_again(run: CritiqueRun) -> None:
    """Go on with an approved run: what failed, and what is missing. Raises InputInvalid while it is at work."""
    if run.is_plan:
        raise InputInvalid(f"{run.name} is a plan: approve it first")
    if run.job is not None and run.job.is_live:
        raise InputInvalid(f"{run.name} is still at work")
    if run.job is not None and run.job.origin in PEERS:
        raise InputInvalid(f"{run.name} was written by {run.job.origin}: it cannot go on here")
    start_run(run)
