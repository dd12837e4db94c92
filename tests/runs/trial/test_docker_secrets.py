"""Where an agent's key is while the agent works in a container, and afterwards: nowhere but in its process."""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import zstandard
from docker import DockerClient
from docker.errors import APIError

from runs.formats.job import AgentConfig, EnvironmentConfig
from runs.formats.task import McpServer
from runs.trial.sandbox import OpenSandbox, sandbox_opener
from tests.support.internet import web_server
from tests.support.processes import watched_argvs
from tests.support.tasks import make_task
from tests.support.trials import make_plan, run_in

pytestmark = pytest.mark.docker

KEY = "sk-probe-0a1b2c3d4e5f"
# Which processes of the container have the key, in their environment or argv. The shell's own printf has no argv.
LOOK = """
for process in /proc/[0-9]*; do
  name=$(tr '\\0' ' ' < $process/cmdline 2>/dev/null | cut -c1-40)
  for place in environ cmdline; do
    printf %s "$PROBE_API_KEY" | grep -qaf - $process/$place 2>/dev/null && echo "$place: $name"
  done
done > /logs/agent/holders
[ -n "$PROBE_API_KEY" ] && echo 42 > answer.txt
echo key of ${#PROBE_API_KEY} characters
sleep 3; : marker-of-the-agent
"""


@pytest.fixture
def open_sandbox(docker_engine: DockerClient) -> Iterator[OpenSandbox]:
    opener, close = sandbox_opener(EnvironmentConfig(type="docker"))
    yield opener
    close()


def inspected(engine: DockerClient, trial: str) -> str:
    """All that the engine tells of the trial's container and of the commands that run in it."""
    told: list[Any] = []
    for container in engine.containers.list(filters={"label": f"pier-site.trial={trial}"}, ignore_removed=True):
        told.append(container.attrs)
        # It may be restarted or gone by now.
        with suppress(APIError):
            told += [engine.api.exec_inspect(one) for one in container.attrs["ExecIDs"] or ()]
            told.append(container.top())
    return json.dumps(told)


def files_with(words: bytes, folder: Path) -> list[str]:
    """The files below a folder in which the words are, those of the workspace's archive included."""
    found = []
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        with path.open("rb") as file:
            packed = path.suffix == ".zst"
            data = zstandard.ZstdDecompressor().stream_reader(file).read() if packed else file.read()
        if words in data or words in os.fsencode(path):
            found.append(path.name)
    return found


async def test_the_key_of_an_agent_is_in_its_process_and_nowhere_else(
    tmp_path: Path, open_sandbox: OpenSandbox, docker_engine: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROBE_API_KEY", KEY)
    agent = AgentConfig(name="command", env={"PROBE_API_KEY": "${PROBE_API_KEY}"}, kwargs={"command": LOOK})
    test = '#!/bin/bash\nenv | grep -c PROBE\n[ -z "$PROBE_API_KEY" ] && echo 1 > /logs/verifier/reward.txt\n'
    plan = make_plan(make_task(tmp_path, test=test), tmp_path / "job", agent=agent, name=f"keys-{tmp_path.name}")
    told = ""
    async with watched_argvs() as argvs:
        running = asyncio.create_task(run_in(open_sandbox, plan))
        while not running.done():
            told += await asyncio.to_thread(inspected, docker_engine, plan.name)
            await asyncio.sleep(0.05)
        result = await running
    assert result.rewards == {"reward": 1.0}, result.exception_info
    # The samples did see the agent at work.
    assert any(b"marker-of-the-agent" in argv for argv in argvs)
    assert "marker-of-the-agent" in told
    assert not any(KEY.encode() in argv for argv in argvs)
    assert KEY not in told
    holders = (plan.directory / "agent/holders").read_text().splitlines()
    assert holders
    assert not [line for line in holders if line.startswith("cmdline")], holders
    # Neither the container's first processes nor the one that follows the logs has it.
    assert not [line for line in holders if "docker-init" in line or "sleep 86400" in line or "base64" in line], holders
    assert (plan.directory / "agent/command.txt").read_text() == f"key of {len(KEY)} characters\n"
    assert len(list(plan.directory.rglob("*"))) > 8
    assert (plan.directory / "workspace.tar.zst").is_file()
    assert files_with(b"PROBE_API_KEY", plan.directory), "the reference is kept"
    assert files_with(KEY.encode(), plan.directory.parent) == []


async def test_a_tool_server_of_the_job_is_told_to_the_command_and_can_be_reached(
    tmp_path: Path, open_sandbox: OpenSandbox
) -> None:
    async with web_server("tools") as server:
        agent = AgentConfig(
            name="command",
            kwargs={"command": 'curl -sSf -m 10 "$HARBOR_MCP_MY_TOOLS_URL" && echo 42 > answer.txt'},
            mcp_servers=[
                McpServer(name="my-tools", transport="streamable-http", url=f"http://127.0.0.1:{server.port}/mcp")
            ],
        )
        plan = make_plan(make_task(tmp_path), tmp_path / "job", agent=agent)
        result = await run_in(open_sandbox, plan)
    assert result.rewards == {"reward": 1.0}, result.exception_info
    assert "hello from tools" in (plan.directory / "agent/command.txt").read_text()
