"""A database that is locked or gone for a while delays a job and loses nothing."""

import asyncio
import sqlite3
import threading
import time
from pathlib import Path

import psycopg
import pytest
from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connection, connections
from django.db.utils import DatabaseError

from runs.errors import ExecutionSuperseded
from runs.models import Job, Status, Trial
from runs.scheduling.patience import in_database
from runs.trial.rows import Claim, finish
from tests.runs.jobs.commands import pierrun
from tests.support.factories import make_job, make_trial
from tests.support.tasks import make_task
from tests.support.trials import make_plan, run_on_host

AWAY_SEC = 2.0


class Trouble(threading.Thread):
    """Once the first agent works: locks the database, or breaks its connections, again and again for a while."""

    def __init__(self, job: Path) -> None:
        super().__init__()
        self.job = job
        self.began_at: float | None = None

    def run(self) -> None:
        deadline = time.monotonic() + 30
        while not list(self.job.glob("*/agent/oracle.txt")):
            if time.monotonic() > deadline:
                return
            time.sleep(0.01)
        self.began_at = time.monotonic()
        (lock_sqlite if connection.vendor == "sqlite" else break_postgres)()


def lock_sqlite() -> None:
    database = sqlite3.connect(connections["default"].settings_dict["NAME"], isolation_level=None, timeout=10)
    database.execute("BEGIN EXCLUSIVE")
    time.sleep(AWAY_SEC)
    database.execute("ROLLBACK")
    database.close()


def break_postgres() -> None:
    parameters = connections["default"].get_connection_params()
    wanted = {name: parameters[name] for name in ("host", "port", "user", "password", "dbname") if name in parameters}
    end = time.monotonic() + AWAY_SEC
    with psycopg.connect(**wanted, autocommit=True) as database:
        while time.monotonic() < end:
            database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            time.sleep(0.1)


@pytest.mark.django_db(transaction=True)
def test_a_job_outlasts_a_database_that_is_locked_or_breaks_its_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(4):
        make_task(tmp_path / "set", f"task-{n}", solve="echo begun; sleep 0.3; echo 42 > answer.txt\n")
    if connection.vendor == "sqlite":
        # Give up soon on a lock, so that it need not be held for half a minute.
        SyncToAsync.single_thread_executor.submit(connections.close_all).result()
        monkeypatch.setitem(connections.settings["default"]["OPTIONS"], "timeout", 0.1)
    trouble = Trouble(tmp_path / "jobs" / "job")
    trouble.start()
    code = pierrun("-p", tmp_path / "set", "-o", tmp_path / "jobs", "--job-name", "job", "-n", 2)
    trouble.join()
    # Broken, and of no use to the tests after this one.
    connection.close()
    assert code == 0
    assert trouble.began_at
    assert time.monotonic() - trouble.began_at > AWAY_SEC
    job = Job.objects.get()
    assert (job.status, job.n_finished, job.reward_sum) == (Status.FINISHED, 4, 4.0)
    assert set(Trial.objects.values_list("status", "execution", "exception_type")) == {(Status.FINISHED, 1, "")}
    assert len(list((tmp_path / "jobs" / "job").glob("*/result.json"))) == 4


@pytest.mark.django_db(transaction=True)
async def test_what_no_waiting_mends_is_raised_at_once() -> None:
    def broken() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM nowhere")

    began = time.monotonic()
    with pytest.raises(DatabaseError, match="nowhere"):
        await in_database(broken)
    assert time.monotonic() - began < 5
    await sync_to_async(connections.close_all)()


@pytest.mark.django_db
def test_an_end_that_was_written_before_the_connection_broke_can_be_written_again(tmp_path: Path) -> None:
    plan = make_plan(make_task(tmp_path, "task"), tmp_path / "job")
    asyncio.run(run_on_host(plan))
    job = make_job(directory=str(tmp_path / "job"))
    trial = make_trial(job, name=plan.name, status=Status.RUNNING, owner="me", finished_at=None)
    mine = Claim(trial.pk, trial.execution, "me")
    for _ in range(2):
        finish(mine, job, plan, cancelled=False)
        trial.refresh_from_db()
        assert (trial.status, trial.reward) == (Status.FINISHED, 1.0)
    Trial.objects.update(status=Status.INTERRUPTED)
    with pytest.raises(ExecutionSuperseded):
        finish(mine, job, plan, cancelled=False)
