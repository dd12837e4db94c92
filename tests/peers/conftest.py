"""The peers, installed, and a job written by `pierrun` for them to read."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers.venvs import PEERS, ROOT, Peer, installed
from tests.support.tasks import make_task


@pytest.fixture(scope="session", params=PEERS, ids=lambda peer: peer.name)
def peer(request: pytest.FixtureRequest) -> Peer:
    """Each peer in turn."""
    found: Peer = request.param
    return installed(found)


@pytest.fixture(scope="session")
def harbor() -> Peer:
    """The peer whose verdicts on formats are the standard."""
    return installed(PEERS[1])


@pytest.fixture(scope="session")
def jobs(tmp_path_factory: pytest.TempPathFactory, docker_engine: object) -> Path:
    """A folder with the jobs `docker-job` and `host-job`: what goes right and what goes wrong in trials.

    `regraded-job` is the first one, judged again.
    """
    folder = tmp_path_factory.mktemp("peers")
    tasks = folder / "tasks"
    make_task(tasks, "good", solve="echo 42 > answer.txt; echo note > /logs/artifacts/note.txt\n")
    make_task(tasks, "silent", test="#!/bin/bash\nexit 1\n")
    (make_task(tasks, "broken") / "task.toml").write_text("[agent\n")
    shutil.copytree(ROOT / "examples/tasks/release-notes", tasks / "stepwise")
    env = {**os.environ, "PIER_DATA_DIR": str(folder / "var")}
    env.pop("DATABASE_URL", None)
    manage = [sys.executable, str(ROOT / "manage.py")]
    subprocess.run([*manage, "migrate", "-v0"], env=env, check=True)
    for kind in ("docker", "host"):
        arguments = [
            "-p",
            str(tasks),
            "-e",
            kind,
            "-o",
            str(folder / "jobs"),
            "--job-name",
            f"{kind}-job",
            "-k",
            "2",
            "-y",
        ]
        done = subprocess.run([*manage, "pierrun", *arguments], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
    arguments = [str(folder / "jobs/docker-job"), "-o", str(folder / "jobs"), "--job-name", "regraded-job", "-y"]
    done = subprocess.run(
        [*manage, "pierjob", "regrade", *arguments], env=env, capture_output=True, text=True, check=False
    )
    assert "4 regraded, 0 with another reward, 2 without a verdict, 2 not regraded" in done.stdout, done.stderr
    return folder / "jobs"
