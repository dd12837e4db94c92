"""Checks that people ask for: queued, run by a process of their own, stopped, and ended when that process dies."""

import asyncio
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.conf import LazySettings
from django.core.management import call_command
from django.db import connections

from critique.checks import queueing
from critique.checks.queueing import cancel_check, end_abandoned, enqueue, queue_all, queue_check
from critique.checks.records import CheckRecord, read_check
from critique.checks.working import find_critique, run_all_checks, run_queued_checks
from critique.formats.config import CRITIQUES_FOLDER, CritiqueRunConfig
from critique.models import Claim, Critique, CritiqueRun
from pier_site.accounts.local import default_project, local_owner
from runs.errors import InputInvalid, PierError
from runs.formats.job import AgentConfig, EnvironmentConfig
from runs.models import Job, Purpose, Trial
from runs.owner import this_owner
from runs.scheduling.holding import held
from tests.support.tasks import make_task
from tests.support.trials import make_plan, run_on_host

pytestmark = pytest.mark.django_db(transaction=True)

HOLDS = {"command": "test $(cat answer.txt) = 42", "expect": {"exit_code": 0}}
FAILS = {"command": "cat answer.txt", "expect": {"output_contains": "43"}}
SLEEPS = {"command": "sleep 60", "expect": {"exit_code": 0}}
DEAD = "{host}:{pid}:1"


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job's directory with a finished trial."""
    root = tmp_path_factory.mktemp("queue")
    asyncio.run(run_on_host(make_plan(make_task(root), root / "job")))
    return root / "job"


@pytest.fixture
def make(job: Path, tmp_path: Path) -> Iterator[Callable[..., Critique]]:
    """Makes a critique of the trial whose claims suggest these checks."""

    def make_critique(*checks: dict[str, Any] | None) -> Critique:
        project = default_project()
        source = tmp_path / "job"
        if not source.exists():
            shutil.copytree(job, source)
        directory = source / CRITIQUES_FOLDER / "run"
        (directory / "trial-1").mkdir(parents=True)
        config = CritiqueRunConfig(
            run_name="run",
            source_dir=source,
            critiques_dir=directory.parent,
            prompt="Look.",
            critics=[AgentConfig(name="nop")],
            environment=EnvironmentConfig(type="host"),
        ).model_dump(mode="json")
        row = Job.objects.create(
            project=project, directory=str(directory), name="run", purpose=Purpose.CRITIQUE, sorted_at=datetime.now(UTC)
        )
        run = CritiqueRun.objects.create(
            project=project, job=row, name="run", directory=str(directory), config=config
        )  # fmt: skip
        trial = Trial.objects.create(job=row, name="trial-1", task_name="t")
        critique = Critique.objects.create(run=run, trial=trial, source_name="trial-1")
        for position, check in enumerate(checks, start=1):
            Claim.objects.create(critique=critique, position=position, text="So it is.", suggested_check=check)
        return critique

    yield make_critique
    # The thread that ran the queries outlives the test, and PostgreSQL drops no database that it is connected to.
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


def claims_of(critique: Critique) -> list[Claim]:
    return list(critique.claims.order_by("position"))


def outcomes(critique: Critique) -> list[str]:
    return [claim.check_outcome for claim in claims_of(critique)]


def test_a_queued_check_is_run_and_its_claim_says_what_came_of_it(make: Callable[..., Critique]) -> None:
    critique = make(HOLDS, FAILS, None)
    for claim in claims_of(critique)[:2]:
        enqueue(claim, local_owner())
    assert outcomes(critique) == ["queued", "queued", ""]
    assert claims_of(critique)[0].check_result["queued_by"] == local_owner().pk
    seen: list[CheckRecord] = []
    records = run_queued_checks(critique, seen.append)
    assert seen == records
    assert outcomes(critique) == ["confirmed", "refuted", ""]
    first, second, _ = claims_of(critique)
    assert (first.check_result["exit_code"], first.check_result["output"]) == (0, "checks/1.txt")
    assert second.check_result["reason"] == "its output lacks what it was to contain"
    assert read_check(queueing.directory_of(critique), 2) == records[1]


