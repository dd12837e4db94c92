"""`pierjob analyze`: which job or trial is meant, read into the database when it is not there, and a critic's call."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pier_site.accounts.local import default_project
from runs.errors import InputInvalid
from runs.indexing.job import index_job
from runs.indexing.scan import Kind, find_jobs, kind_of
from runs.jobs.naming import find_job_or_trial
from runs.jobs.telemetry import TrialTelemetry, telemetry_of
from runs.jobs.totals import JobTelemetry, job_telemetry
from runs.models import Job, Trial

RUBRIC: Final = "run-analysis"
MAX_NAME_CHARS: Final = 120


@dataclass(frozen=True, slots=True)
class CriticWishes:
    """Who is to look at the trials, and at which: the flags of piercritique that are told here."""

    models: Sequence[str]
    agents: Sequence[str] = ()
    agent_kwargs: Sequence[str] = ()
    agent_env: Sequence[str] = ()
    rubric: str = RUBRIC
    passing: bool = False
    failing: bool = False
    limit: int | None = None
    n_concurrent: int | None = None
    overwrite: bool = False
    dry_run: bool = False
    yes: bool = False
    quiet: bool = False
    env: str | None = None
    env_file: Path | None = None


def find_subject(name: str) -> Job | Trial:
    """The job or trial of a name or directory; a directory that the database doesn't know is indexed first.

    Raises InputInvalid.
    """
    path = Path(name.replace("\0", "")).expanduser()
    try:
        return find_job_or_trial(name)
    except InputInvalid:
        if not path.is_dir():
            raise
    job = path.resolve().parent if kind_of(path) is Kind.TRIAL else path
    for directory in find_jobs(job):
        index_job(default_project(), directory)
    return find_job_or_trial(name)


def analyze(subject: Job | Trial) -> JobTelemetry | TrialTelemetry:
    """The figures of a job or of a trial; a fixed number of queries."""
    if isinstance(subject, Trial):
        return telemetry_of(Trial.objects.filter(pk=subject.pk))[0]
    return job_telemetry(subject, telemetry_of(Trial.objects.filter(job=subject)))


def critic_call(subject: Job | Trial, wishes: CriticWishes) -> list[str]:
    """The arguments with which piercritique does what was asked; the run of the same critics goes on where it was.

    A job gets a summary of all its critiques, a trial doesn't.
    """
    is_job = isinstance(subject, Job)
    directory = subject.directory if isinstance(subject, Job) else str(Path(subject.job.directory, subject.name))
    said = [directory, "--rubric", wishes.rubric, "--name", _run_name(subject, wishes)]
    several = {"-a": wishes.agents, "-m": wishes.models, "--ak": wishes.agent_kwargs, "--ae": wishes.agent_env}
    for flag, values in several.items():
        for value in values:
            said += [flag, value]
    switches = {
        "--summarise": is_job,
        "--passing": wishes.passing,
        "--failing": wishes.failing,
        "--overwrite": wishes.overwrite,
        "--dry-run": wishes.dry_run,
        "--yes": wishes.yes,
        "--quiet": wishes.quiet,
    }
    said += [flag for flag, is_on in switches.items() if is_on]
    valued = {"-l": wishes.limit, "-n": wishes.n_concurrent, "-e": wishes.env, "--env-file": wishes.env_file}
    return said + [part for flag, value in valued.items() if value is not None for part in (flag, str(value))]


def _run_name(subject: Job | Trial, wishes: CriticWishes) -> str:
    """One run for the same rubric, critics and subject, so that what is there is not paid for again."""
    words = [wishes.rubric.rpartition("/")[2], *wishes.agents, *wishes.models]
    words += [] if isinstance(subject, Job) else [subject.name]
    words += [word for word, is_on in (("passing", wishes.passing), ("failing", wishes.failing)) if is_on]
    words += [f"first-{wishes.limit}"] if wishes.limit else []
    return "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", word).strip("-.") for word in words)[:MAX_NAME_CHARS].rstrip("-.")
