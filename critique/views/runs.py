"""Critique runs: the list, and the page of one, which is a plan until somebody approves it."""

from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from critique.models import CritiqueRun, Outcome
from critique.proposing import PEERS
from critique.queries import RowFilter, critiques_in, get_run_for, n_unchecked_in, runs_page, summary_for
from critique.shown import verdict_of
from critique.starting import end_of_log
from critique.tables import RunTables, compare, tables_of
from critique.views.trial import number_in
from pier_site.accounts.visibility import may_run
from runs.models import Status, seconds_between
from runs.queries import get_job_for

MAX_COMPARED_RUNS = 6
MAX_ITEMS_LISTED = 500
TIME_TO_BEGIN = timedelta(seconds=30)
TIME_FOR_CHECKS = timedelta(minutes=10)


@require_safe
def run_list(request: HttpRequest) -> HttpResponse:
    """Runs and plans of the reader's projects, newest first; of one job with `?job=`."""
    job = get_job_for(request.user, number_in(request.GET["job"])) if request.GET.get("job") else None
    page = runs_page(request.user, cursor=request.GET.get("after", ""), job=job.pk if job else None)
    kept = {"job": job.pk} if job else {}
    context = {
        "page": page,
        "job": job,
        "next": urlencode(kept | {"after": page.next}) if page.next else "",
        "is_owner": job is not None and may_run(request.user, job.project),
    }
    return render(request, "critique/runs.html", context)


@require_safe
def run_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """A run in numbers, and its critiques; of a plan, what it would do. With htmx only the board, while it runs."""
    run = get_run_for(request.user, pk)
    is_owner = may_run(request.user, run.project)
    if run.is_plan and run.job is None:
        return render(request, "critique/plan.html", _plan_context(run) | {"is_owner": is_owner})
    only = _row_filter(request)
    tables = tables_of(request.user, run)
    page = critiques_in(request.user, run, only=only, cursor=request.GET.get("after", ""))
    kept = only.parameters()
    is_live = run.job is not None and run.job.is_live
    end = timezone.now() if is_live else (run.job.finished_at if run.job else None)
    has_begun = run.job is not None
    n_unchecked = n_unchecked_in(request.user, run)
    n_failed = sum(bar.count for bar in tables.outcomes if bar.name in (Outcome.INVALID, Outcome.FAILED))
    context = {
        "run": run,
        "summary": summary_for(request.user, run),
        "job": run.job,
        "is_live": is_live,
        "is_drawn_again": is_live or not has_begun or (bool(n_unchecked) and _has_just_ended(run)),
        "n_unchecked": n_unchecked,
        "elapsed_sec": seconds_between(run.job.started_at, end) if run.job else None,
        "tables": tables,
        "distributions": _distributions(tables, kept),
        "rows": [(critique, verdict_of(critique)) for critique in page],
        "next": urlencode(kept | {"after": page.next}) if page.next else "",
        "here": urlencode(kept),
        "only": only,
        "filters": _filters(only, tables),
        "is_first": "after" not in request.GET,
        "is_owner": is_owner,
        "may_cancel": is_owner and is_live,
        "may_run_again": is_owner and not is_live and _is_ours(run) and (bool(n_failed) or _is_unfinished(run)),
        "n_failed": n_failed,
        "log": "" if has_begun or not is_owner else end_of_log(run),
    }
    template = "critique/run.html#board" if getattr(request, "htmx", False) else "critique/run.html"
    return render(request, template, context)


def _is_unfinished(run: CritiqueRun) -> bool:
    """Whether it ended too soon, or has not begun though it has had the time, or said why."""
    if run.job is None:
        is_late = run.approved_at is not None and timezone.now() - run.approved_at > TIME_TO_BEGIN
        return is_late or bool(end_of_log(run))
    return run.job.status in (Status.CANCELLED, Status.INTERRUPTED)


def _has_just_ended(run: CritiqueRun) -> bool:
    """Whether the checks that follow its critics may be under way still."""
    ended = run.job.finished_at if run.job else None
    return ended is not None and timezone.now() - ended < TIME_FOR_CHECKS


def _is_ours(run: CritiqueRun) -> bool:
    """Whether it can go on here: it is no plan, and nothing that another program wrote."""
    return not run.is_plan and (run.job is None or run.job.origin not in PEERS)


