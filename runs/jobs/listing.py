"""The jobs in a few words each, newest first. For terminals; pages have `runs.queries`."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count

from runs.models import Job, Trial


@dataclass(frozen=True, slots=True)
class JobLine:
    """One job. `exceptions` counts trials by cause; `mean_reward` is over the trials that have one."""

    name: str
    status: str
    started_at: datetime | None
    n_ended: int
    n_trials: int
    n_rewarded: int
    mean_reward: float | None
    exceptions: dict[str, int]
    cost_usd: float | None
    directory: str


def list_jobs(limit: int) -> list[JobLine]:
    """The newest `limit` jobs, without those of critics; two queries."""
    jobs = list(Job.objects.runs().defer("config", "problems").order_by("-sorted_at", "-pk")[:limit])
    causes: dict[int, dict[str, int]] = defaultdict(dict)
    failed = Trial.objects.filter(job__in=[job.pk for job in jobs]).exclude(exception_type="")
    for job_id, cause, count in (
        failed.values_list("job", "cause").annotate(n=Count("pk")).order_by("job", "-n", "cause")
    ):
        causes[job_id][cause or "unknown"] = count
    return [
        JobLine(
            name=job.name,
            status=job.status,
            started_at=job.started_at,
            n_ended=job.n_finished,
            n_trials=job.n_trials,
            n_rewarded=job.n_rewarded,
            mean_reward=job.mean_reward,
            exceptions=causes[job.pk],
            cost_usd=job.cost_usd,
            directory=job.directory,
        )
        for job in jobs
    ]
