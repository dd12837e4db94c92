"""Ctrl-C and SIGTERM to a real runner: once, twice, in both sandboxes; and a second runner of the same job."""

import json
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from docker import DockerClient

from tests.support.site import Site
from tests.support.tasks import make_task

GONE_SEC = 15.0
LONG = "echo begun; sleep 60\n"


def begun(site: Site, tmp_path: Path, sandbox: str, *, n_begun: int = 1) -> subprocess.Popen[str]:
    """A runner of three trials, two at a time, whose agents are at work."""
    make_task(tmp_path / "set", "long", solve=LONG)
    arguments = ("-p", tmp_path / "set", "-o", tmp_path / "jobs", "--job-name", "job", "-k", 3, "-n", 2)
    runner = site.start("pierrun", *arguments, "-e", sandbox, "-y", "-q")
    deadline = time.monotonic() + 60
    logs = "*/agent/oracle.txt"
    while len(list((tmp_path / "jobs" / "job").glob(logs))) < n_begun and runner.poll() is None:
        assert time.monotonic() < deadline, "the agents did not begin"
        time.sleep(0.05)
    return runner


def sandboxes_of(runner: subprocess.Popen[str], engine: DockerClient | None) -> list[object]:
    """What is left of the runner's containers and folders."""
    owner = f"{socket.gethostname()}:{runner.pid}:"
    left: list[object] = list(Path("/tmp").glob(f"pier-host-{owner}*"))
    if engine:
        found = engine.api.containers(all=True, filters={"label": "pier-site.owner"})
        left += [item["Id"] for item in found if item["Labels"]["pier-site.owner"].startswith(owner)]
    return left


def assert_cancelled_and_resumable(site: Site, tmp_path: Path, runner: subprocess.Popen[str]) -> None:
    """All trials say cancelled, in rows and files, and a resume would run all three."""
    job = tmp_path / "jobs" / "job"
    rows = site.rows("status, phase, exception_type, cause", "runs_trial")
    assert {(row["status"], row["phase"]) for row in rows} == {("cancelled", "")}
    assert sorted(row["exception_type"] for row in rows) == ["", "CancelledError", "CancelledError"]
    assert [row["status"] for row in site.rows("status", "runs_job")] == ["cancelled"]
    results = [json.loads(path.read_text()) for path in job.glob("*__*/result.json")]
    assert [result["exception_info"]["exception_type"] for result in results] == ["CancelledError"] * 2
    assert json.loads((job / "result.json").read_text())["finished_at"] is None
    (tmp_path / "set" / "long" / "solution" / "solve.sh").write_text("echo 42 > answer.txt\n")
    again = site.run("pierjob", "resume", "-p", job, "-q", "-y", "--accept-changes")
    assert again.code == 0, again.output
    rows = site.rows("status, reward, execution, cancel_requested_at", "runs_trial")
    assert {(row["status"], row["reward"], row["cancel_requested_at"]) for row in rows} == {("finished", 1.0, None)}
    assert sorted(row["execution"] for row in rows) == [1, 2, 2]
    assert len(list(job.glob("*__*/executions/1/result.json"))) == 2
    assert [row["status"] for row in site.rows("status", "runs_job")] == ["finished"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_one_signal_cancels_and_a_resume_runs_all(tmp_path: Path, site: Site, number: signal.Signals) -> None:
    with begun(site, tmp_path, "host", n_begun=2) as runner:
        assert len(sandboxes_of(runner, None)) == 2
        runner.send_signal(number)
        output = runner.communicate(timeout=GONE_SEC)[0]
    assert runner.returncode == 1, output
    assert sandboxes_of(runner, None) == []
    assert_cancelled_and_resumable(site, tmp_path, runner)


@pytest.mark.docker
def test_one_signal_removes_containers_within_fifteen_seconds(
    tmp_path: Path, site: Site, docker_engine: DockerClient
) -> None:
    with begun(site, tmp_path, "docker", n_begun=2) as runner:
        assert len(sandboxes_of(runner, docker_engine)) == 2
        runner.send_signal(signal.SIGINT)
        output = runner.communicate(timeout=GONE_SEC)[0]
    assert runner.returncode == 1, output
    assert sandboxes_of(runner, docker_engine) == []
    rows = site.rows("status, exception_type", "runs_trial")
    assert {row["status"] for row in rows} == {"cancelled"}


def test_a_second_signal_ends_the_runner_at_once_and_one_reap_cleans_up(tmp_path: Path, site: Site) -> None:
    with begun(site, tmp_path, "host", n_begun=2) as runner:
        runner.send_signal(signal.SIGINT)
        runner.send_signal(signal.SIGTERM)
        sent = time.monotonic()
        runner.communicate(timeout=GONE_SEC)
    assert time.monotonic() - sent < 2
    assert runner.returncode == 130
    assert site.run("pierjob", "reap").code == 0
    assert sandboxes_of(runner, None) == []
    assert {row["status"] for row in site.rows("status", "runs_trial")} == {"interrupted"}


def test_a_second_runner_of_a_job_refuses_at_once_and_changes_nothing(tmp_path: Path, site: Site) -> None:
    job = tmp_path / "jobs" / "job"
    with begun(site, tmp_path, "host", n_begun=2) as runner:
        before = site.rows("*", "runs_trial"), (job / "job.log").exists(), (job / "config.json").stat()
        started = time.monotonic()
        idle = site.run("pierjob", "list")
        of_nothing = time.monotonic() - started
        for arguments in (
            ("pierjob", "resume", "-p", job, "-y"),
            ("pierjob", "rerun", job, "--errors", "-y"),
            ("pierrun", "-o", tmp_path / "jobs", "--job-name", "job", "--resume", "-y"),
        ):
            started = time.monotonic()
            second = site.run(*arguments)
            # Most of it is the start of a program, which takes long on a busy machine.
            assert time.monotonic() - started < 2 * of_nothing + 1, "it took longer than a second to refuse"
            assert second.code == 2, second.output
            assert "running this job" in second.output
        now = site.rows("*", "runs_trial"), (job / "job.log").exists(), (job / "config.json").stat()
        for one in (before[0], now[0]):
            for row in one:
                row.pop("heartbeat_at")
        assert (now[0], now[1], now[2].st_mtime_ns) == (before[0], before[1], before[2].st_mtime_ns)
        assert idle.code == 0
        runner.send_signal(signal.SIGTERM)
        assert runner.wait(timeout=GONE_SEC) == 1
        runner.communicate()
