"""Chooses trials that have ended to be run again: those without a valid reward, those with exceptions, those named."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from runs.errors import InputInvalid
from runs.formats.result import TrialResult
from runs.formats.reward import headline
from runs.indexing.causes import RULES, cause_of
from runs.jobs.resuming import has_type
from runs.models import Cause
from runs.scheduling.saved import SavedJob, SavedTrial


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which trials. `errors`: of these exception types, of all where it is empty, None for not by exception."""

    unscored: bool = False
    errors: Sequence[str] | None = None
    trials: Sequence[str] = ()


def selected(saved: SavedJob, wanted: Wanted) -> list[SavedTrial]:
    """The trials of the job that are wanted and have ended. Raises InputInvalid for a name that is none of them."""
    ended = {trial.plan.name: trial for trial in saved.trials if trial.result}
    for name in wanted.trials:
        if name not in ended:
            known = any(trial.plan.name == name for trial in saved.trials)
            reason = "it has no result yet: `pierjob resume` runs it" if known else "the job has no such trial"
            raise InputInvalid(f"{saved.directory}: {name}: {reason}")
    key = saved.config.verifier.headline_reward
    chosen = [trial.again() for trial in ended.values() if _is_wanted(trial, wanted, key)]
    if wanted.errors and not chosen:
        there = Counter(trial.history.exception_type for trial in ended.values() if trial.history.exception_type)
        told = ", ".join(f"{name} ({count})" for name, count in there.most_common()) or "none"
        raise InputInvalid(f"{saved.directory}: no trial ended with {', '.join(wanted.errors)}; exceptions: {told}")
    return chosen


def _is_wanted(trial: SavedTrial, wanted: Wanted, headline_key: str | None) -> bool:
    if trial.plan.name in wanted.trials:
        return True
    if wanted.unscored and trial.result and not has_valid_reward(trial.result, headline_key):
        return True
    if wanted.errors is None:
        return False
    return has_type(trial.history, wanted.errors) if wanted.errors else bool(trial.history.exception_type)


def has_valid_reward(result: TrialResult, headline_key: str | None = None) -> bool:
    """Whether the trial has a reward that is the agent's: not one beside an engine's or a service's failure."""
    if result.rewards is None or (headline_key and headline(result.rewards, headline_key) is None):
        return False
    failure = result.exception_info
    return failure is None or RULES[Cause(failure.cause or cause_of(failure.exception_type))].reward_counts


def lines_of(chosen: Sequence[SavedTrial]) -> list[str]:
    """A line for each trial: its name, how it ended, which execution it would get."""
    return [f"{trial.plan.name}  {_ending(trial)}, execution {trial.plan.execution} would be run" for trial in chosen]


def _ending(trial: SavedTrial) -> str:
    rewards = trial.history.result.rewards if trial.history.result else None
    told = ", ".join(f"{key} {value:g}" for key, value in (rewards or {}).items()) or "no reward"
    return f"{told}, {trial.history.exception_type}" if trial.history.exception_type else told
