"""The first tab of a trial: windows of its steps, search among them, and the feed of what comes while it runs."""

from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from django.core.handlers.asgi import ASGIRequest
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.shortcuts import render
from django.views.decorators.http import require_safe

from runs.models import Trajectory, Trial
from runs.queries import get_trial_for, trajectories_of
from viewer.cards import subagents_of
from viewer.find import Found, Hit, Snippet, find, query_of, snippets
from viewer.live.news import LAST, Cursor, Following
from viewer.live.stream import endless, finite
from viewer.narrowing import HIDES, SHOWS, Narrowing
from viewer.switcher import switcher_of
from viewer.task_directory import instruction_of
from viewer.trajectories import labels_of
from viewer.views.trial import trial_context
from viewer.windows import Place, StepRenderer, number_in, window_at

# Trajectories that have what was looked for are listed up to here.
MAX_FOUND_IN = 20


@require_safe
def trajectory(request: HttpRequest, pk: int) -> HttpResponse:
    """A window of steps of one of the trial's trajectories, and what leads to the others. With htmx only the steps."""
    trial, context = trial_context(request, pk, "trajectory")
    trajectories = trajectories_of(trial)
    chosen = _chosen(trajectories, request.GET.get("trajectory", ""))
    context |= {"chosen": chosen}
    if not getattr(request, "htmx", False):
        context["switcher"] = switcher_of(trial, trajectories, chosen)
    if chosen is None:
        context["instruction"] = instruction_of(trial)
        context["feed"] = _feed_address(trial, None, Narrowing())
        return render(request, "viewer/trajectory.html", context)
    if "goto" in request.GET:
        return _to_step(request, chosen)
    only = Narrowing.of(request.GET)
    steps = only.steps(chosen.steps.all(), request.user)
    words = query_of(request.GET.get("q", ""))
    context["n_all_steps"] = sum(row.n_steps for row in trajectories)
    if words:
        everywhere = only.steps(trial.steps.all(), request.user)
        order = [row.pk for row in trajectories]
        found = find(
            words, everywhere, order, (trial.pk, trial.revision, trial.finished_at, only.show, request.user.pk)
        )
        at = request.GET.get("at", "")
        found = found.at(order.index(chosen.pk), number_in(at) if at else 1)
        if found.hits and (found.hit.trajectory_pk, str(found.hit.number)) != (chosen.pk, at):
            return _to(request, found.hit.trajectory_pk, at=str(found.hit.number))
        context |= _found(found, snippets(found, trial.steps.all()), labels_of(trajectories), only)
    window = window_at(Place.of(request.GET), steps, StepRenderer(trial, chosen, subagents_of(trajectories)))
    context |= _links(chosen, only) | {"window": window, "words": words, "only": only}
    context["feed"] = _feed_address(trial, chosen, only)
    context["part"] = request.GET.get("part", "")
    template = "viewer/_steps.html" if getattr(request, "htmx", False) else "viewer/trajectory.html"
    return render(request, template, context)


@require_safe
def feed(request: HttpRequest, pk: int) -> HttpResponseBase:
    """What is new in a trial since a cursor, as text/event-stream: `Last-Event-ID`, else `?since=`."""
    trial = get_trial_for(request.user, pk)
    query = request.GET
    following = Following(
        trial_id=trial.pk,
        trajectory_id=number_in(query["trajectory"]) if query.get("trajectory") else None,
        cursor=Cursor.parse(request.headers.get("Last-Event-ID") or query.get("since") or "0"),
        first=max(0, number_in(query.get("first", "1")) - 1),
        last=max(0, number_in(query["last"]) - 1) if query.get("last") else LAST,
        only=Narrowing.of(query),
    )
    is_endless = isinstance(request, ASGIRequest) and "once" not in query
    body = endless(request.user, following) if is_endless else finite(request.user, following)
    # Proxies would hold a compressed or a buffered stream back.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(body, content_type="text/event-stream", headers=headers)


def _chosen(trajectories: list[Trajectory], wanted: str) -> Trajectory | None:
    if not wanted:
        return trajectories[0] if trajectories else None
    for candidate in trajectories:
        if str(candidate.pk) == wanted:
            return candidate
    raise Http404("This trial has no such trajectory.")


def _to(request: HttpRequest, trajectory_pk: int, *, at: str) -> HttpResponse:
    """To the same page at a step: a redirect, so that the address has the step's anchor without a script too."""
    kept = request.GET.copy()
    kept["trajectory"] = str(trajectory_pk)
    for name in ("goto", "after", "before"):
        kept.pop(name, None)
    kept["at"] = at
    return HttpResponseRedirect(f"{request.path}?{kept.urlencode()}#step-{at}")


def _to_step(request: HttpRequest, chosen: Trajectory) -> HttpResponse:
    """To the step whose number was typed, or the nearest that there is."""
    typed = request.GET.get("goto", "").strip()
    return _to(request, chosen.pk, at=str(min(max(1, number_in(typed)), max(1, chosen.n_steps))) if typed else "1")


def _found(found: Found, around: list[Snippet], labels: dict[int, str], only: Narrowing) -> dict[str, Any]:
    """What was found, with addresses: the matches next to the current one by trajectory, and the trajectories."""

    def address(hit: Hit) -> str:
        query = {"trajectory": hit.trajectory_pk} | only.parameters() | {"q": found.query, "at": hit.number}
        return f"?{urlencode(query, doseq=True)}#step-{hit.number}"

    counts = found.counts()
    groups = groupby(around, key=lambda snippet: snippet.hit.trajectory_pk)
    return {
        "found": found,
        "previous_found": address(found.previous) if found.hits else "",
        "next_found": address(found.following) if found.hits else "",
        "groups": [
            (labels[pk] if len(counts) > 1 else "", [(snippet, address(snippet.hit)) for snippet in those])
            for pk, those in groups
        ],
        "found_in": [
            (labels[hit.trajectory_pk], n_hits, address(hit), hit.trajectory_pk == found.hit.trajectory_pk)
            for hit, n_hits in counts[:MAX_FOUND_IN]
        ] if len(counts) > 1 else [],
        "found_label": labels[found.hit.trajectory_pk] if len(counts) > 1 else "",
        "n_more_found_in": max(0, len(counts) - MAX_FOUND_IN),
    }  # fmt: skip


def _links(chosen: Trajectory, only: Narrowing) -> dict[str, Any]:
    """Addresses, without a place, of this trajectory as it is shown now and as it may be shown."""

    def address(narrowing: Narrowing) -> str:
        return "?" + urlencode({"trajectory": chosen.pk} | narrowing.parameters(), doseq=True)

    return {
        "here": address(only),
        "shows": [(name, label, address(only.with_show(name))) for name, label in SHOWS.items()],
        "hides": [(name, label, name in only.hidden, address(only.toggled(name))) for name, label in HIDES.items()],
    }


def _feed_address(trial: Trial, chosen: Trajectory | None, only: Narrowing) -> str:
    """The query of the feed that goes with the page, empty for a trial that has ended."""
    if not trial.is_live:
        return ""
    return urlencode({"trajectory": chosen.pk if chosen else ""} | only.parameters(), doseq=True)
