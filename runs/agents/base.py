"""What an agent is to a trial: set up in a sandbox, then run on one instruction, leaving a trajectory in its logs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from runs.errors import InputInvalid
from runs.formats.result import AgentContext
from runs.sandboxes.base import Sandbox


@dataclass(frozen=True, slots=True)
class AgentRun:
    """One instruction for the agent, and where it works.

    `logs` is the host's side of /logs/agent. `env` is resolved and may hold secrets: it goes to the agent's processes
    and nowhere else. `solution` is the task's reference solution, for the oracle alone.
    """

    instruction: str
    sandbox: Sandbox
    logs: Path
    env: Mapping[str, str]
    user: str | int | None
    solution: Path


class UnknownAgentArgument(InputInvalid):
    """A job gives an agent an argument that it does not have."""

    def __init__(self, agent: str, argument: str) -> None:
        super().__init__(f"the agent {agent!r} has no argument {argument!r}")


class Agent(ABC):
    """One agent of a job. It raises AgentFailed when it fails; what a sandbox does wrong stays SandboxFailed."""

    name: ClassVar[str]

    def __init__(self, *, model_name: str | None, kwargs: Mapping[str, Any]) -> None:
        if kwargs:
            raise UnknownAgentArgument(self.name, next(iter(kwargs)))
        self.model_name = model_name

    @property
    @abstractmethod
    def version(self) -> str:
        """What ran, as precisely as is known."""

    async def setup(self, sandbox: Sandbox) -> None:
        """Make the sandbox ready for `run`; nothing to do for an agent that lives outside it."""
        return

    @abstractmethod
    async def run(self, run: AgentRun) -> AgentContext:
        """Work on the instruction until done; what is written to `run.logs` is kept however it ends."""
