"""A trial's row while it runs: claimed, moved from phase to phase, ended. A superseded execution can write nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction

from runs.checkpoints import Checkpoint, checkpoint
from runs.errors import ExecutionSuperseded
from runs.formats.result import TrialResult
from runs.indexing.trial import index_trial
from runs.models import LIVE, Job, Phase, Status, Trial
from runs.trial.plan import TrialPlan

# What a trial's row may say when its runner ends it; the reaper's `interrupted` is final.
OURS_TO_END = (Status.RUNNING, Status.FINISHED, Status.CANCELLED)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right of one runner to write one execution of one trial."""

    trial_id: int
    execution: int
    owner: str


@transaction.atomic
def claim(trial_id: int, owner: str) -> Claim:
    """Take a queued trial of this owner's or of no one's. Raises ExecutionSuperseded when there is none any more."""
    now = datetime.now(UTC)
    taken = Trial.objects.filter(pk=trial_id, status=Status.QUEUED, owner__in=("", owner)).update(
        status=Status.RUNNING, owner=owner, heartbeat_at=now, started_at=now
    )
    if not taken:
        raise ExecutionSuperseded(f"trial {trial_id} is not queued any more")
    execution = Trial.objects.values_list("execution", flat=True).get(pk=trial_id)
    return Claim(trial_id, execution, owner)


def set_phase(mine: Claim, phase: Phase) -> None:
    """Say how far the trial is. Raises ExecutionSuperseded."""
    _update(mine, phase=phase)


def finish(mine: Claim, job: Job, plan: TrialPlan, *, cancelled: bool) -> None:
    """Index the trial's final files and end its row. Raises ExecutionSuperseded, with nothing written.

    The indexer has its own short transaction, fenced by owner and execution too: reading files holds no lock. It may
    have ended the row already, where the connection broke behind it and this is called again.
    """
    _update(mine, *OURS_TO_END, phase="")
    index_trial(job, plan.directory, only_if_changed=False, owner=mine.owner)
    checkpoint(Checkpoint.TRIAL_INDEXED)
    status = Status.CANCELLED if cancelled else Status.FINISHED
    ended = Trial.objects.filter(pk=mine.trial_id, execution=mine.execution, owner=mine.owner)
    if not ended.update(status=status, phase="", attempt=plan.attempt):
        raise ExecutionSuperseded(f"trial {mine.trial_id}: a newer execution has taken it over")


def queue_again(mine: Claim) -> None:
    """Queue the trial for its next execution, still this runner's. Raises ExecutionSuperseded."""
    _update(mine, phase="", status=Status.QUEUED, execution=mine.execution + 1)
    checkpoint(Checkpoint.TRIAL_QUEUED_AGAIN)


def keep_result(job: Job, plan: TrialPlan, result: TrialResult, owner: str) -> bool:
    """End a trial that is not begun again as the files of its latest execution say; False if it isn't this runner's."""
    mine = Trial.objects.filter(job=job, name=plan.name, owner=owner, status__in=(Status.QUEUED, Status.CANCELLED))
    if not mine.update(status=Status.FINISHED, phase="", execution=result.execution or plan.execution - 1):
        return False
    index_trial(job, plan.directory, only_if_changed=False, owner=owner)
    return True


def _update(mine: Claim, *statuses: Status, **columns: str | int) -> None:
    written = Trial.objects.filter(
        pk=mine.trial_id, execution=mine.execution, owner=mine.owner, status__in=statuses or (Status.RUNNING,)
    ).update(heartbeat_at=datetime.now(UTC), **columns)
    if not written:
        raise ExecutionSuperseded(f"trial {mine.trial_id}: a newer execution has taken it over")


def beat(owner: str) -> set[int]:
    """Say that this runner is alive, and return the ids of its trials that someone asked to cancel. Two queries."""
    mine = Trial.objects.filter(owner=owner, status=Status.RUNNING)
    mine.update(heartbeat_at=datetime.now(UTC))
    return set(mine.exclude(cancel_requested_at=None).values_list("pk", flat=True))


def withdrawn(trial_ids: Iterable[int]) -> set[int]:
    """Those of the trials, all of which were queued, that someone has cancelled since. One query."""
    return set(Trial.objects.filter(pk__in=trial_ids, status=Status.CANCELLED).values_list("pk", flat=True))


def cancel_queued(job: Job) -> None:
    """End the trials of a job that were never begun."""
    Trial.objects.filter(job=job, status=Status.QUEUED).update(status=Status.CANCELLED)


def has_live_trials(job: Job) -> bool:
    """Whether a trial of the job is queued or running."""
    return Trial.objects.filter(job=job, status__in=LIVE).exists()
