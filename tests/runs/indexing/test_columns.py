from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.indexing.causes import cause_of
from runs.indexing.columns import headline_reward, job_columns, trial_columns
from runs.indexing.origin import origin_of, zone_of
from runs.models import Cause, Origin, Trial
from tests.runs.indexing.files import trial_result

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.sampled_from(sorted(trial_result())), JSON), st.dictionaries(st.text(), JSON))
def test_strange_results_never_raise_and_only_give_columns_of_trial(result: Any, config: Any) -> None:
    columns = trial_columns(result, config)
    assert set(columns) <= {field.attname for field in Trial._meta.concrete_fields}


def test_a_pier_result_gives_its_columns() -> None:
    columns = trial_columns(trial_result(), {})
    assert columns["task_name"] == "demo/fix-it"
    assert columns["task_path"] == "tasks/fix-it"
    assert (columns["agent_name"], columns["agent_version"]) == ("codex", "0.52.0")
    assert (columns["model_provider"], columns["model_name"]) == ("openai", "gpt-5")
    assert columns["reward"] == 1.0
    assert (columns["n_input_tokens"], columns["n_cache_tokens"], columns["n_output_tokens"]) == (100, 40, 7)
    assert columns["agent_execution_sec"] == 40.5
    assert columns["verifier_sec"] is None
    assert columns["exception_type"] == ""
    assert columns["cause"] == ""


def test_cost_that_nobody_gave_is_null_and_cost_that_is_zero_is_zero() -> None:
    assert trial_columns(trial_result(agent_result={"cost_usd": None}), {})["cost_usd"] is None
    assert trial_columns(trial_result(agent_result=None), {})["cost_usd"] is None
    assert trial_columns(trial_result(agent_result={"cost_usd": 0}), {})["cost_usd"] == 0.0


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ({"reward": 0.5, "other": 1.0}, 0.5),
        ({"score": 0.25}, 0.25),
        ({"a": 1.0, "b": 0.0}, None),
        ({"reward": "high"}, None),
        ({"reward": True}, 1.0),
        ({}, None),
    ],
)
def test_the_headline_is_reward_or_the_only_key_and_never_a_mean(rewards: dict[str, Any], expected: float) -> None:
    assert headline_reward(rewards) == expected


def test_several_rewards_without_a_headline_are_all_kept() -> None:
    columns = trial_columns(trial_result(verifier_result={"rewards": {"a": 1.0, "b": 0.0}}), {})
    assert columns["reward"] is None
    assert columns["rewards"] == {"a": 1.0, "b": 0.0}


def test_an_exception_and_a_reward_are_both_kept() -> None:
    info = {"exception_type": "AgentTimeoutError", "exception_message": "after 600 s"}
    columns = trial_columns(trial_result(exception_info=info), {})
    assert columns["reward"] == 1.0
    assert columns["exception_type"] == "AgentTimeoutError"
    assert columns["exception_message"] == "after 600 s"
    assert columns["cause"] == Cause.BUDGET


def test_the_exception_of_a_step_is_raised_to_a_trial_that_has_none() -> None:
    steps = [{"step_name": "one"}, {"step_name": "two", "exception_info": {"exception_type": "TimeoutError"}}]
    columns = trial_columns(trial_result(step_results=steps), {})
    assert columns["exception_type"] == "TimeoutError"
    assert columns["cause"] == Cause.BUDGET
    assert [step["step_name"] for step in columns["step_results"]] == ["one", "two"]


def test_usage_and_times_of_steps_are_summed_where_the_trial_has_none() -> None:
    timing = {"started_at": "2026-08-01T10:00:00Z", "finished_at": "2026-08-01T10:00:02Z"}
    part = {"agent_result": {"n_input_tokens": 10, "peak_context_tokens": 7, "cost_usd": 0.25}, "verifier": timing}
    columns = trial_columns(trial_result(agent_result=None, step_results=[part, part]), {})
    assert columns["n_input_tokens"] == 20
    assert columns["peak_context_tokens"] == 7
    assert columns["cost_usd"] == 0.5
    assert columns["verifier_sec"] == 4.0


