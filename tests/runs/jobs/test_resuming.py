"""`pierjob resume` and `pierrun --resume`: what is run, what stays, and what is refused by name."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from runs.formats.lock import hash_of
from runs.models import Job, Status, Trial
from runs.owner import process_start_time
from runs.scheduling.holding import held
from tests.runs.jobs.commands import pierjob, pierrun
from tests.support.tasks import make_task

pytestmark = pytest.mark.django_db(transaction=True)


def run(tmp_path: Path, *arguments: object, name: str = "job") -> Path:
    """Run a job of the tasks in `set` and return its directory."""
    pierrun("-p", tmp_path / "set", "-o", tmp_path / "jobs", "--job-name", name, *arguments)
    return tmp_path / "jobs" / name


def interrupt(job: Path, task: str) -> str:
    """Make a trial look as one whose runner died before it wrote a result; returns its name."""
    [path] = job.glob(f"{task}__*/result.json")
    path.unlink()
    Trial.objects.filter(name=path.parent.name).update(status=Status.INTERRUPTED, file_stamps={})
    Job.objects.update(status=Status.INTERRUPTED, finished_at=None)
    change(job / "result.json", finished_at=None)
    return path.parent.name


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def result_of(job: Path, name: str) -> dict[str, Any]:
    return dict(json.loads((job / name / "result.json").read_text()))


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def failing_once(tmp_path: Path, name: str = "fails") -> Path:
    """A task whose tests give no reward until `mended` exists; returns that path."""
    test = f"#!/bin/bash\ntest -e {tmp_path}/mended && echo 1 > /logs/verifier/reward.txt\n"
    make_task(tmp_path / "set", name, test=test)
    return tmp_path / "mended"


def test_what_has_not_ended_is_run_and_what_has_keeps_its_bytes_and_times(tmp_path: Path) -> None:
    make_task(tmp_path / "set", "one")
    make_task(tmp_path / "set", "two")
    job = run(tmp_path)
    name = interrupt(job, "two")
    [kept] = job.glob("one__*")
    before, locked = contents(kept), contents(job)[str(job / "config.json")]
    began = json.loads((job / "result.json").read_text())
    code, _, _ = pierjob("resume", "-p", job)
    assert code == 0
    assert contents(kept) == before
    assert contents(job)[str(job / "config.json")] == locked
    assert result_of(job, name)["execution"] == 2
    assert (job / name / "executions" / "1" / "trial.log").exists()
    assert not (job / name / "executions" / "1" / "result.json").exists()
    ended = json.loads((job / "result.json").read_text())
    assert (ended["id"], ended["started_at"]) == (began["id"], began["started_at"])
    assert ended["finished_at"]
    assert ended["stats"]["n_completed_trials"] == 2
    row = Job.objects.get()
    assert (row.status, row.n_trials, row.n_finished, row.n_running, row.reward_sum) == (Status.FINISHED, 2, 2, 0, 2.0)
    assert set(Trial.objects.values_list("status", "reward", "attempt")) == {(Status.FINISHED, 1.0, 1)}
    assert Trial.objects.get(name=name).execution == 2


def test_a_job_in_which_everything_has_ended_is_left_as_it_is(tmp_path: Path) -> None:
    make_task(tmp_path / "set", "one")
    job = run(tmp_path)
    before = contents(job)
    code, out, _ = pierjob("resume", "-p", job)
    assert (code, "nothing to run" in out) == (0, True)
    assert contents(job) == before


def test_trials_with_the_named_exceptions_are_run_again_and_their_files_are_kept(tmp_path: Path) -> None:
    mended = failing_once(tmp_path)
    make_task(tmp_path / "set", "sound")
    job = run(tmp_path)
    failed = Trial.objects.exclude(exception_type="").get()
    mended.touch()
    assert "nothing to run" in pierjob("resume", "-p", job)[1]
    assert pierjob("resume", "-p", job, "-f", "SomethingElse", "-f", f"there.{failed.exception_type}")[0] == 0
    first = failed.exception_type
    failed.refresh_from_db()
    assert (failed.execution, failed.exception_type, failed.reward) == (2, "", 1.0)
    kept = json.loads((job / failed.name / "executions" / "1" / "result.json").read_text())
    assert kept["exception_info"]["exception_type"] == first
    assert Trial.objects.exclude(pk=failed.pk).get().execution == 1


def test_another_runner_of_the_job_is_named_and_nothing_changes(tmp_path: Path) -> None:
    make_task(tmp_path / "set", "one")
    make_task(tmp_path / "set", "two")
    job = run(tmp_path)
    name = interrupt(job, "one")
    before = contents(job)
    owner = f"{socket.gethostname()}:{os.getppid()}:{process_start_time(os.getppid())}"
    Trial.objects.filter(name=name).update(status=Status.RUNNING, owner=owner)
    code, _, err = pierjob("resume", "-p", job)
    assert (code, owner in err) == (2, True)
    Trial.objects.filter(name=name).update(status=Status.INTERRUPTED, owner="")
    with held(job):
        code, _, err = pierjob("resume", "-p", job)
    assert code == 2
    assert "another process is running this job" in err
    assert contents(job) == before
    assert set(Trial.objects.values_list("status", flat=True)) == {Status.FINISHED, Status.INTERRUPTED}
    assert pierjob("resume", "-p", job)[0] == 0


def test_a_changed_task_is_named_with_its_file_and_digests(tmp_path: Path) -> None:
    make_task(tmp_path / "set", "one")
    make_task(tmp_path / "set", "two")
    job = run(tmp_path)
    name = interrupt(job, "two")
    tests = tmp_path / "set" / "two" / "tests" / "test.sh"
    old = tests.read_text()
    tests.write_text(old + "# changed\n")
    (tmp_path / "set" / "one" / "instruction.md").write_text("Its only attempt has ended.")
    before = contents(job)
    code, _, err = pierjob("resume", "-p", job)
    assert code == 2
    digests = f"{hash_of(old)} → {hash_of(tests.read_text())}"
    assert f"two: task file tests/test.sh changed: {digests}" in err
    assert "instruction.md" not in err
    assert "--accept-changes" in err
    assert len(err.strip().splitlines()) == 1
    assert contents(job) == before
    assert pierjob("resume", "-p", job, "--accept-changes")[0] == 0
    locks = json.loads((job / "lock.json").read_text())
    digest = next(one["task"]["digest"] for one in locks["trials"] if one["pier_site"]["trial_name"] == name)
    assert locks["pier_site"]["tasks"][digest]["files"]["tests/test.sh"] == hash_of(tests.read_text())
    assert len(locks["trials"]) == 2


def test_a_task_that_is_gone_and_a_setting_that_was_changed_are_named(tmp_path: Path) -> None:
    task = make_task(tmp_path / "set", "one")
    job = run(tmp_path)
    interrupt(job, "one")
    change(job / "config.json", agent_timeout_multiplier=3.0)
    code, _, err = pierjob("resume", "-p", job)
    assert (code, "setting agent_timeout_multiplier is new (3.0)" in err) == (2, True)
    change(job / "config.json", agent_timeout_multiplier=None)
    task.rename(tmp_path / "moved")
    code, _, err = pierjob("resume", "-p", job)
    assert code == 2
    assert f"task {task}: is not a directory" in err


def test_a_rotated_secret_is_no_change_and_another_variable_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_task(tmp_path / "set", "one")
    monkeypatch.setenv("SOME_KEY", "first-secret-value")
    monkeypatch.setenv("LEVEL", "3")
    job = run(tmp_path, "--ae", "SOME_KEY=${SOME_KEY}", "--ae", "LEVEL=${LEVEL}")
    interrupt(job, "one")
    monkeypatch.setenv("SOME_KEY", "second-secret-value")
    monkeypatch.setenv("LEVEL", "4")
    code, _, err = pierjob("resume", "-p", job)
    assert code == 2
    assert f"variable agent.env.LEVEL changed: {hash_of('3')} → {hash_of('4')}" in err
    assert "SOME_KEY" not in err
    monkeypatch.delenv("LEVEL")
    code, _, err = pierjob("resume", "-p", job)
    assert (code, "not set: LEVEL" in err) == (2, True)
    (tmp_path / "variables").write_text("LEVEL=3\n")
    assert pierjob("resume", "-p", job, "--env-file", tmp_path / "variables")[0] == 0


def test_a_secret_that_was_masked_comes_from_the_variable_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_task(tmp_path / "set", "one")
    job = run(tmp_path, "--ae", "SOME_KEY=a-literal-secret-value")
    assert "a-literal-secret-value" not in (job / "config.json").read_text()
    interrupt(job, "one")
    code, _, err = pierjob("resume", "-p", job)
    assert (code, "agents.0.env.SOME_KEY" in err) == (2, True)
    monkeypatch.setenv("SOME_KEY", "another-secret-value")
    assert pierjob("resume", "-p", job)[0] == 0


def test_a_job_that_the_database_does_not_know_and_that_was_moved_is_indexed_first(tmp_path: Path) -> None:
    make_task(tmp_path / "set", "one")
    make_task(tmp_path / "set", "two")
    job = run(tmp_path)
    interrupt(job, "two")
    Job.objects.all().delete()
    moved = job.rename(tmp_path / "elsewhere")
    assert pierjob("resume", "-p", moved, "-n", 1)[0] == 0
    row = Job.objects.get()
    assert (row.directory, row.status, row.n_trials, row.reward_sum) == (str(moved), Status.FINISHED, 2, 2.0)
    assert sorted(path.name for path in (tmp_path / "jobs").iterdir()) == []


def test_a_dataset_that_has_grown_adds_no_trial(tmp_path: Path) -> None:
    make_task(tmp_path / "set", "one")
    make_task(tmp_path / "set", "two")
    job = run(tmp_path, "-k", 2)
    for path in [*job.glob("one__*/result.json")][:1]:
        path.unlink()
    make_task(tmp_path / "set", "another")
    assert pierjob("resume", "-p", job)[0] == 0
    assert len(list(job.glob("*__*/result.json"))) == 4
    ends = Trial.objects.values_list("task_name", "attempt")
    assert sorted(ends) == [("tests/one", 1), ("tests/one", 2), ("tests/two", 1), ("tests/two", 2)]


def as_pier_wrote_it(job: Path) -> None:
    """Take out of a job's files what only Pier Site writes."""
    lock = json.loads((job / "lock.json").read_text())
    for one in (lock, *lock["trials"]):
        one.pop("pier_site")
    (job / "lock.json").write_text(json.dumps(lock | {"pier": {"version": "0.3.1"}}))
    result = json.loads((job / "result.json").read_text())
    result.pop("pier_site")
    (job / "result.json").write_text(json.dumps(result))
    for path in job.glob("*__*/result.json"):
        kept = {
            key: value for key, value in json.loads(path.read_text()).items() if key not in ("attempt", "execution")
        }
        path.write_text(json.dumps(kept))
    for path in job.glob("*__*/lock.json"):
        path.unlink()
    for path in [job, *job.glob("*__*"), *job.rglob("*")]:
        os.utime(path, (1_700_000_000, 1_700_000_000))


