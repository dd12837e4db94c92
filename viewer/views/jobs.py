"""The list of jobs and the page of one job."""

from datetime import datetime

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_POST, require_safe

from pier_site.accounts.visibility import may_run, owns_a_project
from runs.errors import InputInvalid
from runs.jobs.cancelling import cancel_target
from runs.jobs.showing import job_report
from runs.models import Job, Marker, Status, Trial, seconds_between
from runs.queries import (
    TRIAL_FILTERS,
    TRIAL_FLAGS,
    TRIAL_SORTS,
    JobFilter,
    TrialFilter,
    flag_counts,
    flagged,
    get_job_for,
    get_trial_for,
    jobs_page,
    tasks_page,
    trials_of_tasks,
    trials_page,
)
from viewer.grid import grid_of

TASKS_IN_GRID = 50


def elapsed_sec(job: Job, now: datetime) -> float | None:
    """How long the job took, or has taken so far."""
    return seconds_between(job.started_at, now if job.is_live else job.finished_at)


@require_safe
def job_list(request: HttpRequest) -> HttpResponse:
    """Jobs of the reader's projects, newest first."""
    only = JobFilter(search=request.GET.get("q", "")[:200], status=request.GET.get("status", ""))
    cursor = request.GET.get("after", "")
    page = jobs_page(request.user, cursor=cursor, only=only)
    now = timezone.now()
    context = {
        "rows": [(job, elapsed_sec(job, now)) for job in page],
        "next": urlencode({"q": only.search, "status": only.status, "after": page.next}) if page.next else "",
        "only": only,
        "is_narrowed": bool(only.search or only.status),
        "is_first": not cursor,
        "is_owner": owns_a_project(request.user),
        "statuses": Status.choices,
    }
    return render(request, "viewer/jobs.html", context)


@require_safe
def job_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One job: facts, grid, trials. With htmx only the board, which is what changes while it runs."""
    job = get_job_for(request.user, pk)
    query = request.GET
    only = TrialFilter(
        show=_known(query.get("show", ""), TRIAL_FILTERS),
        sort=_known(query.get("sort", ""), TRIAL_SORTS),
        search=query.get("q", "")[:200],
    )
    is_owner = may_run(request.user, job.project)
    flag = query.get("flag", "") if query.get("flag", "") in TRIAL_FLAGS else ""
    where = flagged(request.user, flag)
    tasks = tasks_page(job, cursor=query.get("tasks", "")[:255], limit=TASKS_IN_GRID, where=where)
    page = trials_page(job, cursor=query.get("after", ""), only=only, where=where)
    kept = {"show": only.show, "sort": only.sort, "q": only.search} | ({"flag": flag} if flag else {})
    context = {
        "job": job,
        "elapsed_sec": elapsed_sec(job, timezone.now()),
        "grid": grid_of(tasks.items, trials_of_tasks(job, tasks.items, where=where)),
        "next_tasks": urlencode(kept | {"tasks": tasks.next}) if tasks.next else "",
        "page": page,
        "next": urlencode(kept | {"after": page.next}) if page.next else "",
        "only": only,
        "flag": flag,
        "flag_label": Marker.Kind(flag).label if flag else "",
        "flags": [
            (kind, Marker.Kind(kind).label, n_trials, urlencode(kept | {"flag": "" if kind == flag else str(kind)}))
            for kind, n_trials in flag_counts(request.user, job)
        ],
        "here": urlencode(kept),
        "shows": [(name, urlencode(kept | {"show": name})) for name in TRIAL_FILTERS],
        "sorts": [(name, urlencode(kept | {"sort": name})) for name in TRIAL_SORTS],
        "is_first": "after" not in query and "tasks" not in query,
        "report": job_report(job) if job.is_live or job.n_exceptions else None,
        "is_owner": is_owner,
        "may_cancel": job.is_live and is_owner,
    }
    template = "viewer/job.html#board" if getattr(request, "htmx", False) else "viewer/job.html"
    return render(request, template, context)


@require_POST
def cancel_job(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask a job's runner to stop; back to the page that says how it goes on."""
    return _cancel(request, get_job_for(request.user, pk))


@require_POST
def cancel_trial(request: HttpRequest, pk: int) -> HttpResponse:
    """The same for one trial."""
    return _cancel(request, get_trial_for(request.user, pk))


def _cancel(request: HttpRequest, target: Job | Trial) -> HttpResponse:
    job = target if isinstance(target, Job) else target.job
    if not may_run(request.user, job.project):
        raise PermissionDenied("Only owners of the project may cancel what runs.")
    try:
        done = cancel_target(target)
        messages.success(request, f"{done.n_running} running asked to stop, {done.n_queued} queued cancelled.")
    except InputInvalid as error:
        messages.warning(request, str(error))
    return redirect(target)


def _known(value: str, values: tuple[str, ...]) -> str:
    return value if value in values else values[0]
