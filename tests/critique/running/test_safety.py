"""What critics must not be given, must not leave, and how they are stopped."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from django.db import connections

from critique.models import Critique, CritiqueRun
from runs.jobs.cancelling import cancel_target
from runs.models import Job, Purpose, Trial
from runs.scheduling.reap import reap
from tests.critique.running.commands import document, piercritique, record
from tests.critique.running.conftest import GOOD_TRIAL, POOR_TRIAL
from tests.support.critics import GOOD, flags, prompt_file, writes

ROOT = Path(__file__).resolve().parents[3]
KEY = "sk-critic-0123456789abcdef"
TASK_SECRET = "task-secret-0123456789"


def files_with(words: str, folder: Path) -> list[str]:
    """The files below a folder that hold these words."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and words.encode() in path.read_bytes()]


@pytest.mark.django_db(transaction=True)
def test_the_critics_key_is_in_no_file(job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    command = f"echo key of ${{#OPENAI_API_KEY}} characters\n{writes(GOOD)}"
    code, out, _ = piercritique(
        job, "-p", prompt_file(tmp_path), *flags(command), "--ae", f"OPENAI_API_KEY={KEY}", "--name", "one", "-y",
        "--passing",
    )  # fmt: skip
    assert code == 0, out
    assert f"key of {len(KEY)} characters" in (job / ".critiques/one" / GOOD_TRIAL / "agent/command.txt").read_text()
    assert files_with(KEY, job) == []
    assert document(job / ".critiques/one/config.json")["agent"]["env"] == {"OPENAI_API_KEY": "${OPENAI_API_KEY}"}
    assert KEY not in str(list(CritiqueRun.objects.values())) + str(list(Job.objects.values()))


@pytest.mark.django_db(transaction=True)
def test_variables_of_the_task_and_its_hosts_are_not_the_critics(
    job: Path, finished: Path, task_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASK_TOKEN", TASK_SECRET)
    toml = task_set / "good/task.toml"
    toml.write_text(
        toml.read_text().replace('[environment]\nnetwork_mode = "no-network"', '[environment]\nnetwork_mode = "public"')
        + '\n[environment.env]\nTOKEN = "${TASK_TOKEN}"\nPLAIN = "plain"\n'
    )
    for name in ("config.json", "result.json"):
        path = job / GOOD_TRIAL / name
        path.write_text(path.read_text().replace(str(finished / "set"), str(task_set)))
    code, out, err = piercritique(
        job, "-p", prompt_file(tmp_path), *flags(f"env\n{writes(GOOD)}"), "--name", "one", "-y", "--passing",
        "--ae", "OPENAI_BASE_URL=http://model.example:8000/v1",
    )  # fmt: skip
    assert code == 0, out + err
    trial = job / ".critiques/one" / GOOD_TRIAL
    printed = (trial / "agent/command.txt").read_text()
    assert TASK_SECRET not in printed
    assert "PLAIN=plain" in printed
    assert document(trial / "network.json")["agent"] == {
        "mode": "allowlist",
        "allowed_hosts": ["model.example:8000"],
    }


@pytest.mark.django_db(transaction=True)
@pytest.mark.docker
def test_a_critic_reaches_nothing_but_its_model(job: Path, docker_engine: object, tmp_path: Path) -> None:
    look = "python3 -c \"import socket; socket.create_connection(('1.1.1.1', 443), 3)\" && echo got-out\n"
    code, out, _ = piercritique(
        job, "-p", prompt_file(tmp_path), *flags(f"{look}{writes(GOOD)}"), "--name", "one", "-y", "-l", 1, kind="docker"
    )
    assert code == 0, out
    [printed] = (job / ".critiques/one").glob("*/agent/command.txt")
    assert "got-out" not in printed.read_text()
    assert "Error" in printed.read_text()


@pytest.mark.django_db(transaction=True)
def test_a_flood_of_output_leaves_the_result_and_links_lead_nowhere(job: Path, kind: str, tmp_path: Path) -> None:
    flood = "mkdir -p /logs/artifacts/critique-artifacts && cd /logs/artifacts/critique-artifacts\n"
    flood += "head -c 90000000 /dev/zero > flood; ln -s /etc/passwd passwd\n"
    code, out, _ = piercritique(
        job, "-p", prompt_file(tmp_path), *flags(writes(GOOD) + flood), "--name", "one", "-y", "--passing", kind=kind
    )
    assert code == 0, out
    trial = job / ".critiques/one" / GOOD_TRIAL
    assert sum(path.stat().st_size for path in trial.rglob("*") if path.is_file()) < 1_000_000
    assert not any(path.is_symlink() for path in trial.rglob("*"))
    [warning] = [line for line in document(trial / "result.json")["warnings"] if "isolation" not in line]
    assert warning.startswith("of the critic's output only critique-result.json is kept")
    assert record(job / ".critiques/one")["outcome"] == "valid"


@pytest.fixture
def started(job: Path, tmp_path: Path) -> Callable[[], "subprocess.Popen[str]"]:
    """Starts a run in a process of its own, with a database of its own; waits for its first critic.

    Critics sleep unless the file `awake` is there.
    """
    env = {**os.environ, "PIER_DATA_DIR": str(tmp_path / "var")}
    env.pop("DATABASE_URL", None)
    manage = [sys.executable, str(ROOT / "manage.py")]
    sleep = f"echo begun; [ -e {tmp_path / 'awake'} ] || sleep 60\n"
    subprocess.run([*manage, "migrate", "-v0"], env=env, check=True)
    command = [*manage, "piercritique", str(job), "-p", str(prompt_file(tmp_path)), *flags(sleep + writes(GOOD))]

    def start() -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [*command, "--name", "one", "-y", "-q", "-e", "host", "-n", "1"], env=env, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while process.poll() is None and not began() and time.monotonic() < deadline:
            time.sleep(0.05)
        return process

    def began() -> bool:
        return bool(list((job / ".critiques/one").glob("*/agent/command.txt")))

    return start


def test_an_interrupt_cancels_what_runs_and_begins_no_more(
    started: Callable[[], "subprocess.Popen[str]"], job: Path
) -> None:
    process = started()
    process.send_signal(signal.SIGINT)
    output, complaints = process.communicate(timeout=30)
    assert process.returncode == 1, complaints
    assert "cancelled" in output
    run = job / ".critiques/one"
    assert record(run)["outcome"] == "failed"
    assert document(run / "result.json")["finished_at"] is None
    assert not (run / ".input").exists()


def test_two_processes_never_run_the_same_critiques(started: Callable[[], "subprocess.Popen[str]"], job: Path) -> None:
    first = started()
    second = started()
    _, complaints = second.communicate(timeout=30)
    assert second.returncode == 2
    assert "another process is running this job" in complaints
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=30)


def test_a_run_whose_process_was_killed_goes_on_when_it_is_started_again(
    started: Callable[[], "subprocess.Popen[str]"], job: Path, tmp_path: Path
) -> None:
    killed = started()
    killed.kill()
    killed.communicate(timeout=30)
    (tmp_path / "awake").touch()
    output, complaints = started().communicate(timeout=60)
    run = job / ".critiques/one"
    assert "2 valid critiques" in output, complaints
    assert record(run, GOOD_TRIAL)["outcome"] == "valid"
    assert (run / GOOD_TRIAL / "executions/1/agent/command.txt").is_file()
    assert not (run / ".input").exists()


@pytest.mark.django_db(transaction=True)
def test_critiques_of_a_runner_that_died_are_not_pending_once_it_is_reaped(job: Path, tmp_path: Path) -> None:
    piercritique(job, "-p", prompt_file(tmp_path), *flags(writes(GOOD)), "--name", "one", "-y")
    # As if its process had died before it began the second one.
    [row] = Job.objects.filter(purpose=Purpose.CRITIQUE)
    shutil.rmtree(job / ".critiques/one" / POOR_TRIAL)
    dead = {"status": "queued", "owner": f"{socket.gethostname()}:999999999:1"}
    Trial.objects.filter(job=row, name=POOR_TRIAL).update(**dead)
    Job.objects.filter(pk=row.pk).update(status="running", finished_at=None)
    Critique.objects.filter(source_name=POOR_TRIAL).update(outcome="pending", rating="")
    reap(None)
    now = dict(Critique.objects.values_list("source_name", "outcome"))
    assert now == {GOOD_TRIAL: "valid", POOR_TRIAL: "failed"}
    assert CritiqueRun.objects.get().job == row
    code, out, _ = piercritique(job, "-p", prompt_file(tmp_path), *flags(writes(GOOD)), "--name", "one", "-y")
    assert code == 0, out
    assert set(Critique.objects.values_list("outcome", flat=True)) == {"valid"}


@pytest.mark.django_db(transaction=True)
def test_a_critic_is_cancelled_as_any_trial_is(job: Path, tmp_path: Path) -> None:
    def stop() -> None:
        deadline = time.monotonic() + 30
        while not (found := Trial.objects.filter(job__purpose=Purpose.CRITIQUE, phase="agent_execution").first()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        cancel_target(found.job)
        connections.close_all()

    thread = Thread(target=stop)
    thread.start()
    code, _, _ = piercritique(job, "-p", prompt_file(tmp_path), *flags("sleep 60\n"), "--name", "one", "-y", "-n", 1)
    thread.join()
    assert code == 1
    told = "the critic was cancelled before it ended"
    assert set(Critique.objects.values_list("outcome", "failure")) == {("failed", told)}
    assert Job.objects.get(purpose=Purpose.CRITIQUE).status == "cancelled"


COMPOSE = """
services:
  main:
    environment: {FROM_MACHINE: "${TASK_TOKEN}"}
  side:
    image: python:3.11-slim-bookworm
    command: [sh, -c, "exec sleep 300"]
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.docker
def test_a_task_of_several_containers_shows_its_critic_the_input_in_main(
    job: Path, finished: Path, task_set: Path, tmp_path: Path, docker_engine: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASK_TOKEN", TASK_SECRET)
    (task_set / "good/environment/docker-compose.yaml").write_text(COMPOSE)
    for name in ("config.json", "result.json"):
        path = job / GOOD_TRIAL / name
        path.write_text(path.read_text().replace(str(finished / "set"), str(task_set)))
    look = f"cat /critique/input/task/instruction.md; touch /critique/input/x; env\n{writes(GOOD)}"
    code, out, err = piercritique(
        job, "-p", prompt_file(tmp_path), *flags(look), "--name", "one", "-y", "--passing", kind="docker"
    )
    assert code == 0, out + err
    printed = (job / ".critiques/one" / GOOD_TRIAL / "agent/command.txt").read_text()
    assert "Write answer.txt." in printed
    assert "Read-only file system" in printed
    assert TASK_SECRET not in printed
