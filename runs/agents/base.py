"""What an agent is to a trial: set up in a sandbox, then run on one instruction, leaving a trajectory in its logs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from runs.agents.conversion.base import StepUpdate
from runs.agents.conversion.usage import Totals
from runs.agents.install import Install
from runs.errors import InputInvalid
from runs.formats.result import AgentContext
from runs.formats.task import McpServer
from runs.formats.trajectory import Trajectory
from runs.sandboxes.base import Sandbox


class LiveSteps(Protocol):
    """Who takes steps while the agent works: files and rows."""

    async def take(self, updates: Sequence[StepUpdate], totals: Totals) -> None:
        """Write steps that are new or have grown, and what was used by now."""

    def complete(self, trajectory: Trajectory) -> None:
        """Write what the final trajectory has beyond the steps taken."""


@dataclass(frozen=True, slots=True)
class AgentRun:
    """One instruction for the agent, and where it works.

    `logs` is the host's side of /logs/agent. `env` is resolved and may hold secrets: it goes to the agent's processes
    and nowhere else. `solution` is the task's reference solution, for the oracle alone. `is_closed`: of the network the
    sandbox reaches the agent's own hosts alone. `skills` are folders with a SKILL.md each, `skills_dir` is a
    folder of the sandbox with more of them. `live` takes the steps while the agent works.
    """

    instruction: str
    sandbox: Sandbox
    logs: Path
    env: Mapping[str, str]
    user: str | int | None
    solution: Path
    task_name: str = ""
    task_config: Path | None = None
    mcp_servers: tuple[McpServer, ...] = ()
    skills: tuple[Path, ...] = ()
    skills_dir: str | None = None
    is_closed: bool = False
    live: LiveSteps | None = None


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

    def install(self) -> Install | None:
        """What has to be in the sandbox before `setup`; None for an agent that brings along what it needs."""
        return None

    async def setup(self, sandbox: Sandbox) -> None:
        """Make the sandbox ready for `run`; nothing to do for an agent that lives outside it."""
        return

    def hosts(self, env: Mapping[str, str]) -> list[str]:
        """What the agent must reach while it runs, as entries of an allowlist (`host` or `host:port`)."""
        return []

    @abstractmethod
    async def run(self, run: AgentRun) -> AgentContext:
        """Work on the instruction until done; what is written to `run.logs` is kept however it ends."""

    after_sec: ClassVar[float] = 5.0
    """How long `after` may take, unless somebody cancelled the trial and waits."""

    async def after(self, run: AgentRun) -> None:
        """Have written down in the sandbox what the agent's logs lack, however the run ended; nothing by default."""
        return

    def own_logs(self) -> tuple[str, ...]:
        """Names of files that the runner's side writes into the log folder: nothing from the sandbox replaces them."""
        return ()

    def finish(self, run: AgentRun) -> AgentContext | None:
        """Make the final trajectory of what is in `run.logs` by now, however the run ended, and say what was used.

        Called once all processes of the agent are gone and its logs are here. None leaves what `run` answered.
        """
        return None
