"""Figures of many trials together: of a job, and of each agent in it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from runs.jobs.telemetry import COUNTED, PASSED, PHASES, TrialTelemetry
from runs.models import Job


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums and rates over trials. Rates are None where nothing is there to divide by, sums where nothing is known."""

    label: str
    n_trials: int
    outcomes: Mapping[str, int]
    n_counted: int
    """Trials whose reward says something of the agent."""
    pass_rate: float | None
    mean_reward: float | None
    causes: Mapping[str, int]
    n_steps: int
    n_agent_steps: int
    n_tool_calls: int
    n_error_steps: int
    error_rate: float | None
    """Of the agent's steps, those with a call that failed."""
    tools: Mapping[str, int]
    n_test_runs: int
    n_tested: int
    """Trials in which tests were run at all."""
    n_edits: int
    n_compactions: int
    peak_context_tokens: int | None
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    cost_per_pass_usd: float | None
    median_duration_sec: float | None
    phases_sec: Mapping[str, float | None]
    flags: Mapping[str, int]
    """Trials by flag."""


@dataclass(frozen=True, slots=True)
class JobTelemetry:
    """A job in figures."""

    name: str
    directory: str
    status: str
    origin: str
    totals: Totals
    agents: Sequence[Totals]
    trials: Sequence[TrialTelemetry]


def job_telemetry(job: Job, trials: Sequence[TrialTelemetry]) -> JobTelemetry:
    """The job with the figures of its trials; no query."""
    labels = sorted({trial.agent for trial in trials})
    return JobTelemetry(
        name=job.name,
        directory=job.directory,
        status=job.status,
        origin=job.origin,
        totals=totals_of("all", trials),
        agents=[totals_of(label, [trial for trial in trials if trial.agent == label]) for label in labels],
        trials=trials,
    )


def totals_of(label: str, trials: Sequence[TrialTelemetry]) -> Totals:
    """The figures of the trials together."""
    outcomes = Counter(trial.outcome for trial in trials)
    counted = [trial for trial in trials if trial.outcome in COUNTED]
    rewards = [trial.reward for trial in counted if trial.reward is not None]
    durations = [trial.duration_sec for trial in trials if trial.duration_sec is not None]
    cost, n_passed = _sum(trial.cost_usd for trial in trials), outcomes[PASSED]
    n_agent_steps, n_error_steps = sum(trial.n_agent_steps for trial in trials), sum(t.n_error_steps for t in trials)
    tools: Counter[str] = Counter()
    for trial in trials:
        tools.update(trial.tools)
    return Totals(
        label=label,
        n_trials=len(trials),
        outcomes=dict(outcomes.most_common()),
        n_counted=len(counted),
        pass_rate=n_passed / len(counted) if counted else None,
        mean_reward=fmean(rewards) if rewards else None,
        causes=dict(Counter(trial.cause for trial in trials if trial.cause).most_common()),
        n_steps=sum(trial.n_steps for trial in trials),
        n_agent_steps=n_agent_steps,
        n_tool_calls=tools.total(),
        n_error_steps=n_error_steps,
        error_rate=n_error_steps / n_agent_steps if n_agent_steps else None,
        tools=dict(tools.most_common()),
        n_test_runs=sum(trial.tests.n_runs for trial in trials),
        n_tested=sum(trial.tests.n_runs > 0 for trial in trials),
        n_edits=sum(trial.n_edits for trial in trials),
        n_compactions=sum(trial.n_compactions for trial in trials),
        peak_context_tokens=max(
            (t.peak_context_tokens for t in trials if t.peak_context_tokens is not None), default=None
        ),
        input_tokens=_sum(trial.input_tokens for trial in trials),
        cached_tokens=_sum(trial.cached_tokens for trial in trials),
        output_tokens=_sum(trial.output_tokens for trial in trials),
        cost_usd=cost,
        cost_per_pass_usd=cost / n_passed if cost is not None and n_passed else None,
        median_duration_sec=median(durations) if durations else None,
        phases_sec={phase: _sum(trial.phases_sec[phase] for trial in trials) for phase in PHASES},
        flags=dict(Counter(flag for trial in trials for flag in trial.flags).most_common()),
    )


def _sum[N: (int, float)](values: Iterable[N | None]) -> N | None:
    """The sum of what is known, None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None
