import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runs.indexing.job import refresh_counters
from runs.jobs.naming import find_job
from runs.jobs.showing import job_report
from runs.models import Job, Phase, Status
from tests.runs.jobs.commands import pierjob
from tests.support.factories import make_job, make_shell_step, make_trajectory, make_trial

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def make_running_job() -> Job:
    """Ten trials, two at a time: four have ended after 100 s each, two have run for 60 s and 200 s, four wait."""
    job = make_job(status=Status.RUNNING, n_trials=10, config={"n_concurrent_trials": 2}, finished_at=None)
    begun = NOW - timedelta(seconds=500)
    for n in range(4):
        failed = {"exception_type": "RateLimitError", "exception_message": "slow down\nat once", "cause": "provider"}
        make_trial(
            job, reward=None if n == 3 else n % 2, cost_usd=None if n == 3 else 0.5,
            started_at=begun, finished_at=begun + timedelta(seconds=100), **(failed if n == 3 else {}),
        )  # fmt: skip
    for seconds in (60, 200):
        make_trial(
            job, status=Status.RUNNING, phase=Phase.AGENT_EXECUTION, reward=None, rewards=None, finished_at=None,
            started_at=NOW - timedelta(seconds=seconds),
        )  # fmt: skip
    for _ in range(4):
        make_trial(job, status=Status.QUEUED, reward=None, rewards=None, started_at=None, finished_at=None)
    refresh_counters(job)
    return job


def test_a_running_job_says_where_cost_and_time_are_heading() -> None:
    report = job_report(make_running_job(), now=NOW)
    assert (report.n_ended, report.n_running, report.n_trials) == (4, 2, 10)
    assert report.cost_usd == pytest.approx(1.5)
    assert report.projected_cost_usd == pytest.approx(5.0)
    # Six are left, of which 60 s and (at most) 100 s are done, on two places.
    assert report.estimated_end_at == NOW + timedelta(seconds=(600 - 160) / 2)


def test_exceptions_are_grouped_with_an_example_and_what_follows_from_the_cause() -> None:
    [line] = job_report(make_running_job(), now=NOW).exceptions
    assert (line.cause, line.exception_type, line.n_trials, line.n_rewarded) == ("provider", "RateLimitError", 1, 0)
    assert (line.may_be_retried, line.reward_counts, line.message) == (True, False, "slow down")


def test_a_trial_in_flight_is_shown_with_its_phase_and_last_step() -> None:
    job = make_running_job()
    trial = job.trials.filter(status=Status.RUNNING).first()
    assert trial
    trajectory = make_trajectory(trial, [make_shell_step("ls", "a"), make_shell_step("make", "b")])
    trajectory.steps.filter(index=1).update(summary="make all")
    lines = {line.name: line for line in job_report(job, now=NOW).in_flight}
    assert len(lines) == 2
    line = lines[trial.name]
    assert (line.phase, line.elapsed_sec, line.last_step) == ("agent", 60.0, "2 agent: make all")


def test_an_ended_job_has_no_projections_and_a_line_for_each_agent() -> None:
    job = make_job()
    make_trial(job, agent_name="codex", model_name="gpt-5", reward=0.0, cost_usd=2.0)
    make_trial(job, agent_name="codex", model_name="gpt-5", reward=1.0)
    make_trial(job, agent_name="nop", reward=None)
    refresh_counters(job)
    report = job_report(job)
    assert (report.projected_cost_usd, report.estimated_end_at) == (None, None)
    assert [
        (line.agent, line.n_trials, line.n_rewarded, line.mean_reward, line.cost_usd) for line in report.agents
    ] == [
        ("codex · gpt-5", 2, 2, 0.5, 2.0),
        ("nop", 1, 0, None, None),
    ]
    assert report.agents[0].mean_duration_sec == 90.0


def test_the_command_shows_a_job_by_name_by_directory_and_as_the_last(tmp_path: Path) -> None:
    make_job(name="twice", directory=str(tmp_path / "a"))
    job = make_job(name="twice", directory=str(tmp_path.resolve() / "b"))
    make_trial(job, exception_type="AgentTimeoutError", exception_message="too slow", cause="budget")
    refresh_counters(job)
    (tmp_path / "b").mkdir()
    by_name = pierjob("show", "twice")
    assert by_name == pierjob("show", tmp_path / "b") == pierjob("show", "--last")
    code, out, err = by_name
    assert (code, err) == (0, "")
    assert f"directory {job.directory}" in out
    assert "too slow" in out
    assert json.loads(pierjob("show", "twice", "--json")[1])["exceptions"][0]["reward_counts"] is True


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "there is no job of this name and no such directory"),
        (["na\0me"], "there is no job of this name"),
        ([], "or say --last"),
        (["a", "--last"], "or say --last"),
        (["--last"], "there is no job yet"),
    ],
)
def test_a_job_that_cannot_be_found_is_one_sentence(arguments: list[str], sentence: str) -> None:
    code, out, err = pierjob("show", *arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_a_directory_that_was_never_indexed_says_what_to_do(tmp_path: Path) -> None:
    code, _, err = pierjob("show", tmp_path)
    assert code == 2
    assert f"run `pierjob index {tmp_path}` first" in err


def test_of_two_jobs_of_a_name_the_newest_is_meant() -> None:
    make_job(name="twice")
    newest = make_job(name="twice")
    assert find_job("twice") == newest
