"""Which trials of a job are looked at, by Pier's rules."""

import json
from pathlib import Path
from typing import Any

import pytest

from critique.formats.config import SelectionConfig
from critique.running.selection import select_trials
from runs.errors import InputInvalid
from tests.runs.jobs.regrades import content


def trial(job: Path, name: str, *, reward: float | None = 1.0, started: int = 0, **said: Any) -> Path:
    """A finished trial, as any of the three programs leaves it."""
    folder = job / name
    folder.mkdir(parents=True)
    (job / "job.log").touch()
    (folder / "trial.log").touch()
    agent = {"name": said.get("agent", "codex"), "model_name": said.get("model", "openai/gpt-5")}
    task = said.get("task", "/tasks/one")
    (folder / "config.json").write_text(json.dumps({"task": {"path": task}, "agent": agent}))
    provider, _, model = agent["model_name"].rpartition("/")
    result = {
        "trial_name": name,
        "task_name": Path(task).name,
        "agent_info": {"name": agent["name"], "model_info": {"name": model, "provider": provider or None}},
        "verifier_result": {"rewards": {"reward": reward}} if reward is not None else None,
        "exception_info": {"exception_type": said["exception"], "exception_message": ""}
        if "exception" in said
        else None,
        "started_at": f"2026-01-01T00:00:{started:02}Z",
    }
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def chosen(job: Path, **wanted: Any) -> list[str]:
    return [one.name for one in select_trials(job, SelectionConfig(**wanted)).trials]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """Three trials: one passes, one has part of the reward, one has all of it beside an exception."""
    job = tmp_path / "job"
    trial(job, "c")
    trial(job, "a", reward=0.5, agent="claude-code", model="anthropic/opus")
    trial(job, "b", exception="AgentTimeoutError", model="gpt-5")
    return job


def test_names_keep_their_order_and_others_come_by_name(job: Path) -> None:
    assert chosen(job) == ["a", "b", "c"]
    assert chosen(job, trial_names=["c", "a", "c"]) == ["c", "a"]


def test_passing_is_the_whole_reward_without_an_exception(job: Path) -> None:
    assert chosen(job, verdict="passing") == ["c"]
    assert chosen(job, verdict="failing") == ["a", "b"]


def test_agents_and_models_are_named_in_any_case_with_or_without_their_provider(job: Path) -> None:
    assert chosen(job, source_agents=["CODEX"]) == ["b", "c"]
    assert chosen(job, source_models=["GPT-5"]) == ["b", "c"]
    assert chosen(job, source_models=["OpenAI/gpt-5"]) == ["c"]
    assert chosen(job, source_models=["opus"], source_agents=["claude-code", "codex"]) == ["a"]


def test_a_seed_shuffles_the_same_way_each_time_before_the_limit(job: Path) -> None:
    orders = {seed: chosen(job, sample_seed=seed) for seed in range(20)}
    assert len({tuple(order) for order in orders.values()}) > 1
    assert all(chosen(job, sample_seed=seed, limit=2) == order[:2] for seed, order in orders.items())


def test_the_lock_of_a_job_gives_the_order_by_names(job: Path) -> None:
    entries = [{"task": {"name": "one", "digest": "x"}, "pier_site": {"trial_name": name}} for name in "bca"]
    (job / "lock.json").write_text(json.dumps({"trials": entries}))
    assert chosen(job) == ["b", "c", "a"]


def test_in_a_lock_of_pier_attempts_find_their_places_by_when_they_began(tmp_path: Path) -> None:
    job = tmp_path / "job"
    trial(job, "two__x", task="/tasks/two", started=9)
    trial(job, "one__x", started=5)
    trial(job, "one__y", started=2)
    agent = {"name": "codex", "model_name": "openai/gpt-5"}
    entries = [{"task": {"name": name, "digest": "x"}, "agent": agent} for name in ("one", "two", "one")]
    (job / "lock.json").write_text(json.dumps({"trials": entries}))
    assert chosen(job) == ["one__y", "two__x", "one__x"]


def test_a_trial_without_a_result_is_refused_with_the_reason(job: Path) -> None:
    (job / "b/result.json").unlink()
    (job / "a/result.json").write_text("{")
    selection = select_trials(job, SelectionConfig())
    assert [one.name for one in selection.trials] == ["c"]
    reasons = {refusal.name: refusal.reason for refusal in selection.refused}
    assert reasons["b"] == "it has not finished: there is no result.json"
    assert reasons["a"].startswith("its result.json cannot be read: not JSON")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"trial_names": ["d"]}, "there is no trial 'd'"),
        ({"source_agents": ["aider"]}, "none of its 3 finished trials is one of those that were asked for"),
    ],
)
def test_an_empty_selection_is_an_error_in_one_sentence(job: Path, wanted: dict[str, Any], said: str) -> None:
    with pytest.raises(InputInvalid, match=said):
        chosen(job, **wanted)


def test_a_folder_without_trials_is_no_job(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match="is not a job directory"):
        chosen(tmp_path)


def test_nothing_is_written_to_the_job(job: Path) -> None:
    before = content(job)
    chosen(job, verdict="failing", sample_seed=1, limit=1)
    assert content(job) == before
