"""Job directories written here are valid for the peers' own models, and their viewers list and open them."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from runs.formats.job import TrialConfig, dump_config, job_config_from
from tests.peers.venvs import QUIET, Peer

pytestmark = pytest.mark.peers

JOBS = ["docker-job", "host-job"]


def documents(job: Path) -> dict[str, str]:
    """The model that each file of a job directory must satisfy, by the file's path in it."""
    trials = sorted(path for path in job.iterdir() if path.is_dir())
    return {
        "config.json": "job.config:JobConfig",
        "lock.json": "job.lock:JobLock",
        "result.json": "job.result:JobResult",
        **{f"{trial.name}/config.json": "trial.config:TrialConfig" for trial in trials},
        **{f"{trial.name}/lock.json": "job.lock:TrialLock" for trial in trials},
        **{f"{trial.name}/result.json": "trial.result:TrialResult" for trial in trials},
        **{
            str(path.relative_to(job)): "trajectories.trajectory:Trajectory"
            for path in sorted(job.rglob("trajectory*.json"))
        },
    }


@pytest.mark.parametrize("job", [*JOBS, "regraded-job"])
def test_every_file_of_a_job_satisfies_the_peers_models(peer: Peer, jobs: Path, job: str) -> None:
    models = documents(jobs / job)
    assert len(models) >= 2 + 2 * 8 + 6
    answers = peer.ask({"model": model, "text": (jobs / job / path).read_text()} for path, model in models.items())
    assert {path: answer for path, answer in zip(models, answers, strict=True) if answer} == {}


def test_a_configuration_with_everything_in_it_satisfies_the_peers_models(peer: Peer) -> None:
    job = job_config_from(
        {
            "job_name": "all",
            "n_attempts": 3,
            "timeout_multiplier": 2.0,
            "tasks": [{"path": "/tasks/one"}],
            "datasets": [{"path": "/tasks", "n_tasks": 3, "task_names": ["a*"], "sample_seed": 7}],
            "agents": [
                {"name": "oracle", "model_name": "openai/gpt-5", "env": {"A": "${B}"}, "kwargs": {"x": [1]}},
                {"import_path": "package.module:Agent", "override_timeout_sec": 60.0},
            ],
            "environment": {"mounts": ["/a:/b:ro"], "override_cpus": 2, "env": {"C": "1"}, "delete": False},
            "verifier": {"disable": True, "max_timeout_sec": 5},
            "retry": {"max_retries": 2, "include_exceptions": ["SandboxFailed"]},
            "metrics": [{"type": "max"}],
            "artifacts": ["/a", {"source": "/b", "destination": "b"}],
        }
    )
    trial = TrialConfig(
        task=job.tasks[0], trial_name="one__1", agent=job.agents[0], environment=job.environment, verifier=job.verifier
    )
    requests = [
        {"model": "job.config:JobConfig", "text": dump_config(job)},
        {"model": "trial.config:TrialConfig", "text": dump_config(trial)},
    ]
    assert peer.ask(requests) == [None, None]


class Viewer:
    """A running `pier view` or `harbor view`."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}/api"

    def get(self, path: str) -> Any:
        """The answer to a GET below /api, parsed."""
        with urlopen(f"{self.address}/{path}", timeout=30) as answer:
            return json.load(answer)

    def answers(self) -> bool:
        """Whether the server is up."""
        try:
            self.get("health")
        except HTTPError as error:
            error.close()
            return True
        except URLError:
            return False
        return True


@contextmanager
def viewing(peer: Peer, folder: Path, home: Path) -> Iterator[Viewer]:
    """The peer's viewer on a folder of jobs, until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    viewer = Viewer(port)
    with (home / "viewer.log").open("w+") as log:
        process = subprocess.Popen(
            [peer.script, "view", folder, "--port", str(port), "--no-build", "--jobs"],
            env={**os.environ, **QUIET, "HOME": str(home)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + 60
            while not viewer.answers():
                assert process.poll() is None, log.seek(0) or log.read()
                assert time.monotonic() < deadline, "the viewer did not start"
                time.sleep(0.2)
            yield viewer
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture(scope="module")
def viewer(peer: Peer, jobs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    """The peer's viewer on all jobs."""
    with viewing(peer, jobs, tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.mark.parametrize("job", JOBS)
def test_a_job_is_listed_with_what_it_was(viewer: Viewer, job: str) -> None:
    listed = {item["name"]: item for item in viewer.get("jobs")["items"]}
    summary = listed[job]
    assert (summary["n_total_trials"], summary["n_completed_trials"], summary["n_errored_trials"]) == (8, 8, 4)
    assert (summary["agents"], summary["datasets"]) == (["oracle"], ["tasks"])
    assert viewer.get(f"jobs/{job}")["finished_at"]
    assert viewer.get(f"jobs/{job}/config")["n_attempts"] == 2


@pytest.mark.parametrize("job", JOBS)
def test_every_trial_is_listed_and_opened(viewer: Viewer, jobs: Path, job: str) -> None:
    page = viewer.get(f"jobs/{job}/trials?page_size=100")
    trials = {trial["name"]: trial for trial in page["items"]}
    assert sorted(trials) == sorted(path.name for path in (jobs / job).iterdir() if path.is_dir())
    ends = sorted((name.partition("__")[0], trial["reward"], trial["error_type"]) for name, trial in trials.items())
    assert ends == [
        *[("broken", None, "TaskInvalid")] * 2,
        *[("good", 1.0, None)] * 2,
        *[("silent", None, "RewardFileNotFoundError")] * 2,
        *[("stepwise", 1.0, None)] * 2,
    ]
    for name in trials:
        written = json.loads((jobs / job / name / "result.json").read_text())
        opened = viewer.get(f"jobs/{job}/trials/{name}")
        assert (opened["id"], opened["task_name"]) == (written["id"], written["task_name"])


@pytest.mark.parametrize("job", [*JOBS, "regraded-job"])
def test_the_files_of_a_trial_are_shown(viewer: Viewer, jobs: Path, job: str) -> None:
    good, stepwise = (next((jobs / job).glob(f"{name}__*")).name for name in ("good", "stepwise"))
    trajectory = viewer.get(f"jobs/{job}/trials/{good}/trajectory")
    assert trajectory == json.loads((jobs / job / good / "agent/trajectory.json").read_text())
    files = viewer.get(f"jobs/{job}/trials/{good}/artifacts")["files"]
    assert [file["path"] for file in files] == ["note.txt"]
    of_step = viewer.get(f"jobs/{job}/trials/{stepwise}/trajectory?step=collect")
    assert of_step["steps"][-1]["source"] == "agent"
    assert viewer.get(f"jobs/{job}/trials/{stepwise}/verifier-output?step=collect")["stdout"]
