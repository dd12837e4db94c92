"""A trial of a real agent CLI in Docker, against a scripted model, with the network closed but for that model."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from docker import DockerClient

from runs.formats.job import EnvironmentConfig
from runs.formats.reading import read_json
from runs.formats.result import TrialResult
from runs.formats.trajectory_reader import ReadTrajectory, read_trajectory
from runs.trial.sandbox import sandbox_opener
from tests.agents.recipes import RECIPES
from tests.support.model_server import ModelServer, Truth
from tests.support.processes import watched_argvs
from tests.support.trials import make_plan, run_in

TASK = Path(__file__).resolve().parents[2] / "examples/tasks/fix-calculator"
WORKDIR = "/app"


class AgentTrial:
    """One trial that has ended, and what the model's side saw of it."""

    def __init__(self, result: TrialResult, directory: Path, truth: Truth, argvs: set[bytes]) -> None:
        self.result = result
        self.directory = directory
        self.truth = truth
        self.argvs = argvs
        """What all processes of this machine were started with, while it ran."""

    @property
    def trajectory(self) -> ReadTrajectory:
        """The final trajectory, read as the index reads it."""
        return read_trajectory(read_json(self.directory / "agent/trajectory.json"))


type RunAgent = Callable[..., Awaitable[AgentTrial]]


@pytest.fixture(scope="session")
def model_server() -> Iterator[ModelServer]:
    """One server for all runs: each has its own state."""
    with ModelServer(workdir=WORKDIR) as server:
        yield server


@pytest.fixture
def run_agent(tmp_path: Path, docker_engine: DockerClient, model_server: ModelServer) -> Iterator[RunAgent]:
    """Runs an agent on a scenario; the task is closed, so that its model is all it reaches."""
    opener, close = sandbox_opener(EnvironmentConfig(type="docker"))

    async def run(
        agent: str, scenario: str = "basic", *, timeout_sec: float | None = None, **kwargs: object
    ) -> AgentTrial:
        run_id = f"{agent}-{scenario}-{tmp_path.name}"
        config = RECIPES[agent].config(model_server.base_url(scenario, run_id), **kwargs)
        if timeout_sec:
            config = config.model_copy(update={"override_timeout_sec": timeout_sec})
        plan = make_plan(TASK, tmp_path, agent=config, name=run_id[:60])
        async with watched_argvs() as argvs:
            result = await run_in(opener, plan)
        return AgentTrial(result, plan.directory, model_server.truth(run_id), argvs)

    yield run
    close()