def test_an_interrupted_job_of_pier_goes_on_in_its_own_folders(tmp_path: Path) -> None:
    make_task(tmp_path / "set", "one")
    task = make_task(tmp_path / "set", "two")
    job = run(tmp_path, "-k", 2)
    unfinished = sorted(path.parent for path in job.glob("two__*/result.json"))[0]
    interrupt_all = [unfinished / "result.json"]
    for path in interrupt_all:
        path.unlink()
    change(job / "result.json", finished_at=None)
    Job.objects.all().delete()
    as_pier_wrote_it(job)
    before = sorted(path.name for path in job.glob("*__*"))
    (task / "instruction.md").write_text("Other words.")
    code, _, err = pierjob("resume", "-p", job)
    assert (code, "task two changed: sha256:" in err) == (2, True)
    (task / "instruction.md").write_text("Write answer.txt.")
    code, _, err = pierjob("resume", "-p", job)
    assert code == 0, err
    assert sorted(path.name for path in job.glob("*__*")) == before
    assert Job.objects.get().status == Status.FINISHED
    assert Trial.objects.filter(status=Status.FINISHED, reward=1.0).count() == 4
    assert (unfinished / "executions" / "1" / "trial.log").exists()


def test_a_trial_that_was_stopped_between_two_executions_is_tried_again(tmp_path: Path) -> None:
    mended = failing_once(tmp_path)
    (tmp_path / "job.yaml").write_text("retry: {max_retries: 1, min_wait_sec: 0.01, exclude_exceptions: []}\n")
    job = run(tmp_path, "-c", tmp_path / "job.yaml")
    trial = Trial.objects.get()
    assert trial.execution == 2
    # As if the runner had died before the second one.
    directory = job / trial.name
    for path in directory.iterdir():
        if path.name != "executions":
            path.rename(tmp_path / path.name)
    for path in (directory / "executions" / "1").iterdir():
        path.rename(directory / path.name)
    (directory / "executions" / "1").rmdir()
    mended.touch()
    assert pierjob("resume", "-p", job)[0] == 0
    trial.refresh_from_db()
    assert (trial.execution, trial.reward, trial.exception_type) == (2, 1.0, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "nowhere"], "nowhere: there is no job of this name"),
        (["-p", "empty"], "there is no config.json"),
        (["-p", "torn"], "config.json"),
        (["-p", "strange"], "unknown"),
        (["-p", "strange", "-n", "0"], "at least 1"),
        (["-p", "strange", "--env-file", "none"], "there is no such file"),
    ],
)
def test_what_cannot_be_resumed_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, config in (("empty", None), ("torn", "{"), ("strange", '{"launch_on_mars": true}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "job.log").touch()
        if config:
            (tmp_path / name / "config.json").write_text(config)
    code, _, err = pierjob("resume", *arguments)
    assert code == 2
    assert words in err
    assert len(err.strip().splitlines()) == 1
    assert not Job.objects.exists()


def test_pierrun_resumes_by_name_and_says_what_of_now_is_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_task(tmp_path / "set", "one")
    job = run(tmp_path)
    name = interrupt(job, "one")
    assert run(tmp_path, "--resume", "-k", 3, "-n", 2) == job
    assert "n_attempts of now is not used" in capsys.readouterr().err
    assert result_of(job, name)["execution"] == 2
    assert len(list(job.glob("*__*"))) == 1
    assert pierrun("-o", tmp_path / "jobs", "--job-name", "job", "--resume") == 0
    assert pierrun("-o", tmp_path / "jobs", "--job-name", "other", "--resume") == 2
    assert "no such job to go on with" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "jobs").iterdir()) == ["job"]
