"""The agents that a job can name, or bring along as a class of its own."""

from difflib import get_close_matches

from runs.agents.base import Agent
from runs.agents.nop import Nop
from runs.agents.oracle import Oracle
from runs.errors import InputInvalid
from runs.formats.job import DEFAULT_AGENT, AgentConfig
from runs.imports import import_class

AGENTS: dict[str, type[Agent]] = {agent.name: agent for agent in (Nop, Oracle)}

# Agents of the field that job files name; a plan can be made with them, a run cannot.
NOT_RUNNABLE = frozenset(
    {
        "antigravity-sdk",
        "claude-code",
        "codex",
        "copilot-cli",
        "cursor-cli",
        "gemini-cli",
        "mini-swe-agent",
        "opencode",
    }
)


class UnknownAgent(InputInvalid):
    """A job names an agent that does not exist, or that this version cannot run."""

    def __init__(self, name: str) -> None:
        if name in NOT_RUNNABLE:
            super().__init__(f"the agent {name!r} is known, but this version cannot run it")
            return
        near = get_close_matches(name, [*AGENTS, *NOT_RUNNABLE], n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known agents: {', '.join(sorted(AGENTS))}"
        super().__init__(f"there is no agent {name!r}: {hint}")


def agent_name(config: AgentConfig) -> str:
    """How results and lists call the agent of this configuration."""
    return config.name or (config.import_path or DEFAULT_AGENT).rpartition(":")[2]


def create_agent(config: AgentConfig) -> Agent:
    """The agent that a job's entry means. Raises UnknownAgent, UnknownAgentArgument, JobInvalid."""
    name = config.name or DEFAULT_AGENT
    if not config.import_path and name not in AGENTS:
        raise UnknownAgent(name)
    kind = import_class(config.import_path, Agent) if config.import_path else AGENTS[name]
    return kind(model_name=config.model_name, kwargs=config.kwargs)
