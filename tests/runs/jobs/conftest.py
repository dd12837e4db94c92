"""What the tests of jobs share."""

from pathlib import Path

import pytest

from tests.runs.jobs.regrades import Run, runner


@pytest.fixture(params=[pytest.param("host"), pytest.param("docker", marks=pytest.mark.docker)])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs a job over the task set in `set`; its directory is the answer."""
    if request.param == "docker":
        request.getfixturevalue("docker_engine")
    return runner(tmp_path, request.param)


@pytest.fixture
def on_host(tmp_path: Path) -> Run:
    return runner(tmp_path, "host")
