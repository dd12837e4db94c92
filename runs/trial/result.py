"""From what a trial recorded to its result.json: rewards over stages, sums of usage."""

from collections.abc import Sequence
from typing import Literal

from runs.agents.base import Agent
from runs.agents.registry import agent_name
from runs.formats.result import (
    AgentContext,
    AgentInfo,
    ImageInfo,
    Rewards,
    TaskId,
    TrialResult,
    VerifierResult,
    model_info_of,
)
from runs.models import Phase
from runs.sandboxes.base import ResolvedImage
from runs.trial.record import StageRecord, TrialRecord

Strategy = Literal["mean", "final"]
SUMMED = ("n_input_tokens", "n_cache_tokens", "n_output_tokens", "cost_usd", "summarization_count", "n_agent_steps")


def trial_result(record: TrialRecord, agent: Agent | None) -> TrialResult:
    """The final result of a trial, whatever became of it."""
    plan = record.plan
    config = plan.config
    only = record.stages[0] if record.stages and record.stages[0].task_step is None else None
    steps = [stage for stage in record.stages if stage.task_step is not None]
    agent_result = only.agent_result if only else combined_usage(steps)
    return TrialResult(
        task_name=record.task_name,
        trial_name=plan.name,
        trial_uri=plan.directory.resolve().as_uri(),
        task_id=TaskId(path=str(plan.task_path)),
        source=config.task.source,
        task_checksum=record.task_checksum,
        config=config.model_dump(mode="json"),
        agent_info=AgentInfo(
            name=agent.name if agent else agent_name(config.agent),
            version=record.agent_version or "unknown",
            model_info=model_info_of(config.agent.model_name),
        ),
        agent_result=agent_result,
        verifier_result=only.verifier_result if only else combined_verdict(steps, record.reward_strategy),
        verifier_environment_mode=record.verifier_mode,
        exception_info=record.exception,
        started_at=record.started_at,
        finished_at=record.now(),
        environment_setup=record.timings.get(Phase.ENVIRONMENT_SETUP),
        agent_setup=record.timings.get(Phase.AGENT_SETUP),
        agent_execution=only.timings.get(Phase.AGENT_EXECUTION) if only else None,
        verifier=only.timings.get(Phase.VERIFIER) if only else None,
        n_agent_steps=agent_result.n_agent_steps if agent_result else None,
        step_results=[stage.as_step_result() for stage in steps] or None,
        attempt=plan.attempt,
        execution=plan.execution,
        warnings=record.warnings,
        image=image_info(record.image),
        final_state=record.stages[-1].final_state if record.stages else None,
    )


def image_info(image: ResolvedImage | None) -> ImageInfo | None:
    """The image as results have it."""
    if image is None:
        return None
    return ImageInfo(
        reference=image.reference, id=image.id, digest=image.digest, platform=image.platform, origin=image.origin
    )


def combined_verdict(steps: Sequence[StageRecord], strategy: Strategy) -> VerifierResult | None:
    """The rewards of a multi-step trial: the mean of each key over the steps that were judged (a missing key is 0), or
    those of the last step that was run. None where no step has a verdict.
    """
    if strategy == "final":
        return steps[-1].verifier_result if steps else None
    judged: list[Rewards] = [stage.rewards for stage in steps if stage.rewards is not None]
    if not judged:
        return None
    keys = dict.fromkeys(key for rewards in judged for key in rewards)
    return VerifierResult(rewards={key: sum(rewards.get(key, 0.0) for rewards in judged) / len(judged) for key in keys})


def combined_usage(steps: Sequence[StageRecord]) -> AgentContext | None:
    """Sums over steps of what is known; the peak is the highest of them."""
    used = [stage.agent_result for stage in steps if stage.agent_result]
    if not used:
        return None
    sums = {}
    for key in SUMMED:
        known = [value for context in used if (value := getattr(context, key)) is not None]
        sums[key] = sum(known) if known else None
    peaks = [context.peak_context_tokens for context in used if context.peak_context_tokens is not None]
    return AgentContext(**sums, peak_context_tokens=max(peaks, default=None))


def minimum_reached(rewards: Rewards | None, minimum: float | dict[str, float] | None) -> bool:
    """Whether a step's rewards allow the next: a number gates `reward`, a table each of its keys; missing fails."""
    if minimum is None:
        return True
    gates = minimum if isinstance(minimum, dict) else {"reward": minimum}
    return rewards is not None and all(rewards.get(key, float("-inf")) >= least for key, least in gates.items())
