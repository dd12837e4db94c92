"""What leads from one trajectory of a trial to the others: its TaskSteps, continuations and sub-agents."""

from collections.abc import Sequence
from dataclasses import dataclass

from runs.models import Trajectory, Trial
from viewer.task_steps import TaskStepCard, task_steps_of
from viewer.trajectories import labels_of

# More than these have a page of their own: with a window of steps they stay within the limit of a first page.
MAX_CHOICES = 16
MAX_TASK_STEPS = 12


@dataclass(frozen=True, slots=True)
class Choice:
    """A trajectory that can be looked at."""

    pk: int
    label: str
    is_subagent: bool
    n_steps: int
    place: str


@dataclass(frozen=True, slots=True)
class Switcher:
    """TaskSteps and other trajectories; `n_more` of both are left out."""

    task_steps: list[TaskStepCard]
    choices: list[Choice]
    n_more: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to switch to."""
        return not self.task_steps and not self.choices


def switcher_of(
    trial: Trial, trajectories: Sequence[Trajectory], chosen: Trajectory | None, *, is_whole: bool = False
) -> Switcher:
    """What fits beside a trajectory, the chosen one always among it; all of it with `is_whole`."""
    task_steps = task_steps_of(trial, trajectories)
    linked = {card.trajectory_pk for card in task_steps}
    labels = labels_of(trajectories)
    choices = [
        Choice(row.pk, labels[row.pk], row.kind == Trajectory.Kind.SUBAGENT, row.n_steps, str(row))
        for row in trajectories
        if row.pk not in linked
    ]
    if len(choices) == 1 and not task_steps:
        choices = []
    if is_whole:
        return Switcher(task_steps, choices)
    current = chosen.pk if chosen else None
    few, few_steps = _few(choices, current), _few_steps(task_steps, current)
    return Switcher(few_steps, few, len(choices) - len(few) + len(task_steps) - len(few_steps))


def _few(choices: list[Choice], current: int | None) -> list[Choice]:
    shown = choices[:MAX_CHOICES]
    return shown + [choice for choice in choices[MAX_CHOICES:] if choice.pk == current]


def _few_steps(cards: list[TaskStepCard], current: int | None) -> list[TaskStepCard]:
    shown = cards[:MAX_TASK_STEPS]
    return shown + [card for card in cards[MAX_TASK_STEPS:] if current and card.trajectory_pk == current]
