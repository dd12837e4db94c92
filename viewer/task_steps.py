"""The TaskSteps of a multi-step trial: what became of each, how long it took, and which were never run."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runs.indexing.values import mapping, mappings, number, seconds_of, text
from runs.models import Trajectory, Trial
from viewer.task_directory import task_file

MAX_TASK_STEPS = 200
MAX_REWARDS = 6
MAX_TOML_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class TaskStepCard:
    """One TaskStep. `state` is done, failed (an exception, or a reward of 0), running, or not run; `note` says which.

    `has_result` is whether the trial's result speaks of it, so that its verifier has a page.
    """

    name: str
    state: str
    note: str = ""
    rewards: tuple[tuple[str, Any], ...] = ()
    agent_sec: float | None = None
    verifier_sec: float | None = None
    exception_type: str = ""
    trajectory_pk: int | None = None
    n_steps: int = 0
    has_result: bool = False

    @property
    def tone(self) -> str:
        """The colour of its state."""
        return {"failed": "bad", "running": "info", "not run": "warn"}.get(self.state, "")


def task_steps_of(trial: Trial, trajectories: Sequence[Trajectory]) -> list[TaskStepCard]:
    """The TaskSteps in their order, those that were never run at the end; empty for a trial of one step."""
    own = {row.task_step: row for row in reversed(trajectories) if row.task_step and row.kind == Trajectory.Kind.MAIN}
    results = list(mappings(trial.step_results))[:MAX_TASK_STEPS]
    if not own and not results:
        return []
    cards = [_with_result(result, own) for result in results]
    told = {card.name for card in cards}
    begun = [row for row in reversed(own.values()) if row.task_step not in told]
    cards += [_begun(trial, row, is_last=row is begun[-1]) for row in begun]
    told |= own.keys()
    note = "not run yet" if trial.is_live else "never run"
    return cards + [TaskStepCard(name, "not run", note) for name in _names_in_task(trial) if name not in told]


def _with_result(result: dict[str, Any], own: dict[str, Trajectory]) -> TaskStepCard:
    name = text(result.get("step_name"), 255)
    rewards = tuple(mapping(mapping(result.get("verifier_result")).get("rewards")).items())[:MAX_REWARDS]
    exception = text(mapping(result.get("exception_info")).get("exception_type"), 255)
    figures = [number(value) for _, value in rewards]
    is_zero = bool(figures) and all(figure is not None and figure <= 0 for figure in figures)
    row = own.get(name)
    return TaskStepCard(
        name=name,
        state="failed" if exception or is_zero else "done",
        note="" if rewards else "no reward",
        rewards=rewards,
        agent_sec=seconds_of(result.get("agent_execution")),
        verifier_sec=seconds_of(result.get("verifier")),
        exception_type=exception,
        trajectory_pk=row.pk if row else None,
        n_steps=row.n_steps if row else 0,
        has_result=True,
    )


def _begun(trial: Trial, row: Trajectory, *, is_last: bool) -> TaskStepCard:
    """A TaskStep of which there is no more than its trajectory: of a trial that runs, or that was killed."""
    state = "running" if trial.is_live and is_last else "done"
    note = "running" if state == "running" else "no result yet" if trial.is_live else "no result"
    return TaskStepCard(row.task_step, state, note, trajectory_pk=row.pk, n_steps=row.n_steps)


def _names_in_task(trial: Trial) -> list[str]:
    """Names of the steps that the task has now, where its directory is still there."""
    try:
        task = tomllib.loads(task_file(trial, "task.toml", max_bytes=MAX_TOML_BYTES))
    except (tomllib.TOMLDecodeError, RecursionError):
        return []
    names = (text(step.get("name"), 255) for step in list(mappings(task.get("steps")))[:MAX_TASK_STEPS])
    return [name for name in names if name]
