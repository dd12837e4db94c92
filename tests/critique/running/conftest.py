"""A job that was run, for critics to look at."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.support.tasks import make_task
from tests.support.trials import make_plan, run_on_host

GOOD_TRIAL, POOR_TRIAL = "good__1111111", "poor__2222222"


@pytest.fixture(params=[pytest.param("host"), pytest.param("docker", marks=pytest.mark.docker)])
def kind(request: pytest.FixtureRequest) -> str:
    """The kinds of sandbox."""
    if request.param == "docker":
        request.getfixturevalue("docker_engine")
    return str(request.param)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tasks in `set`, and in `old` a job with a trial of each: one that passed, one that failed."""
    folder = tmp_path_factory.mktemp("finished")
    for task, name, solve in (("good", GOOD_TRIAL, "echo 42 > answer.txt\n"), ("poor", POOR_TRIAL, "true\n")):
        make_task(folder / "set", task, solve=solve)
        asyncio.run(run_on_host(make_plan(folder / "set" / task, folder / "old", name=name)))
    (folder / "old/job.log").write_text("")
    return folder


@pytest.fixture
def job(finished: Path, tmp_path: Path) -> Path:
    """The job's directory, for this test alone; the database doesn't know it yet."""
    return Path(shutil.copytree(finished / "old", tmp_path / "jobs/old"))


@pytest.fixture
def task_set(finished: Path, tmp_path: Path) -> Path:
    """The tasks, for this test alone."""
    return Path(shutil.copytree(finished / "set", tmp_path / "set"))
