"""One job in figures: by agent, by exception, what is in flight, and where cost and time are heading."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Avg, Count, F, OuterRef, Q, QuerySet, Subquery, Sum

from runs.indexing.causes import RULES
from runs.indexing.values import count as count_in
from runs.models import LIVE, Cause, Job, Phase, Status, Step, Trial, seconds_between

MAX_IN_FLIGHT = 100
MAX_EXCEPTIONS = 50
MAX_MESSAGE_CHARS = 300


@dataclass(frozen=True, slots=True)
class AgentLine:
    """One agent with one model. Means are over the trials that have the figure."""

    agent: str
    n_trials: int
    n_ended: int
    n_rewarded: int
    mean_reward: float | None
    n_exceptions: int
    cost_usd: float | None
    mean_duration_sec: float | None


@dataclass(frozen=True, slots=True)
class ExceptionLine:
    """One kind of exception, with an example. `n_rewarded` of its trials have a reward beside it."""

    cause: str
    exception_type: str
    n_trials: int
    n_rewarded: int
    may_be_retried: bool
    reward_counts: bool
    example: str
    message: str


@dataclass(frozen=True, slots=True)
class TrialInFlight:
    """A running trial; `last_step` is empty while its agent has written none."""

    pk: int
    name: str
    agent: str
    phase: str
    elapsed_sec: float | None
    n_steps: int
    last_step: str
    is_being_cancelled: bool


@dataclass(frozen=True, slots=True)
class JobReport:
    """A job as it stands. The projections are None once it has ended, and while there is nothing to go by."""

    name: str
    status: str
    origin: str
    directory: str
    started_at: datetime | None
    finished_at: datetime | None
    n_trials: int
    n_ended: int
    n_running: int
    n_rewarded: int
    mean_reward: float | None
    cost_usd: float | None
    projected_cost_usd: float | None
    estimated_end_at: datetime | None
    agents: Sequence[AgentLine]
    exceptions: Sequence[ExceptionLine]
    in_flight: Sequence[TrialInFlight]


def job_report(job: Job, *, now: datetime | None = None) -> JobReport:
    """The report; a fixed number of queries, but for one for each kind of exception."""
    now = now or datetime.now(UTC)
    running = list(job.trials.filter(status=Status.RUNNING).order_by("started_at", "pk")[:MAX_IN_FLIGHT])
    last_steps = _last_steps(running)
    return JobReport(
        name=job.name,
        status=job.status,
        origin=job.origin,
        directory=job.directory,
        started_at=job.started_at,
        finished_at=job.finished_at,
        n_trials=job.n_trials,
        n_ended=job.n_finished,
        n_running=job.n_running,
        n_rewarded=job.n_rewarded,
        mean_reward=job.mean_reward,
        cost_usd=job.cost_usd,
        projected_cost_usd=_projected_cost_usd(job),
        estimated_end_at=_estimated_end_at(job, running, now),
        agents=_agents(job.trials.all()),
        exceptions=_exceptions(job),
        in_flight=[_in_flight(trial, last_steps.get(trial.pk), now) for trial in running],
    )


def _agents(trials: QuerySet[Trial]) -> list[AgentLine]:
    groups = trials.values_list("agent_name", "model_name").annotate(
        n=Count("pk"),
        ended=Count("pk", filter=~Q(status__in=LIVE)),
        rewarded=Count("reward"),
        mean=Avg("reward"),
        exceptions=Count("pk", filter=~Q(exception_type="")),
        cost=Sum("cost_usd"),
        duration=Avg(F("finished_at") - F("started_at")),
    )
    return [
        AgentLine(
            agent=f"{agent} · {model}" if model else agent,
            n_trials=n,
            n_ended=ended,
            n_rewarded=rewarded,
            mean_reward=mean,
            n_exceptions=exceptions,
            cost_usd=cost,
            mean_duration_sec=duration.total_seconds() if duration is not None else None,
        )
        for agent, model, n, ended, rewarded, mean, exceptions, cost, duration in groups.order_by(
            "agent_name", "model_name"
        )
    ]


def _exceptions(job: Job) -> list[ExceptionLine]:
    failed = job.trials.exclude(exception_type="")
    groups = failed.values_list("cause", "exception_type").annotate(n=Count("pk"), rewarded=Count("reward"))
    lines = []
    for cause_name, name, n, rewarded in groups.order_by("-n", "cause", "exception_type")[:MAX_EXCEPTIONS]:
        cause = Cause(cause_name) if cause_name in Cause.values else Cause.UNKNOWN
        example = failed.filter(cause=cause_name, exception_type=name).order_by("pk").first()
        lines.append(
            ExceptionLine(
                cause=cause.value,
                exception_type=name,
                n_trials=n,
                n_rewarded=rewarded,
                may_be_retried=RULES[cause].may_be_retried,
                reward_counts=RULES[cause].reward_counts,
                example=example.name if example else "",
                message=_first_line(example.exception_message) if example else "",
            )
        )
    return lines


def _first_line(message: str) -> str:
    return message.strip().partition("\n")[0][:MAX_MESSAGE_CHARS]


def _last_steps(trials: Sequence[Trial]) -> dict[int, Step]:
    """The newest step of each trial that has one; two queries."""
    newest = Step.objects.filter(trial=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    ids = Trial.objects.filter(pk__in=[trial.pk for trial in trials]).annotate(newest=Subquery(newest))
    steps = Step.objects.filter(pk__in=list(ids.values_list("newest", flat=True)))
    return {step.trial_id: step for step in steps.only("trial_id", "step_id", "source", "summary")}


def _in_flight(trial: Trial, last: Step | None, now: datetime) -> TrialInFlight:
    return TrialInFlight(
        pk=trial.pk,
        name=trial.name,
        agent=trial.agent_label,
        phase=str(Phase(trial.phase).label) if trial.phase in Phase.values else "",
        elapsed_sec=seconds_between(trial.started_at, now),
        n_steps=trial.n_steps,
        last_step=f"{last.step_id} {last.source}: {last.summary}" if last else "",
        is_being_cancelled=trial.cancel_requested_at is not None,
    )


def _projected_cost_usd(job: Job) -> float | None:
    """What the job will have cost if its other trials cost what the ended ones did."""
    if not job.is_live:
        return None
    known = job.trials.exclude(status__in=LIVE).aggregate(n=Count("cost_usd"), total=Sum("cost_usd"))
    return known["total"] / known["n"] * job.n_trials if known["n"] else None


def _estimated_end_at(job: Job, running: Sequence[Trial], now: datetime) -> datetime | None:
    """When the job will end if its other trials take as long as the ended ones did, and no place stays free."""
    if not job.is_live:
        return None
    ended = job.trials.filter(status=Status.FINISHED, finished_at__gt=F("started_at"))
    mean = ended.aggregate(mean=Avg(F("finished_at") - F("started_at")))["mean"]
    n_left = job.n_trials - job.n_finished
    if mean is None or n_left <= 0:
        return None
    spent = sum(min(mean.total_seconds(), seconds_between(trial.started_at, now) or 0.0) for trial in running)
    places = max(1, min(n_left, count_in(job.config.get("n_concurrent_trials"), 10**6) or len(running)))
    left = max(0.0, mean.total_seconds() * n_left - spent)
    return now + timedelta(seconds=left / places)
