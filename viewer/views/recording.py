"""The tab with the trial's terminal recordings: one screen at a time, chosen by its moment."""

from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from runs.indexing.values import amount
from viewer.recording import moments_of, read_recording, recordings_of, screen_at
from viewer.views.trial import trial_context


@require_safe
def recording(request: HttpRequest, pk: int) -> HttpResponse:
    """The screen of `?file=` at the second `?at=`, else at the recording's first moment."""
    trial, context = trial_context(request, pk, "recording")
    paths = recordings_of(trial)
    path = request.GET.get("file", "") or (paths[0] if paths else "")
    if path not in paths and path:
        raise Http404("The trial has no such recording.")
    found = read_recording(trial, path) if path else None
    context |= {"paths": paths if len(paths) > 1 else [], "path": path, "found": found}
    if found and found.events:
        moments = moments_of(found)
        at = _second(request.GET.get("at", "")) if request.GET.get("at") else moments[0]
        earlier = [moment for moment in moments if moment < at - 0.05]
        later = [moment for moment in moments if moment > at + 0.05]
        context |= {
            "moments": [(f"{moment:.2f}", moment) for moment in moments],
            "at": at,
            "now": f"{at:.2f}",
            "before": f"{earlier[-1]:.2f}" if earlier else None,
            "after": f"{later[0]:.2f}" if later else None,
            "screen": screen_at(found, at + 0.01),
        }
    return render(request, "viewer/recording.html", context)


def _second(text: str) -> float:
    try:
        second = amount(float(text[:20]))
    except ValueError:
        second = None
    if second is None:
        raise BadRequest("A moment of a recording is a number of seconds.")
    return second
