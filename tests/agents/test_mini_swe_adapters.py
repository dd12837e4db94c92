"""mini-swe-agent over other providers' APIs, on the wire: cache marks for Anthropic, readable thoughts of Gemini."""

from dataclasses import replace

import pytest

from tests.agents import recipes
from tests.agents.conftest import AgentTrial, RunAgent
from tests.agents.recipes import KEY, Recipe

pytestmark = pytest.mark.agents_all


def gemini_base(base: str) -> dict[str, str]:
    return {"GEMINI_API_KEY": KEY, "GEMINI_API_BASE": base, "GOOGLE_GEMINI_BASE_URL": base}


@pytest.fixture(autouse=True)
def more_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    anthropic = Recipe(
        "mini-swe-agent",
        "anthropic/claude-sonnet-4-5",
        lambda base: {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": base, "ANTHROPIC_API_BASE": base},
    )
    monkeypatch.setitem(recipes.RECIPES, "mini-anthropic", anthropic)
    monkeypatch.setitem(
        recipes.RECIPES, "mini-gemini", replace(anthropic, model="gemini/gemini-3.1-pro-preview", env=gemini_base)
    )


def thoughts(trial: AgentTrial) -> list[str]:
    return [step.reasoning or "" for step in trial.trajectory.steps if step.source == "agent"]


async def test_cache_marks_are_set_where_they_are_asked_for(run_agent: RunAgent) -> None:
    with_marks = await run_agent("mini-anthropic", set_cache_control="default_end")
    assert with_marks.result.rewards == {"reward": 1.0}
    assert any(call.facts.cache_marks for call in with_marks.truth.answered("main"))


async def test_an_effort_brings_readable_thoughts_of_gemini(run_agent: RunAgent) -> None:
    trial = await run_agent("mini-gemini", reasoning_effort="high")
    assert trial.result.exception_info is None, trial.result.exception_info
    assert any(thoughts(trial))
    assert all("includeThoughts" in (call.facts.reasoning_asked or "") for call in trial.truth.answered("main"))


async def test_without_an_effort_gemini_shows_none(run_agent: RunAgent) -> None:
    trial = await run_agent("mini-gemini")
    assert trial.result.exception_info is None, trial.result.exception_info
    assert not any(thoughts(trial))
