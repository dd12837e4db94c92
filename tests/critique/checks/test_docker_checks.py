"""Suggested checks in real containers: closed, with all that the agent left, and gone when they are over."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient

from critique.checks.records import CheckRecord, output_path
from critique.checks.running import run_check
from critique.formats.contract import ClaimModel
from runs.formats.job import EnvironmentConfig
from runs.trial.sandbox import OpenSandbox, sandbox_opener
from tests.support.tasks import make_task
from tests.support.trials import make_plan, run_in

pytestmark = pytest.mark.docker

# A task that is open to everybody: its checks are not.
OPEN = """
[agent]
timeout_sec = 60.0
network_mode = "public"

[verifier]
timeout_sec = 60.0
network_mode = "public"

[environment]
network_mode = "public"
"""
SOLVE = """
echo 42 > answer.txt; rm -f given.txt; echo 'changed by the agent' > /etc/own.conf; echo planted > /tests/planted.txt
echo said > /logs/agent/said.txt; (sleep 600 &)
"""
DOCKERFILE = "FROM python:3.11-slim-bookworm\nRUN echo first > /etc/own.conf\nWORKDIR /app\nRUN echo x > given.txt\n"

type Check = Callable[..., CheckRecord]


@pytest.fixture(scope="module")
def open_sandbox(docker_engine: DockerClient) -> Iterator[OpenSandbox]:
    opener, close = sandbox_opener(EnvironmentConfig(type="docker"))
    yield opener
    close()


@pytest.fixture(scope="module")
def source(open_sandbox: OpenSandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished trial."""
    root = tmp_path_factory.mktemp("docker-checks")
    plan = make_plan(make_task(root, solve=SOLVE, toml=OPEN, dockerfile=DOCKERFILE), root / "job")
    result = asyncio.run(run_in(open_sandbox, plan))
    assert result.rewards == {"reward": 1.0}, result.exception_info
    return plan.directory


@pytest.fixture
def check(source: Path, open_sandbox: OpenSandbox, tmp_path: Path) -> Check:
    """Runs a command as a check that is expected to end like this."""

    def run(command: str, timeout_sec: float = 60.0, **expect: Any) -> CheckRecord:
        suggested = {"command": command, "expect": expect or {"exit_code": 0}, "timeout_sec": timeout_sec}
        claim = ClaimModel.model_validate({"claim": "So it is.", "suggested_check": suggested})
        running = run_check(source, claim, number=1, folder=tmp_path, open_sandbox=open_sandbox, limit_sec=120.0)
        return asyncio.run(running)

    return run


def test_a_command_finds_all_that_the_agent_left_and_none_of_its_processes(check: Check, tmp_path: Path) -> None:
    record = check(
        "set -e; pwd; cat answer.txt /etc/own.conf /logs/agent/said.txt; test ! -e given.txt\n"
        "test ! -e /tests/planted.txt; test -x /tests/test.sh || test -f /tests/test.sh; test ! -e /solution/solve.sh\n"
        "! cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep 'sleep [6]00'",
        output_contains="/app\n42\nchanged by the agent\nsaid\n",
        exit_code=0,
    )
    assert (record.outcome, record.reason) == ("confirmed", "it ended as the critic expected"), record.tail
    assert record.image is not None
    assert record.image.origin == "built"
    assert record.notes == []
    assert output_path(tmp_path, 1).read_text() == record.tail


def test_the_tests_can_be_run_as_the_verifier_does(check: Check) -> None:
    record = check("bash /tests/test.sh && cat /logs/verifier/reward.txt", output_contains="1\n")
    assert record.outcome == "confirmed", record.reason


def test_a_command_reaches_nobody_also_where_the_task_is_open(check: Check) -> None:
    record = check(
        "ls /sys/class/net; python3 -c \"import socket; socket.create_connection(('1.1.1.1', 53), 3)\"",
        output_contains="OSError: [Errno 101] Network is unreachable",
        output_lacks="eth0",
    )
    assert record.outcome == "confirmed", record.tail


def test_a_command_that_does_not_end_is_stopped_and_its_container_removed(
    check: Check, source: Path, docker_engine: DockerClient
) -> None:
    record = check("echo begun; (setsid sleep 600 &); sleep 600", timeout_sec=2.0)
    assert (record.outcome, record.tail) == ("not_runnable", "begun\n")
    assert record.reason == "the command took longer than 2 s and was stopped"
    names = [container.name or "" for container in docker_engine.containers.list(all=True)]
    assert [name for name in names if "__check-" in name] == []
    labels = [container.labels.get("pier-site.trial", "") for container in docker_engine.containers.list(all=True)]
    assert [label for label in labels if label.startswith(f"{source.name}__check-1")] == []


def test_a_command_that_is_not_there_tells_nothing(check: Check) -> None:
    assert check("no-such-program --version").outcome == "not_runnable"