def test_the_command_runs_what_is_queued_or_all_that_was_never_run(
    make: Callable[..., Critique], capsys: pytest.CaptureFixture[str]
) -> None:
    critique = make(HOLDS, FAILS)
    enqueue(claims_of(critique)[1], None)
    for words, told in (
        (["--queued"], "claim 2: refuted: its output lacks what it was to contain\n"),
        (["--queued"], ""),
        ([], "claim 1: confirmed: it ended as the critic expected\n"),
    ):
        with pytest.raises(SystemExit) as ended:
            call_command("piercritique", "--check", str(critique.pk), *words)
        assert ended.value.code == 0
        assert capsys.readouterr().out == told
    assert outcomes(critique) == ["confirmed", "refuted"]


def test_all_checks_that_were_never_run_are_run_at_once(make: Callable[..., Critique]) -> None:
    critique = make(HOLDS, None, {"command": "", "expect": {}}, HOLDS)
    Claim.objects.filter(critique=critique, position=4).update(check_outcome="refuted")
    assert [record.claim for record in run_all_checks(critique)] == [1]
    assert outcomes(critique) == ["confirmed", "", "", "refuted"]
    assert run_all_checks(critique) == []


def test_a_check_can_be_run_again(make: Callable[..., Critique]) -> None:
    critique = make(HOLDS)
    run_all_checks(critique)
    enqueue(claims_of(critique)[0], None)
    assert outcomes(critique) == ["queued"]
    assert len(run_queued_checks(critique)) == 1
    assert outcomes(critique) == ["confirmed"]


@pytest.mark.parametrize(
    "check", [None, {}, [], {"command": "true"}, {"command": "x" * 9000, "expect": {"exit_code": 0}}]
)
def test_without_a_suggested_check_nothing_is_queued(make: Callable[..., Critique], check: Any) -> None:
    critique = make(check)
    with pytest.raises(InputInvalid, match="suggested no check"):
        enqueue(claims_of(critique)[0], None)
    assert outcomes(critique) == [""]


def test_without_its_trial_nothing_is_queued(make: Callable[..., Critique], tmp_path: Path) -> None:
    critique = make(HOLDS)
    shutil.rmtree(tmp_path / "job" / "trial-1")
    with pytest.raises(InputInvalid, match="its directory is not there"):
        enqueue(claims_of(critique)[0], None)
    with pytest.raises(InputInvalid, match="its directory is not there"):
        queue_all(critique)
    assert outcomes(critique) == [""]


def test_a_check_that_is_under_way_is_not_queued_twice(make: Callable[..., Critique]) -> None:
    critique = make(HOLDS)
    claim = claims_of(critique)[0]
    enqueue(claim, None)
    for outcome in ("queued", "running"):
        told = {**claim.check_result, "owner": this_owner()}
        Claim.objects.filter(pk=claim.pk).update(check_outcome=outcome, check_result=told)
        with pytest.raises(InputInvalid, match="is being run already"):
            enqueue(claim, None)


def test_where_no_process_can_be_started_nothing_stays_queued(
    make: Callable[..., Critique], settings: LazySettings, tmp_path: Path
) -> None:
    critique = make(HOLDS)
    (tmp_path / "a-file").touch()
    settings.DATA_DIR = tmp_path / "a-file"
    with pytest.raises(InputInvalid, match="No process"):
        queue_check(claims_of(critique)[0], None)
    assert outcomes(critique) == [""]


def test_while_another_process_is_at_it_nothing_is_run_here(make: Callable[..., Critique]) -> None:
    critique = make(HOLDS)
    enqueue(claims_of(critique)[0], None)
    with held(queueing.directory_of(critique)):
        assert run_queued_checks(critique) == []
    assert outcomes(critique) == ["queued"]


def test_what_is_queued_can_be_taken_back(make: Callable[..., Critique]) -> None:
    critique = make(HOLDS, HOLDS)
    run_all_checks(critique)
    Claim.objects.filter(critique=critique, position=2).update(check_outcome="", check_result={})
    (queueing.directory_of(critique) / "checks" / "2.json").unlink()
    for claim in claims_of(critique):
        enqueue(claim, None)
        cancel_check(claim)
    # What an earlier run came to is there again.
    assert outcomes(critique) == ["confirmed", ""]
    assert claims_of(critique)[0].check_result["exit_code"] == 0
    with pytest.raises(InputInvalid, match="not under way"):
        cancel_check(claims_of(critique)[0])


