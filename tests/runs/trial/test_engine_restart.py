"""An engine that is restarted under a trial: no blame on the agent, a second try if asked for, nothing left behind."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient

from tests.support.second_engine import SecondEngine, second_engine
from tests.support.tasks import BASE_IMAGE, CLOSED, make_task

ROOT = Path(__file__).resolve().parents[3]
START_SEC = 60.0

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def engine(docker_engine: DockerClient) -> Iterator[SecondEngine]:
    """An engine of this module's own."""
    assert docker_engine.ping()
    with second_engine(BASE_IMAGE) as started:
        yield started


@pytest.fixture
def environment(engine: SecondEngine, tmp_path: Path) -> dict[str, str]:
    """Commands of a site of its own, on that engine."""
    env = {**os.environ, "PIER_DATA_DIR": str(tmp_path / "var"), "DOCKER_HOST": engine.address}
    env.pop("DATABASE_URL", None)
    subprocess.run([sys.executable, str(ROOT / "manage.py"), "migrate", "-v0"], env=env, check=True)
    return env


def begin(tmp_path: Path, environment: dict[str, str], *, max_retries: int) -> subprocess.Popen[str]:
    """Start a job of one trial whose agent works for three seconds, and wait until it does."""
    toml = CLOSED.replace("[environment]", f'[environment]\ndocker_image = "{BASE_IMAGE}"\nworkdir = "/app"')
    task = make_task(tmp_path, toml=toml, solve="sleep 3; echo 42 > answer.txt\n")
    (task / "environment" / "Dockerfile").unlink()
    retry = {"max_retries": max_retries, "min_wait_sec": 4.0, "max_wait_sec": 4.0}
    job = {"job_name": "job", "jobs_dir": str(tmp_path / "jobs"), "retry": retry, "tasks": [{"path": str(task)}]}
    (tmp_path / "job.yaml").write_text(json.dumps(job))
    runner = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "pierrun", "-c", str(tmp_path / "job.yaml"), "-q", "-y"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + START_SEC
    while not list((tmp_path / "jobs").glob("*/*/agent")) and runner.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.7)
    return runner


def restart(engine: SecondEngine) -> None:
    """As an upgrade of the engine does."""
    engine.end()
    engine.start()


def reaped(environment: dict[str, str], engine: SecondEngine) -> list[object]:
    """What the engine still holds after one reap."""
    command = [sys.executable, str(ROOT / "manage.py"), "pierjob", "reap"]
    assert subprocess.run(command, env=environment, check=False).returncode == 0
    client = engine.client()
    try:
        return list(client.containers(all=True))
    finally:
        client.close()


def test_a_restarted_engine_is_infrastructure_and_one_reap_leaves_nothing(
    tmp_path: Path, engine: SecondEngine, environment: dict[str, str]
) -> None:
    runner = begin(tmp_path, environment, max_retries=0)
    restart(engine)
    output = runner.communicate(timeout=60)[0]
    assert runner.returncode == 1, output
    [path] = (tmp_path / "jobs").glob("job/*/result.json")
    result = json.loads(path.read_text())
    assert result["exception_info"]["exception_type"] == "SandboxFailed", output
    assert result["exception_info"]["cause"] == "infrastructure"
    assert result["verifier_result"] is None
    with sqlite3.connect(tmp_path / "var" / "pier.sqlite3") as database:
        assert database.execute("SELECT status, cause, reward FROM runs_trial").fetchall() == [
            ("finished", "infrastructure", None)
        ]
    database.close()
    assert reaped(environment, engine) == []


def test_a_trial_whose_engine_was_restarted_is_tried_again_if_the_job_says_so(
    tmp_path: Path, engine: SecondEngine, environment: dict[str, str]
) -> None:
    runner = begin(tmp_path, environment, max_retries=1)
    restart(engine)
    output = runner.communicate(timeout=90)[0]
    assert runner.returncode == 0, output
    [first] = (tmp_path / "jobs").glob("job/*/executions/1/result.json")
    assert json.loads(first.read_text())["exception_info"]["cause"] == "infrastructure"
    assert json.loads((first.parents[2] / "result.json").read_text())["verifier_result"]["rewards"] == {"reward": 1.0}
    assert reaped(environment, engine) == []
