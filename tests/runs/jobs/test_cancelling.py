"""`pierjob cancel`, on rows and on a job that runs."""

import json
import threading
import time
from pathlib import Path

import pytest
from django.db import connection

from runs.jobs.cancelling import cancel
from runs.models import Job, Status, Trial
from runs.owner import this_owner
from tests.runs.jobs.commands import pierjob, pierrun
from tests.support.factories import make_job, make_trial
from tests.support.tasks import make_task


@pytest.mark.django_db
def test_queued_trials_are_cancelled_and_running_ones_asked_to_stop() -> None:
    job = make_job(status=Status.RUNNING, n_trials=3)
    ended = make_trial(job)
    running = make_trial(job, status=Status.RUNNING, owner=this_owner(), finished_at=None)
    queued = make_trial(job, status=Status.QUEUED, owner=this_owner(), started_at=None, finished_at=None)
    code, out, _ = pierjob("cancel", job.name)
    assert (code, out) == (0, f"{job.name}: 1 queued cancelled, 1 running asked to stop\n")
    for trial in (ended, running, queued):
        trial.refresh_from_db()
    assert (ended.status, ended.cancel_requested_at) == (Status.FINISHED, None)
    assert running.status == Status.RUNNING
    assert running.cancel_requested_at
    assert queued.status == Status.CANCELLED
    job.refresh_from_db()
    assert (job.n_finished, job.n_running) == (2, 1)


@pytest.mark.django_db
def test_one_trial_is_cancelled_by_its_name_or_its_directory(tmp_path: Path) -> None:
    job = make_job(status=Status.RUNNING, directory=str(tmp_path.resolve()))
    trials = [make_trial(job, status=Status.RUNNING, owner=this_owner(), finished_at=None) for _ in range(3)]
    (tmp_path / trials[1].name).mkdir()
    assert cancel(trials[0].name).n_running == 1
    assert cancel(str(tmp_path / trials[1].name)).n_running == 1
    asked = Trial.objects.exclude(cancel_requested_at=None)
    assert set(asked) == {trials[0], trials[1]}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("owner", "status", "sentence"),
    [
        ("", Status.RUNNING, "is not run by Pier Site"),
        (this_owner().rpartition(":")[0] + ":1", Status.RUNNING, "`pierjob reap`"),
        (this_owner(), Status.FINISHED, "nothing of it is queued or running"),
    ],
    # Names of their own: an owner has the process id in it, which differs between workers.
    ids=["a-peers", "a-dead-runners", "ended"],
)
def test_what_nobody_here_runs_cannot_be_cancelled(owner: str, status: Status, sentence: str) -> None:
    trial = make_trial(make_job(status=status), status=status, owner=owner, finished_at=None)
    code, _, err = pierjob("cancel", trial.job.name)
    assert code == 2
    assert sentence in err
    trial.refresh_from_db()
    assert trial.cancel_requested_at is None


class Canceller(threading.Thread):
    """Calls `cancel(name)` as soon as so many trials have begun their agents."""

    def __init__(self, job: Path, name: str | None = None, n_begun: int = 1) -> None:
        super().__init__()
        self.job, self.target, self.n_begun = job, name, n_begun
        self.done_at = 0.0

    def run(self) -> None:
        try:
            deadline = time.monotonic() + 30
            while len(begun := list(self.job.glob("*/agent/oracle.txt"))) < self.n_begun:
                if time.monotonic() > deadline:
                    return
                time.sleep(0.05)
            cancel(self.target or begun[0].parent.parent.name)
            self.done_at = time.monotonic()
        finally:
            connection.close()


SLEEP = "echo begun; sleep 60\n"


@pytest.mark.django_db(transaction=True)
def test_a_running_job_is_cancelled_within_ten_seconds_and_begins_nothing_more(tmp_path: Path) -> None:
    task = make_task(tmp_path, solve=SLEEP)
    canceller = Canceller(tmp_path / "jobs" / "long", "long", n_begun=2)
    canceller.start()
    assert pierrun("-p", task, "-o", tmp_path / "jobs", "--job-name", "long", "-k", 5, "-n", 2) == 1
    assert 0 < time.monotonic() - canceller.done_at < 10
    canceller.join()
    job = Job.objects.get()
    assert job.status == Status.CANCELLED
    assert sorted(job.trials.values_list("status", "exception_type", "execution")) == [
        *[("cancelled", "", 1)] * 3,
        *[("cancelled", "CancelledError", 1)] * 2,
    ]
    assert (job.n_finished, job.n_running, job.n_trials) == (5, 0, 5)
    assert len(list((tmp_path / "jobs" / "long").glob("*/result.json"))) == 2
    assert json.loads((tmp_path / "jobs/long/result.json").read_text())["finished_at"] is None


@pytest.mark.django_db(transaction=True)
def test_cancelling_one_trial_lets_the_others_go_on(tmp_path: Path) -> None:
    make_task(tmp_path / "set", "long", solve=SLEEP)
    make_task(tmp_path / "set", "short")
    canceller = Canceller(tmp_path / "jobs" / "mixed")
    canceller.start()
    # One at a time, so the other one begins only after the first has been cancelled.
    assert pierrun("-p", tmp_path / "set", "-o", tmp_path / "jobs", "--job-name", "mixed", "-n", 1) == 1
    canceller.join()
    job = Job.objects.get()
    ends = {trial.task_path.rpartition("/")[2]: (trial.status, trial.reward) for trial in job.trials.all()}
    assert ends == {"long": ("cancelled", None), "short": ("finished", 1.0)}
    assert job.status == Status.CANCELLED


class CancellerBetweenExecutions(threading.Thread):
    """Calls `cancel` once a trial waits for its second execution."""

    def run(self) -> None:
        try:
            deadline = time.monotonic() + 30
            waiting = Trial.objects.filter(status=Status.QUEUED, execution=2)
            while not waiting.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            cancel(Job.objects.get().name)
        finally:
            connection.close()


@pytest.mark.django_db(transaction=True)
def test_a_trial_that_is_cancelled_between_two_executions_keeps_what_the_first_one_came_to(tmp_path: Path) -> None:
    test = f"#!/bin/bash\ntest -e {tmp_path}/mended && echo 1 > /logs/verifier/reward.txt\n"
    make_task(tmp_path / "set", test=test)
    (tmp_path / "job.yaml").write_text("retry: {max_retries: 1, min_wait_sec: 50, exclude_exceptions: []}\n")
    canceller = CancellerBetweenExecutions()
    canceller.start()
    began = time.monotonic()
    job = tmp_path / "jobs" / "waiting"
    arguments = ("-p", tmp_path / "set", "-c", tmp_path / "job.yaml", "-o", tmp_path / "jobs", "--job-name", "waiting")
    assert pierrun(*arguments) == 1
    canceller.join()
    assert time.monotonic() - began < 20
    row = Trial.objects.get()
    assert (row.status, row.exception_type, row.execution) == (Status.FINISHED, "RewardFileNotFoundError", 1)
    assert Job.objects.get().status == Status.CANCELLED
    assert json.loads((job / "result.json").read_text())["stats"]["n_completed_trials"] == 1
    # What the job's rules would have tried again is tried again when it goes on.
    (tmp_path / "mended").touch()
    assert pierjob("resume", "-p", job)[0] == 0
    row.refresh_from_db()
    assert (row.status, row.reward, row.exception_type, row.execution) == (Status.FINISHED, 1.0, "", 2)
    assert (job / row.name / "executions" / "1" / "result.json").exists()
    assert Job.objects.get().status == Status.FINISHED