def test_a_running_check_is_stopped_and_the_next_one_is_run(
    make: Callable[..., Critique], monkeypatch: pytest.MonkeyPatch
) -> None:
    critique = make(SLEEPS, HOLDS)

    def cancel_when_it_runs() -> None:
        while outcomes(critique)[0] != "running":
            time.sleep(0.05)
        cancel_check(claims_of(critique)[0])
        connections.close_all()

    queue_all(critique)
    thread = threading.Thread(target=cancel_when_it_runs)
    thread.start()
    began = time.monotonic()
    run_queued_checks(critique)
    thread.join()
    assert time.monotonic() - began < 30
    assert outcomes(critique) == ["not_runnable", "confirmed"]
    assert claims_of(critique)[0].check_result["reason"] == "it was stopped before it ended"


def test_a_signal_stops_what_runs_and_takes_back_what_is_queued(make: Callable[..., Critique]) -> None:
    critique = make(SLEEPS, HOLDS)

    def interrupt_when_it_runs() -> None:
        while outcomes(critique)[0] != "running":
            time.sleep(0.05)
        connections.close_all()
        os.kill(os.getpid(), signal.SIGTERM)

    queue_all(critique)
    thread = threading.Thread(target=interrupt_when_it_runs)
    thread.start()
    records = run_queued_checks(critique)
    thread.join()
    assert [record.outcome for record in records] == ["not_runnable"]
    assert outcomes(critique) == ["not_runnable", ""]


def make_stale(claim: Claim, outcome: str, owner: str, seconds: float) -> None:
    at = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()
    told = {"queued_at": at, "started_at": at, "owner": owner}
    Claim.objects.filter(pk=claim.pk).update(check_outcome=outcome, check_result=told)


def test_what_a_dead_process_left_could_not_be_run(make: Callable[..., Critique]) -> None:
    critique = make(HOLDS, HOLDS, HOLDS, HOLDS)
    host, pid, _ = this_owner().split(":")
    dead = DEAD.format(host=host, pid=pid)
    running, fresh, old, elsewhere = claims_of(critique)
    make_stale(running, "running", dead, 5)
    make_stale(fresh, "queued", "", 5)
    make_stale(old, "queued", "", 120)
    make_stale(elsewhere, "running", "another-machine:1:1", 5)
    assert end_abandoned(critique) == 2
    assert outcomes(critique) == ["not_runnable", "queued", "not_runnable", "running"]
    assert claims_of(critique)[0].check_result["reason"] == "the process that was to run it has died"
    record = read_check(queueing.directory_of(critique), 3)
    assert record is not None
    assert (record.outcome, record.exit_code) == ("not_runnable", None)
    assert end_abandoned(critique) == 0


def test_what_a_living_process_holds_is_not_abandoned(make: Callable[..., Critique]) -> None:
    critique = make(HOLDS)
    make_stale(claims_of(critique)[0], "queued", "", 3600)
    with held(queueing.directory_of(critique)):
        assert end_abandoned(critique) == 0
    assert end_abandoned(critique) == 1


def test_without_an_engine_nothing_stays_queued(make: Callable[..., Critique], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    critique = make(HOLDS)
    enqueue(claims_of(critique)[0], None)
    critique.run.config["environment"] = {"type": "docker"}
    with pytest.raises(PierError, match="engine"):
        run_queued_checks(critique)
    assert outcomes(critique) == [""]


def test_a_critique_whose_directory_is_gone_keeps_nothing_queued(make: Callable[..., Critique]) -> None:
    critique = make(HOLDS)
    enqueue(claims_of(critique)[0], None)
    queueing.directory_of(critique).rmdir()
    with pytest.raises(InputInvalid, match="no such directory"):
        run_queued_checks(critique)
    assert outcomes(critique) == [""]


def test_a_critique_is_found_by_its_number_or_its_directory(make: Callable[..., Critique]) -> None:
    critique = make(HOLDS)
    assert find_critique(str(critique.pk)) == critique
    assert find_critique(str(queueing.directory_of(critique))) == critique
    for name in ("0", "9" * 40, "no such", "a\0b", "", "/"):
        with pytest.raises(InputInvalid, match="there is no critique"):
            find_critique(name)
