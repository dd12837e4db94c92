"""What goes wrong below a trial: an engine that hangs, a container that vanishes, limits that are reached."""

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient

from runs.agents.base import Agent, AgentRun
from runs.errors import NonZeroAgentExitCodeError
from runs.formats.job import AgentConfig, EnvironmentConfig
from runs.formats.result import AgentContext, TrialResult
from runs.sandboxes.base import Sandbox, SandboxSpec
from runs.sandboxes.docker import DockerSandbox
from runs.sandboxes.engine import Engine
from runs.trial.plan import TrialPlan
from runs.trial.sandbox import OpenSandbox, sandbox_opener
from tests.support.engine import hanging_engine
from tests.support.tasks import BASE_IMAGE, CLOSED, make_task
from tests.support.trials import make_plan, run_in

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.docker

EAT_MEMORY = "python3 -c 'x = bytearray(200 << 20)'\n"


class Script(Agent):
    """Runs solve.sh as an agent's program would be run: an exit code other than 0 is an error."""

    name = "script"
    version = "1"

    async def run(self, run: AgentRun) -> AgentContext:
        await run.sandbox.upload(run.solution, "/solution")
        result = await run.sandbox.exec("bash /solution/solve.sh", env=run.env)
        if result.exit_code:
            raise NonZeroAgentExitCodeError(f"exit code {result.exit_code}")
        return AgentContext()


SCRIPT = AgentConfig(import_path=f"{__name__}:Script")


@pytest.fixture
def open_sandbox(docker_engine: DockerClient) -> Iterator[OpenSandbox]:
    """How Docker sandboxes are made."""
    opener, close = sandbox_opener(EnvironmentConfig(type="docker"))
    yield opener
    close()


def failure(result: TrialResult) -> tuple[str, str | None]:
    """What ended the trial, and whose fault that is."""
    assert result.exception_info is not None
    return result.exception_info.exception_type, result.exception_info.cause


def container_of(engine: DockerClient, plan: TrialPlan) -> list[str]:
    return [item.id or "" for item in engine.containers.list(filters={"label": f"pier-site.trial={plan.name}"})]


async def until_the_agent_works(plan: TrialPlan) -> None:
    """Wait for the agent's phase, and a moment for its command to begin."""
    while not (plan.directory / "agent").is_dir():  # noqa: ASYNC110 - a folder has no event to wait for
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.7)


@pytest.mark.parametrize("how", ["removed", "killed"])
async def test_a_container_that_vanishes_is_infrastructure_and_another_trial_goes_on(
    tmp_path: Path, open_sandbox: OpenSandbox, docker_engine: DockerClient, how: str
) -> None:
    task = make_task(tmp_path, solve="sleep 3; echo 42 > answer.txt\n")
    lost, kept = (make_plan(task, tmp_path / "job", agent=SCRIPT, name=f"{name}-{tmp_path.name}") for name in "ab")
    trials = [asyncio.create_task(run_in(open_sandbox, plan)) for plan in (lost, kept)]
    await until_the_agent_works(lost)
    [container] = container_of(docker_engine, lost)
    if how == "removed":
        await asyncio.to_thread(docker_engine.api.remove_container, container, force=True)
    else:
        await asyncio.to_thread(docker_engine.api.kill, container)
    results = await asyncio.gather(*trials)
    assert failure(results[0]) == ("SandboxFailed", "infrastructure"), results[0].exception_info
    assert results[0].rewards is None
    assert results[1].rewards == {"reward": 1.0}
    assert container_of(docker_engine, lost) == []


