"""What Gemini CLI asks its model for, on the wire: thinking levels, and thought summaries that people can read."""

import pytest

from tests.agents.conftest import AgentTrial, RunAgent

pytestmark = pytest.mark.agents_all
MODEL = "gemini-3.1-pro-preview"


def asked(trial: AgentTrial) -> set[str | None]:
    return {call.facts.reasoning_asked for call in trial.truth.answered("main")}


def reasoning(trial: AgentTrial) -> list[str]:
    return [step.reasoning or "" for step in trial.trajectory.steps if step.source == "agent"]


async def test_reasoning_effort_gets_its_level_and_readable_thoughts(run_agent: RunAgent) -> None:
    trial = await run_agent("gemini-cli", reasoning_effort="low")
    prefix = "generationConfig.thinkingConfig"
    assert asked(trial) == {f"{prefix}.includeThoughts=True {prefix}.thinkingLevel=LOW"}
    assert reasoning(trial) == [call.reasoning or "" for call in trial.truth.answered("main")]
    assert any(reasoning(trial))


async def test_where_thoughts_are_not_asked_for_there_are_none(run_agent: RunAgent) -> None:
    """The CLI itself asks for them, without `reasoning_effort` too; only its settings can say no."""
    thinking = {"thinkingConfig": {"includeThoughts": False}}
    override = {"match": {"model": MODEL}, "modelConfig": {"generateContentConfig": thinking}}
    settings = {"modelConfigs": {"customOverrides": [override]}}
    trial = await run_agent("gemini-cli", reasoning_effort=None, settings=settings)
    assert not any(reasoning(trial))
