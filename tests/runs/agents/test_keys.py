"""Whose key goes to which address: a gateway that only the job names never gets the key of the runner."""

from collections.abc import Mapping
from typing import Any

import pytest

from runs.agents.installed import InstalledAgent
from runs.agents.registry import AGENTS, create_agent
from runs.formats.job import AgentConfig

GATEWAY = "https://gateway.example.org:8443/v1"
OPENCODE = {"provider": {"openai": {"options": {"baseURL": GATEWAY}}}}
# The agent, its model, the variable of the runner with the key, and how the job names its gateway: by `env` or kwargs.
CASES = [
    ("antigravity-sdk", "google/gemini-3.1-pro-preview", "GEMINI_API_KEY", {"GOOGLE_GEMINI_BASE_URL": GATEWAY}, {}),
    ("claude-code", "anthropic/claude-opus-4-7", "ANTHROPIC_API_KEY", {"ANTHROPIC_BASE_URL": GATEWAY}, {}),
    ("codex", "openai/gpt-5.5", "OPENAI_API_KEY", {"OPENAI_BASE_URL": GATEWAY}, {}),
    ("codex", "openai/gpt-5.5", "CODEX_API_KEY", {}, {"config_toml": f'openai_base_url = "{GATEWAY}"'}),
    ("command", "openai/gpt-5.5", "OPENAI_API_KEY", {"OPENAI_BASE_URL": GATEWAY}, {"command": "true"}),
    ("copilot-cli", "gpt-5-mini", "COPILOT_PROVIDER_API_KEY", {"COPILOT_PROVIDER_BASE_URL": GATEWAY}, {}),
    ("gemini-cli", "google/gemini-3.1-pro-preview", "GEMINI_API_KEY", {"GOOGLE_GEMINI_BASE_URL": GATEWAY}, {}),
    ("mini-swe-agent", "openai/gpt-5.5", "OPENAI_API_KEY", {"OPENAI_BASE_URL": GATEWAY}, {}),
    ("mini-swe-agent", "openai/gpt-5.5", "OPENAI_API_KEY", {}, {"model_kwargs": {"api_base": GATEWAY}}),
    ("opencode", "openai/gpt-5-mini", "OPENAI_API_KEY", {"OPENAI_BASE_URL": GATEWAY}, {}),
    ("opencode", "openai/gpt-5-mini", "OPENAI_API_KEY", {}, {"opencode_config": OPENCODE}),
]


def made(name: str, model: str, env: Mapping[str, str], kwargs: Mapping[str, Any]) -> InstalledAgent:
    agent = create_agent(AgentConfig(name=name, model_name=model, env=dict(env), kwargs=dict(kwargs)))
    assert isinstance(agent, InstalledAgent)
    return agent


@pytest.mark.parametrize(("name", "model", "key", "env", "kwargs"), CASES)
def test_a_gateway_that_only_the_job_names_gets_no_key_of_the_runner(
    monkeypatch: pytest.MonkeyPatch, name: str, model: str, key: str, env: dict[str, str], kwargs: dict[str, Any]
) -> None:
    agent = made(name, model, env, kwargs)
    for variable in agent.variables:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(key, "the runner's")
    assert "the runner's" not in agent.environment(env).values()
    assert agent.environment({**env, key: "the job's"})[key] == "the job's"
    assert agent.hosts(env) == ["gateway.example.org:8443"]
    # Where the job names no gateway, the runner's key is what there is.
    plain = made(name, model, {}, {"command": "true"} if name == "command" else {})
    assert plain.environment({})[key] == "the runner's"


def test_every_agent_that_takes_keys_of_the_runner_is_tried() -> None:
    # cursor-cli has one service and no address to choose.
    assert {name for name, *_ in CASES} == set(AGENTS) - {"cursor-cli", "nop", "oracle"}
