"""Real agent CLIs, end to end: installed, run in a closed sandbox, followed, turned into a trajectory that is true."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runs.formats.trajectory import strict_errors
from runs.formats.trajectory_quality import quality_of
from tests.agents.conftest import AgentTrial, RunAgent
from tests.agents.recipes import KEY, QUICK, RECIPES

SLOW = tuple(sorted(RECIPES.keys() - set(QUICK)))
EVERY = [
    *(pytest.param(name, marks=pytest.mark.agents) for name in QUICK),
    *(pytest.param(name, marks=pytest.mark.agents_all) for name in SLOW),
]
ALL = [pytest.param(name, marks=pytest.mark.agents_all) for name in sorted(RECIPES)]


def whole_calls(trial: AgentTrial) -> list[tuple[str, int, int]]:
    """Text, output tokens and all input tokens of each call that the server answered whole on the main thread."""
    return [
        (call.text or "", call.usage.out, call.usage.uncached + call.usage.read + call.usage.write)
        for call in trial.truth.calls
        if call.thread == "main" and call.status == "ok" and call.usage
    ]


def agent_steps(trial: AgentTrial) -> list[tuple[str, int, int]]:
    """The same of the trajectory."""
    return [
        (step.message, step.completion_tokens or 0, step.prompt_tokens or 0)
        for step in trial.trajectory.steps
        if step.source == "agent" and step.llm_call_count != 0
    ]


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("agent", EVERY)
async def test_it_solves_the_task_in_a_closed_sandbox_and_its_trajectory_is_true(
    run_agent: RunAgent, agent: str
) -> None:
    trial = await run_agent(agent)
    assert trial.result.exception_info is None, trial.result.exception_info
    assert trial.result.rewards == {"reward": 1.0}
    assert agent_steps(trial) == whole_calls(trial)
    assert trial.trajectory.valid
    assert not strict_errors(json.loads((trial.directory / "agent/trajectory.json").read_text()))
    # Each call has its result, and no figure is one that cannot be.
    assert quality_of(trial.trajectory) == []
    offered = {tool for call in trial.truth.calls for tool in (*call.facts.tools, *call.facts.web_tools)}
    assert offered
    assert [tool for tool in offered if "web" in tool.lower() or tool in ("googleSearch", "urlContext")] == []
    used = trial.result.agent_result
    assert used is not None
    assert used.n_agent_steps == len(whole_calls(trial))
    assert used.peak_context_tokens == max(sent for _, _, sent in whole_calls(trial))
    assert used.summarization_count == 0
    assert KEY.encode() not in everything_in(trial.directory)
    assert any(b"/opt/pier/" in argv for argv in trial.argvs)
    assert not any(KEY.encode() in argv for argv in trial.argvs)


@pytest.mark.parametrize("agent", EVERY)
async def test_its_live_file_says_the_same_as_its_trajectory(run_agent: RunAgent, agent: str) -> None:
    trial = await run_agent(agent)
    last: dict[int, object] = {}
    for line in (trial.directory / "agent/trajectory.jsonl").read_text().splitlines():
        value = json.loads(line)
        if value["trajectory_id"] is None:
            last[value["step"]["step_id"]] = value["step"]
    written = json.loads((trial.directory / "agent/trajectory.json").read_text())["steps"]
    assert [last[number] for number in sorted(last)] == written


@pytest.mark.parametrize("agent", ALL)
async def test_a_stalled_model_ends_at_the_timeout_and_leaves_what_was_done(run_agent: RunAgent, agent: str) -> None:
    trial = await run_agent(agent, "stall", timeout_sec=25)
    assert trial.result.exception_info is not None
    assert trial.result.exception_info.exception_type == "AgentTimeoutError"
    assert agent_steps(trial)[:1] == whole_calls(trial)[:1]


# Gemini CLI 0.61 gives up when a connection breaks in mid-stream, with exit code 1.
@pytest.mark.parametrize("agent", [param for param in ALL if param.values[0] != "gemini-cli"])
async def test_errors_that_the_agent_recovers_from_are_no_failure(run_agent: RunAgent, agent: str) -> None:
    trial = await run_agent(agent, "retry")
    assert trial.result.exception_info is None, trial.result.exception_info
    assert trial.result.rewards == {"reward": 1.0}


@pytest.mark.parametrize("agent", [param for param in ALL if param.values[0] != "mini-swe-agent"])
async def test_each_sub_agent_has_a_trajectory_of_its_own(run_agent: RunAgent, agent: str) -> None:
    trial = await run_agent(agent, "subagent")
    assert trial.result.exception_info is None, trial.result.exception_info
    children = sorted(thread for thread in trial.truth.threads if thread.startswith("sub:"))
    assert len(children) == 2
    answered = [[call.text or "" for call in trial.truth.answered(child)] for child in children]
    written = [[step.message for step in child.steps if step.source == "agent"] for child in trial.trajectory.subagents]
    assert sorted(written) == sorted(answered)


@pytest.mark.parametrize("agent", [param for param in ALL if param.values[0] != "claude-code"])
async def test_a_refused_key_is_the_providers_refusal(run_agent: RunAgent, agent: str) -> None:
    trial = await run_agent(agent, "auth", timeout_sec=60)
    assert trial.result.exception_info is not None
    assert trial.result.exception_info.cause in ("provider", "budget"), trial.result.exception_info


COMPACTING: dict[str, dict[str, Any]] = {
    "claude-code": {"autocompact": 100_000},
    "codex": {},
    "copilot-cli": {},
    "opencode": {},
}


@pytest.mark.agents_all
@pytest.mark.parametrize("agent", sorted(COMPACTING))
async def test_a_compaction_is_a_visible_step_and_its_tokens_are_counted(
    run_agent: RunAgent, tmp_path: Path, agent: str
) -> None:
    kwargs = COMPACTING[agent]
    if agent == "codex":
        (tmp_path / "limit.toml").write_text("model_auto_compact_token_limit = 50000\n")
        kwargs = {"config_toml_file": str(tmp_path / "limit.toml")}
    trial = await run_agent(agent, "compact", **kwargs)
    assert trial.result.exception_info is None, trial.result.exception_info
    assert trial.result.agent_result is not None
    assert trial.result.agent_result.summarization_count == 1
    kinds = [(step.raw.get("extra") or {}).get("context_management", {}).get("type") for step in trial.trajectory.steps]
    assert kinds.count("compaction") == 1
    sent = trial.truth.total("main", "compact")
    assert trial.result.agent_result.n_output_tokens == sent.out
    assert trial.result.agent_result.n_input_tokens == sent.uncached + sent.read + sent.write


@pytest.mark.parametrize("agent", ALL)
async def test_a_prompt_that_is_too_long_for_ever_ends_with_an_exception(run_agent: RunAgent, agent: str) -> None:
    trial = await run_agent(agent, "fatal", timeout_sec=40)
    assert trial.result.exception_info is not None
    assert trial.result.exception_info.cause in ("agent", "provider", "budget")
    assert agent_steps(trial)[:1] == whole_calls(trial)[:1]


@pytest.mark.agents_all
async def test_the_overflow_loop_of_opencode_is_stopped_at_the_call_limit(run_agent: RunAgent) -> None:
    trial = await run_agent("opencode", "overflow-loop", max_llm_calls=12, timeout_sec=120)
    assert trial.result.exception_info is not None
    assert trial.result.exception_info.exception_type == "AgentCallLimitError"
    assert trial.result.exception_info.cause == "budget"
    # What was under way when the limit was seen is one look's worth.
    assert len(trial.truth.calls) <= 20


@pytest.mark.agents_all
async def test_headers_for_a_gateway_reach_it_with_each_call(
    run_agent: RunAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = RECIPES["claude-code"]
    routed = {"ANTHROPIC_CUSTOM_HEADERS": "X-Route-Provider: vertex_ai"}
    monkeypatch.setitem(RECIPES, "claude-code", replace(plain, env=lambda base: {**plain.env(base), **routed}))
    trial = await run_agent("claude-code")
    headers = [{name.lower(): value for name, value in call.facts.headers.items()} for call in trial.truth.calls]
    assert headers
    assert all(header.get("x-route-provider") == "vertex_ai" for header in headers)
