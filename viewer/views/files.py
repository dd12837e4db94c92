"""Files of a trial: text to read within bounds, anything to download, a step as JSON."""

import json

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from runs.queries import get_trial_for
from viewer.downloads import attachment, inline_picture
from viewer.files import FileMissing, is_picture, looks_binary, open_file, read_text
from viewer.shown_changes import shown_changes
from viewer.views.trial import raw_of, trial_context

PATCHES = (".patch", ".diff")


@require_safe
def show_file(request: HttpRequest, pk: int, path: str) -> HttpResponse:
    """A file of the trial directory: the ends of a text, a picture, a patch as a diff (with `?as=text` as it is)."""
    tab = "artifacts" if path.startswith("artifacts/") else "verifier" if path.startswith("verifier/") else "logs"
    trial, context = trial_context(request, pk, tab)
    file = read_text(trial, path)
    if file is None:
        raise Http404("There is no such file in the trial directory.")
    is_patch = path.lower().endswith(PATCHES) and request.GET.get("as") != "text"
    context |= {
        "file": file,
        "is_binary": looks_binary(file),
        "is_picture": is_picture(trial, path),
        "changes": shown_changes(trial, path) if is_patch else None,
    }
    return render(request, "viewer/file.html", context)


@require_safe
def download(request: HttpRequest, pk: int, path: str) -> HttpResponseBase:
    """A file of the trial directory as an attachment."""
    trial = get_trial_for(request.user, pk)
    try:
        file = open_file(trial, path)
    except FileMissing as error:
        raise Http404(str(error)) from error
    return attachment(request, file, path.rpartition("/")[2])


@require_safe
def image(request: HttpRequest, pk: int, path: str) -> HttpResponseBase:
    """A picture of the trial directory for a page to show: of a kind that runs nothing, as its first bytes tell."""
    trial = get_trial_for(request.user, pk)
    try:
        file = open_file(trial, path)
    except FileMissing as error:
        raise Http404(str(error)) from error
    picture = inline_picture(request, file)
    if picture is None:
        raise Http404("This file is not a picture that can be shown here, or it is too large.")
    return picture


@require_safe
def step_json(request: HttpRequest, pk: int, trajectory_pk: int, number: int) -> HttpResponseBase:
    """One step's JSON, whole, as an attachment."""
    trial = get_trial_for(request.user, pk)
    chosen = get_object_or_404(trial.trajectories, pk=trajectory_pk)
    step = get_object_or_404(chosen.steps, index=number - 1)
    text = json.dumps(raw_of(step), indent=2)
    return HttpResponse(
        text,
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="step-{number}.json"'},
    )
