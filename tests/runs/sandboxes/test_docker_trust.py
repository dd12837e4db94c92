"""Behind a private authority: builds and runs trust it, in the programs' own ways; elsewhere no image is changed."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from docker import DockerClient
from docker.errors import ImageNotFound
from pytest_django.fixtures import Settings

from runs.agents.install import Install, Npm
from runs.formats.network import CLOSED, NetworkPolicy
from runs.sandboxes.base import Image, SandboxSpec
from runs.sandboxes.certificates import authorities
from runs.sandboxes.docker import DockerSandbox
from runs.sandboxes.docker_images import resolve_image
from runs.sandboxes.docker_trust import OWN_STORE, REPOSITORY, trust_key, trusting
from runs.sandboxes.engine import Engine
from tests.support.internet import Authority, make_authority, web_server
from tests.support.tasks import BASE_IMAGE

pytestmark = [pytest.mark.docker]

MACHINE = "host.docker.internal"
COWSAY = Install(f"test-{uuid4().hex[:12]}", "1.6.0", Npm(("cowsay@1.6.0",)), clis=("cowsay",))
# As programs do it that know nothing of each other's stores.
ASK = {
    "curl": "curl -sS -m 20 {url}",
    "python": "python3 -c \"import urllib.request as r; print(r.urlopen('{url}', timeout=20).read().decode())\"",
    "node": (
        "NODE_USE_ENV_PROXY=1 /opt/pier/node/bin/node -e "
        "\"fetch('{url}').then(answer => answer.text()).then(console.log)\""
    ),
}


@pytest.fixture
def engine(docker_engine: DockerClient) -> Iterator[Engine]:
    engine = Engine.connect()
    yield engine
    engine.close()


@pytest.fixture
def authority(tmp_path: Path, settings: Settings, docker_engine: DockerClient) -> Iterator[Authority]:
    """A company's authority, which the setting names. Images with it are removed after the test."""
    made = make_authority(tmp_path)
    bundle = tmp_path / "company.pem"
    bundle.write_bytes(made.pem)
    settings.PIER_EXTRA_CA_BUNDLE = str(bundle)
    yield made
    for layer in docker_engine.images.list(filters={"label": f"pier-site.agent={COWSAY.agent}"}):
        remove(docker_engine, str(layer.id))
    wanted = authorities()
    assert wanted is not None
    remove(docker_engine, f"{REPOSITORY}:{trust_key(str(docker_engine.images.get(BASE_IMAGE).id), wanted)}")


def remove(client: DockerClient, name: str) -> None:
    with suppress(ImageNotFound):
        client.images.remove(name, force=True)


async def output_of(sandbox: DockerSandbox, command: str) -> str:
    kept = bytearray()
    await sandbox.exec(command, on_output=lambda _, data: kept.extend(data))
    return kept.decode()


async def sandbox_of(engine: Engine, image: Image, network: NetworkPolicy, install: Install | None) -> DockerSandbox:
    sandbox = DockerSandbox(SandboxSpec(name="trust-test", image=image, network=network, install=install), engine)
    await sandbox.start(log=lambda *_: None)
    return sandbox


async def test_programs_in_a_closed_sandbox_trust_the_companys_servers(authority: Authority, engine: Engine) -> None:
    async with web_server("company", context=authority.context(MACHINE)) as server:
        policy = CLOSED.with_hosts([f"{MACHINE}:{server.port}"])
        sandbox = await sandbox_of(engine, Image(BASE_IMAGE), policy, COWSAY)
        try:
            for program, command in ASK.items():
                answer = await output_of(sandbox, command.format(url=f"https://{MACHINE}:{server.port}/"))
                # Node has a word to say about its proxy first.
                assert (program, answer.strip().splitlines()[-1]) == (program, "hello from company")
            changed = [change.path for change in await sandbox.changes() or ()]
            assert [path for path in changed if not path.startswith("/logs")] == []
        finally:
            await sandbox.stop()


async def test_a_build_trusts_it_too_and_an_update_of_the_store_keeps_it(
    authority: Authority, engine: Engine, docker_engine: DockerClient, tmp_path: Path
) -> None:
    folder = tmp_path / "environment"
    folder.mkdir()
    (folder / "company.pem").write_bytes(authority.pem)
    (folder / "Dockerfile").write_text(
        f"FROM {BASE_IMAGE} AS first\nENV FOR_TEST={uuid4()}\nCOPY company.pem /company.pem\n"
        "RUN openssl verify -CAfile $SSL_CERT_FILE /company.pem && openssl verify -CAfile $PIP_CERT /company.pem\n"
        "FROM first\nRUN update-ca-certificates && openssl verify -CAfile $SSL_CERT_FILE /company.pem\n"
    )
    resolved = await resolve_image(engine, Image(context=folder), labels={"pier-site": "1"}, log=lambda *_: None)
    try:
        # Nothing is to be added to what was built so.
        assert await trusting(engine, resolved.id, lambda *_: None) == resolved.id
    finally:
        remove(docker_engine, resolved.reference)


async def test_the_task_does_not_see_how_its_image_was_built(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "environment"
    folder.mkdir()
    text = f"FROM {BASE_IMAGE}\nENV FOR_TEST={uuid4()}\nCOPY . /context\n"
    (folder / "Dockerfile").write_text(text)
    resolved = await resolve_image(engine, Image(context=folder), labels={"pier-site": "1"}, log=lambda *_: None)
    sandbox = await sandbox_of(engine, Image(resolved.reference), CLOSED, None)
    try:
        assert await output_of(sandbox, "ls -A /context; cat /context/Dockerfile") == f"Dockerfile\n{text}"
    finally:
        await sandbox.stop()
        engine.api.remove_image(resolved.reference, force=True)


async def test_an_image_without_a_store_gets_a_whole_one_and_variables_that_lead_there(
    authority: Authority, engine: Engine, docker_engine: DockerClient
) -> None:
    name = f"trust-test:{uuid4().hex[:12]}"
    repository, _, tag = name.partition(":")
    engine.api.import_image_from_data(b"\0" * 10240, repository=repository, tag=tag)
    try:
        trusted = await trusting(engine, docker_engine.images.get(name).id or "", lambda *_: None)
        config = docker_engine.images.get(trusted).attrs["Config"]
        assert f"SSL_CERT_FILE={OWN_STORE}" in config["Env"]
        container = docker_engine.containers.create(trusted, command=["/x"])
        try:
            content = b"".join(container.get_archive(OWN_STORE)[0])
        finally:
            container.remove()
        assert authority.pem.splitlines()[1] in content
        assert content.count(b"BEGIN CERTIFICATE") > 100
        remove(docker_engine, trusted)
    finally:
        remove(docker_engine, name)


async def test_a_machine_without_a_private_authority_changes_no_image(
    settings: Settings, engine: Engine, docker_engine: DockerClient
) -> None:
    settings.PIER_EXTRA_CA_BUNDLE = "none"
    image_id = docker_engine.images.get(BASE_IMAGE).id or ""
    assert await trusting(engine, image_id, lambda *_: None) == image_id
