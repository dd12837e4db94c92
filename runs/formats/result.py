"""`result.json` of trials and jobs, in the JSON shape that `pier view` and `harbor view` read.

For what this project writes and reads back; what other tools wrote over the years is read by indexing, leniently.
Peers ignore keys they don't know, so ours (`cause`, `attempt`, ...) stand beside theirs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID, uuid4

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from runs.errors import Cause
from runs.formats.dumping import dump_model
from runs.formats.job_sections import MetricConfig

ADHOC: Final = "adhoc"
CANCELLED: Final = "CancelledError"
# In a job's `pier_site`, where its trials were regraded: the names of the jobs that they come from.
REGRADED_FROM: Final = "regraded_from"

Rewards = dict[str, float]


def _in_utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


UtcDatetime = Annotated[datetime, AfterValidator(_in_utc)]


class _Result(BaseModel):
    """A part of a result file."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class ModelInfo(_Result):
    """A model without its provider prefix, and the provider."""

    name: str
    provider: str | None = None


class AgentInfo(_Result):
    """Which agent ran, in which version (`unknown` where it doesn't tell), with which model."""

    name: str
    version: str = "unknown"
    model_info: ModelInfo | None = None


class AgentContext(_Result):
    """What an agent used. Input tokens include cached ones; None means unknown, never 0."""

    n_input_tokens: int | None = None
    n_cache_tokens: int | None = None
    n_output_tokens: int | None = None
    cost_usd: float | None = None
    peak_context_tokens: int | None = None
    summarization_count: int | None = None
    n_agent_steps: int | None = None
    rollout_details: list[dict[str, Any]] | None = None
    metadata: dict[str, Any] | None = None


class VerifierResult(_Result):
    """The named rewards, where the verifier gave some. `exit_code` is recorded and never changes a reward."""

    rewards: Rewards | None = None
    exit_code: int | None = None


class ExceptionInfo(_Result):
    """Why a trial or step did not end as planned; `cause` says whose fault it is."""

    exception_type: str
    exception_message: str
    exception_traceback: str = ""
    occurred_at: UtcDatetime
    cause: Cause | None = None


class Timing(_Result):
    """When a phase began and ended."""

    started_at: UtcDatetime | None = None
    finished_at: UtcDatetime | None = None

    @property
    def duration_sec(self) -> float | None:
        """How long the phase took, or None while it is open."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


class ImageInfo(_Result):
    """The image that the agent's sandbox was started from; `digest` is the registry's, null for what was built."""

    reference: str
    id: str
    digest: str | None = None
    platform: str
    origin: Literal["prebuilt", "built"]


class FinalState(_Result):
    """What `changes.patch` and `workspace.tar.zst` hold; null is what could not be had, and `notes` say why.

    `patch_base` is `git` (against `patch_commit`, paths below `workdir`) or `filesystem` (against the image, paths
    below the root). `n_left_out` counts changed files beyond the limits; `is_cut` says that the patch is not whole.
    `n_changed_outside` counts what a patch of a repository does not tell: changes outside `workdir`.
    """

    workdir: str | None = None
    patch_base: str | None = None
    patch_commit: str | None = None
    patch_size_bytes: int | None = None
    n_changed_files: int | None = None
    n_changed_outside: int | None = None
    n_left_out: int = 0
    is_cut: bool = False
    workspace_size_bytes: int | None = None
    workspace_tar_bytes: int | None = None
    notes: list[str] = []


class StepResult(_Result):
    """What became of one `[[steps]]` entry."""

    step_name: str
    agent_result: AgentContext | None = None
    verifier_result: VerifierResult | None = None
    exception_info: ExceptionInfo | None = None
    agent_execution: Timing | None = None
    verifier: Timing | None = None
    final_state: FinalState | None = None


class RegradedFrom(_Result):
    """Whose work a trial without an agent's run judges again: the source trial, what it had come to, by digests.

    `state` says what was judged: the working directory that was kept, or the artifacts; `state_digest` is null where it
    was not read to its end. `exception_info` is the source's, whether it counts here or not.
    """

    job: str
    trial: str
    directory: str
    result_digest: str
    state: Literal["workspace", "artifacts"]
    state_digest: str | None = None
    task_checksum: str
    rewards: Rewards | None = None
    exception_info: ExceptionInfo | None = None


class TaskId(_Result):
    """Where a local task lies."""

    path: str


class TrialResult(_Result):
    """A trial's `result.json`. `config` is the dumped `TrialConfig`; exception and reward may both be present."""

    id: UUID = Field(default_factory=uuid4)
    task_name: str
    trial_name: str
    trial_uri: str
    task_id: TaskId
    source: str | None = None
    task_checksum: str
    config: dict[str, Any]
    agent_info: AgentInfo
    agent_result: AgentContext | None = None
    verifier_result: VerifierResult | None = None
    verifier_environment_mode: Literal["shared", "separate"] | None = None
    exception_info: ExceptionInfo | None = None
    started_at: UtcDatetime | None = None
    finished_at: UtcDatetime | None = None
    environment_setup: Timing | None = None
    agent_setup: Timing | None = None
    agent_execution: Timing | None = None
    verifier: Timing | None = None
    n_agent_steps: int | None = None
    step_results: list[StepResult] | None = None
    attempt: int | None = None
    execution: int | None = None
    warnings: list[str] = []
    image: ImageInfo | None = None
    final_state: FinalState | None = None
    regraded_from: RegradedFrom | None = None

    @property
    def rewards(self) -> Rewards | None:
        """The named rewards, if the verifier gave some."""
        return self.verifier_result.rewards if self.verifier_result else None

    @property
    def eval_key(self) -> str:
        """`agent__model__dataset`, without the model where there is none: the group that statistics are drawn over."""
        model = self.agent_info.model_info
        parts = [self.agent_info.name, model.name if model else None, self.source or ADHOC]
        return "__".join(part for part in parts if part)


