"""Sandboxes of several containers, started and removed; at the end nothing of them may be left in the engine."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest_asyncio
from docker import DockerClient

from runs.formats.network import CLOSED, NetworkPolicy
from runs.formats.task_directory import load_task
from runs.sandboxes.base import Image, Sandbox, SandboxSpec
from runs.sandboxes.compose.group import ComposeSandbox
from runs.sandboxes.compose.reader import read_compose
from runs.sandboxes.engine import Engine
from tests.support.tasks import BASE_IMAGE

LABEL = "pier-site.trial"

Start = Callable[..., Awaitable[ComposeSandbox]]


def trial_of(tmp_path: Path) -> str:
    """A name that no test of another run has."""
    return f"{tmp_path.name}-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:8]}"


def left_of(engine: DockerClient, trial: str) -> list[str]:
    """What the engine has of a trial: containers, networks, volumes."""
    wanted = {"label": f"{LABEL}={trial}"}
    found = [str(item["Names"]) for item in engine.api.containers(all=True, filters=wanted)]
    found += [item["Name"] for item in engine.api.networks(filters=wanted)]
    return found + [item["Name"] for item in engine.api.volumes(filters=wanted)["Volumes"] or ()]


async def said_by(sandbox: Sandbox, command: str) -> str:
    """What a command wrote to stdout and stderr."""
    said = bytearray()
    await sandbox.exec(command, on_output=lambda _, data: said.extend(data))
    return said.decode()


@pytest_asyncio.fixture
async def start(tmp_path: Path, docker_engine: DockerClient) -> AsyncIterator[Start]:
    """Starts the sandbox of a task directory under a policy."""
    engine, trial = Engine.connect(), trial_of(tmp_path)
    begun: list[ComposeSandbox] = []

    async def begin(task: Path, policy: NetworkPolicy = CLOSED) -> ComposeSandbox:
        compose = read_compose(load_task(task))
        assert compose is not None
        name = f"compose-{trial}-{len(begun)}"
        spec = SandboxSpec(
            name=name,
            image=Image(BASE_IMAGE),
            network=policy,
            workdir="/app",
            labels={LABEL: trial},
            network_log=tmp_path / f"network-{len(begun)}.jsonl",
            compose=compose,
            service_logs=tmp_path / "services",
        )
        begun.append(ComposeSandbox(spec, engine, compose))
        await begun[-1].start(log=lambda *_: None)
        return begun[-1]

    yield begin
    for sandbox in begun:
        await sandbox.stop()
    engine.close()
    assert left_of(docker_engine, trial) == []
