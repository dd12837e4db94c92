"""Agents in layers on the task's image: really installed, once for all who want them, out of the task's way."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from docker import DockerClient
from docker.models.images import Image as EngineImage

from runs.agents.install import Install, Npm, Script, Uv
from runs.errors import AgentInstallFailed
from runs.formats.network import CLOSED
from runs.sandboxes.base import Image, OnOutput, SandboxSpec
from runs.sandboxes.docker import DockerSandbox
from runs.sandboxes.engine import Engine
from tests.support.tasks import BASE_IMAGE

pytestmark = [pytest.mark.docker]

# Small packages of the public registries that have a program.
COWSAY = Install("cowsay", "1.6.0", Npm(("cowsay@1.6.0",)), clis=("cowsay",), programs=("git", "ps"))
PYJOKES_HASH = "12836e61bc7a2c1ff302604a040f0f63ac36c5c947c20319fcb5d1ab37bac46e"
PYJOKES = Install("pyjokes", "0.8.3", Uv(("pyjokes==0.8.3",)), clis=("pyjokes",))
OTHER_PROCESS = """
import asyncio, sys
import django
django.setup()
from tests.runs.sandboxes.test_docker_layers import install_alone, scripted
print(asyncio.run(install_alone(scripted(sys.argv[1]))))
"""


def scripted(name: str, script: str = "true") -> Install:
    """An agent that costs nothing to install and is like no other."""
    folder = "/opt/pier/home/bin"
    text = f"mkdir -p {folder}; echo installing; {script}\ncat /proc/sys/kernel/random/uuid > {folder}/{name}\n"
    return Install(name, "1", Script(text, bin_folder=folder), clis=(name,))


@pytest.fixture
def engine(docker_engine: DockerClient) -> Iterator[Engine]:
    engine = Engine.connect()
    yield engine
    engine.close()


@pytest.fixture
def name(docker_engine: DockerClient) -> Iterator[str]:
    """The name of an agent whose layers are removed after the test."""
    name = f"test-{uuid4().hex[:12]}"
    yield name
    for image in layers_of(docker_engine, name):
        docker_engine.images.remove(str(image.id), force=True)


def layers_of(client: DockerClient, agent: str) -> list[EngineImage]:
    """The layers with this agent."""
    return list(client.images.list(filters={"label": f"pier-site.agent={agent}"}))


@asynccontextmanager
async def sandbox_with(
    engine: Engine, install: Install, log: OnOutput = lambda *_: None
) -> AsyncIterator[DockerSandbox]:
    """A started sandbox of a closed task with the agent in it."""
    spec = SandboxSpec(name="layer-test", image=Image(BASE_IMAGE), network=CLOSED, install=install)
    sandbox = DockerSandbox(spec, engine)
    try:
        await sandbox.start(log=log)
        yield sandbox
    finally:
        await sandbox.stop()


async def output_of(sandbox: DockerSandbox, command: str, **env: str) -> str:
    kept = bytearray()
    await sandbox.exec(command, env=env, on_output=lambda _, data: kept.extend(data))
    return kept.decode()


async def install_alone(install: Install) -> str:
    """Start and stop a sandbox with the agent; the id of the image that it was started from."""
    engine = Engine.connect()
    try:
        async with sandbox_with(engine, install) as sandbox:
            return sandbox.started_from
    finally:
        engine.close()


async def test_an_agent_of_npm_runs_in_a_closed_sandbox_whose_path_knows_nothing_of_it(engine: Engine) -> None:
    async with sandbox_with(engine, COWSAY) as sandbox:
        assert "< moo >" in await output_of(sandbox, "/opt/pier/bin/cowsay moo")
        # A Node of the task, or settings for it, are not the agent's.
        assert "< moo >" in await output_of(sandbox, "/opt/pier/bin/cowsay moo", PATH="/usr/bin:/bin")
        assert await output_of(sandbox, "command -v cowsay node npm uv") == ""
        assert "/opt/pier" not in await output_of(sandbox, "env")
        assert await output_of(sandbox, "ls -A /opt/pier") == "bin\nnode\nnpm\n"
        assert [change.path for change in await sandbox.changes() or () if "/opt/" in change.path] == []
        assert sandbox.image is not None
        assert sandbox.image.reference == BASE_IMAGE


async def test_an_agent_of_a_python_index_runs_whatever_the_task_sets_for_python(engine: Engine) -> None:
    async with sandbox_with(engine, PYJOKES) as sandbox:
        for env in ({}, {"PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere"}):
            assert await output_of(sandbox, "/opt/pier/bin/pyjokes --version", **env) != ""
            result = await sandbox.exec("/opt/pier/bin/pyjokes -l en -c neutral", env=env)
            assert result.exit_code == 0
        assert "pyjokes" not in await output_of(sandbox, "python3 -m pip list")


async def test_locked_requirements_are_installed_and_what_differs_from_them_is_refused(engine: Engine) -> None:
    for digest in (PYJOKES_HASH, PYJOKES_HASH[::-1]):
        lock = f"pyjokes==0.8.3 --hash=sha256:{digest}\n"
        install = replace(PYJOKES, method=Uv(("pyjokes==0.8.3",), requirements=lock))
        if digest == PYJOKES_HASH:
            async with sandbox_with(engine, install) as sandbox:
                assert (await sandbox.exec("/opt/pier/bin/pyjokes -l en -c neutral")).exit_code == 0
        else:
            with pytest.raises(AgentInstallFailed, match=r"[Hh]ash mismatch"):
                await install_alone(install)


async def test_an_agent_whose_python_cannot_be_had_says_what_to_do(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_PYTHON_INSTALL_MIRROR", "http://127.0.0.1:1")
    install = replace(PYJOKES, method=Uv(("pyjokes==0.8.3",), python="3.14"))
    with pytest.raises(AgentInstallFailed, match=r"needs Python 3\.14 or newer\. The image has none") as caught:
        async with sandbox_with(engine, install):
            pass
    assert "UV_PYTHON_INSTALL_MIRROR" in str(caught.value)


async def test_an_alpine_whose_node_is_too_old_is_refused_by_name(
    engine: Engine, docker_engine: DockerClient, tmp_path: Path
) -> None:
    name = f"layer-test:{uuid4().hex[:12]}"
    # What the recipe sees of an Alpine: apk alone, which brings the distribution's Node.
    (tmp_path / "node").write_text("#!/bin/sh\necho 20\n")
    (tmp_path / "apk").write_text("#!/bin/sh\necho apk $*\ncp /node /usr/bin/node\n")
    (tmp_path / "Dockerfile").write_text(
        f"FROM {BASE_IMAGE}\nCOPY node /node\nCOPY apk /sbin/apk\nRUN chmod +x /node /sbin/apk && rm /usr/bin/apt-get\n"
    )
    docker_engine.images.build(path=str(tmp_path), rm=True, tag=name)
    log = bytearray()
    try:
        spec = SandboxSpec(name="layer-test", image=Image(name), network=CLOSED, install=COWSAY)
        sandbox = DockerSandbox(spec, engine)
        with pytest.raises(AgentInstallFailed, match="cowsay needs Node 22, and this Alpine has Node 20: use a newer"):
            await sandbox.start(log=lambda _, data: log.extend(data))
        assert b"apk add --no-cache nodejs\n" in log
    finally:
        await sandbox.stop()
        docker_engine.images.remove(name, force=True)


async def test_settings_of_the_task_for_its_own_programs_do_not_reach_the_installation(
    engine: Engine, docker_engine: DockerClient, tmp_path: Path
) -> None:
    name = f"layer-test:{uuid4().hex[:12]}"
    (tmp_path / "Dockerfile").write_text(
        f"FROM {BASE_IMAGE}\nENV NODE_OPTIONS=--require=/nowhere.js PYTHONHOME=/nowhere UV_OFFLINE=1\n"
        "ENV NPM_CONFIG_REGISTRY=http://127.0.0.1:1/ NPM_CONFIG_PREFIX=/nowhere\n"
    )
    docker_engine.images.build(path=str(tmp_path), rm=True, tag=name)
    try:
        for install in (COWSAY, PYJOKES):
            spec = SandboxSpec(name="layer-test", image=Image(name), network=CLOSED, install=install)
            sandbox = DockerSandbox(spec, engine)
            try:
                await sandbox.start(log=lambda *_: None)
                assert await output_of(sandbox, "echo $NODE_OPTIONS $PYTHONHOME") == "--require=/nowhere.js /nowhere\n"
                docker_layer = sandbox.started_from
            finally:
                await sandbox.stop()
            docker_engine.images.remove(docker_layer, force=True)
    finally:
        docker_engine.images.remove(name, force=True)


async def test_another_user_may_run_the_agent(engine: Engine) -> None:
    async with sandbox_with(engine, COWSAY) as sandbox:
        assert (await sandbox.exec("/opt/pier/bin/cowsay moo", user="nobody")).exit_code == 0
        assert (await sandbox.exec("touch /opt/pier/bin/cowsay", user="nobody")).exit_code != 0


async def test_fifty_that_want_an_agent_install_it_once(engine: Engine, docker_engine: DockerClient, name: str) -> None:
    logs = [bytearray() for _ in range(50)]

    async def one(log: bytearray) -> str:
        async with sandbox_with(engine, scripted(name), lambda _, data: log.extend(data)) as sandbox:
            return sandbox.started_from

    started_from = await asyncio.gather(*map(one, logs))
    assert len(set(started_from)) == 1
    assert len(layers_of(docker_engine, name)) == 1
    assert sum(log.count(b"installing\n") for log in logs) == 50


async def test_two_processes_that_want_an_agent_install_it_once(
    engine: Engine, docker_engine: DockerClient, name: str
) -> None:
    command = [sys.executable, "-c", OTHER_PROCESS, name]
    root = Path(__file__).resolve().parents[3]
    others = [await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=root) for _ in range(2)]
    answers = [(await other.communicate())[0].decode().strip() for other in others]
    assert answers[0] != ""
    assert len({*answers, await install_alone(scripted(name))}) == 1
    assert len(layers_of(docker_engine, name)) == 1


async def test_an_installation_that_fails_says_why_and_is_not_the_agents_fault(
    engine: Engine, docker_engine: DockerClient, name: str
) -> None:
    log = bytearray()
    install = scripted(name, "echo the registry is down >&2; exit 3")
    with pytest.raises(
        AgentInstallFailed, match=f"{name} 1 could not be installed(.|\n)*the registry is down"
    ) as caught:
        async with sandbox_with(engine, install, lambda _, data: log.extend(data)):
            pass
    assert caught.value.cause == "infrastructure"
    assert b"the registry is down" in log
    assert layers_of(docker_engine, name) == []
    left = docker_engine.containers.list(all=True, filters={"name": f"pier-install-{name}"})
    assert left == []


async def test_a_program_that_is_missing_after_the_installation_is_named(engine: Engine, name: str) -> None:
    install = Install(name, "1", Script("true"), clis=("no-such-cli",))
    with pytest.raises(AgentInstallFailed, match=f"{name} was installed, but has no program no-such-cli"):
        await install_alone(install)


async def test_an_installation_that_nobody_waits_for_any_more_is_stopped(
    engine: Engine, docker_engine: DockerClient, name: str
) -> None:
    begun = asyncio.Event()
    install = scripted(name, "sleep 600")

    def on_output(_: str, data: bytes) -> None:
        if b"installing" in data:
            begun.set()

    waiting = [asyncio.create_task(_entered(engine, install, on_output)) for _ in range(2)]
    await begun.wait()
    for one in waiting:
        one.cancel()
    async with asyncio.timeout(20):
        await asyncio.wait(waiting)
    assert docker_engine.containers.list(all=True, filters={"name": f"pier-install-{name}"}) == []
    assert layers_of(docker_engine, name) == []


async def _entered(engine: Engine, install: Install, log: OnOutput) -> None:
    async with sandbox_with(engine, install, log):
        pass


async def test_a_layer_behaves_as_the_image_below_it(
    engine: Engine, docker_engine: DockerClient, name: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(
        f"FROM {BASE_IMAGE}\nENV GREETING=hello\nWORKDIR /work\nUSER nobody\n"
        f'ENTRYPOINT ["/bin/echo"]\nCMD ["there"]\nLABEL test={name}\n'
    )
    image, _ = docker_engine.images.build(path=str(tmp_path), rm=True, tag=f"{name}:1")
    try:
        spec = SandboxSpec(name="layer-test", image=Image(f"{name}:1"), network=CLOSED, install=scripted(name))
        sandbox = DockerSandbox(spec, engine)
        await sandbox.start(log=lambda *_: None)
        try:
            assert await output_of(sandbox, 'echo "$GREETING $(pwd) $(id -un)"') == "hello /work nobody\n"
        finally:
            await sandbox.stop()
        (layer,) = layers_of(docker_engine, name)
        kept = ("Entrypoint", "Cmd", "User", "WorkingDir", "Volumes", "ExposedPorts", "Healthcheck")
        configs = [found.attrs["Config"] for found in (image, layer)]
        assert [configs[0].get(key) for key in kept] == [configs[1].get(key) for key in kept]
        assert "GREETING=hello" in configs[1]["Env"]
        assert configs[1]["Labels"]["pier-site"] == "1"
        # Whoever makes a container from it by hand is not taken for a dead runner.
        assert configs[1]["Labels"]["pier-site.owner"] == ""
        docker_engine.images.remove(str(layer.id), force=True)
    finally:
        docker_engine.images.remove(f"{name}:1", force=True)