class EvalStats(_Result):
    """One agent and model on one dataset; `n_trials` counts those with rewards."""

    n_trials: int = 0
    n_errors: int = 0
    metrics: list[dict[str, float]] = []
    pass_at_k: dict[int, float] = {}
    reward_stats: dict[str, dict[float, list[str]]] = {}
    exception_stats: dict[str, list[str]] = {}


class JobStats(_Result):
    """Counts and sums over a job's trials. Completed includes errored, and errored includes cancelled."""

    n_completed_trials: int = 0
    n_errored_trials: int = 0
    n_running_trials: int = 0
    n_pending_trials: int = 0
    n_cancelled_trials: int = 0
    n_retries: int = 0
    n_input_tokens: int | None = None
    n_cache_tokens: int | None = None
    n_output_tokens: int | None = None
    cost_usd: float | None = None
    evals: dict[str, EvalStats] = {}


class JobResult(_Result):
    """A job's `result.json`; the trials' results stay in their own directories. `pier_site` names our version."""

    id: UUID = Field(default_factory=uuid4)
    started_at: UtcDatetime
    updated_at: UtcDatetime | None = None
    finished_at: UtcDatetime | None = None
    n_total_trials: int
    stats: JobStats = JobStats()
    pier_site: dict[str, str] = {}


_AGGREGATES: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    "sum": lambda values: float(sum(values)),
    "min": min,
    "max": max,
    "mean": lambda values: sum(values) / len(values),
}


def dump_json(model: BaseModel) -> str:
    """The text of a result file: indent 4, instants in UTC ending in `Z`."""
    return dump_model(model, indent=4)


def model_info_of(model_name: str | None) -> ModelInfo | None:
    """`provider/model` taken apart at the first slash; without one the provider is unknown."""
    if not model_name:
        return None
    provider, slash, name = model_name.partition("/")
    return ModelInfo(name=name, provider=provider) if slash and name else ModelInfo(name=model_name)


def job_stats(
    results: Iterable[TrialResult],
    *,
    metrics: Sequence[MetricConfig] = (),
    n_running: int = 0,
    n_pending: int = 0,
    n_retries: int = 0,
) -> JobStats:
    """The statistics of finished trials. Sums over what is known; None where nothing is. `pass_at_k` is left empty."""
    trials = list(results)
    used = [trial.agent_result for trial in trials if trial.agent_result]
    groups: dict[str, list[TrialResult]] = defaultdict(list)
    for trial in trials:
        groups[trial.eval_key].append(trial)
    return JobStats(
        n_completed_trials=len(trials),
        n_errored_trials=sum(trial.exception_info is not None for trial in trials),
        n_running_trials=n_running,
        n_pending_trials=n_pending,
        n_cancelled_trials=sum(_type_of(trial) == CANCELLED for trial in trials),
        n_retries=n_retries,
        n_input_tokens=_sum_of_known(context.n_input_tokens for context in used),
        n_cache_tokens=_sum_of_known(context.n_cache_tokens for context in used),
        n_output_tokens=_sum_of_known(context.n_output_tokens for context in used),
        cost_usd=_sum_of_known(context.cost_usd for context in used),
        evals={key: _eval_stats(group, metrics or (MetricConfig(),)) for key, group in groups.items()},
    )


def aggregate(rewards: Sequence[Rewards | None], metric: MetricConfig) -> dict[str, float]:
    """A metric over trials, where a missing reward counts as 0: under the metric's name for one key, else per key."""
    keys = list(dict.fromkeys(key for reward in rewards for key in reward or ()))
    fold = _AGGREGATES[metric.type]
    if not rewards:
        return {}
    if len(keys) <= 1:
        return {metric.type: fold([next(iter(reward.values()), 0.0) if reward else 0.0 for reward in rewards])}
    return {key: fold([(reward or {}).get(key, 0.0) for reward in rewards]) for key in keys}


def _eval_stats(trials: Sequence[TrialResult], metrics: Sequence[MetricConfig]) -> EvalStats:
    reward_stats: dict[str, dict[float, list[str]]] = defaultdict(lambda: defaultdict(list))
    exception_stats: dict[str, list[str]] = defaultdict(list)
    for trial in trials:
        for key, value in (trial.rewards or {}).items():
            reward_stats[key][value].append(trial.trial_name)
        if trial.exception_info:
            exception_stats[trial.exception_info.exception_type].append(trial.trial_name)
    return EvalStats(
        n_trials=sum(trial.rewards is not None for trial in trials),
        n_errors=sum(trial.exception_info is not None for trial in trials),
        metrics=[aggregate([trial.rewards for trial in trials], metric) for metric in metrics],
        reward_stats={key: dict(values) for key, values in reward_stats.items()},
        exception_stats=dict(exception_stats),
    )


def _type_of(trial: TrialResult) -> str | None:
    return trial.exception_info.exception_type if trial.exception_info else None


def _sum_of_known[N: (int, float)](values: Iterable[N | None]) -> N | None:
    known = [value for value in values if value is not None]
    return sum(known[1:], start=known[0]) if known else None
