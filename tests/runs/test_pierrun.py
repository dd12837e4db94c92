"""`manage.py pierrun`, as people call it: exit codes, files, rows, and one sentence for bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.core.management import call_command

from runs.models import Artifact, Job, Status, Step, Trial
from tests.support.tasks import make_task

ROOT = Path(__file__).resolve().parents[2]


def pierrun(*arguments: object) -> int:
    """Call the command in this process and return its exit code."""
    with pytest.raises(SystemExit) as exit_:
        call_command("pierrun", *map(str, arguments), "-e", "host", "-y")
    return int(exit_.value.code or 0)


@pytest.mark.django_db(transaction=True)
def test_a_job_is_in_files_and_in_the_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_task(tmp_path / "set", "one")
    make_task(tmp_path / "set", "two")
    assert pierrun("-p", tmp_path / "set", "-o", tmp_path / "jobs", "--job-name", "first", "-k", 2) == 0
    written = json.loads((tmp_path / "jobs" / "first" / "result.json").read_text())
    assert written["n_total_trials"] == written["stats"]["n_completed_trials"] == 4
    evaluation = written["stats"]["evals"]["oracle__set"]
    assert evaluation["metrics"] == [{"mean": 1.0}]
    assert evaluation["pass_at_k"] == {"1": 1.0, "2": 1.0}
    assert written["finished_at"]
    job = Job.objects.get()
    assert (job.name, job.status, job.n_trials, job.n_finished, job.mean_reward) == (
        "first",
        Status.FINISHED,
        4,
        4,
        1.0,
    )
    assert sorted(job.trials.values_list("task_name", "attempt", "status", "reward", "n_steps")) == [
        (f"tests/{task}", attempt, Status.FINISHED, 1.0, 2) for task in ("one", "two") for attempt in (1, 2)
    ]
    assert Step.objects.filter(trial__job=job).count() == 8
    assert "4 of 4 trials, mean reward 1.000" in capsys.readouterr().out


@pytest.mark.django_db(transaction=True)
def test_a_broken_task_is_a_failed_trial_and_the_good_one_beside_it_gets_its_reward(tmp_path: Path) -> None:
    make_task(tmp_path / "set", "good")
    (make_task(tmp_path / "set", "broken") / "task.toml").write_text("[agent\n")
    assert pierrun("-p", tmp_path / "set", "-o", tmp_path / "jobs") == 1
    rows = {trial.name.partition("__")[0]: trial for trial in Trial.objects.all()}
    assert (rows["good"].reward, rows["good"].exception_type) == (1.0, "")
    assert (rows["broken"].reward, rows["broken"].exception_type, rows["broken"].cause) == (None, "TaskInvalid", "task")
    assert "line 1" in rows["broken"].exception_message


@pytest.mark.django_db(transaction=True)
def test_a_team_chooses_its_headline_and_its_scores(tmp_path: Path) -> None:
    rewards = '{"f2p": 0.5, "f2p_total": 14, "p2p": 1}'
    task = make_task(tmp_path, test=f"#!/bin/bash\necho '{rewards}' > /logs/verifier/reward.json\n")
    flags = ("--headline-reward", "f2p", "--score-key", "f2p", "--score-key", "p2p")
    assert pierrun("-p", task, "-o", tmp_path / "jobs", "--job-name", "chosen", *flags) == 0
    row = Trial.objects.get()
    assert row.reward == 0.5
    assert row.rewards == {"f2p": 0.5, "f2p_total": 14, "p2p": 1}
    stats = json.loads((tmp_path / "jobs" / "chosen" / "result.json").read_text())["stats"]
    assert stats["evals"]["oracle__adhoc"]["metrics"] == [{"f2p": 0.5, "p2p": 1.0}]


@pytest.mark.django_db(transaction=True)
def test_a_task_without_an_organisation_runs_when_names_are_lenient(tmp_path: Path) -> None:
    task = make_task(tmp_path, "plain")
    text = (task / "task.toml").read_text()
    (task / "task.toml").write_text(text.replace('name = "tests/plain"', 'name = "plain"'))
    assert pierrun("-p", task, "-o", tmp_path / "jobs") == 2
    assert pierrun("-p", task, "-o", tmp_path / "jobs", "--lenient-names") == 0
    assert Trial.objects.get().task_name == "plain"


@pytest.mark.django_db(transaction=True)
def test_a_taken_job_name_gets_the_time_appended(tmp_path: Path) -> None:
    task = make_task(tmp_path)
    for _ in range(2):
        assert pierrun("-p", task, "-o", tmp_path / "jobs", "--job-name", "again") == 0
    names = sorted(path.name for path in (tmp_path / "jobs").iterdir())
    assert names[0] == "again"
    assert names[1].startswith("again__20")
    assert sorted(Job.objects.values_list("name", flat=True)) == names


@pytest.mark.django_db(transaction=True)
def test_artifacts_and_the_nop_agent_are_indexed_too(tmp_path: Path) -> None:
    task = make_task(tmp_path, solve="echo x > /logs/artifacts/found.txt\n")
    pierrun("-p", task, "-o", tmp_path / "jobs", "-a", "oracle")
    pierrun("-p", task, "-o", tmp_path / "jobs2", "-a", "nop")
    assert set(Artifact.objects.values_list("path", flat=True)) >= {"artifacts/found.txt"}
    assert Trial.objects.get(agent_name="nop").reward == 0.0


BAD_INPUT = [
    (["-p", "missing"], "missing: there is no such file or directory"),
    (["-p", "empty"], "empty: is neither a task"),
    ([], "the job names no task"),
    (["-p", "torn"], "line 2"),
    (["-p", "odd"], "network_mode"),
    (["-p", "good", "-a", "oracel"], "did you mean 'oracle'?"),
    (["-p", "good", "-c", "typo.yaml"], "n_attempts"),
    (["-p", "good", "-c", "torn.yaml"], "torn.yaml"),
    (["-p", "good", "-c", "none.yaml"], "none.yaml"),
    (["-p", "good", "--job-name", "a/b"], "a/b"),
    (["-p", "good", "-o", "file/jobs"], "the job directory cannot be made"),
    (["-p", "good", "-c", "mounts.yaml"], "environment.mounts"),
    (["-p", "good", "-l", "3"], "choose from a dataset"),
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("arguments", "words"), BAD_INPUT, ids=lambda value: " ".join(value) if value else "nothing")
def test_bad_input_is_one_sentence_and_exit_code_2_with_nothing_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    make_task(tmp_path, "good")
    (make_task(tmp_path, "torn") / "task.toml").write_text('schema_version = "1.3"\n[agent\n')
    (make_task(tmp_path, "odd") / "task.toml").write_text('[agent]\nnetwork_mod = "no-network"\n')
    (tmp_path / "typo.yaml").write_text("n_atempts: 2\n")
    (tmp_path / "torn.yaml").write_text("agents: [\n")
    (tmp_path / "mounts.yaml").write_text("environment: {mounts: [{type: bind, source: /a, target: /b}]}\n")
    before = sorted(tmp_path.rglob("*"))
    assert pierrun(*arguments) == 2
    complaint = capsys.readouterr().err.strip()
    assert words in complaint
    assert len(complaint.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert not Job.objects.exists()


def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a fresh site whose data lies in `tmp_path`."""
    env = {**os.environ, "PIER_DATA_DIR": str(tmp_path / "var")}
    env.pop("DATABASE_URL", None)
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=env, check=True)
    return env


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "manage.py"), "pierrun", "-e", "host", "-y", *map(str, arguments)]


