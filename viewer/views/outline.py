"""The panels round a trajectory: its outline and its activity. Each is a page of its own, and a fragment for htmx."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from runs.models import Marker, Trajectory
from runs.queries import get_trial_for, trajectories_of
from viewer.activity_rows import TICKS, read_activity
from viewer.outline import MAX_MARKERS, MAX_STEPS, OutlineStep, Path, by_step, counts_of, outline_of, rows_of_kind
from viewer.switcher import switcher_of
from viewer.views.trial import trial_context
from viewer.windows import number_in

AXES = ("clock", "steps")
MAX_OPENED = 20
STEPS_A_SEC = 4_000


@require_safe
def outline(request: HttpRequest, pk: int) -> HttpResponse:
    """The outline of `?trajectory=`: all of it, `?from=` to `?to=`, or the steps with markers of the kind `?only=`."""
    chosen, context = _place(request, pk)
    query = request.GET
    only = query.get("only", "")
    if only and only not in Marker.Kind.values:
        raise Http404("There is no such kind of marker.")
    markers = by_step(chosen.markers.visible_to(request.user).order_by("index", "id")[:MAX_MARKERS])
    steps = chosen.steps.order_by("index")
    context |= {"kinds": counts_of(markers), "only": only}
    if "from" in query or "to" in query:
        first, last = number_in(query.get("from", "1")), number_in(query.get("to", "999999999"))
        steps = steps.filter(index__gte=first - 1, index__lte=last - 1)
        context["is_part"] = True
    found = [OutlineStep(*row) for row in steps.values_list("index", "source", "summary")[:MAX_STEPS]]
    opened = _opened(query.getlist("open"))
    context["rows"] = rows_of_kind(found, markers, only) if only else outline_of(found, markers, opened)
    return _shown(request, "outline", context)


@require_safe
def activity(request: HttpRequest, pk: int) -> HttpResponse:
    """What was going on along `?trajectory=`: by the clock, or with `?axis=steps` step by step."""
    chosen, context = _place(request, pk)
    axis = request.GET.get("axis", "clock")
    markers = chosen.markers.visible_to(request.user).filter(kind__in=(Marker.Kind.TEST, *TICKS))
    rows = trajectories_of(context["trial"])
    shown = read_activity(chosen, rows, markers.order_by("index", "id")[:MAX_MARKERS], by_clock=axis != "steps")
    context |= {"shown": shown, "activity": shown.drawing, "axis": axis if axis in AXES else "clock"}
    return _shown(request, "activity", context)


@require_safe
def trajectories(request: HttpRequest, pk: int) -> HttpResponse:
    """All TaskSteps and trajectories of a trial; with htmx those that fit beside `?trajectory=`."""
    is_fragment = bool(getattr(request, "htmx", False))
    if is_fragment:
        trial = get_trial_for(request.user, pk)
        context: dict[str, Any] = {"trial": trial}
    else:
        trial, context = trial_context(request, pk, "trajectory")
    rows = trajectories_of(trial)
    chosen = next((row for row in rows if str(row.pk) == request.GET.get("trajectory", "")), None)
    context |= {"chosen": chosen, "switcher": switcher_of(trial, rows, chosen, is_whole=not is_fragment)}
    return render(request, "viewer/_switcher.html" if is_fragment else "viewer/trajectories.html", context)


def _opened(paths: list[str]) -> list[Path]:
    """Groups that the reader has opened: `101.151` is the one from step 151 in the one from step 101."""
    return [tuple(number_in(part) for part in path.split(".")[:4]) for path in paths[:MAX_OPENED]]


def _place(request: HttpRequest, pk: int) -> tuple[Trajectory, dict[str, Any]]:
    """The trajectory that the address names, else the first one; a fragment needs no header of the trial."""
    if getattr(request, "htmx", False):
        trial, context = get_trial_for(request.user, pk), dict[str, Any]()
        context["trial"] = trial
    else:
        trial, context = trial_context(request, pk, "trajectory")
    wanted = request.GET.get("trajectory", "")
    if wanted:
        chosen = get_object_or_404(trial.trajectories, pk=number_in(wanted))
    else:
        first = trial.trajectories.order_by("position").first()
        if first is None:
            raise Http404("This trial has no trajectory yet.")
        chosen = first
    context["chosen"] = chosen
    # Long outlines take longer to make: they are asked for less often while the trial runs.
    context["pace_sec"] = 1 + chosen.n_steps // STEPS_A_SEC
    return chosen, context


def _shown(request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
    template = f"viewer/_{name}.html" if getattr(request, "htmx", False) else f"viewer/{name}.html"
    return render(request, template, context)
