"""Critique runs to rows: those of a job, and one by itself. Called whenever a job has been indexed, and when asked."""

from dataclasses import dataclass
from pathlib import Path

from django.db.models import Exists, OuterRef, Q

from critique.digests import refresh_staleness
from critique.indexing.critique import index_critique
from critique.indexing.run_rows import refresh_run, run_of
from critique.models import Citation, Critique, CritiqueRun, Outcome, Subject
from runs.errors import InputInvalid
from runs.indexing.job import index_job
from runs.indexing.problems import Problem
from runs.indexing.scan import critique_runs_in
from runs.models import LIVE, Job, Trial


@dataclass(frozen=True, slots=True)
class CritiqueReport:
    """What indexing the critiques of a job came to."""

    n_runs: int
    n_critiques: int
    n_read: int
    problems: tuple[Problem, ...]


def index_critiques(job: Job) -> CritiqueReport:
    """Bring the rows of all critique runs below a job's directory up to date with their files.

    What is broken is reported and passed over; of what has not changed, nothing is read. Then staleness is looked at.
    """
    reports, problems = [], []
    for folder in critique_runs_in(Path(job.directory)):
        try:
            report = index_job(job.project, folder)
        except InputInvalid as error:
            problems.append(Problem(folder, str(error)))
            continue
        reports.append(report)
        problems += report.problems
    _find_sources(job)
    refresh_staleness(Critique.objects.filter(run__source_job=job))
    return CritiqueReport(
        n_runs=len(reports),
        n_critiques=sum(report.n_trials for report in reports),
        n_read=sum(report.n_read for report in reports),
        problems=tuple(problems),
    )


def index_run(run: CritiqueRun) -> None:
    """Bring a run's own row up to date, and say of its trials that have no critique yet what came of their critics.

    A trial that waits for its critic, or has it at work, is left to the runner.
    """
    if run.job is None:
        return
    refresh_run(run, run.job)
    is_open = Q(critique=None) | Q(critique__outcome=Outcome.PENDING)
    for trial in run.job.trials.filter(is_open).exclude(status__in=LIVE, owner__gt="").select_related("job"):
        index_critique(trial)


def index_critics_job(job: Job) -> None:
    """The same for the job of a run, which may have no run yet: Pier's have none."""
    run = run_of(job)
    index_run(run)
    if run.source_job_id is None:  # else that is looked at with the job, along with its other runs
        refresh_staleness(run.critiques.all())


def index_again(critique: Critique) -> None:
    """Index a critique once more; of one whose files are gone the row has all that is left."""
    if Path(critique.trial.job.directory, critique.trial.name).is_dir():
        index_critique(critique.trial)


def _find_sources(job: Job) -> None:
    """Index those critiques again whose trial was not there, or whose cited steps were not; one query for none."""
    critiques = Critique.objects.filter(run__source_job=job, run__subject=Subject.TRIAL)
    named = Trial.objects.filter(job=job, name=OuterRef("source_name"))
    lost = Citation.objects.filter(claim__critique=OuterRef("pk"), kind=Citation.Kind.STEP, trajectory=None)
    is_lost = Q(source_trial=None) & Exists(named) | Q(Exists(lost.filter(is_verified=True)))
    for critique in critiques.filter(is_lost).select_related("trial__job"):
        index_again(critique)
