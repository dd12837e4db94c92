"""Results: the shape that peers read, and statistics in which null is never 0."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from runs.formats.job import MetricConfig
from runs.formats.result import (
    AgentContext,
    AgentInfo,
    ExceptionInfo,
    JobResult,
    TaskId,
    Timing,
    TrialResult,
    VerifierResult,
    aggregate,
    dump_json,
    job_stats,
    model_info_of,
)

NOON = datetime(2026, 8, 21, 12, tzinfo=UTC)


def make_trial(
    name: str, rewards: dict[str, float] | None = None, *, error: str | None = None, **context: float
) -> TrialResult:
    """A finished trial of one agent, model and dataset."""
    return TrialResult(
        task_name="org/task",
        trial_name=name,
        trial_uri=f"file:///jobs/j/{name}",
        task_id=TaskId(path="/tasks/task"),
        source="tasks",
        task_checksum="sha256:0",
        config={"task": {"path": "/tasks/task"}},
        agent_info=AgentInfo(name="codex", version="1", model_info=model_info_of("openai/gpt-5")),
        agent_result=AgentContext.model_validate(context),
        verifier_result=VerifierResult(rewards=rewards) if rewards is not None else None,
        exception_info=ExceptionInfo(exception_type=error, exception_message="m", occurred_at=NOON) if error else None,
        started_at=NOON,
    )


def test_a_trial_result_has_piers_keys() -> None:
    written = json.loads(dump_json(make_trial("t__1", {"reward": 1.0}, error="AgentTimeoutError")))
    assert {
        *("id", "task_name", "trial_name", "trial_uri", "task_id", "source", "task_checksum", "config", "agent_info"),
        *("agent_result", "verifier_result", "exception_info", "started_at", "finished_at", "environment_setup"),
        *("agent_setup", "agent_execution", "verifier", "n_agent_steps", "step_results"),
    } <= set(written)
    assert written["agent_info"] == {
        "name": "codex",
        "version": "1",
        "model_info": {"name": "gpt-5", "provider": "openai"},
    }
    assert written["verifier_result"]["rewards"] == {"reward": 1.0}
    assert written["exception_info"]["exception_type"] == "AgentTimeoutError"
    assert written["agent_result"]["cost_usd"] is None


def test_what_was_dumped_is_the_same_result() -> None:
    trial = make_trial("t__1", {"reward": 0.0}, n_input_tokens=3)
    assert TrialResult.model_validate_json(dump_json(trial)) == trial
    job = JobResult(started_at=NOON, n_total_trials=1, stats=job_stats([trial]))
    assert JobResult.model_validate_json(dump_json(job)) == job


@pytest.mark.parametrize("at", [NOON, NOON.replace(tzinfo=None), NOON.astimezone(timezone(timedelta(hours=2)))])
def test_instants_are_written_in_utc(at: datetime) -> None:
    assert json.loads(dump_json(Timing(started_at=at)))["started_at"] == "2026-08-21T12:00:00Z"


def test_a_message_with_lone_surrogates_is_still_written() -> None:
    info = ExceptionInfo(exception_type="X", exception_message="name \udcff", occurred_at=NOON)
    text = dump_json(info)
    text.encode()
    assert json.loads(text)["exception_message"] == "name \ufffd"


@pytest.mark.parametrize(
    ("name", "info"),
    [
        ("openai/gpt", ("gpt", "openai")),
        ("a/b/c", ("b/c", "a")),
        ("gpt", ("gpt", None)),
        ("", None),
        (None, None),
        ("x/", ("x/", None)),
    ],
)
def test_a_model_name_is_split_at_the_first_slash(name: str | None, info: tuple[str, str | None] | None) -> None:
    found = model_info_of(name)
    assert (found and (found.name, found.provider)) == info


def test_sums_leave_out_what_is_unknown_and_stay_null_where_nothing_is_known() -> None:
    stats = job_stats(
        [make_trial("a", n_input_tokens=5, cost_usd=0.5), make_trial("b", cost_usd=0.25), make_trial("c")]
    )
    assert (stats.n_input_tokens, stats.cost_usd, stats.n_output_tokens) == (5, 0.75, None)
    assert job_stats([make_trial("a", cost_usd=0.0)]).cost_usd == 0.0
    assert job_stats([]).cost_usd is None


def test_trials_are_counted_and_grouped_as_pier_does() -> None:
    trials = [
        make_trial("a", {"reward": 1.0}),
        make_trial("b", {"reward": 0.0}, error="AgentTimeoutError"),
        make_trial("c", error="CancelledError"),
    ]
    stats = job_stats(trials, n_running=1, n_pending=2, n_retries=3)
    assert (stats.n_completed_trials, stats.n_errored_trials, stats.n_cancelled_trials) == (3, 2, 1)
    assert (stats.n_running_trials, stats.n_pending_trials, stats.n_retries) == (1, 2, 3)
    group = stats.evals["codex__gpt-5__tasks"]
    assert (group.n_trials, group.n_errors) == (2, 2)
    assert group.metrics == [{"mean": pytest.approx(1 / 3)}]
    assert group.reward_stats == {"reward": {1.0: ["a"], 0.0: ["b"]}}
    assert group.exception_stats == {"AgentTimeoutError": ["b"], "CancelledError": ["c"]}


def test_a_trial_without_model_and_dataset_is_adhoc() -> None:
    trial = make_trial("a").model_copy(update={"agent_info": AgentInfo(name="oracle"), "source": None})
    assert trial.eval_key == "oracle__adhoc"


@pytest.mark.parametrize(("kind", "value"), [("mean", 0.5), ("sum", 1.5), ("min", 0.0), ("max", 1.0)])
def test_a_metric_counts_a_missing_reward_as_zero(kind: str, value: float) -> None:
    metric = MetricConfig.model_validate({"type": kind})
    assert aggregate([{"r": 1.0}, {"r": 0.5}, None], metric) == {kind: value}


def test_several_rewards_are_drawn_together_each() -> None:
    assert aggregate([{"reward": 1.0, "f2p": 3.0}, {"reward": 0.0}], MetricConfig()) == {"reward": 0.5, "f2p": 1.5}
    assert aggregate([], MetricConfig()) == {}
    assert aggregate([None], MetricConfig()) == {"mean": 0.0}


def test_a_duration_needs_both_ends() -> None:
    assert Timing(started_at=NOON, finished_at=NOON + timedelta(seconds=2)).duration_sec == 2
    assert Timing(started_at=NOON).duration_sec is None
