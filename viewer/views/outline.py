"""The panels round a trajectory: its outline and its activity. Each is a page of its own, and a fragment for htmx."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from runs.models import Marker, Trajectory
from runs.queries import get_trial_for
from viewer.activity import MAX_STEPS as MOST_MOMENTS
from viewer.activity import Moment, Verdict, activity_of
from viewer.outline import MAX_MARKERS, MAX_STEPS, OutlineStep, by_step, counts_of, outline_of, rows_of_kind
from viewer.views.trial import trial_context
from viewer.windows import number_in

AXES = ("clock", "steps")
TICKS = {Marker.Kind.ERROR: "error", Marker.Kind.COMPACTION: "compaction", Marker.Kind.EDIT: "edit"}


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
    context["rows"] = rows_of_kind(found, markers, only) if only else outline_of(found, markers)
    return _shown(request, "outline", context)


@require_safe
def activity(request: HttpRequest, pk: int) -> HttpResponse:
    """What was going on along `?trajectory=`: by the clock, or with `?axis=steps` step by step."""
    chosen, context = _place(request, pk)
    axis = request.GET.get("axis", "clock")
    own = chosen.steps.filter(is_copied_context=False).order_by("index")
    moments = [
        Moment(*row)
        for row in own.values_list(
            "index", "at", "source", "n_tool_calls", "prompt_tokens", "completion_tokens", "cost_usd",
            "model_sec", "tool_sec",
        )[:MOST_MOMENTS]
    ]  # fmt: skip
    kinds = (Marker.Kind.TEST, *TICKS)
    markers = list(chosen.markers.visible_to(request.user).filter(kind__in=kinds).order_by("index", "id")[:MAX_MARKERS])
    tests = [
        Verdict(marker.index, marker.tone, marker.n_passed, marker.n_failed)
        for marker in markers
        if marker.kind == Marker.Kind.TEST
    ]
    ticks: dict[str, list[int]] = {
        name: [marker.index for marker in markers if marker.kind == kind] for kind, name in TICKS.items()
    }
    for name, tone in (("passed", "good"), ("failed", "bad")):
        ticks[name] = [test.position for test in tests if test.tone == tone]
    drawing = activity_of(moments, tests, ticks, by_clock=axis != "steps")
    context |= {
        "activity": drawing,
        "axis": axis if axis in AXES else "clock",
        "last_test": tests[-1] if tests else None,
    }
    context["n_ticks"] = {name: len(indexes) for name, indexes in ticks.items()}
    return _shown(request, "activity", context)


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
    return chosen, context


def _shown(request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
    template = f"viewer/_{name}.html" if getattr(request, "htmx", False) else f"viewer/{name}.html"
    return render(request, template, context)
