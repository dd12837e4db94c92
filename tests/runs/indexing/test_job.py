import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from pier_site.accounts.models import Project
from runs.errors import InputInvalid
from runs.indexing.job import directory_of, index_job, refresh_counters
from runs.indexing.trial import index_trial
from runs.models import Job, Origin, Status, Step, Trial
from tests.runs.indexing.files import (
    age,
    job_config,
    job_result,
    make_job,
    make_trial,
    trajectory,
    trial_result,
    write,
)


def test_a_pier_job_becomes_rows_with_counters(project: Project, tmp_path: Path) -> None:
    job = make_job(tmp_path, trials=2)
    make_trial(job, "other__1", task_name="other", verifier_result=None, exception_info={"exception_type": "X"})
    report = index_job(project, job)
    assert (report.n_trials, report.n_read, report.n_unchanged, report.problems) == (3, 3, 0, ())
    row = Job.objects.get()
    assert (row.name, row.origin, row.status) == ("night", Origin.PIER, Status.FINISHED)
    assert (row.n_trials, row.n_finished, row.n_running, row.n_exceptions) == (3, 3, 0, 1)
    assert (row.n_rewarded, row.reward_sum, row.mean_reward, row.cost_usd) == (2, 2.0, 1.0, 1.5)
    assert row.agents == ["codex · gpt-5"]
    assert row.config["job_name"] == "night"
    assert row.started_at == row.sorted_at == datetime(2026, 8, 1, 10, tzinfo=UTC)