def test_agent_and_model_come_from_the_config_where_the_result_has_no_agent_info() -> None:
    config: Any = {"agent": {"name": "mini", "model_name": "openrouter/qwen/qwen3"}, "environment": {"type": "modal"}}
    columns = trial_columns({"task_name": "t"}, config)
    assert (columns["agent_name"], columns["model_provider"], columns["model_name"]) == (
        "mini",
        "openrouter",
        "qwen/qwen3",
    )
    assert columns["sandbox"] == "modal"
    unknown = trial_columns(trial_result(agent_info={"name": "mini", "version": "unknown", "model_info": None}), {})
    assert unknown["agent_version"] == ""


def test_a_trial_that_ended_before_it_began_is_made_storable() -> None:
    columns = trial_columns(trial_result(finished_at="2026-08-01T09:00:00Z"), {})
    assert columns["finished_at"] == columns["started_at"]


def test_a_cause_that_the_file_states_stands_over_the_table() -> None:
    info = {"exception_type": "RuntimeError", "cause": "model_provider"}
    assert trial_columns(trial_result(exception_info=info), {})["cause"] == Cause.PROVIDER


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("AgentTimeoutError", Cause.BUDGET),
        ("NonZeroAgentExitCodeError", Cause.AGENT),
        ("RewardFileNotFoundError", Cause.VERIFIER),
        ("VerifierTimeoutError", Cause.VERIFIER),
        ("CancelledError", Cause.CANCELLED),
        ("EnvironmentStartTimeoutError", Cause.INFRASTRUCTURE),
        ("HealthcheckError", Cause.INFRASTRUCTURE),
        ("TaskInvalid", Cause.TASK),
        ("litellm.exceptions.RateLimitError", Cause.PROVIDER),
        ("RuntimeError", Cause.UNKNOWN),
        ("", Cause.UNKNOWN),
    ],
)
def test_exceptions_have_the_cause_that_the_table_gives(name: str, cause: Cause) -> None:
    assert cause_of(name) is cause


def test_old_job_results_count_their_trials_in_stats() -> None:
    assert job_columns({}, {"stats": {"n_trials": 12, "n_errors": 1}})["n_trials"] == 12
    assert job_columns({}, {"n_total_trials": 113})["n_trials"] == 113


@pytest.mark.parametrize(
    ("config", "result", "lock", "origin"),
    [
        ({}, {}, {"pier": {"version": "0.3.1"}}, Origin.PIER),
        ({}, {}, {"harbor": {"version": "0.25.0"}}, Origin.HARBOR),
        ({}, {}, {"pier_site": {"version": "0.1.0"}}, Origin.PIER_SITE),
        ({"orchestrator": {}}, {}, {}, Origin.HARBOR),
        ({"agent_timeout_multiplier": 2.0}, {}, {}, Origin.HARBOR),
        ({}, {"trial_results": []}, {}, Origin.HARBOR),
        ({"job_name": "x"}, {}, {"schema_version": 1}, Origin.UNKNOWN),
    ],
)
def test_the_writer_is_known_by_its_lock_or_by_marks_of_its_generation(
    config: Any, result: Any, lock: Any, origin: Origin
) -> None:
    assert origin_of(config, result, lock) is origin


def test_naive_times_of_a_job_are_in_the_zone_that_its_lock_gives_away() -> None:
    lock: Any = {"created_at": "2026-08-01T08:00:01Z"}
    zone = zone_of({"started_at": "2026-08-01T10:00:00"}, lock)
    assert zone == timezone(timedelta(hours=2))
    columns = job_columns({}, {"started_at": "2026-08-01T10:00:00"}, zone=zone)
    assert columns["started_at"] == datetime(2026, 8, 1, 8, tzinfo=UTC)
    assert zone_of({"started_at": "2026-08-01T10:07:00"}, lock) == UTC
    assert zone_of({"started_at": "2026-08-01T10:00:00Z"}, lock) == UTC


@pytest.mark.parametrize(("kwargs", "effort"), [({"reasoning_effort": "high"}, "high"), ({}, ""), ([], "")])
def test_the_effort_is_what_the_job_asked_for(kwargs: Any, effort: str) -> None:
    assert trial_columns({}, {"agent": {"name": "codex", "kwargs": kwargs}})["reasoning_effort"] == effort
