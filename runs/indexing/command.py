"""Indexes what a person names, and tells how it went: the work of `pierjob index`."""

import os
from collections.abc import Callable
from pathlib import Path

from pier_site.accounts.models import Project
from runs.errors import InputInvalid
from runs.indexing.job import IndexReport, index_job
from runs.indexing.pool import DraftPool
from runs.indexing.scan import find_jobs

Say = Callable[[str], object]


def index_directories(directories: list[Path], project: Project, *, say: Say, complain: Say) -> int:
    """Index all jobs at or under `directories`: a line for each, one for each problem, and a total. Returns 0.

    Raises `InputInvalid`, with nothing indexed, if one of them holds no job, and when none could be indexed at all.
    """
    jobs = list(dict.fromkeys(job for directory in directories for job in find_jobs(directory)))
    reports: list[IndexReport] = []
    refusals: list[InputInvalid] = []
    with DraftPool(os.cpu_count() or 1) as pool:
        for directory in jobs:
            try:
                report = index_job(project, directory, draft=pool.drafts)
            except InputInvalid as error:
                refusals.append(error)
                complain(str(error))
                continue
            reports.append(report)
            say(f"{report.job.name}: {_figures(report)}")
            for problem in report.problems:
                complain(str(problem))
    if refusals and not reports:
        raise InputInvalid("none of the directories could be indexed")
    _say_total(reports, say)
    return 0


def _figures(report: IndexReport) -> str:
    return f"{plural(report.n_trials, 'trial')}, {report.n_read:,} read, {report.n_unchanged:,} unchanged"


def _say_total(reports: list[IndexReport], say: Say) -> None:
    n_trials = sum(report.n_trials for report in reports)
    n_read = sum(report.n_read for report in reports)
    n_problems = sum(len(report.problems) for report in reports)
    tail = f"; {plural(n_problems, 'problem')}" if n_problems else ""
    say(
        f"{plural(len(reports), 'job')}: {plural(n_trials, 'trial')}, "
        f"{n_read:,} read, {n_trials - n_read:,} unchanged{tail}"
    )


def plural(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
