"""The agents that a job can name, or bring along as a class of its own."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final

from runs.agents.base import Agent
from runs.agents.conversion.base import Converter
from runs.agents.installed import InstalledAgent
from runs.errors import InputInvalid
from runs.formats.job import DEFAULT_AGENT, AgentConfig
from runs.imports import import_class

# Where each agent is: a module is only imported when its agent is asked for.
AGENTS: Final[Mapping[str, str]] = {
    "nop": "runs.agents.nop:Nop",
    "oracle": "runs.agents.oracle:Oracle",
    "antigravity-sdk": "runs.agents.antigravity_sdk.agent:AntigravitySdk",
    "claude-code": "runs.agents.claude_code.agent:ClaudeCode",
    "codex": "runs.agents.codex.agent:Codex",
    "command": "runs.agents.command:Command",
    "copilot-cli": "runs.agents.copilot_cli.agent:CopilotCli",
    "cursor-cli": "runs.agents.cursor_cli.agent:CursorCli",
    "gemini-cli": "runs.agents.gemini_cli.agent:GeminiCli",
    "mini-swe-agent": "runs.agents.mini_swe_agent.agent:MiniSweAgent",
    "opencode": "runs.agents.opencode.agent:OpenCode",
}


class UnknownAgent(InputInvalid):
    """A job names an agent that does not exist."""

    def __init__(self, name: str) -> None:
        near = get_close_matches(name, AGENTS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known agents: {', '.join(sorted(AGENTS))}"
        super().__init__(f"there is no agent {name!r}: {hint}")


def agent_name(config: AgentConfig) -> str:
    """How results and lists call the agent of this configuration."""
    return config.name or (config.import_path or DEFAULT_AGENT).rpartition(":")[2]


def agent_class(name: str) -> type[Agent]:
    """The agent of a name. Raises UnknownAgent."""
    if name not in AGENTS:
        raise UnknownAgent(name)
    module, _, attribute = AGENTS[name].partition(":")
    found: type[Agent] = getattr(import_module(module), attribute)
    return found


def create_agent(config: AgentConfig) -> Agent:
    """The agent that a job's entry means. Raises UnknownAgent, AgentArgumentInvalid, JobInvalid."""
    kind = import_class(config.import_path, Agent) if config.import_path else agent_class(config.name or DEFAULT_AGENT)
    kwargs: Mapping[str, Any] = config.kwargs
    return kind(model_name=config.model_name, kwargs=kwargs)


def converter_of(name: str) -> type[Converter]:
    """What reads the logs of an agent. Raises UnknownAgent, and InputInvalid for an agent that leaves none."""
    kind = agent_class(name)
    if not issubclass(kind, InstalledAgent):
        raise InputInvalid(f"the agent {name!r} leaves no logs that could be converted")
    return kind.converter_type
