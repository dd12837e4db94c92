"""Several containers as one sandbox: what they share, how they are waited for, what is left of them."""

import asyncio
from pathlib import Path

import pytest
from docker import DockerClient

from runs.errors import SandboxFailed
from runs.formats.task_directory import task_digest
from runs.sandboxes.extraction import SourceMissing
from tests.runs.sandboxes.compose.conftest import Start, left_of, said_by, trial_of
from tests.runs.sandboxes.compose.tasks import WAITING_MAIN, WEB, make_compose_task

pytestmark = pytest.mark.docker

FETCH = "python3 -c \"import urllib.request as u; print(u.urlopen('http://web:8000/', timeout=5).read().decode())\""
SLEEPER = "image: python:3.11-slim-bookworm, command: sleep 300, init: true"


async def test_a_service_is_up_before_main_and_found_by_its_name(tmp_path: Path, start: Start) -> None:
    sandbox = await start(make_compose_task(tmp_path))
    assert "hello from web" in await said_by(sandbox, FETCH)


async def test_ending_the_agents_processes_leaves_the_services_alone(tmp_path: Path, start: Start) -> None:
    sandbox = await start(make_compose_task(tmp_path))
    await sandbox.exec("setsid sleep 300 >/dev/null 2>&1 &")
    before = (await sandbox.services["web"].state())["StartedAt"]
    await sandbox.end_processes()
    assert "sleep 300" not in await said_by(sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert (await sandbox.services["web"].state())["StartedAt"] == before
    assert "hello from web" in await said_by(sandbox, FETCH)
    assert await sandbox.troubles() == []


async def test_commands_and_files_of_a_service_are_its_own(tmp_path: Path, start: Start) -> None:
    sandbox = await start(make_compose_task(tmp_path))
    web = sandbox.part("web")
    assert (await said_by(web, "cat /srv/index.html; pwd")) == "hello from web\n/srv\n"
    await web.download("/srv/index.html", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "hello from web\n"
    with pytest.raises(SourceMissing):
        await sandbox.download("/srv/index.html", tmp_path / "none")
    with pytest.raises(SandboxFailed, match="there is no service 'db'"):
        sandbox.part("db")


async def test_volumes_are_shared_and_folders_of_the_task_are_copies(tmp_path: Path, start: Start) -> None:
    services = f"""
  main:
    volumes: ['store:/store', './data:/data:ro']
    depends_on: [writer]
  writer:
    image: python:3.11-slim-bookworm
    init: true
    volumes: ['store:/store', './data:/data', './greeting.txt:/etc/greeting.txt:ro', '/scratch']
    command:
      - sh
      - -c
      - cp /data/given /etc/greeting.txt /store/; echo changed > /data/given; touch /store/.done; sleep 300
    healthcheck: {{test: test -e /store/.done, interval: 1s, retries: 30}}
  idle: {{{SLEEPER}}}
"""
    task = make_compose_task(tmp_path, services, more="volumes: {store: {}}")
    (task / "environment" / "data").mkdir()
    (task / "environment" / "data" / "given").write_text("given\n")
    (task / "environment" / "greeting.txt").write_text("greeting\n")
    digest = task_digest(task)
    sandbox = await start(task)
    assert await said_by(sandbox, "cat /store/given /store/greeting.txt /data/given") == "given\ngreeting\nchanged\n"
    assert (await sandbox.exec("touch /data/new")).exit_code != 0
    assert task_digest(task) == digest


async def test_limits_users_and_environment_are_the_files(tmp_path: Path, start: Start) -> None:
    services = """
  main: {user: '1000', hostname: desk}
  web:
    image: python:3.11-slim-bookworm
    command: sleep 300
    init: true
    environment: {GREETING: servus}
    user: '1001'
    mem_limit: 64m
    cpus: 0.5
    tmpfs: /fast
    read_only: true
    cap_drop: [ALL]
    networks: {default: {aliases: [shop]}}
"""
    sandbox = await start(make_compose_task(tmp_path, services))
    assert await said_by(sandbox, "echo $(id -u) $(hostname)") == "1000 desk\n"
    assert "web" in await said_by(sandbox, "getent hosts web shop | sed 's/shop/web/'")
    web = sandbox.services["web"]
    assert await said_by(web, "echo $GREETING $(id -u)") == "servus 1001\n"
    assert await said_by(web, "grep CapPrm /proc/self/status; touch /x 2>&1 | grep -o Read-only; touch /fast/x") == (
        "CapPrm:\t0000000000000000\nRead-only\n"
    )
    inspected = web.api.inspect_container(web.container_id or "")["HostConfig"]
    assert (inspected["Memory"], inspected["NanoCpus"]) == (64 * 1024**2, 500_000_000)


async def test_a_job_that_others_wait_for_may_end_and_nothing_else(tmp_path: Path, start: Start) -> None:
    services = """
  main: {depends_on: {seed: {condition: service_completed_successfully}}}
  seed: {image: python:3.11-slim-bookworm, command: "true"}
"""
    await start(make_compose_task(tmp_path, services))
    ended = "  gone: {image: python:3.11-slim-bookworm, command: [sh, -c, 'echo the reason; exit 3']}\n"
    with pytest.raises(SandboxFailed, match=r"service 'gone' ended with exit code 3; the last it said:\nthe reason"):
        await start(make_compose_task(tmp_path, ended, name="ended"))
    failing = services.replace("true", "false")
    with pytest.raises(SandboxFailed, match="service 'seed' ended with exit code 1"):
        await start(make_compose_task(tmp_path, failing, name="failing"))


async def test_a_service_that_is_never_healthy_is_named_and_its_log_is_kept(tmp_path: Path, start: Start) -> None:
    check = "healthcheck: {test: 'echo not yet; false', interval: 100ms, retries: 3}"
    sick = f"  sick: {{image: python:3.11-slim-bookworm, command: [sh, -c, 'echo cannot; sleep 300'], {check}}}\n"
    with pytest.raises(SandboxFailed, match=r"service 'sick' never became healthy: .*: not yet; the last.*\ncannot"):
        await start(make_compose_task(tmp_path, sick + WAITING_MAIN.replace("web", "sick")))


async def test_the_health_check_of_an_image_counts(tmp_path: Path, start: Start) -> None:
    sick = "  sick: {build: ./sick}\n" + WAITING_MAIN.replace("web", "sick")
    task = make_compose_task(tmp_path, sick)
    (task / "environment" / "sick").mkdir()
    check = "HEALTHCHECK --interval=200ms --timeout=2s --retries=2 CMD echo from the image; false\n"
    dockerfile = f"FROM python:3.11-slim-bookworm\n{check}CMD sleep 300\n"
    (task / "environment" / "sick" / "Dockerfile").write_text(dockerfile)
    with pytest.raises(SandboxFailed, match=r"service 'sick' never became healthy: .*: from the image"):
        await start(task)


async def test_an_image_that_cannot_be_had_is_told_with_its_service(tmp_path: Path, start: Start) -> None:
    broken = "  odd: {build: ./odd}\n"
    task = make_compose_task(tmp_path, broken)
    (task / "environment" / "odd").mkdir()
    (task / "environment" / "odd" / "Dockerfile").write_text("FROM python:3.11-slim-bookworm\nRUN exit 7\n")
    with pytest.raises(SandboxFailed, match=r"service 'odd': the image of .*/odd could not be built"):
        await start(task)


async def test_who_waits_for_the_start_alone_does_not_wait_for_health(tmp_path: Path, start: Start) -> None:
    services = """
  main: {depends_on: [web], healthcheck: {test: 'true'}}
  web:
    image: python:3.11-slim-bookworm
    command: sleep 300
    init: true
    healthcheck: {test: getent hosts main, interval: 1s, retries: 30}
  last: {image: python:3.11-slim-bookworm, command: sleep 300, depends_on: {main: {condition: service_healthy}}}
"""
    sandbox = await start(make_compose_task(tmp_path, services))
    assert await sandbox.troubles() == []
    unchecked = services.replace("healthcheck: {test: 'true'}", "user: root")
    with pytest.raises(SandboxFailed, match="main is waited for as healthy, and has no health check"):
        await start(make_compose_task(tmp_path, unchecked, name="unchecked"))


async def test_what_services_wrote_is_kept_within_limits(tmp_path: Path, start: Start) -> None:
    loud = (
        f"  loud: {{{SLEEPER.replace('sleep 300', '[sh, -c, "yes line | head -c 3000000; echo end; sleep 300"]')}}}\n"
    )
    sandbox = await start(make_compose_task(tmp_path, loud))
    await asyncio.sleep(0.5)
    await sandbox.stop()
    log = (tmp_path / "services" / "loud.log").read_bytes()
    assert log.endswith(b"line\nend\n")
    assert len(log) <= 1024**2


async def test_a_log_that_cannot_be_kept_does_not_keep_the_containers(
    tmp_path: Path, start: Start, docker_engine: DockerClient
) -> None:
    sandbox = await start(make_compose_task(tmp_path))
    await said_by(sandbox, FETCH)
    (tmp_path / "services").write_text("in the way")
    await sandbox.stop()
    assert left_of(docker_engine, trial_of(tmp_path)) == []


async def test_a_service_that_ends_under_the_agent_is_told(tmp_path: Path, start: Start) -> None:
    sandbox = await start(make_compose_task(tmp_path))
    sandbox.api.kill(sandbox.services["web"].container_id or "")
    assert await sandbox.troubles() == ["service 'web' has ended with exit code 137"]


async def test_a_start_that_is_cancelled_says_what_it_waited_for_and_leaves_nothing(
    tmp_path: Path, start: Start, docker_engine: DockerClient
) -> None:
    never = WEB.replace("retries: 30", "retries: 300").replace("8000), 2", "1), 2")
    starting = asyncio.ensure_future(start(make_compose_task(tmp_path, WAITING_MAIN + never)))
    async with asyncio.timeout(30):
        while len(left_of(docker_engine, trial_of(tmp_path))) < 2:  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(0.05)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
