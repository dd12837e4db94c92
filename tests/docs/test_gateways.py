"""Each recipe of docs/how-to/gateways.md makes an agent that reaches its gateway and nothing it does not need."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from runs.agents.installed import InstalledAgent
from runs.agents.registry import create_agent
from runs.formats.job import AgentConfig
from runs.formats.network import clean_job_host
from runs.formats.template import resolve_all
from runs.sandboxes.egress.variables import hosts_of_env

PAGE = (Path(__file__).resolve().parents[2] / "docs/how-to/gateways.md").read_text()
KEYS = {"GATEWAY_API_KEY": "sk-gateway", "OPENROUTER_API_KEY": "sk-openrouter"}


def recipes() -> list[Any]:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    entries = [(number, entry) for number, block in enumerate(blocks) for entry in yaml.safe_load(block)]
    return [pytest.param(entry, id=f"{number}-{entry['name']}") for number, entry in entries]


@pytest.mark.parametrize("entry", recipes())
def test_a_recipe_makes_an_agent_that_reaches_its_gateway_alone(
    entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "LITELLM_MODEL_REGISTRY_PATH"):
        monkeypatch.delenv(name, raising=False)
    config = AgentConfig.model_validate(entry)
    agent = create_agent(config)
    assert isinstance(agent, InstalledAgent)
    env = resolve_all(config.env, KEYS)
    hosts = {clean_job_host(host).partition(":")[0] for host in (*agent.hosts(env), *hosts_of_env(env))}
    expected = (
        {"openrouter.ai"}
        if "openrouter" in str(config.model_name)
        else set(re.findall(r"[a-z]+\.example\.org", str(entry)))
    )
    assert hosts == expected
    assert agent.install() is not None


def test_no_recipe_holds_a_key() -> None:
    assert "sk-" not in PAGE
