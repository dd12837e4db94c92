"""A finished job at other prices: from its tokens, beside what was recorded, with nothing run again."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from runs.errors import FileUnreadable
from runs.formats.trajectory import Agent, FinalMetrics, Metrics, Step, Trajectory, dump_trajectory
from runs.indexing.job import index_job
from runs.models import Job, Trial
from runs.prices.repricing import reprice_job
from runs.prices.timing import CALL_LOG, read_call_log, write_call_log
from tests.support.factories import make_project

PRICES = {"m": {"input_cost_per_token": 0.001, "output_cost_per_token": 0.01, "cache_read_input_token_cost": 0.0001}}


@pytest.fixture
def pricing(tmp_path: Path) -> Path:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(PRICES))
    return path


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """Three trials: one with steps, one with a call log, one with totals alone."""
    job = tmp_path / "job"
    for name in ("steps", "log", "totals"):
        make_trial(job, name)
    (job / "steps/agent/trajectory.json").write_text(dump_trajectory(trajectory()))
    write_call_log(job / "log/agent", trajectory())
    (job / "config.json").write_text("{}")
    return job


def make_trial(job: Path, name: str) -> None:
    (job / name / "agent").mkdir(parents=True)
    result = {
        "id": name,
        "trial_name": name,
        "task_name": "task",
        "agent_info": {"name": "toy", "model_info": {"name": "m"}},
        "agent_result": {"n_input_tokens": 300, "n_cache_tokens": 100, "n_output_tokens": 30, "cost_usd": 0.25},
        "started_at": "2026-11-20T08:00:00Z",
        "finished_at": "2026-11-20T08:01:00Z",
    }
    (job / name / "result.json").write_text(json.dumps(result))


def trajectory() -> Trajectory:
    def call(number: int, **extra: Any) -> Step:
        metrics = Metrics(prompt_tokens=100, cached_tokens=50, completion_tokens=10, cost_usd=0.1, extra=extra or None)
        at = f"2026-11-20T08:00:0{number}Z"
        return Step(step_id=number, source="agent", message="x", timestamp=at, metrics=metrics, llm_call_count=1)

    child = Trajectory(trajectory_id="child", agent=Agent(name="toy", version="1"), steps=[call(1)])
    return Trajectory(
        agent=Agent(name="toy", version="1", model_name="m"),
        steps=[call(1, duration_ms=500), call(2)],
        subagent_trajectories=[child],
        final_metrics=FinalMetrics(extra={"unlogged_usage": {"prompt_tokens": 10}}),
    )


ONE_CALL = 50 * 0.001 + 50 * 0.0001 + 10 * 0.01


def test_the_best_record_of_each_trial_is_priced(job: Path, pricing: Path) -> None:
    found = {trial.name: trial for trial in reprice_job(job, pricing).trials}
    assert {name: trial.basis for name, trial in found.items()} == {
        "steps": "calls",
        "log": "call log",
        "totals": "totals",
    }
    # Two steps, the sub-agent's, and what left no step.
    assert found["steps"].repriced_usd == pytest.approx(3 * ONE_CALL + 10 * 0.001)
    assert found["log"].repriced_usd == pytest.approx(3 * ONE_CALL)
    assert found["totals"].repriced_usd == pytest.approx(200 * 0.001 + 100 * 0.0001 + 30 * 0.01)


def test_what_was_recorded_stays_as_it_is(job: Path, pricing: Path) -> None:
    before = {path: path.read_bytes() for path in job.rglob("*.json*")}
    repricing = reprice_job(job, pricing)
    assert {path: path.read_bytes() for path in before} == before
    assert repricing.recorded_usd == pytest.approx(0.75)
    assert json.loads((job / "repricing.json").read_text())["table_digest"].startswith("sha256:")


def test_a_model_without_a_price_is_named_and_not_guessed(job: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"another": PRICES["m"]}))
    for trial in reprice_job(job, other).trials:
        assert trial.repriced_usd is None
        assert trial.unpriced


def test_a_folder_without_trials_is_refused(tmp_path: Path, pricing: Path) -> None:
    with pytest.raises(FileUnreadable, match="no trial"):
        reprice_job(tmp_path, pricing)


@pytest.mark.django_db
def test_the_command_puts_both_figures_into_the_database_where_the_index_keeps_them(job: Path, pricing: Path) -> None:
    project = make_project()
    index_job(project, job)
    out = StringIO()
    with pytest.raises(SystemExit, match="0"):
        call_command("pierjob", "reprice", str(job), "--pricing", str(pricing), stdout=out)
    assert "3 of 3 trials priced" in out.getvalue()
    index_job(project, job)
    row = Trial.objects.get(name="totals")
    assert row.cost_usd == 0.25
    assert row.repriced_usd == pytest.approx(0.51)
    assert Job.objects.get().repricing["prices"] == "prices.json"


def test_a_call_log_has_times_tokens_and_the_step_of_each_call(tmp_path: Path) -> None:
    write_call_log(tmp_path, trajectory())
    first, second, child = map(json.loads, (tmp_path / CALL_LOG).read_text().splitlines())
    assert (first["start"], first["end"]) == ("2026-11-20T08:00:00.500000+00:00", "2026-11-20T08:00:01Z")
    assert (first["tok_s"], first["latency_s"], first["model"]) == (20.0, 0.5, "m")
    assert "start" not in second
    assert (child["trajectory_id"], child["step_id"]) == ("child", 1)


def test_a_call_log_of_the_agents_own_is_kept_and_its_failed_calls_cost_nothing(tmp_path: Path) -> None:
    lines = ['{"prompt_tokens": 5, "model": "m", "ok": true}', '{"prompt_tokens": 9, "ok": false}', "torn {", "[]", ""]
    (tmp_path / CALL_LOG).write_text("\n".join(lines))
    write_call_log(tmp_path, trajectory())
    assert [call.usage.uncached_tokens for call in read_call_log(tmp_path / CALL_LOG)] == [5]