def test_a_second_run_reads_nothing_and_writes_nothing(
    project: Project, tmp_path: Path, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    job = make_job(tmp_path, trials=20)
    index_job(project, job)
    steps = list(Step.objects.values_list("pk", flat=True))
    with django_assert_max_num_queries(8):
        report = index_job(project, job)
    assert (report.n_read, report.n_unchanged) == (0, 20)
    assert list(Step.objects.values_list("pk", flat=True)) == steps
    assert Job.objects.count() == 1


def test_only_what_changed_is_read_again(project: Project, tmp_path: Path) -> None:
    job = make_job(tmp_path, trials=2)
    index_job(project, job)
    write(job / "fix-it__0000001/result.json", trial_result(verifier_result={"rewards": {"reward": 0.0}}))
    report = index_job(project, job)
    assert (report.n_read, report.n_unchanged) == (1, 1)
    assert report.job.reward_sum == 1.0
    write(job / "fix-it__0000000/agent/trajectory.json", trajectory())
    assert index_job(project, job).n_read == 1


def test_a_new_continuation_or_artifact_is_seen(project: Project, tmp_path: Path) -> None:
    job = make_job(tmp_path)
    folder = job / "fix-it__0000000"
    write(folder / "agent/trajectory.json", trajectory(continued_trajectory_ref="c.json"))
    write(folder / "agent/c.json", trajectory())
    index_job(project, job)
    write(folder / "agent/c.json", trajectory(notes="longer"))
    assert index_job(project, job).n_read == 1
    write(folder / "artifacts/x", "x")
    assert index_job(project, job).n_read == 1
    assert index_job(project, job).n_read == 0


@pytest.mark.parametrize("name", ["result.json", "config.json", "agent/trajectory.json"])
@pytest.mark.parametrize("text", ['{"torn', "[1]", "", "\x00", "[" * 5000])
def test_a_broken_file_is_reported_with_its_path_and_the_rest_is_indexed(
    project: Project, tmp_path: Path, name: str, text: str
) -> None:
    job = make_job(tmp_path, trials=2)
    broken = write(job / "fix-it__0000000" / name, text)
    report = index_job(project, job)
    assert [problem.path for problem in report.problems] == [broken]
    assert report.n_read == 2
    assert Trial.objects.get(name="fix-it__0000001").n_steps == 2
    assert Trial.objects.get(name="fix-it__0000000").problems[0]["path"] == name
    again = index_job(project, job)
    assert again.n_read == 0
    assert [problem.path for problem in again.problems] == [broken]


@pytest.mark.parametrize("name", ["result.json", "config.json", "lock.json"])
def test_a_broken_file_of_the_job_is_reported_and_its_trials_are_indexed(
    project: Project, tmp_path: Path, name: str
) -> None:
    job = make_job(tmp_path)
    write(job / name, '{"torn')
    report = index_job(project, job)
    assert [problem.path.name for problem in report.problems] == [name]
    assert report.job.problems[0]["path"] == name
    assert report.n_trials == report.job.n_finished == 1


def test_harbor_of_february_is_read_with_its_orchestrator_and_a_name_with_spaces(
    project: Project, tmp_path: Path
) -> None:
    job = make_job(tmp_path, "my first job")
    (job / "lock.json").unlink()
    config = job_config(orchestrator={"n_concurrent_trials": 4}, environment={"mounts_json": ["a:b:ro"]})
    write(job / "config.json", config)
    report = index_job(project, job)
    assert report.problems == ()
    assert (report.job.name, report.job.origin) == ("my first job", Origin.HARBOR)
    assert report.job.config == config


def test_results_inside_an_unfinished_jobs_file_stand_in_for_missing_ones(project: Project, tmp_path: Path) -> None:
    job = make_job(tmp_path)
    folder = job / "fix-it__0000000"
    (folder / "result.json").unlink()
    told = [
        trial_result(trial_name="fix-it__0000000"),
        trial_result(trial_name="gone__1"),
        trial_result(trial_name="../../escape"),
        "junk",
    ]
    write(job / "result.json", job_result(finished_at=None, n_total_trials=113, trial_results=told))
    age(job)
    report = index_job(project, job)
    assert {trial.name: trial.reward for trial in report.job.trials.all()} == {"fix-it__0000000": 1.0, "gone__1": 1.0}
    assert report.job.n_trials == 113
    assert report.job.status == Status.INTERRUPTED
    assert index_job(project, job).n_read == 0


def test_a_trial_without_a_result_runs_while_its_files_change_and_is_interrupted_after(
    project: Project, tmp_path: Path
) -> None:
    job = make_job(tmp_path)
    write(job / "result.json", job_result(finished_at=None))
    folder = job / "fix-it__0000000"
    (folder / "result.json").unlink()
    report = index_job(project, job)
    trial = report.job.trials.get()
    assert (trial.status, report.job.status, report.job.n_running) == (Status.RUNNING, Status.RUNNING, 1)
    assert trial.task_name == "fix-it"
    assert trial.n_steps == 2
    age(job)
    assert index_job(project, job).job.status == Status.INTERRUPTED
    write(folder / "agent/native.log", "more")
    report = index_job(project, job)
    assert report.job.trials.get().status == Status.RUNNING
    age(job)
    index_job(project, job)
    report = index_job(project, job)
    assert (report.n_read, report.job.trials.get().status) == (0, Status.INTERRUPTED)


def test_a_trial_without_a_result_in_a_finished_job_is_interrupted(project: Project, tmp_path: Path) -> None:
    job = make_job(tmp_path)
    (job / "fix-it__0000000/result.json").unlink()
    report = index_job(project, job)
    assert report.job.trials.get().status == Status.INTERRUPTED


def test_a_cancelled_trial_and_job_are_cancelled(project: Project, tmp_path: Path) -> None:
    job = make_job(tmp_path, trials=0)
    write(job / "result.json", job_result(stats={"n_cancelled_trials": 1}))
    make_trial(job, exception_info={"exception_type": "CancelledError"})
    report = index_job(project, job)
    assert (report.job.status, report.job.trials.get().status) == (Status.CANCELLED, Status.CANCELLED)


def test_attempts_are_numbered_by_start_within_task_and_agent(project: Project, tmp_path: Path) -> None:
    job = make_job(tmp_path, trials=0)
    for name, start in (("a__z", "10:00:00"), ("a__b", "10:00:20"), ("a__a", "10:00:30")):
        make_trial(job, name, started_at=f"2026-08-01T{start}Z")
    make_trial(job, "b__a", task_name="b")
    index_job(project, job)
    assert dict(Trial.objects.values_list("name", "attempt")) == {"a__z": 1, "a__b": 2, "a__a": 3, "b__a": 1}
    write(job / "a__a/config.json", {"task": {}})
    index_job(project, job)
    assert Trial.objects.get(name="a__a").attempt == 3


def test_attempts_that_the_files_tell_are_kept(project: Project, tmp_path: Path) -> None:
    job = make_job(tmp_path, trials=0)
    make_trial(job, "a__1", attempt=2, started_at="2026-08-01T10:00:00Z")
    make_trial(job, "a__2", attempt=1, started_at="2026-08-01T10:00:30Z")
    index_job(project, job)
    assert dict(Trial.objects.values_list("name", "attempt")) == {"a__1": 2, "a__2": 1}


def test_terminal_bench_1_is_refused_by_name(project: Project, tmp_path: Path) -> None:
    write(tmp_path / "run/run_metadata.json", "{}")
    with pytest.raises(InputInvalid, match="Terminal-Bench 1"):
        index_job(project, tmp_path / "run")
    assert not Job.objects.exists()


def test_one_directory_is_one_job_by_whatever_way_it_is_named(project: Project, tmp_path: Path) -> None:
    job = make_job(tmp_path)
    (tmp_path / "link").symlink_to(job)
    index_job(project, job)
    index_job(project, tmp_path / "link")
    assert Job.objects.get().directory == directory_of(job)


def own_job(project: Project, directory: Path) -> Job:
    """A job that a runner of this site has in the database."""
    return Job.objects.create(
        project=project,
        directory=directory_of(directory),
        name="night",
        origin=Origin.PIER_SITE,
        status=Status.RUNNING,
        sorted_at=datetime(2026, 8, 1, tzinfo=UTC),
        n_trials=1,
    )


@pytest.mark.parametrize("columns", [{"owner": "me:1:1", "status": "running"}, {"owner": "", "status": "queued"}])
def test_a_row_that_a_runner_has_is_never_overwritten(
    project: Project, tmp_path: Path, columns: dict[str, Any]
) -> None:
    directory = make_job(tmp_path, lock={})
    folder = directory / "fix-it__0000000"
    if not columns["owner"]:
        (folder / "result.json").unlink()
    job = own_job(project, directory)
    Trial.objects.create(job=job, name=folder.name, task_name="mine", **columns)
    report = index_job(project, directory)
    assert report.n_read == 0
    trial = Trial.objects.get()
    assert (trial.task_name, trial.status, trial.n_steps) == ("mine", columns["status"], 0)
    job.refresh_from_db()
    assert job.status == Status.RUNNING
    assert job.finished_at is None


def test_a_runner_indexes_its_own_trial(project: Project, tmp_path: Path) -> None:
    directory = make_job(tmp_path, lock={})
    folder = directory / "fix-it__0000000"
    job = own_job(project, directory)
    Trial.objects.create(job=job, name=folder.name, task_name="mine", owner="me:1:1", status="running", execution=2)
    trial = index_trial(job, folder, only_if_changed=False, owner="me:1:1")
    assert (trial.reward, trial.n_steps, trial.status, trial.execution, trial.owner) == (
        1.0,
        2,
        "finished",
        2,
        "me:1:1",
    )
    assert index_trial(job, folder, owner="you:1:1").reward == 1.0


def test_a_row_that_ended_without_a_result_keeps_its_end(project: Project, tmp_path: Path) -> None:
    directory = make_job(tmp_path, lock={})
    folder = directory / "fix-it__0000000"
    (folder / "result.json").unlink()
    job = own_job(project, directory)
    Trial.objects.create(job=job, name=folder.name, task_name="t", owner="me:1:1", status=Status.CANCELLED)
    index_job(project, directory)
    assert Trial.objects.get().status == Status.CANCELLED


def test_counters_cost_one_query_and_one_write(
    project: Project, tmp_path: Path, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    job = index_job(project, make_job(tmp_path, trials=3)).job
    Trial.objects.filter(name="fix-it__0000000").update(reward=None, status=Status.RUNNING)
    with django_assert_num_queries(2):
        refresh_counters(job)
    assert (job.n_finished, job.n_running, job.n_rewarded) == (2, 1, 2)
    with django_assert_num_queries(1):
        refresh_counters(job)


def test_files_that_vanish_do_not_take_the_rows_with_them(project: Project, tmp_path: Path) -> None:
    job = make_job(tmp_path)
    index_job(project, job)
    (job / "config.json").unlink()
    (job / "result.json").unlink()
    report = index_job(project, job)
    assert report.job.config["job_name"] == "night"
    assert report.job.n_trials == 1


def test_a_result_of_strange_types_is_a_row(project: Project, tmp_path: Path) -> None:
    job = make_job(tmp_path, trials=0)
    strange: dict[str, Any] = {key: [[]] for key in trial_result()}
    write(job / "t__1/result.json", json.dumps(strange))
    write(job / "t__1/trial.log", "")
    write(job / "result.json", json.dumps({key: [[]] for key in job_result()}))
    report = index_job(project, job)
    assert report.problems == ()
    assert report.job.trials.get().task_name == "t"