async def test_an_engine_that_hangs_fails_the_trial_in_its_time_as_infrastructure(
    tmp_path: Path, docker_engine: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = CLOSED.replace("timeout_sec = 60.0", "timeout_sec = 3.0", 1)
    plan = make_plan(make_task(tmp_path, solve="sleep 60\n", toml=toml), tmp_path / "job", name=tmp_path.name)
    with hanging_engine(tmp_path / "engine.sock") as proxy:
        monkeypatch.setenv("DOCKER_HOST", proxy.address)
        engine = Engine.connect(call_timeout_sec=2)
        try:
            trial = asyncio.create_task(run_in(lambda spec: DockerSandbox(spec, engine), plan))
            await until_the_agent_works(plan)
            proxy.hang()
            hung_at = time.monotonic()
            result = await trial
        finally:
            engine.close()
    # The agent's time, then at most a call each to kill, to end processes and to remove.
    assert time.monotonic() - hung_at < 3 + 4 * 2 + 2
    assert failure(result) == ("SandboxFailed", "infrastructure"), result.exception_info
    for container in container_of(docker_engine, plan):
        docker_engine.api.remove_container(container, force=True)


# The SDK leaves sockets open that it could not connect.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_an_engine_that_goes_away_under_the_agent_is_infrastructure_at_once(
    tmp_path: Path, docker_engine: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(make_task(tmp_path, solve="sleep 60\n"), tmp_path / "job", name=tmp_path.name)
    with hanging_engine(tmp_path / "engine.sock") as proxy:
        monkeypatch.setenv("DOCKER_HOST", proxy.address)
        engine = Engine.connect()
        try:
            trial = asyncio.create_task(run_in(lambda spec: DockerSandbox(spec, engine), plan))
            await until_the_agent_works(plan)
            await asyncio.to_thread(proxy.close)
            gone_at = time.monotonic()
            result = await trial
        finally:
            engine.close()
    assert time.monotonic() - gone_at < 5
    assert failure(result) == ("SandboxFailed", "infrastructure"), result.exception_info
    assert "could not be removed" in (plan.directory / "trial.log").read_text()
    gc.collect()
    for container in container_of(docker_engine, plan):
        docker_engine.api.remove_container(container, force=True)


async def test_an_engine_that_hangs_at_the_start_is_told_within_seconds(
    tmp_path: Path, docker_engine: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(make_task(tmp_path), tmp_path / "job", name=tmp_path.name)
    with hanging_engine(tmp_path / "engine.sock") as proxy:
        monkeypatch.setenv("DOCKER_HOST", proxy.address)
        engine = Engine.connect(call_timeout_sec=2)
        proxy.hang()
        try:
            began = time.monotonic()
            result = await run_in(lambda spec: DockerSandbox(spec, engine), plan)
        finally:
            engine.close()
    assert time.monotonic() - began < 10
    assert failure(result) == ("SandboxFailed", "infrastructure"), result.exception_info


async def test_a_build_that_never_ends_does_not_keep_the_runner(tmp_path: Path, docker_engine: DockerClient) -> None:
    dockerfile = f"FROM {BASE_IMAGE}\nRUN sleep 20 && echo {tmp_path.name}\n"
    task = make_task(tmp_path, dockerfile=dockerfile, toml=CLOSED + "build_timeout_sec = 2.0\n")
    env = {**os.environ, "PIER_DATA_DIR": str(tmp_path / "var")}
    env.pop("DATABASE_URL", None)

    async def manage(*arguments: str) -> str:
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        ended = await asyncio.to_thread(subprocess.run, command, env=env, capture_output=True, text=True, check=False)
        return ended.stdout + ended.stderr

    await manage("migrate", "-v0")
    began = time.monotonic()
    output = await manage("pierrun", "-q", "-y", "-p", str(task), "-o", str(tmp_path))
    assert time.monotonic() - began < 10, output
    assert "EnvironmentStartTimeoutError" in output


async def test_an_agent_without_memory_left_is_told_from_one_that_fails(
    tmp_path: Path, open_sandbox: OpenSandbox
) -> None:
    toml = CLOSED + "memory_mb = 64\n"
    eats = make_task(tmp_path, "eats", solve=f"echo 42 > answer.txt\n{EAT_MEMORY}", toml=toml)
    killed = make_task(tmp_path, "killed", solve="echo 42 > answer.txt\nkill -9 $$\n", toml=toml)
    results = [
        await run_in(open_sandbox, make_plan(task, tmp_path / "job", agent=SCRIPT, name=task.name))
        for task in (eats, killed)
    ]
    assert [failure(result) for result in results] == [
        ("AgentOutOfMemoryError", "budget"),
        ("NonZeroAgentExitCodeError", "agent"),
    ]
    assert results[0].exception_info is not None
    assert "memory_mb = 64" in results[0].exception_info.exception_message
    # What was done by then counts.
    assert [result.rewards for result in results] == [{"reward": 1.0}] * 2


async def test_memory_that_ran_out_under_an_agent_that_went_on_is_noted(
    tmp_path: Path, open_sandbox: OpenSandbox
) -> None:
    solve = f"{EAT_MEMORY}echo 42 > answer.txt\nexit 3\n"
    task = make_task(tmp_path, solve=solve, toml=CLOSED + "memory_mb = 64\n")
    result = await run_in(open_sandbox, make_plan(task, tmp_path / "job"))
    assert result.exception_info is None
    assert any("want of memory" in warning for warning in result.warnings)


async def test_an_agent_that_writes_more_than_its_storage_is_stopped_and_verified(
    tmp_path: Path, open_sandbox: OpenSandbox
) -> None:
    solve = "echo 42 > answer.txt\ndd if=/dev/zero of=/big bs=1M count=40 2>/dev/null\nsleep 50\n"
    task = make_task(tmp_path, solve=solve, toml=CLOSED + "storage_mb = 20\n")
    began = time.monotonic()
    result = await run_in(open_sandbox, make_plan(task, tmp_path / "job"))
    assert time.monotonic() - began < 20
    assert failure(result) == ("StorageLimitExceededError", "budget")
    assert result.rewards == {"reward": 1.0}


@pytest.mark.parametrize("write", ["truncate -s 1T big", "mkdir -p $(printf 'd/%.0s' $(seq 300))"], ids=["1T", "deep"])
async def test_logs_beyond_all_limits_are_cut_and_the_agent_is_judged_all_the_same(
    tmp_path: Path, open_sandbox: OpenSandbox, write: str
) -> None:
    task = make_task(
        tmp_path, solve=f"cd /logs/agent && {write}; cd /logs/artifacts && {write}; echo 42 > /app/answer.txt\n"
    )
    plan = make_plan(task, tmp_path / "job")
    began = time.monotonic()
    result = await run_in(open_sandbox, plan)
    assert time.monotonic() - began < 30
    assert (result.rewards, result.exception_info) == ({"reward": 1.0}, None)
    told = (plan.directory / "trial.log").read_text()
    assert "not complete" in told or "more than 64 folders deep" in told


async def test_a_proxy_that_ends_under_the_agent_is_infrastructure(
    tmp_path: Path, open_sandbox: OpenSandbox, docker_engine: DockerClient
) -> None:
    made: list[Sandbox] = []

    def remembered(spec: SandboxSpec) -> Sandbox:
        made.append(open_sandbox(spec))
        return made[-1]

    toml = CLOSED.replace('"no-network"', '"allowlist"\nallowed_hosts = ["api.test"]', 1)
    plan = make_plan(make_task(tmp_path, solve="sleep 2; echo 42 > answer.txt\n", toml=toml), tmp_path / "job")
    trial = asyncio.create_task(run_in(remembered, plan))
    await until_the_agent_works(plan)
    assert isinstance(made[0], DockerSandbox)
    await made[0].network._listeners[0].close()
    result = await trial
    assert failure(result) == ("SandboxFailed", "infrastructure"), result.exception_info
    assert result.rewards is None
    assert container_of(docker_engine, plan) == []


async def test_a_fork_bomb_meets_the_limit_of_processes(tmp_path: Path, open_sandbox: OpenSandbox) -> None:
    solve = (
        "limit=$(cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max)\n"
        '[ "$limit" != max ] && [ "$limit" -le 4096 ] && echo 42 > answer.txt\n'
    )
    result = await run_in(open_sandbox, make_plan(make_task(tmp_path, solve=solve), tmp_path / "job"))
    assert result.rewards == {"reward": 1.0}
