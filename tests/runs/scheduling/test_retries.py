"""Executions: what is tried again, when, and what stays of the earlier tries."""

import json
from pathlib import Path

import pytest
from django.core.management import call_command

from runs.formats.job import RetryConfig
from runs.formats.result import AgentInfo, ExceptionInfo, TaskId, TrialResult
from runs.models import Trial
from runs.scheduling.retries import delay_sec, wants_retry
from runs.trial.record import now
from tests.support.tasks import make_task


def failed(name: str) -> TrialResult:
    return TrialResult(
        task_name="task",
        trial_name="trial",
        trial_uri="",
        task_id=TaskId(path="/task"),
        task_checksum="",
        config={},
        agent_info=AgentInfo(name="oracle"),
        exception_info=ExceptionInfo(exception_type=name, exception_message="", occurred_at=now()),
    )


@pytest.mark.parametrize(
    ("retry", "name", "execution", "wanted"),
    [
        (RetryConfig(max_retries=2), "SandboxFailed", 1, True),
        (RetryConfig(max_retries=2), "SandboxFailed", 3, False),
        (RetryConfig(), "SandboxFailed", 1, False),
        (RetryConfig(max_retries=2), "AgentTimeoutError", 1, False),
        (RetryConfig(max_retries=2, exclude_exceptions=[]), "AgentTimeoutError", 1, True),
        (RetryConfig(max_retries=2), "CancelledError", 1, False),
        (RetryConfig(max_retries=2, include_exceptions=["HealthcheckError"]), "SandboxFailed", 1, False),
        (RetryConfig(max_retries=2, include_exceptions=["A"], exclude_exceptions=["A"]), "A", 1, False),
    ],
)
def test_the_jobs_rules_say_what_is_tried_again(retry: RetryConfig, name: str, execution: int, wanted: bool) -> None:
    assert wants_retry(failed(name), retry, execution=execution) is wanted


def test_a_trial_without_an_exception_is_never_tried_again() -> None:
    result = failed("x").model_copy(update={"exception_info": None})
    assert not wants_retry(result, RetryConfig(max_retries=5), execution=1)


def test_waits_grow_up_to_the_longest_and_are_spread() -> None:
    retry = RetryConfig(max_retries=9, min_wait_sec=2, max_wait_sec=20)
    for execution, longest in ((1, 2), (2, 4), (3, 8), (4, 16), (5, 20), (50, 20)):
        waits = [delay_sec(retry, execution=execution) for _ in range(50)]
        assert all(longest / 2 <= wait <= longest for wait in waits)
        assert len(set(waits)) > 1


@pytest.mark.django_db(transaction=True)
def test_a_trial_that_fails_once_succeeds_in_its_second_execution_and_both_are_kept(tmp_path: Path) -> None:
    flag = tmp_path / "been-here"
    health = f"test -e {flag} || {{ touch {flag}; false; }}"
    toml = f"\n[environment.healthcheck]\ncommand = '{health}'\nretries = 1\n"
    task = make_task(tmp_path, toml=toml)
    (tmp_path / "job.yaml").write_text("retry: {max_retries: 2, min_wait_sec: 0.01}\n")
    with pytest.raises(SystemExit) as exit_:
        call_command(
            "pierrun", "-p", str(task), "-c", str(tmp_path / "job.yaml"), "-e", "host", "-y",
            "-o", str(tmp_path / "jobs"), "--job-name", "retried",
        )  # fmt: skip
    assert exit_.value.code == 0
    row = Trial.objects.get()
    assert (row.reward, row.exception_type, row.execution) == (1.0, "", 2)
    directory = tmp_path / "jobs" / "retried" / row.name
    first = json.loads((directory / "executions" / "1" / "result.json").read_text())
    last = json.loads((directory / "result.json").read_text())
    assert (first["exception_info"]["exception_type"], first["execution"]) == ("HealthcheckError", 1)
    assert (last["exception_info"], last["execution"]) == (None, 2)
    assert json.loads((directory.parent / "result.json").read_text())["stats"]["n_retries"] == 1
