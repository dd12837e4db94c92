"""A trial whose agent has to be installed: in a closed sandbox, from a layer, with nothing of it in the result."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient

from runs.agents.base import Agent, AgentRun
from runs.agents.install import Install, Npm, Script, cli_path
from runs.formats.job import AgentConfig, EnvironmentConfig
from runs.formats.result import AgentContext
from runs.trial.sandbox import OpenSandbox, sandbox_opener
from tests.support.tasks import make_task
from tests.support.trials import make_plan, run_in, run_on_host


class Cow(Agent):
    """An agent of npm's registry that answers everything in its own way."""

    name = "cow"
    version = "1.6.0"

    def install(self) -> Install:
        return Install(self.name, self.version, Npm(("cowsay@1.6.0",)), clis=("cowsay",), programs=("git", "ps"))

    async def run(self, run: AgentRun) -> AgentContext:
        await run.sandbox.exec(f"{cli_path('cowsay')} 42 > answer.txt", env=run.env, user=run.user)
        return AgentContext()


class Broken(Cow):
    """An agent that cannot be installed."""

    name = "broken"

    def install(self) -> Install:
        return Install(self.name, self.version, Script("echo the registry is down >&2; exit 1"), clis=("broken",))


@pytest.fixture
def open_sandbox(docker_engine: DockerClient) -> Iterator[OpenSandbox]:
    opener, close = sandbox_opener(EnvironmentConfig(type="docker"))
    yield opener
    close()


def agent(kind: type[Agent]) -> AgentConfig:
    return AgentConfig(import_path=f"{__name__}:{kind.__name__}")


@pytest.mark.docker
async def test_a_closed_task_gets_its_agent_and_shows_nothing_of_it(tmp_path: Path, open_sandbox: OpenSandbox) -> None:
    test = (
        '#!/bin/bash\ncat answer.txt\n[ -z "$(command -v node npm)" ] && [ "$(ls /sys/class/net)" = lo ] &&\n'
        "grep -q '< 42 >' answer.txt && echo 1 > /logs/verifier/reward.txt || echo 0 > /logs/verifier/reward.txt\n"
    )
    plan = make_plan(make_task(tmp_path, test=test), tmp_path / "job", agent=agent(Cow))
    result = await run_in(open_sandbox, plan)
    assert result.exception_info is None
    assert result.rewards == {"reward": 1.0}
    assert (result.agent_info.name, result.agent_info.version) == ("cow", "1.6.0")
    assert "cow 1.6.0 from pier-site/agent:" in (plan.directory / "build.log").read_text()
    patch = (plan.directory / "changes.patch").read_text()
    assert "answer.txt" in patch
    assert "opt/pier" not in patch


async def test_an_agent_that_cannot_be_installed_is_no_failure_of_the_agent(tmp_path: Path) -> None:
    plan = make_plan(make_task(tmp_path), tmp_path / "job", agent=agent(Broken))
    result = await run_on_host(plan)
    assert result.rewards is None
    assert result.exception_info is not None
    assert result.exception_info.exception_type == "AgentInstallFailed"
    assert result.exception_info.cause == "infrastructure"
    assert "the registry is down" in result.exception_info.exception_message
    assert "the registry is down" in (plan.directory / "build.log").read_text()