def test_two_jobs_at_once_on_sqlite_lock_nothing(tmp_path: Path) -> None:
    env = environment(tmp_path)
    task = make_task(tmp_path)
    both = [
        subprocess.Popen(
            command("-p", task, "-o", tmp_path / "jobs", "--job-name", name, "-k", 8, "-n", 4),
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in ("left", "right")
    ]
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert not any("locked" in output for output in outputs)


def test_an_interrupt_cancels_what_runs_and_says_so_everywhere(tmp_path: Path) -> None:
    env = environment(tmp_path)
    task = make_task(tmp_path, solve="echo begun; sleep 60\n")
    process = subprocess.Popen(
        command("-p", task, "-o", tmp_path / "jobs", "--job-name", "stopped", "-k", 3, "-n", 1),
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    job = tmp_path / "jobs" / "stopped"
    deadline = time.monotonic() + 30
    while not list(job.glob("*/agent/oracle.txt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, complaints = process.communicate(timeout=15)
    assert process.returncode == 1, complaints
    assert "CancelledError" in output
    [result] = [json.loads(path.read_text()) for path in job.glob("*/result.json")]
    assert result["exception_info"]["exception_type"] == "CancelledError"
    assert json.loads((job / "result.json").read_text())["finished_at"] is None


def test_an_unprepared_database_is_one_sentence(tmp_path: Path) -> None:
    env = {**os.environ, "PIER_DATA_DIR": str(tmp_path / "var")}
    env.pop("DATABASE_URL", None)
    done = subprocess.run(command("-p", make_task(tmp_path)), env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "the database is not prepared: run `manage.py migrate`\n"


def test_a_missing_docker_engine_is_one_sentence(tmp_path: Path) -> None:
    env = {**environment(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    arguments = [*command("-p", make_task(tmp_path), "-o", tmp_path / "jobs"), "-e", "docker"]
    done = subprocess.run(arguments, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("no Docker engine answers at unix://")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "jobs").exists()


def on_a_small_disk(tmp_path: Path, size: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a job whose directory `jobs` is a file system of its own; its files are listed on stdout at the end."""
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    script = f'mount -t tmpfs -o size={size} small {jobs} && "$@"; code=$?; cd {jobs} && find . -type f; exit $code'
    namespaces = ["--mount"] if os.geteuid() == 0 else ["--mount", "--map-root-user"]
    return subprocess.run(
        [
            "unshare",
            *namespaces,
            "--",
            "sh",
            "-c",
            script,
            "sh",
            *command("-o", jobs, "--job-name", "full", *arguments),
        ],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_disk_that_is_full_before_the_job_begins_is_one_sentence_with_nothing_written(tmp_path: Path) -> None:
    task = make_task(tmp_path)
    done = on_a_small_disk(tmp_path, "4k", "-p", task)
    assert done.returncode == 2, done.stderr
    assert "no space left" in done.stderr.lower()
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_a_disk_that_fills_up_during_a_trial_is_infrastructure_and_the_result_is_written(tmp_path: Path) -> None:
    task = make_task(tmp_path, solve="head -c 3000000 /dev/zero > /logs/artifacts/big\n")
    done = on_a_small_disk(tmp_path, "1m", "-p", task)
    assert done.returncode == 1, done.stderr
    assert "OSError" in done.stdout
    assert "/result.json" in done.stdout
    assert "/artifacts/" not in done.stdout
