"""A runner that is killed at any point leaves, after one reap, nothing behind and rows that agree with the files."""

import json
import signal
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient

from runs.checkpoints import KILL_AT, Checkpoint
from runs.files import TEMPORARY
from tests.support.site import Site
from tests.support.tasks import make_task

# What the runner's own rows and those of a fresh index have in common: all that files say.
TRIAL_COLUMNS = (
    "name, uuid, status, phase, task_name, task_digest, source, attempt, agent_name, model_name, reward, rewards,"
    " exception_type, exception_message, cause, finished_at, n_steps, n_agent_steps, problems"
)
JOB_COLUMNS = (
    "name, uuid, origin, status, config, n_trials, n_finished, n_running, n_exceptions, n_rewarded, reward_sum"
)
# Daemons that outlive what started them, until someone ends them.
SOLVE = "(setsid sleep 300 >/dev/null 2>&1 &)\necho 42 > answer.txt\necho kept > /logs/artifacts/note.txt\n"

pytestmark = pytest.mark.docker


def processes_with(mark: bytes) -> Iterator[int]:
    """Ids of the processes whose environment holds `mark`."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes():
                yield int(path.parent.name)
        except OSError:
            continue


COMPOSE = """
services:
  main: {depends_on: [side]}
  side:
    image: python:3.11-slim-bookworm
    command: [sh, -c, "echo begun; exec sleep 300"]
    volumes: ["store:/store", "./data:/data"]
