"""From a wish to a run: the form, and what owners do with a plan and with the run that it becomes."""

import re
from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from critique.forms import PlanForm, name_of_now
from critique.models import Critique, CritiqueRun, Rubric, RubricFrozen
from critique.proposing import approve, discard, propose, start_again
from critique.queries import get_critique_for, get_run_for, rubrics_of
from critique.rubrics.loading import builtin_rubrics, find_rubric
from critique.views.trial import number_in
from pier_site.accounts.models import User
from pier_site.accounts.visibility import may_run
from runs.errors import InputInvalid, PierError
from runs.jobs.cancelling import cancel_target
from runs.models import LIVE, Job, Trial
from runs.queries import BY_TASK, Reader, flagged, get_job_for

MAX_TRIALS_LISTED = 500
DIGITS = re.compile(r"[0-9]{1,15}")
DEFAULT_RUBRIC = "trial-validity"


@require_http_methods(["GET", "HEAD", "POST"])
def new_run(request: HttpRequest) -> HttpResponse:
    """The form for critics of a job's trials, or of one question about a critique; a POST makes the plan."""
    of, job_pk = (request.POST.get(name) or request.GET.get(name, "") for name in ("of", "job"))
    parent = get_critique_for(request.user, number_in(of)) if of else None
    job = _job_of(request, parent, job_pk)
    if not may_run(request.user, job.project):
        raise PermissionDenied("Only owners of the project may have its trials looked at by critics.")
    make_builtins(request)
    rubrics = [rubric for rubric in rubrics_of(request.user) if rubric.project_id in (None, job.project_id)]
    form = PlanForm(
        request.POST if request.method == "POST" else None,
        job=job, rubrics=rubrics, parent=parent, initial=_initial(request, parent, rubrics),
    )  # fmt: skip
    if request.method == "POST" and form.is_valid():
        try:
            return redirect(_proposed(request, form, parent))
        except (PierError, RubricFrozen) as error:
            form.add_error(None, str(error))
    return render(request, "critique/new.html", _context(request, form, parent))


def make_builtins(request: HttpRequest) -> None:
    """Have the built-in rubrics as rows; where a release changed one that was used, say so and go on with the old."""
    try:
        builtin_rubrics()
    except RubricFrozen as error:
        messages.warning(request, str(error))


def _job_of(request: HttpRequest, parent: Critique | None, pk: str) -> Job:
    if parent is None:
        return get_job_for(request.user, number_in(pk))
    if parent.run.source_job is None:
        raise Http404("This critique is not of a trial of a job that is indexed.")
    return get_job_for(request.user, parent.run.source_job_id or 0)


def _initial(request: HttpRequest, parent: Critique | None, rubrics: Sequence[Rubric]) -> dict[str, Any]:
    query = request.GET
    initial: dict[str, Any] = {"flag": query.get("flag", ""), "sandbox": "docker", "agent_1": "claude-code"}
    initial["rubric"] = query.get("rubric") or next((str(each) for each in rubrics if each.name == DEFAULT_RUBRIC), "")
    if query.get("trial") or parent:
        initial["which"] = "chosen"
    elif query.get("show") == "failed":
        initial["which"] = "failing"
    if parent or query.get("ask") or query.get("question"):
        initial["question"] = query.get("question", "")[:4_000]
    if parent:
        # The same critic again, unless somebody chooses another.
        initial |= {"agent_1": parent.trial.agent_name, "model_1": _model_of(parent.trial)}
    return initial


def _model_of(trial: Trial) -> str:
    return f"{trial.model_provider}/{trial.model_name}" if trial.model_provider else trial.model_name


def _context(request: HttpRequest, form: PlanForm, parent: Critique | None) -> dict[str, Any]:
    trials = _trials(request.user, form.job, "")
    given = request.POST if request.method == "POST" else request.GET
    ticked = {value for value in given.getlist("trial") if DIGITS.fullmatch(value)}
    listed = list(trials[:MAX_TRIALS_LISTED])
    known = {str(trial.pk) for trial in listed}
    # What is ticked is listed, however far down it is.
    listed += trials.filter(pk__in=[number_in(pk) for pk in ticked - known]) if ticked - known else []
    return {
        "form": form,
        "job": form.job,
        "parent": parent,
        "trials": [(trial, str(trial.pk) in ticked) for trial in listed],
        "n_trials": trials.count(),
        "n_ticked": len(ticked),
        "is_one": parent is not None or (form.is_question and len(ticked) == 1),
    }


def _trials(reader: Reader, job: Job, flag: str) -> QuerySet[Trial]:
    trials = job.trials.exclude(status__in=LIVE).filter(flagged(reader, flag))
    return trials.order_by(*(key.name for key in BY_TASK)).defer("file_stamps", "problems", "step_results")


def _proposed(request: HttpRequest, form: PlanForm, parent: Critique | None) -> CritiqueRun:
    """The plan of a valid form, kept. Raises PierError with a sentence for the form."""
    given = form.cleaned_data
    trials = _trials(request.user, form.job, given["flag"])
    if parent is not None:
        trials = trials.filter(critiques=parent)
    elif given["which"] == "chosen":
        trials = trials.filter(pk__in=form.trial_ids)
    config = form.config(list(trials.values_list("name", flat=True)), name_of_now())
    rubric: Rubric | None = None
    if config.rubric:
        rubric = find_rubric(config.rubric, form.job.project)
        config = config.model_copy(update={"rubric": str(rubric), "rubric_digest": rubric.digest})
    return propose(config, job=form.job, by=person(request), rubric=rubric, parent=parent)


@require_POST
def approve_run(request: HttpRequest, pk: int) -> HttpResponse:
    """Approve a plan: from here on it spends. Approved twice, it starts once."""
    run = _owned(request, pk)
    try:
        if approve(run, person(request)):
            messages.success(request, "Approved. The critics are being started.")
        else:
            messages.info(request, "It was approved already.")
    except InputInvalid as error:
        messages.warning(request, str(error))
    return redirect(run)


@require_POST
def discard_run(request: HttpRequest, pk: int) -> HttpResponse:
    """Throw a plan away; what was approved stays."""
    run = _owned(request, pk)
    try:
        discard(run)
    except InputInvalid as error:
        messages.warning(request, str(error))
        return redirect(run)
    messages.success(request, "The plan was discarded. Nothing was spent.")
    return redirect("critique-runs")


@require_POST
def cancel_run(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask the run's critics to stop."""
    run = _owned(request, pk)
    if run.job is None:
        messages.warning(request, f"{run.name} has not begun.")
        return redirect(run)
    try:
        done = cancel_target(run.job)
        messages.success(request, f"{done.n_running} running asked to stop, {done.n_queued} queued cancelled.")
    except InputInvalid as error:
        messages.warning(request, str(error))
    return redirect(run)


@require_POST
def run_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Run what failed and what is missing of an approved run."""
    run = _owned(request, pk)
    try:
        start_again(run)
        messages.success(request, "Started again: what has a valid result is kept.")
    except InputInvalid as error:
        messages.warning(request, str(error))
    return redirect(run)


def _owned(request: HttpRequest, pk: int) -> CritiqueRun:
    run = get_run_for(request.user, pk)
    if not may_run(request.user, run.project):
        raise PermissionDenied("Only owners of the project may start and stop its critics.")
    return run


def person(request: HttpRequest) -> User:
    """Who asks; the views of this site are for people who are logged in."""
    if not isinstance(request.user, User):
        raise PermissionDenied("Log in first.")
    return request.user
