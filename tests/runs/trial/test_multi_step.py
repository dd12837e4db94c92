"""Multi-step tasks: one sandbox, a stage for each TaskStep, rewards combined, gates that stop."""

from pathlib import Path

import pytest

from runs.formats.result import VerifierResult
from runs.trial.record import StageRecord
from runs.trial.result import combined_verdict, minimum_reached
from tests.support.tasks import CLOSED, make_task
from tests.support.trials import make_plan, run_on_host


def make_steps(parent: Path, rewards: dict[str, str], *, extra: str = "", top: str = "") -> Path:
    """A task with one step for each name; each step's test writes that step's reward text."""
    task = make_task(parent, toml=f"{CLOSED}\n" + "".join(f'[[steps]]\nname = "{name}"\n{extra}\n' for name in rewards))
    (task / "task.toml").write_text(top + (task / "task.toml").read_text())
    for name, reward in rewards.items():
        step = task / "steps" / name
        (step / "tests").mkdir(parents=True)
        (step / "solution").mkdir()
        (step / "instruction.md").write_text(f"Do {name}.")
        (step / "solution" / "solve.sh").write_text(f"echo {name} >> done.txt; cat done.txt\n")
        (step / "tests" / "test.sh").write_text(f"#!/bin/bash\nprintf %s '{reward}' > /logs/verifier/reward.txt\n")
    return task


async def test_steps_share_the_sandbox_and_have_folders_of_their_own(tmp_path: Path) -> None:
    plan = make_plan(make_steps(tmp_path, {"one": "1", "two": "0"}), tmp_path / "job")
    phases: list[str] = []
    result = await run_on_host(plan, phases)
    assert result.rewards == {"reward": 0.5}
    assert result.step_results is not None
    assert [
        (step.step_name, step.verifier_result and step.verifier_result.rewards) for step in result.step_results
    ] == [
        ("one", {"reward": 1.0}),
        ("two", {"reward": 0.0}),
    ]
    assert (plan.directory / "steps" / "two" / "agent" / "oracle.txt").read_text() == "one\ntwo\n"
    assert not (plan.directory / "agent").exists()
    assert "agent_execution two" in phases
    assert result.n_agent_steps == 2


async def test_a_step_below_its_minimum_ends_the_trial(tmp_path: Path) -> None:
    task = make_steps(tmp_path, {"one": "0.4", "two": "1"}, extra="min_reward = 0.5")
    result = await run_on_host(make_plan(task, tmp_path / "job"))
    assert result.step_results is not None
    assert [step.step_name for step in result.step_results] == ["one"]
    assert result.rewards == {"reward": 0.4}


async def test_a_step_without_a_reward_ends_the_trial_with_its_exception(tmp_path: Path) -> None:
    result = await run_on_host(make_plan(make_steps(tmp_path, {"one": "none", "two": "1"}), tmp_path / "job"))
    assert result.step_results is not None
    assert len(result.step_results) == 1
    assert result.exception_info is not None
    assert result.exception_info.exception_type == "VerifierOutputParseError"
    assert result.rewards is None


async def test_the_final_strategy_takes_the_last_steps_reward(tmp_path: Path) -> None:
    task = make_steps(tmp_path, {"one": "1", "two": "0.25"}, top='multi_step_reward_strategy = "final"\n')
    assert (await run_on_host(make_plan(task, tmp_path / "job"))).rewards == {"reward": 0.25}


async def test_a_steps_workdir_is_laid_out_and_its_setup_run_first(tmp_path: Path) -> None:
    task = make_steps(tmp_path, {"one": "1"})
    (task / "steps" / "one" / "workdir").mkdir()
    (task / "steps" / "one" / "workdir" / "setup.sh").write_text("echo prepared > done.txt\n")
    plan = make_plan(task, tmp_path / "job")
    await run_on_host(plan)
    assert (plan.directory / "steps" / "one" / "agent" / "oracle.txt").read_text() == "prepared\none\n"


def stage(rewards: dict[str, float] | None) -> StageRecord:
    return StageRecord("step", verifier_result=VerifierResult(rewards=rewards) if rewards is not None else None)


def test_the_mean_counts_a_missing_key_as_zero_and_leaves_out_steps_without_a_verdict() -> None:
    verdict = combined_verdict([stage({"a": 1.0, "b": 1.0}), stage({"a": 0.0}), stage(None)], "mean")
    assert verdict is not None
    assert verdict.rewards == {"a": 0.5, "b": 0.5}
    assert combined_verdict([stage(None)], "mean") is None


@pytest.mark.parametrize(
    ("rewards", "minimum", "reached"),
    [
        ({"reward": 0.5}, None, True),
        ({"reward": 0.5}, 0.5, True),
        ({"reward": 0.4}, 0.5, False),
        ({"other": 1.0}, 0.5, False),
        (None, 0.5, False),
        ({"a": 1.0, "b": 0.2}, {"a": 1.0, "b": 0.3}, False),
        ({"a": 1.0, "b": 0.3}, {"a": 1.0, "b": 0.3}, True),
    ],
)
def test_a_minimum_gates_its_keys(
    rewards: dict[str, float] | None, minimum: float | dict[str, float] | None, reached: bool
) -> None:
    assert minimum_reached(rewards, minimum) is reached
