"""Follows a folder of jobs while pier, harbor or Pier Site write into it: what changed is indexed within a second.

For a thread of its own. Finished jobs cost two stats a round, running ones a few for each trial that has not ended.
"""

import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from django.db import DatabaseError, close_old_connections, connection

from pier_site.accounts.models import Project
from runs.errors import InputInvalid
from runs.indexing.draft import FRESH_SEC
from runs.indexing.job import index_job
from runs.indexing.scan import Kind, critique_runs_in, jobs_under, kind_of, trials_in
from runs.indexing.stamps import CONFIG, RESULT, Stamps, newest_change_at, stamp_of, stamps_of
from runs.models import LIVE, Trial

logger = logging.getLogger(__name__)

# A broken file that is younger is being written.
PATIENCE_SEC = 5.0

type Mark = tuple[object, ...]


@dataclass(slots=True)
class _WatchedJob:
    """One job's state as it was last indexed."""

    path: Path
    own: Mark = ()
    trials: dict[str, Mark] = field(default_factory=dict)
    torn: frozenset[str] = frozenset()
    is_settled: bool = False


def watch(project: Project, root: Path, *, stop: threading.Event, interval_sec: float = 1.0) -> None:
    """Keep the rows of `root` (a job, or a folder of jobs) up to date until `stop` is set.

    Blocks. Closes its thread's database connection at the end. Problems stand in the rows; only what keeps the
    watcher itself from working is logged, and tried again in the next round.
    """
    watcher = Watcher(project, root)
    try:
        while not stop.is_set():
            close_old_connections()
            try:
                watcher.look()
            except (OSError, DatabaseError):
                logger.exception("watching %s failed this time", root)
            stop.wait(interval_sec)
    finally:
        connection.close()


class Watcher:
    """Remembers what each job looked like; `look` indexes what differs."""

    def __init__(self, project: Project, root: Path) -> None:
        self.project = project
        self.root = root.expanduser().resolve()
        self._jobs: dict[Path, _WatchedJob] = {}

    def look(self) -> int:
        """One round; returns how many trials were read."""
        return sum(self._look_at(self._jobs.setdefault(path, _WatchedJob(path))) for path in self._find())

    def _find(self) -> list[Path]:
        """The job itself, or the jobs of the folder, each before its critique runs; last those of tasks.

        A job that is known costs no look inside.
        """
        if self.root in self._jobs or kind_of(self.root) in (Kind.JOB, Kind.TERMINAL_BENCH):
            jobs = [self.root]
        else:
            jobs = jobs_under(self.root, known=self._jobs)
        found = [path for job in jobs for path in (job, *critique_runs_in(job, known=self._jobs))]
        return found if self.root in jobs else found + critique_runs_in(self.root, known=self._jobs)

    def _look_at(self, job: _WatchedJob) -> int:
        own = _own_mark(job.path)
        if job.is_settled and own == job.own:
            return 0
        marks = {trial.name: self._mark(trial, job) for trial in trials_in(job.path, known=job.trials)}
        changed = {name for name, mark in marks.items() if mark != job.trials.get(name)} | (job.torn & marks.keys())
        if not changed and own == job.own:
            return 0
        try:
            report = index_job(self.project, job.path, only=changed, patience_sec=PATIENCE_SEC)
        except InputInvalid:
            job.own, job.is_settled = own, True  # Terminal-Bench 1: it will not become another format
            return 0
        job.own, job.trials, job.torn = own, marks, frozenset(report.torn)
        n_live = Trial.objects.filter(job=report.job, status__in=LIVE).count()
        # A job that comes alive again rewrites its result.json, or gets a new trial directory.
        job.is_settled = not report.job.is_live and not n_live and not report.torn
        return report.n_read

    def _mark(self, trial: Path, job: _WatchedJob) -> Mark:
        """What must stay the same for a trial to be left alone: one stat when it has its result, else a few."""
        result = stamp_of(trial / RESULT)
        before = job.trials.get(trial.name)
        if result is not None and before is not None and before[:1] == (tuple(result),):
            return before
        stamps: Stamps = stamps_of(trial)
        is_fresh = result is None and time.time() - newest_change_at(trial) < FRESH_SEC
        return (tuple(result) if result else None, tuple(sorted((k, *v) for k, v in stamps.items())), is_fresh)


def _own_mark(job: Path) -> Mark:
    """Changes when the job's result or config is rewritten, or a trial directory appears."""
    return tuple(tuple(stamp_of(path) or ()) for path in (job, job / RESULT, job / CONFIG))
