"""Quotes in the steps of a trial's trajectories, where the critic says they are; elsewhere is only pointed out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from critique.citations.quotes import TOO_SHORT, Effort, Quote, folds_of, is_found, quote_of, why_not_found
from critique.inputs.trajectories import MAIN, NumberedTrajectory, trajectories_of
from runs.errors import PierError

# Quotes that are not where they should be are looked for elsewhere only up to so many: it takes all steps.
MAX_POINTED_OUT: Final = 100


@dataclass(frozen=True, slots=True)
class StepVerdict:
    """Whether the quote is in the step that the critic names; `trajectory` is that step's, where there is one."""

    is_verified: bool
    note: str = ""
    trajectory: NumberedTrajectory | None = None


@dataclass(frozen=True, slots=True)
class CitedStep:
    """What a critic says is in a step. `trajectory` is a label, or empty for the main one."""

    trajectory: str
    number: int
    quote: str


def read_trajectories(trial_directory: Path | None) -> list[NumberedTrajectory]:
    """The trajectories of a trial; none where there is none that can be read."""
    if trial_directory is None or not trial_directory.is_dir():
        return []
    try:
        return trajectories_of(trial_directory)
    except (PierError, OSError, ValueError):
        return []


def check_steps(
    cited: Sequence[CitedStep], trajectories: Sequence[NumberedTrajectory], effort: Effort
) -> list[StepVerdict]:
    """Look for each quote in its step. Each cited step is read once; all steps, where a quote is not in its own."""
    verdicts: dict[CitedStep, StepVerdict] = {}
    missing: list[tuple[CitedStep, Quote]] = []
    by_step = sorted(dict.fromkeys(cited), key=lambda one: (one.trajectory, one.number))
    texts = _Texts(effort)
    for one in by_step:
        trajectory = _labelled(trajectories, one.trajectory)
        quote = quote_of(one.quote)
        if trajectory is None or not 1 <= one.number <= trajectory.n_steps or quote is None:
            verdicts[one] = StepVerdict(is_verified=False, note=_why_not(one, trajectory, trajectories))
            if quote is not None:
                missing.append((one, quote))
        elif is_found(quote, texts.of(trajectory, one.number), effort):
            verdicts[one] = StepVerdict(is_verified=True, trajectory=trajectory)
        else:
            verdicts[one] = StepVerdict(is_verified=False, note=_not_found(one, quote, effort), trajectory=trajectory)
            missing.append((one, quote))
    for one, place in _elsewhere(missing[:MAX_POINTED_OUT], trajectories, effort):
        then = verdicts[one]
        verdicts[one] = StepVerdict(
            is_verified=False, note=f"{then.note}; found in {place}", trajectory=then.trajectory
        )
    return [verdicts[one] for one in cited]


class _Texts:
    """A step's text in all its spellings, folded; the last one asked for is kept."""

    def __init__(self, effort: Effort) -> None:
        self._effort = effort
        self._known: tuple[str, int] | None = None
        self._folds: list[str] = []

    def of(self, trajectory: NumberedTrajectory, number: int) -> list[str]:
        if self._known != (trajectory.label, number):
            step = trajectory.step(number)
            self._folds = folds_of(step.text, self._effort) if step else []
            self._known = (trajectory.label, number)
        return self._folds


def _labelled(trajectories: Sequence[NumberedTrajectory], label: str) -> NumberedTrajectory | None:
    label = label.strip() or MAIN
    return next((one for one in trajectories if label in (one.label, one.path)), None)


def _why_not(one: CitedStep, trajectory: NumberedTrajectory | None, known: Sequence[NumberedTrajectory]) -> str:
    if not known:
        return "there is no trajectory to look in"
    if trajectory is None:
        return f"there is no trajectory {one.trajectory[:80]!r}"
    if one.number > trajectory.n_steps:
        return f"there is no step {one.number}: the trajectory has {trajectory.n_steps}"
    return TOO_SHORT


def _not_found(one: CitedStep, quote: Quote, effort: Effort) -> str:
    return why_not_found(quote, effort) or f"not in step {one.number}"


def _elsewhere(
    missing: Sequence[tuple[CitedStep, Quote]], trajectories: Sequence[NumberedTrajectory], effort: Effort
) -> Iterator[tuple[CitedStep, str]]:
    """The first step that has each quote, as people name it."""
    left = list(missing)
    for trajectory in trajectories:
        beside = "" if trajectory.label == MAIN else f" of {trajectory.label}"
        for step in trajectory.steps() if left else ():
            if effort.is_used_up or not left:
                return
            texts = folds_of(step.text, effort)
            found = [(one, quote) for one, quote in left if is_found(quote, texts, effort)]
            for pair in found:
                left.remove(pair)
                yield pair[0], f"step {step.number}{beside}"
