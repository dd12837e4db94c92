"""The tab that says what changed: the final patch with the steps that wrote it, and the files as of a step."""

from collections.abc import Sequence
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from runs.models import Marker
from viewer.cards.model import ALONE, Block, code_block
from viewer.changes import candidates_of
from viewer.rendering.code import language_of
from viewer.rendering.marks import with_marks
from viewer.shown_changes import Room, shown_changes, shown_state
from viewer.views.trial import trial_context
from viewer.worktree import FileState, worktree_at


@require_safe
def changes(request: HttpRequest, pk: int) -> HttpResponse:
    """The trial's patch, or the artifact `?file=`, as a diff a file; beside its lines the steps that wrote them."""
    trial, context = trial_context(request, pk, "changes")
    candidates = candidates_of(trial)
    wanted = request.GET.get("file", "")
    if wanted and wanted not in [candidate.path for candidate in candidates]:
        raise Http404("The trial has no such patch.")
    path = wanted or (candidates[0].path if candidates else "")
    context |= {"candidates": candidates if len(candidates) > 1 else [], "changes": shown_changes(trial, path)}
    return render(request, "viewer/changes.html", context)


@require_safe
def worktree(request: HttpRequest, pk: int, trajectory_pk: int, number: int) -> HttpResponse:
    """The files touched until a step and what was changed in them; with `?path=` one file as it was then."""
    trial, context = trial_context(request, pk, "changes")
    chosen = get_object_or_404(trial.trajectories, pk=trajectory_pk)
    step = get_object_or_404(chosen.steps.select_related("trajectory").defer("payload"), index=number - 1)
    tree = worktree_at(trial, step)
    room = Room()
    around = chosen.markers.visible_to(request.user).filter(kind=Marker.Kind.EDIT)
    context |= {
        "chosen": chosen,
        "step": step,
        "number": number,
        "tree": tree,
        "files": [shown_state(state, room) for state in tree.files],
        "edit_before": around.filter(index__lt=step.index).order_by("-index").values_list("index", flat=True).first(),
        "edit_after": around.filter(index__gt=step.index).order_by("index").values_list("index", flat=True).first(),
    }
    path = request.GET.get("path", "")
    if path:
        context |= _content(tree.files, path)
    return render(request, "viewer/worktree.html", context)


def _content(files: Sequence[FileState], path: str) -> dict[str, Any]:
    state = next((state for state in files if state.path == path), None)
    if state is None:
        raise Http404("No such file was touched until this step.")
    if state.text is None:
        return {"state": state, "content": None}
    text = with_marks(state.text).removesuffix("\n")
    content: Block = code_block(text, language_of(path), ALONE, start=1)
    return {"state": state, "content": content}
