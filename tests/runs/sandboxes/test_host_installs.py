"""Agents in the host sandbox: really installed once, seen at /opt/pier, and not to be changed from inside."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from runs.agents.install import Install, Script, Uv
from runs.errors import AgentInstallFailed
from runs.formats.network import CLOSED
from runs.sandboxes.base import Image, OnOutput, SandboxSpec
from runs.sandboxes.host import HostSandbox
from runs.sandboxes.host_installs import installs_folder

PYJOKES = Install("pyjokes", "0.8.3", Uv(("pyjokes==0.8.3",)), clis=("pyjokes",))


@pytest.fixture
def name() -> Iterator[str]:
    """The name of an agent whose folders are removed after the test."""
    name = f"test-{uuid4().hex[:12]}"
    yield name
    for folder in folders_of(name):
        shutil.rmtree(folder)


def folders_of(agent: str) -> list[Path]:
    return [path for path in installs_folder().iterdir() if agent in path.name]


@asynccontextmanager
async def sandbox_with(install: Install, log: OnOutput = lambda *_: None) -> AsyncIterator[HostSandbox]:
    sandbox = HostSandbox(SandboxSpec(name="install-test", image=Image(), network=CLOSED, install=install))
    try:
        await sandbox.start(log=log)
        yield sandbox
    finally:
        await sandbox.stop()


async def output_of(sandbox: HostSandbox, command: str) -> str:
    kept = bytearray()
    await sandbox.exec(command, on_output=lambda _, data: kept.extend(data))
    return kept.decode()


def scripted(name: str, script: str = "true", programs: tuple[str, ...] = ()) -> Install:
    folder = "/opt/pier/home/bin"
    text = f"mkdir -p {folder}; echo installing; {script}\necho '#!/bin/sh\necho run' > {folder}/{name}\n"
    return Install(name, "1", Script(text, bin_folder=folder), clis=(name,), programs=programs)


@pytest.mark.docker  # not for the engine: for the network that such tests may use
async def test_an_agent_of_a_python_index_runs_at_the_path_that_it_has_everywhere() -> None:
    async with sandbox_with(PYJOKES) as sandbox:
        assert (await sandbox.exec("/opt/pier/bin/pyjokes -l en -c neutral")).exit_code == 0


async def test_ten_that_want_an_agent_install_it_once_and_cannot_change_it(name: str) -> None:
    log = bytearray()

    async def one() -> str:
        async with sandbox_with(scripted(name)) as sandbox:
            await sandbox.exec(f"echo changed > /opt/pier/bin/{name}")
            return await output_of(sandbox, f"/opt/pier/bin/{name}")

    assert set(await asyncio.gather(*(one() for _ in range(10)))) == {"run\n"}
    assert len(folders_of(name)) == 1
    async with sandbox_with(scripted(name), lambda _, data: log.extend(data)):
        assert b"installing" not in log
    assert not Path("/opt/pier/bin", name).exists()


async def test_what_the_machine_has_below_opt_stays_visible(name: str) -> None:
    async with sandbox_with(scripted(name)) as sandbox:
        seen = (await output_of(sandbox, "ls -A /opt")).split()
    assert set(seen) >= {path.name for path in Path("/opt").glob("*") if path.is_dir()} | {"pier"}


async def test_an_installation_that_fails_leaves_nothing(name: str) -> None:
    with pytest.raises(AgentInstallFailed, match="no luck"):
        async with sandbox_with(scripted(name, "echo no luck >&2; exit 1")):
            pass
    assert folders_of(name) == []


async def test_the_machine_is_given_no_packages(name: str) -> None:
    with pytest.raises(AgentInstallFailed, match=f"{name} needs no-such-program: install that on this machine"):
        async with sandbox_with(scripted(name, programs=("sh", "no-such-program"))):
            pass
