"""The network of whole trials: what a task allows, what its job adds, and what is kept of it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient

from runs.formats.job import AgentConfig, EnvironmentConfig
from runs.trial.sandbox import OpenSandbox, sandbox_opener
from tests.support.internet import web_server
from tests.support.tasks import CLOSED, make_task
from tests.support.trials import make_plan, run_in

pytestmark = pytest.mark.docker

MACHINE = "host.docker.internal"
ALLOWLIST = CLOSED.replace(
    '[agent]\ntimeout_sec = 60.0\nnetwork_mode = "no-network"',
    '[agent]\ntimeout_sec = 60.0\nnetwork_mode = "allowlist"\nallowed_hosts = ["elsewhere.invalid"]',
)
FETCH = 'curl -sSf -m 10 "{url}" > page.txt && grep -q "hello from" page.txt && echo 42 > answer.txt\n'


@pytest.fixture
def open_sandbox(docker_engine: DockerClient) -> Iterator[OpenSandbox]:
    opener, close = sandbox_opener(EnvironmentConfig(type="docker"))
    yield opener
    close()


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_a_host_that_the_job_adds_is_reached_and_the_token_is_in_no_file(
    tmp_path: Path, open_sandbox: OpenSandbox
) -> None:
    async with web_server("model") as server:
        solve = (
            "echo ${https_proxy##*pier:} | cut -d@ -f1 | rev > /logs/agent/reversed\n"
            f"{FETCH.format(url=f'http://{MACHINE}:{server.port}/')}"
            "curl -sS http://not-listed.invalid/\n"
        )
        agent = AgentConfig(name="oracle", extra_allowed_hosts=[f"{MACHINE}:{server.port}"])
        plan = make_plan(make_task(tmp_path, solve=solve, toml=ALLOWLIST), tmp_path / "job", agent=agent)
        result = await run_in(open_sandbox, plan)
    assert result.rewards == {"reward": 1.0}, result.exception_info
    lines = [json.loads(line) for line in (plan.directory / "network.jsonl").read_text().splitlines()]
    assert [(line["host"], line["verdict"]) for line in lines] == [
        (MACHINE, "allowed"),
        ("not-listed.invalid", "refused"),
    ]
    token = (plan.directory / "agent" / "reversed").read_text().strip()[::-1]
    assert len(token) == 32
    assert token.encode() not in everything_in(plan.directory)


async def test_a_base_url_in_the_agent_s_env_opens_a_closed_network_to_itself_alone(
    tmp_path: Path, open_sandbox: OpenSandbox
) -> None:
    async with web_server("model") as server, web_server("other") as other:
        solve = FETCH.format(url="$MODEL_BASE_URL/v1") + (
            f"! curl -sSf -m 5 http://127.0.0.1:{other.port}/ && ! curl -sSf -m 5 http://{MACHINE}:{server.port}/ "
            "|| rm answer.txt\n"
        )
        agent = AgentConfig(name="oracle", env={"MODEL_BASE_URL": f"http://127.0.0.1:{server.port}"})
        plan = make_plan(make_task(tmp_path, solve=solve), tmp_path / "job", agent=agent)
        result = await run_in(open_sandbox, plan)
    assert result.rewards == {"reward": 1.0}, result.exception_info
    assert (len(server.requests), other.connections) == (1, 0)


async def test_the_verifier_has_an_allowlist_of_its_own(tmp_path: Path, open_sandbox: OpenSandbox) -> None:
    async with web_server("model") as server:
        url = f"http://{MACHINE}:{server.port}/"
        solve = f"curl -sSf -m 5 {url} || echo 42 > answer.txt\n"
        test = f"#!/bin/bash\n[ -f answer.txt ] && curl -sSf {url}; echo $((1 - $?)) > /logs/verifier/reward.txt\n"
        plan = make_plan(make_task(tmp_path, solve=solve, test=test), tmp_path / "job")
        plan.config.verifier.extra_allowed_hosts.append(f"{MACHINE}:{server.port}")
        result = await run_in(open_sandbox, plan)
    assert result.rewards == {"reward": 1.0}, result.exception_info


async def test_a_closed_task_leaves_no_network_log(tmp_path: Path, open_sandbox: OpenSandbox) -> None:
    plan = make_plan(make_task(tmp_path), tmp_path / "job")
    assert (await run_in(open_sandbox, plan)).rewards == {"reward": 1.0}
    assert not (plan.directory / "network.jsonl").exists()
