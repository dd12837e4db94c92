"""The row of a critique run, found or made from its directory's files: Pier's runs have none before."""

from pathlib import Path
from typing import Any

from django.db.models import Q
from django.utils import timezone

from critique.digests import digest_of_text
from critique.models import Critique, CritiqueRun, Rubric, Subject
from runs.indexing.reader import Reader
from runs.indexing.stamps import RESULT
from runs.indexing.values import text
from runs.models import Job, Purpose

MAX_PROBLEMS = 1000
MAX_PROMPT_CHARS = 1_000_000


def run_of(job: Job) -> CritiqueRun:
    """The run whose job this is, made on first sight; one query where it is known."""
    run = CritiqueRun.objects.filter(job=job).first()
    if run is not None:
        return run
    run, is_new = CritiqueRun.objects.get_or_create(
        project_id=job.project_id, directory=job.directory, defaults={"job": job, **_columns(job)}
    )
    begun = {"job": job, "approved_at": run.approved_at or job.started_at or timezone.now()}
    # A row that is made is dated now, by which lists would take an old run for the newest.
    dated = {"created_at": job.started_at} if is_new and job.started_at else {}
    CritiqueRun.objects.filter(pk=run.pk).update(**begun, **dated)
    run.refresh_from_db()
    return run


def refresh_run(run: CritiqueRun, job: Job) -> None:
    """Bring the row up to date with the run's files, where these say more than it does."""
    reader = Reader(Path(job.directory))
    failed = reader.mapping(RESULT).get("failed_items")
    told = (
        [_problem(item) for item in failed[:MAX_PROBLEMS] if isinstance(item, str)] if isinstance(failed, list) else []
    )
    columns: dict[str, Any] = {"problems": [*told, *job.problems]}
    if not run.config:
        columns |= {"config": job.config}
    if run.source_job_id is None:
        columns |= {"source_job_id": _source_job(job)}
    changed = {name: value for name, value in columns.items() if getattr(run, name) != value}
    for name, value in changed.items():
        setattr(run, name, value)
    if changed:
        CritiqueRun.objects.filter(pk=run.pk).update(**changed)


def source_directory(job: Job) -> Path:
    """What holds the `.critiques` in which a run is: the job that was looked at, or a folder of jobs."""
    return Path(job.directory).parent.parent


def _columns(job: Job) -> dict[str, Any]:
    """What config.json says of a run, Pier's or ours."""
    config = job.config
    subject = config.get("subject")
    said = [one for one in (config.get("prompt"), config.get("question")) if isinstance(one, str)]
    return {
        "name": job.name,
        "source_job_id": _source_job(job),
        "subject": subject if subject in Subject.values else Subject.TRIAL,
        "rubric": _rubric(job),
        "prompt": text(config.get("prompt"), MAX_PROMPT_CHARS),
        "prompt_digest": digest_of_text("\0".join(said)) if said else "",
        "config": config,
        "parent": _parent(job),
        "question": text(config.get("question"), 100_000),
    }


def _source_job(job: Job) -> int | None:
    jobs = Job.objects.filter(project=job.project_id, directory=str(source_directory(job)), purpose=Purpose.RUN)
    return jobs.values_list("pk", flat=True).first()


def _rubric(job: Job) -> Rubric | None:
    """The version of the rubric that the run was made by, if this site has it."""
    name, _, version = text(job.config.get("rubric"), 200).rpartition("@")
    digest = text(job.config.get("rubric_digest"), 80)
    if not name or not digest or not version.isdecimal() or len(version) > 9:
        return None
    rubrics = Rubric.objects.filter(Q(project=None) | Q(project=job.project_id), name=name, version=int(version))
    return rubrics.filter(digest=digest).first()


def _parent(job: Job) -> Critique | None:
    """The critique that a follow-up is about: RUN/NAME beside it."""
    run, _, name = text(job.config.get("parent"), 600).rpartition("/")
    if not run or not name:
        return None
    directory = str(Path(job.directory).parent / run)
    return Critique.objects.filter(run__project=job.project_id, run__directory=directory, trial__name=name).first()


def _problem(item: str) -> dict[str, str]:
    """An entry of Pier's failed_items: a name and a reason."""
    name, _, reason = text(item, 1000).partition(": ")
    return {"path": name, "reason": reason}