volumes: {store: }
"""


def write_job(folder: Path, *, sandbox: str, fails: bool) -> Path:
    """A job of two tasks, one after the other, whose failures are tried once more."""
    for name in ("one", "two"):
        test = "#!/bin/bash\nexit 1\n" if fails else None
        make_task(folder / "set", name, solve=SOLVE, **({"test": test} if test else {}))
    if sandbox == "compose":
        sandbox = "docker"
        for name in ("one", "two"):
            environment = folder / "set" / name / "environment"
            (environment / "data").mkdir()
            (environment / "docker-compose.yaml").write_text(COMPOSE)
    retry = {"max_retries": 1, "min_wait_sec": 0.05, "max_wait_sec": 0.1, "exclude_exceptions": []}
    job = {
        "job_name": "crash", "jobs_dir": str(folder / "jobs"), "n_concurrent_trials": 1, "retry": retry,
        "environment": {"type": sandbox}, "datasets": [{"path": str(folder / "set")}],
    }  # fmt: skip
    (folder / "job.yaml").write_text(json.dumps(job))
    return folder / "job.yaml"


NOT_ON_HOST = (
    *(Checkpoint.TRIAL_QUEUED_AGAIN, Checkpoint.EXECUTION_PUT_ASIDE),
    *(Checkpoint.NETWORKS_CREATED, Checkpoint.SERVICES_STARTED),
)
ON_HOST = [name.value for name in Checkpoint if name not in NOT_ON_HOST]
LATER_ON_HOST = ["file-half-written:6", "trial-claimed:2", "command-running:4", "result-written:2", "row-finished:2"]
WITH_RETRIES = ["trial-queued-again", "execution-put-aside", "trial-claimed:2", "result-written:2"]
ON_DOCKER = [
    "sandbox-created",
    "sandbox-started",
    "command-running",
    "member-extracted",
    "command-running:3",
    "verified",
]
WITH_SERVICES = ["networks-created", "sandbox-created", "sandbox-created:2", "services-started", "command-running"]
CASES = [
    *(pytest.param("host", point, False, id=f"host-{point}") for point in (*ON_HOST, *LATER_ON_HOST)),
    *(pytest.param("host", point, True, id=f"retries-{point}") for point in WITH_RETRIES),
    *(pytest.param("docker", point, False, id=f"docker-{point}") for point in ON_DOCKER),
    *(pytest.param("compose", point, False, id=f"services-{point}") for point in WITH_SERVICES),
]


@pytest.mark.parametrize(("sandbox", "point", "fails"), CASES)
def test_after_one_reap_nothing_is_left_and_the_rows_agree_with_the_files(
    tmp_path: Path, site: Site, fresh_site: Site, docker_engine: DockerClient, sandbox: str, point: str, fails: bool
) -> None:
    config = write_job(tmp_path, sandbox=sandbox, fails=fails)
    runner = site.run("pierrun", "-c", config, "-q", "-y", **{KILL_AT: point})
    assert runner.code == -signal.SIGKILL, runner.output
    owner = f"{socket.gethostname()}:{runner.pid}:"

    reaper = site.run("pierjob", "reap")
    assert reaper.code == 0, reaper.output

    assert_nothing_is_left(tmp_path / "jobs", owner, docker_engine)
    assert_rows_agree_with_files(site, tmp_path / "jobs" / "crash", reaper.output)
    if (tmp_path / "jobs" / "crash" / "config.json").exists():
        assert fresh_site.run("pierjob", "index", tmp_path / "jobs" / "crash").code == 0
        assert_same_index(site, fresh_site, tmp_path / "jobs" / "crash")


def assert_nothing_is_left(jobs: Path, owner: str, engine: DockerClient) -> None:
    """No container, network, volume, folder, process or half-written file of the dead runner."""
    wanted = {"label": "pier-site.owner"}
    labelled = [
        *engine.api.containers(all=True, filters=wanted),
        *engine.api.networks(filters=wanted),
        *(engine.api.volumes(filters=wanted)["Volumes"] or ()),
    ]
    assert [item for item in labelled if item["Labels"]["pier-site.owner"].startswith(owner)] == []
    assert list(Path("/tmp").glob(f"pier-host-{owner}*")) == []
    assert list(processes_with(f"PIER_SANDBOX=pier-host-{owner}".encode())) == []
    assert [path for path in jobs.rglob("*") if TEMPORARY.fullmatch(path.name)] == []


def assert_rows_agree_with_files(site: Site, job: Path, told: str) -> None:
    """A trial with a complete result has ended, every other is interrupted, and the reaper said so."""
    for row in site.rows("name, status, phase", "runs_trial"):
        path = job / row["name"] / "result.json"
        if path.exists():
            assert json.loads(path.read_text())["trial_name"] == row["name"]
        assert (row["status"], row["phase"]) == ("finished" if path.exists() else "interrupted", ""), told
    statuses = {row["status"] for row in site.rows("status", "runs_trial")}
    for row in site.rows("status", "runs_job"):
        assert row["status"] == ("interrupted" if "interrupted" in statuses else "finished")
    with sqlite3.connect(site.data / "pier.sqlite3") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    database.close()


def assert_same_index(site: Site, fresh: Site, job: Path) -> None:
    """What a new database learns from the files is what this one says. Executions that never began have no files."""
    begun = {path.parent.name for path in job.glob("*/config.json")}
    kept = [row for row in site.rows(TRIAL_COLUMNS, "runs_trial") if row["name"] in begun]
    assert kept == fresh.rows(TRIAL_COLUMNS, "runs_trial")
    never_begun = len(site.rows("id", "runs_trial")) - len(kept)
    [ours], [theirs] = site.rows(JOB_COLUMNS, "runs_job"), fresh.rows(JOB_COLUMNS, "runs_job")
    assert {**ours, "n_finished": ours["n_finished"] - never_begun} == theirs
    for columns, table in (
        ("path, kind, source, status, size_bytes", "runs_artifact"),
        ("step_id, source, summary, tool_names, payload", "runs_step"),
    ):
        assert site.rows(columns, table) == fresh.rows(columns, table)


def test_one_reap_leaves_alone_what_is_alive_and_what_is_foreign(
    tmp_path: Path, site: Site, docker_engine: DockerClient
) -> None:
    """A runner at work, a container of another machine's runner, and one that only looks like ours."""
    make_task(tmp_path / "set", solve="echo begun; sleep 4; echo 42 > answer.txt\n")
    runner = site.start("pierrun", "-p", tmp_path / "set", "-o", tmp_path / "jobs", "-q", "-y", "-e", "docker")
    mine = {"pier-site.test": tmp_path.name}
    foreign = [
        docker_engine.api.create_container("python:3.11-slim-bookworm", "sleep 60", labels={**mine, **labels})["Id"]
        for labels in (
            {"pier-site": "1", "pier-site.owner": "another-machine:1:1"},
            {"pier-site.owner": f"{socket.gethostname()}:999999999:1"},
            {"pier-site": "1"},
        )
    ]
    try:
        while not list((tmp_path / "jobs").glob("*/*/agent")) and runner.poll() is None:
            pass
        assert tmp_path.name not in site.run("pierjob", "reap").output
        left = docker_engine.api.containers(all=True, filters={"label": f"pier-site.test={tmp_path.name}"})
        assert {item["Id"] for item in left} == set(foreign)
        output = runner.communicate(timeout=60)[0]
        assert runner.returncode == 0, output
        assert [row["reward"] for row in site.rows("reward", "runs_trial")] == [1.0]
    finally:
        for container in foreign:
            docker_engine.api.remove_container(container, force=True)


def test_the_next_run_cleans_up_first(tmp_path: Path, site: Site, docker_engine: DockerClient) -> None:
    config = write_job(tmp_path, sandbox="docker", fails=False)
    killed = site.run("pierrun", "-c", config, "-q", "-y", **{KILL_AT: Checkpoint.AGENT_ENDED})
    assert killed.code == -signal.SIGKILL, killed.output
    again = site.run("pierrun", "-c", config, "-q", "-y", "--job-name", "again", "-l", 1)
    assert again.code == 0, again.output
    assert_nothing_is_left(tmp_path / "jobs", f"{socket.gethostname()}:{killed.pid}:", docker_engine)
    assert {row["name"]: row["status"] for row in site.rows("name, status", "runs_job")} == {
        "crash": "interrupted",
        "again": "finished",
    }
