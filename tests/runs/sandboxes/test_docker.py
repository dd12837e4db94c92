"""What only the Docker sandbox has: a first process that can be taken over, files past the engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from runs.formats.network import CLOSED
from runs.sandboxes import docker
from runs.sandboxes.base import Image, Resources, SandboxSpec
from runs.sandboxes.docker import DockerSandbox
from runs.sandboxes.docker_root import ContainerRoot, NotPlain
from runs.sandboxes.engine import Engine
from tests.support.tasks import BASE_IMAGE

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_engine")]

# When process 1 began, in ticks since the machine's start.
BEGAN = "cut -d' ' -f22 /proc/1/stat"
# What an agent may do to the first process, which has the same rights as itself.
ATTACH = "python3 -c 'import ctypes; print(ctypes.CDLL(None).ptrace(16, 1, 0, 0))'"


@pytest_asyncio.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[DockerSandbox]:
    engine = Engine.connect()
    made = DockerSandbox(SandboxSpec(f"docker-{tmp_path.name}", Image(BASE_IMAGE), CLOSED, workdir="/app"), engine)
    try:
        await made.start(log=lambda *_: None)
        yield made
    finally:
        await made.stop()
        engine.close()


async def said(sandbox: DockerSandbox, command: str) -> str:
    kept = bytearray()
    await sandbox.exec(command, on_output=lambda _, data: kept.extend(data))
    return kept.decode().strip()


async def test_the_first_process_which_an_agent_can_take_over_is_a_new_one_afterwards(sandbox: DockerSandbox) -> None:
    before = await said(sandbox, BEGAN)
    assert await said(sandbox, ATTACH) in ("0", "-1")
    await sandbox.end_processes()
    assert int(await said(sandbox, BEGAN)) > int(before)


async def test_the_files_of_a_container_are_reached_past_the_engine_before_and_after_its_restart(
    sandbox: DockerSandbox, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x\n")
    for name in ("one", "two"):
        assert isinstance(sandbox.root, ContainerRoot)
        await sandbox.upload(tmp_path / "file", f"/app/{name}")
        assert await said(sandbox, f"cat /app/{name}; stat -c %u /app/{name}") == "x\n0"
        await sandbox.end_processes()


async def test_the_way_to_the_files_ends_with_the_sandbox(sandbox: DockerSandbox) -> None:
    root = sandbox.root
    assert root
    assert root.tar_of("/app")
    await sandbox.stop()
    with pytest.raises(NotPlain, match="the container has ended"):
        root.tar_of("/app")


async def test_what_lies_behind_a_link_is_reached_by_the_engine(sandbox: DockerSandbox, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("x")
    await said(sandbox, "mkdir -p /real && ln -s /real /app/link")
    await sandbox.upload(tmp_path / "in", "/app/link/sub")
    assert await said(sandbox, "cat /real/sub/file") == "x"
    await sandbox.download("/app/link/sub", tmp_path / "out")
    assert (tmp_path / "out" / "file").read_text() == "x"


async def test_limits_are_the_containers_own_and_swap_adds_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert docker.PIDS_LIMIT == 4096
    monkeypatch.setattr(docker, "PIDS_LIMIT", 40)
    spec = SandboxSpec(
        f"limits-{tmp_path.name}", Image(BASE_IMAGE), CLOSED, resources=Resources(cpus=0.5, memory_mb=64)
    )
    engine = Engine.connect()
    limited = DockerSandbox(spec, engine)
    try:
        await limited.start(log=lambda *_: None)
        host = engine.api.inspect_container(str(limited.container_id))["HostConfig"]
        assert (host["Memory"], host["MemorySwap"]) == (64 << 20, 64 << 20)
        assert (host["NanoCpus"], host["PidsLimit"]) == (500_000_000, 40)
        assert (host["Privileged"], host["CapAdd"], host["CapDrop"]) == (False, None, ["NET_RAW"])
        assert (host["NetworkMode"], host["Init"], host["Binds"]) == ("none", True, None)
        # The kernel holds them; the container goes on.
        assert "137" in (await said(limited, "python3 -c 'bytearray(200 << 20)'; echo $?")).split()
        assert "retry: Resource temporarily unavailable" in await said(
            limited, "(for n in $(seq 60); do sleep 2 & done) 2>&1"
        )
        await limited.end_processes()
        assert await said(limited, "echo here") == "here"
    finally:
        await limited.stop()
        engine.close()
