"""How each real CLI is pointed at the scripted model server: the entry of a job, as a team with a gateway writes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runs.formats.job import AgentConfig

KEY = "sk-scripted-0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One agent over one API. `env` and `kwargs` are made of the base URL of a run (without `/v1`)."""

    agent: str
    model: str
    env: Callable[[str], Mapping[str, str]]
    kwargs: Callable[[str], Mapping[str, Any]] = field(default=lambda _: {})

    def config(self, base_url: str, **kwargs: Any) -> AgentConfig:
        """The job's entry."""
        made = {**self.kwargs(base_url), **kwargs}
        return AgentConfig(name=self.agent, model_name=self.model, env=dict(self.env(base_url)), kwargs=made)


CODEX_TOML = """
model_provider = "scripted"
[model_providers.scripted]
name = "Scripted"
base_url = "{base_url}/v1"
wire_api = "responses"
env_key = "SCRIPTED_API_KEY"
"""


def opencode_config(base_url: str) -> dict[str, Any]:
    """A provider of its own, as gateways are configured."""
    model = {"name": "scripted", "limit": {"context": 200_000, "output": 32_000}}
    options = {"baseURL": f"{base_url}/v1", "apiKey": "{env:SCRIPTED_API_KEY}"}
    provider = {"npm": "@ai-sdk/openai-compatible", "options": options, "models": {"gpt-5-mini": model}}
    return {"opencode_config": {"provider": {"scripted": provider}}}


RECIPES: dict[str, Recipe] = {
    "claude-code": Recipe(
        "claude-code",
        "anthropic/claude-opus-4-7",
        lambda base: {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": base},
    ),
    "codex": Recipe(
        "codex",
        "openai/gpt-5.5",
        lambda _: {"SCRIPTED_API_KEY": KEY},
        lambda base: {"config_toml": CODEX_TOML.format(base_url=base), "reasoning_summary": "detailed"},
    ),
    "copilot-cli": Recipe(
        "copilot-cli",
        "gpt-5-mini",
        lambda base: {
            "COPILOT_PROVIDER_BASE_URL": f"{base}/v1",
            "COPILOT_PROVIDER_API_KEY": KEY,
            "COPILOT_PROVIDER_TYPE": "openai",
            "COPILOT_PROVIDER_WIRE_API": "responses",
        },
    ),
    "gemini-cli": Recipe(
        "gemini-cli",
        "google/gemini-3.1-pro-preview",
        lambda base: {"GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": base},
        lambda _: {"reasoning_effort": "high"},
    ),
    "mini-swe-agent": Recipe(
        "mini-swe-agent",
        "openai/gpt-5.5",
        lambda base: {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{base}/v1", "OPENAI_API_BASE": f"{base}/v1"},
    ),
    "opencode": Recipe("opencode", "scripted/gpt-5-mini", lambda _: {"SCRIPTED_API_KEY": KEY}, opencode_config),
}
QUICK = ("codex", "mini-swe-agent")
