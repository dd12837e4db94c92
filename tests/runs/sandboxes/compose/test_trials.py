"""Whole trials of tasks with services: what is collected of them, and what ends a trial."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient

from runs.formats.job import AgentConfig, EnvironmentConfig
from runs.trial.sandbox import OpenSandbox, sandbox_opener
from tests.runs.sandboxes.compose.conftest import left_of, trial_of
from tests.runs.sandboxes.compose.tasks import WAITING_MAIN, WEB, make_compose_task
from tests.support.tasks import CLOSED
from tests.support.trials import make_plan, run_in, run_on_host

pytestmark = pytest.mark.docker

EXAMPLE = Path(__file__).resolve().parents[4] / "examples" / "compose-web"
FETCH = "python3 -c \"import urllib.request as u; u.urlretrieve('http://web:8000/', 'answer.txt')\"\n"
OF_WEB = 'artifacts = [{source = "/srv/index.html", service = "web"}, {source = "/none", service = "web"}]\n'
HOOKS = (
    '\n[[verifier.collect]]\nservice = "web"\ncommand = "echo collected >> /srv/index.html; cat /logs/artifacts/x"\n'
    '[[verifier.collect]]\ncommand = "echo of main > /logs/artifacts/main.txt"\n'
    '[[verifier.collect]]\nservice = "nobody"\ncommand = "true"\n'
)


@pytest.fixture
def open_sandbox(docker_engine: DockerClient) -> Iterator[OpenSandbox]:
    opener, close = sandbox_opener(EnvironmentConfig(type="docker"))
    yield opener
    close()


def collect_from_web(task: Path) -> Path:
    """Keys of the root come before the first table."""
    text = (task / "task.toml").read_text()
    (task / "task.toml").write_text(text.replace("\n\n[task]", f"\n{OF_WEB}\n[task]", 1))
    return task


async def test_the_example_keeps_what_its_service_wrote(
    tmp_path: Path, open_sandbox: OpenSandbox, docker_engine: DockerClient
) -> None:
    plan = make_plan(EXAMPLE, tmp_path, name=f"web-{trial_of(tmp_path)}")
    result = await run_in(open_sandbox, plan)
    assert result.rewards == {"reward": 1.0}, result.exception_info
    kept = (plan.directory / "artifacts" / "requests.log").read_text().splitlines()
    assert kept[0] == "/items?page=1"
    assert kept[-1] == f"{len(kept) - 1} requests"
    assert "GET /items?page=1" in (plan.directory / "services" / "web.log").read_text()
    assert left_of(docker_engine, plan.name) == []


async def test_hooks_and_artifacts_name_their_service(tmp_path: Path, open_sandbox: OpenSandbox) -> None:
    task = make_compose_task(tmp_path, solve=FETCH, toml=CLOSED + HOOKS)
    plan = make_plan(collect_from_web(task), tmp_path / "job")
    result = await run_in(open_sandbox, plan)
    assert result.rewards == {"reward": 1.0}, result.exception_info
    assert (plan.directory / "artifacts" / "index.html").read_text() == "hello from web\ncollected\n"
    assert (plan.directory / "artifacts" / "main.txt").read_text() == "of main\n"
    lines = json.loads((plan.directory / "artifacts" / "manifest.json").read_text())
    assert [(line["source"], line["service"], line["status"]) for line in lines] == [
        ("/logs/artifacts", "main", "ok"),
        ("/srv/index.html", "web", "ok"),
        ("/none", "web", "failed"),
    ]
    log = (plan.directory / "trial.log").read_text()
    assert "collect hook ended with 1: echo collected" in log
    assert "collect hook of service 'nobody' not run" in log


async def test_a_separate_verifier_gets_what_was_collected_and_services_of_its_own(
    tmp_path: Path, open_sandbox: OpenSandbox, docker_engine: DockerClient
) -> None:
    toml = CLOSED.replace("[verifier]", '[verifier]\nenvironment_mode = "separate"')
    fetch = FETCH.strip().replace("answer.txt", "fresh.txt")
    judged = "grep -q changed /srv/index.html && grep -q hello fresh.txt && ! grep -q changed fresh.txt"
    test = f"#!/bin/bash\n{fetch}\n{judged}\necho $((1 - $?)) > /logs/verifier/reward.txt\n"
    hook = '\n[[verifier.collect]]\nservice = "web"\ncommand = "echo changed >> /srv/index.html"\n'
    task = make_compose_task(tmp_path, solve="true\n", test=test, toml=toml + hook)
    plan = make_plan(collect_from_web(task), tmp_path / "job", name=f"separate-{trial_of(tmp_path)}")
    result = await run_in(open_sandbox, plan)
    assert result.rewards == {"reward": 1.0}, result.exception_info
    assert (plan.directory / "services" / "web.log").exists()
    assert (plan.directory / "services" / "verifier__trial" / "web.log").exists()
    assert left_of(docker_engine, plan.name) == []


async def test_main_gets_what_the_file_says_of_it(tmp_path: Path, open_sandbox: OpenSandbox) -> None:
    main = """
  main:
    build: {context: ./agent, dockerfile: Other, args: {WORD: built}}
    command: [sh, -c, "touch /began; sleep infinity"]
    environment: {GREETING: "${GREETING} you", FROM_TASK: of the file}
