"""The agents that a job can name."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from runs.agents.base import Agent
from runs.agents.nop import Nop
from runs.agents.oracle import Oracle
from runs.errors import InputInvalid

AGENTS: dict[str, type[Agent]] = {agent.name: agent for agent in (Nop, Oracle)}


class UnknownAgent(InputInvalid):
    """A job names an agent that does not exist."""

    def __init__(self, name: str) -> None:
        near = get_close_matches(name, AGENTS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known agents: {', '.join(sorted(AGENTS))}"
        super().__init__(f"there is no agent {name!r}: {hint}")


def create_agent(name: str, *, model_name: str | None = None, kwargs: Mapping[str, Any] | None = None) -> Agent:
    """The agent of that name. Raises UnknownAgent, UnknownAgentArgument."""
    if name not in AGENTS:
        raise UnknownAgent(name)
    return AGENTS[name](model_name=model_name, kwargs=kwargs or {})
