"""Apps above this one that make rows of their own from what is indexed: they say so here, so that none is imported.

Called from an AppConfig's ready(), before anything is indexed.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from runs.indexing.problems import Problem
from runs.models import Job, Purpose, Trial

type Indexed = Callable[[Job], Iterable[Problem]]
type StepsReplaced = Callable[[Trial], None]
type Write = Callable[[Trial], None]


class Follower(Protocol):
    """Makes rows from the directory of a trial, each time that the trial's own row is made from it."""

    def files(self, directory: Path) -> Iterable[str]:
        """Paths of the files that it reads, relative to the trial; some may be missing. Asked for at every look."""
        ...

    def read(self, job: Job, directory: Path, problems: list[Problem]) -> Write:
        """Read them, and answer what writes the rows; that is called in the transaction that writes the trial.

        Never raises for what is in the files: that is a problem.
        """
        ...


_indexed: list[Indexed] = []
_steps_replaced: list[StepsReplaced] = []
_followers: dict[Purpose, Follower] = {}


def when_indexed(callback: Indexed) -> None:
    """Have `callback` called with each job whose directory was indexed and with each that was run to its end.

    It answers what it could not read itself.
    """
    _indexed.append(callback)


def when_steps_replaced(callback: StepsReplaced) -> None:
    """Have `callback` called with each trial that was known and whose steps were written anew, once that is done."""
    _steps_replaced.append(callback)


def follow(purpose: Purpose, follower: Follower) -> None:
    """Have `follower` make its rows from all trials of jobs of one purpose."""
    _followers[purpose] = follower


def job_indexed(job: Job) -> list[Problem]:
    """Tell who wants to know of indexed jobs; returns their problems."""
    return [problem for callback in _indexed for problem in callback(job)]


def steps_replaced(trial: Trial) -> None:
    """Tell who wants to know of replaced steps."""
    for callback in _steps_replaced:
        callback(trial)


def follower_of(job: Job) -> Follower | None:
    """Who makes rows from the trials of `job`, if anyone does."""
    return _followers.get(Purpose(job.purpose))