"""
    solve = (
        'cd /; [ "$(cat word) $GREETING $FROM_TASK" = "built hello you of the file" ] && [ -e /began ] && touch /ok\n'
    )
    test = "#!/bin/bash\n[ -e /ok ]; echo $((1 - $?)) > /logs/verifier/reward.txt\n"
    toml = f'{CLOSED}env = {{GREETING = "hello", FROM_TASK = "of the task"}}\n'
    task = make_compose_task(tmp_path, main, solve=solve, test=test, toml=toml)
    (task / "environment" / "agent").mkdir()
    dockerfile = "FROM python:3.11-slim-bookworm\nARG WORD\nRUN echo $WORD > /word\nWORKDIR /app\n"
    (task / "environment" / "agent" / "Other").write_text(dockerfile)
    result = await run_in(open_sandbox, make_plan(task, tmp_path / "job"))
    assert result.rewards == {"reward": 1.0}, result.exception_info


async def test_an_agent_that_is_installed_works_beside_services(tmp_path: Path, open_sandbox: OpenSandbox) -> None:
    fetch = FETCH.strip().replace("answer.txt", "page.txt")
    judged = "grep -q '< 42 >' answer.txt && grep -q 'hello from web' page.txt"
    test = f"#!/bin/bash\n{fetch}\n{judged}\necho $((1 - $?)) > /logs/verifier/reward.txt\n"
    agent = AgentConfig(import_path="tests.runs.trial.test_agent_layers:Cow")
    plan = make_plan(make_compose_task(tmp_path, test=test), tmp_path / "job", agent=agent)
    result = await run_in(open_sandbox, plan)
    assert result.rewards == {"reward": 1.0}, result.exception_info


async def test_a_service_that_the_agent_ended_is_a_warning_and_no_failure(
    tmp_path: Path, open_sandbox: OpenSandbox
) -> None:
    mortal = WEB.replace("exec python3 -u -m http.server 8000", "timeout 3 python3 -u -m http.server 8000")
    task = make_compose_task(tmp_path, WAITING_MAIN + mortal, solve="sleep 4; echo 42 > answer.txt\n")
    result = await run_in(open_sandbox, make_plan(task, tmp_path / "job"))
    assert (result.rewards, result.exception_info) == ({"reward": 1.0}, None)
    assert "service 'web' has ended with exit code 124" in result.warnings


async def test_a_start_that_takes_too_long_names_what_it_waited_for(tmp_path: Path, open_sandbox: OpenSandbox) -> None:
    never = WEB.replace("retries: 30", "retries: 300").replace("8000), 2", "1), 2")
    task = make_compose_task(tmp_path, WAITING_MAIN + never, toml=f"{CLOSED}build_timeout_sec = 3\n")
    result = await run_in(open_sandbox, make_plan(task, tmp_path / "job"))
    assert result.exception_info is not None
    assert result.exception_info.exception_type == "EnvironmentStartTimeoutError"
    assert "it waited for service 'web' (service_healthy)" in result.exception_info.exception_message


async def test_what_is_refused_ends_the_trial_before_anything_starts(tmp_path: Path, open_sandbox: OpenSandbox) -> None:
    task = make_compose_task(tmp_path, "  main: {cap_add: [NET_ADMIN]}\n")
    plan = make_plan(task, tmp_path / "job")
    result = await run_in(lambda _: pytest.fail("a sandbox was made"), plan)
    assert result.exception_info is not None
    assert (result.exception_info.exception_type, result.exception_info.cause) == ("TaskInvalid", "task")
    assert "docker-compose.yaml: service 'main': 'cap_add' is refused" in result.exception_info.exception_message


async def test_the_host_sandbox_refuses_a_task_of_several_containers(tmp_path: Path) -> None:
    plan = make_plan(make_compose_task(tmp_path), tmp_path / "job")
    result = await run_on_host(plan)
    assert result.exception_info is not None
    assert "several containers" in result.exception_info.exception_message
