"""The grid of a job: tasks down, agents across, one cell an attempt. Pure arrangement of trials that were read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runs.models import Trial
from viewer.outcome import Outcome, outcome_of

MAX_CELLS = 60

# Trials by task and by agent with its model.
type Places = dict[tuple[str, tuple[str, str]], list[Trial]]


@dataclass(frozen=True, slots=True)
class Cell:
    """One attempt."""

    trial: Trial
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Group:
    """The attempts of one agent at one task."""

    cells: list[Cell]
    n_more: int


@dataclass(frozen=True, slots=True)
class Row:
    """One task; `mean` is over its attempts that have a reward."""

    task: str
    groups: list[Group]
    mean: float | None
    n_rewarded: int


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows of a window of tasks, with one column an agent and its model."""

    agents: list[tuple[str, str]]
    rows: list[Row]


def grid_of(tasks: Sequence[str], trials: Iterable[Trial]) -> Grid:
    """Arrange `trials`, which are those of `tasks`."""
    by_place: Places = {}
    for trial in trials:
        by_place.setdefault((trial.task_name, (trial.agent_name, trial.model_name)), []).append(trial)
    agents = sorted({agent for _, agent in by_place})
    return Grid(agents, [_row(task, agents, by_place) for task in tasks])


def _row(task: str, agents: Sequence[tuple[str, str]], by_place: Places) -> Row:
    groups = []
    rewards: list[float] = []
    for agent in agents:
        trials = by_place.get((task, agent), [])
        cells = [Cell(trial, outcome_of(trial)) for trial in trials[:MAX_CELLS]]
        groups.append(Group(cells, len(trials) - len(cells)))
        rewards += [trial.reward for trial in trials if trial.reward is not None]
    return Row(task, groups, sum(rewards) / len(rewards) if rewards else None, len(rewards))
