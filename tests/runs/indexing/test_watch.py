import threading
from pathlib import Path

import pytest

from pier_site.accounts.local import default_project
from pier_site.accounts.models import Project
from runs.indexing.watch import PATIENCE_SEC, Watcher, watch
from runs.models import Job, Status, Trial
from tests.runs.indexing.files import age, job_result, make_job, make_trial, trial_result, write


def test_jobs_and_trials_appear_while_they_are_written(project: Project, tmp_path: Path) -> None:
    watcher = Watcher(project, tmp_path)
    assert watcher.look() == 0
    job = make_job(tmp_path, trials=0)
    write(job / "result.json", job_result(finished_at=None, n_total_trials=2))
    folder = job / "a__1"
    write(folder / "config.json", {"trial_name": "a__1", "task": {"path": "a"}})
    assert watcher.look() == 1
    assert (Job.objects.get().status, Trial.objects.get().status) == (Status.RUNNING, Status.RUNNING)
    make_trial(job, "a__1")
    make_trial(job, "a__2")
    assert watcher.look() == 2
    assert Job.objects.get().n_finished == 2
    write(job / "result.json", job_result(n_total_trials=2))
    watcher.look()
    assert Job.objects.get().status == Status.FINISHED


def test_a_round_in_which_nothing_changed_asks_the_database_nothing(
    project: Project, tmp_path: Path, django_assert_num_queries: object
) -> None:
    make_job(tmp_path, "done", trials=3)
    running = make_job(tmp_path, "running", trials=3)
    write(running / "result.json", job_result(finished_at=None))
    (running / "fix-it__0000000/result.json").unlink()
    watcher = Watcher(project, tmp_path)
    watcher.look()
    assert callable(django_assert_num_queries)
    with django_assert_num_queries(0):
        assert watcher.look() == 0


def test_a_torn_file_is_read_again_and_reported_only_when_it_stays_torn(project: Project, tmp_path: Path) -> None:
    job = make_job(tmp_path)
    write(job / "result.json", job_result(finished_at=None))
    result = write(job / "fix-it__0000000/result.json", '{"task_name": "de')
    watcher = Watcher(project, tmp_path)
    watcher.look()
    trial = Trial.objects.get()
    assert (trial.status, trial.problems) == (Status.RUNNING, [])
    age(job, PATIENCE_SEC + 1)
    watcher.look()
    assert [problem["path"] for problem in Trial.objects.get().problems] == ["result.json"]
    write(result, trial_result())
    watcher.look()
    trial.refresh_from_db()
    assert (trial.status, trial.problems) == (Status.FINISHED, [])


def test_a_silent_trial_becomes_interrupted(project: Project, tmp_path: Path) -> None:
    job = make_job(tmp_path)
    write(job / "result.json", job_result(finished_at=None))
    (job / "fix-it__0000000/result.json").unlink()
    watcher = Watcher(project, tmp_path)
    watcher.look()
    assert Trial.objects.get().status == Status.RUNNING
    age(job)
    watcher.look()
    assert Trial.objects.get().status == Status.INTERRUPTED


def test_terminal_bench_beside_a_job_does_not_stop_the_watcher(project: Project, tmp_path: Path) -> None:
    write(tmp_path / "tb/tb.lock", "{}")
    make_job(tmp_path, "z")
    assert Watcher(project, tmp_path).look() == 1


@pytest.mark.django_db(transaction=True)
def test_a_watcher_in_a_thread_stops_when_it_is_told(tmp_path: Path) -> None:
    make_job(tmp_path)
    stop = threading.Event()
    project = default_project()
    thread = threading.Thread(target=watch, args=(project, tmp_path), kwargs={"stop": stop, "interval_sec": 0.01})
    thread.start()
    for _ in range(500):
        if Trial.objects.filter(n_steps=2).exists():
            break
        threading.Event().wait(0.01)
    stop.set()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert Trial.objects.get().n_steps == 2