def _row_filter(request: HttpRequest) -> RowFilter:
    query = request.GET
    rating, outcome = query.get("rating", ""), query.get("outcome", "")
    return RowFilter(
        rating=rating if rating in ("good", "bad", "none") else "",
        tag=query.get("tag", "")[:100],
        outcome=outcome if outcome in Outcome.values else "",
        critic=query.get("critic", "")[:400],
        stale=query.get("stale") == "1",
        unverified=query.get("unverified") == "1",
    )


def _address(kept: dict[str, str], name: str, value: str) -> str:
    """The same page with one filter set, or taken back where it is set so already."""
    changed = {**kept, name: "" if kept.get(name) == value else value}
    return "?" + urlencode({key: text for key, text in changed.items() if text})


def _distributions(tables: RunTables, kept: dict[str, str]) -> list[tuple[str, list[tuple[Any, str]]]]:
    """Title and bars, each with the address of its critiques where there is one."""
    filtered = [
        ("Ratings", tables.ratings, "rating"),
        ("Tags", tables.tags, "tag"),
        ("Outcomes", tables.outcomes, "outcome"),
    ]
    found = [(title, [(bar, _address(kept, name, bar.name)) for bar in bars]) for title, bars, name in filtered]
    found += [
        (title, [(bar, "") for bar in bars])
        for title, bars in (("Claims by severity", tables.severities), ("Executed checks", tables.checks))
    ]
    return [(title, bars) for title, bars in found if bars]


def _filters(only: RowFilter, tables: RunTables) -> list[tuple[str, bool, str]]:
    """Chips: label, whether it is on, address."""
    kept = only.parameters()
    chips = [("all", not kept, "?")]
    chips += [(rating, only.rating == rating, _address(kept, "rating", rating)) for rating in ("good", "bad")]
    chips += [
        ("unverified citations", only.unverified, _address(kept, "unverified", "1")),
        ("stale", only.stale, _address(kept, "stale", "1")),
        ("invalid output", only.outcome == Outcome.INVALID, _address(kept, "outcome", Outcome.INVALID)),
        ("failed", only.outcome == Outcome.FAILED, _address(kept, "outcome", Outcome.FAILED)),
    ]
    if len(tables.spent.critics) > 1:
        chips += [(label, only.critic == label, _address(kept, "critic", label)) for label in tables.spent.critics[:20]]
    if only.tag:
        chips.append((f"tag {only.tag}", True, _address(kept, "tag", only.tag)))
    return chips


def _plan_context(run: CritiqueRun) -> dict[str, Any]:
    plan = run.plan if isinstance(run.plan, dict) else {}
    config = run.config if isinstance(run.config, dict) else {}
    critics = [_critic(critic) for critic in config.get("critics", []) if isinstance(critic, dict)]
    return {
        "run": run,
        "plan": plan,
        # `items` of a dict is a method to a template.
        "names": list(plan.get("items") or [])[:MAX_ITEMS_LISTED],
        "critics": critics,
        "config": config,
        "is_host": (config.get("environment") or {}).get("import_path", "") not in (None, ""),
    }


def _critic(critic: dict[str, Any]) -> dict[str, Any]:
    """A critic of a configuration: how it is called, and its arguments."""
    kwargs = critic.get("kwargs")
    names = (critic.get("name") or critic.get("import_path"), critic.get("model_name"))
    return {
        "label": " · ".join(str(name) for name in names if name),
        "arguments": [f"{name}={value}" for name, value in kwargs.items()] if isinstance(kwargs, dict) else [],
    }


@require_safe
def compare_critics(request: HttpRequest) -> HttpResponse:
    """Critics of one job's runs side by side, trial by trial: `?job=` and, narrowing it, `?runs=1,2`."""
    job = get_job_for(request.user, number_in(request.GET.get("job", "")))
    known = list(
        CritiqueRun.objects.visible_to(request.user)
        .filter(source_job=job, parent=None, job__isnull=False)
        .select_related("rubric")
        .defer("config", "plan", "prompt")
        .order_by("-id")[:50]
    )
    wanted = {number_in(pk) for pk in request.GET.get("runs", "").split(",") if pk}
    chosen = [run for run in known if run.pk in wanted][:MAX_COMPARED_RUNS] if wanted else known[:2]
    context = {
        "job": job,
        "runs": [(run, run in chosen, _toggled(job.pk, chosen, run)) for run in known],
        "comparison": compare(request.user, chosen),
    }
    return render(request, "critique/compare.html", context)


def _toggled(job: int, chosen: list[CritiqueRun], run: CritiqueRun) -> str:
    pks = [each.pk for each in chosen if each != run] + ([] if run in chosen else [run.pk])
    return "?" + urlencode({"job": str(job), "runs": ",".join(map(str, pks))})
