"""A started sandbox of each kind, for the conformance tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from runs.formats.network import CLOSED
from runs.sandboxes.base import Image, Sandbox, SandboxSpec
from runs.sandboxes.docker import DockerSandbox
from runs.sandboxes.docker_root import ContainerRoot
from runs.sandboxes.engine import Engine
from runs.sandboxes.host import HostSandbox
from tests.support.tasks import BASE_IMAGE

SANDBOXES = [
    pytest.param("host"),
    pytest.param("docker", marks=pytest.mark.docker),
    # A runner that may not open the files of containers: an ordinary user, or an engine on another machine.
    pytest.param("docker-engine-alone", marks=pytest.mark.docker),
]


@pytest_asyncio.fixture
async def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Sandbox]:
    """The kind of sandbox that the test asks for, started with a closed network."""
    spec = SandboxSpec(name=f"conformance-{tmp_path.name}", image=Image(BASE_IMAGE), network=CLOSED, workdir="/app")
    if request.param == "host":
        made: Sandbox = HostSandbox(spec)
    else:
        request.getfixturevalue("docker_engine")
        if request.param == "docker-engine-alone":
            request.getfixturevalue("monkeypatch").setattr(ContainerRoot, "of", lambda *_: None)
        made = DockerSandbox(spec, Engine.connect())
    try:
        await made.start(log=lambda *_: None)
        yield made
    finally:
        await made.stop()
