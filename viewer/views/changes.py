"""The tab that says what changed: the final patch with the steps that wrote it, and the files as of a step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from runs.models import Marker
from viewer.cards.model import ALONE, Block, code_block
from viewer.changes import Run, candidates_of, read_changes, runs_of, writers_of
from viewer.patches import FilePatch
from viewer.rendering.code import language_of
from viewer.rendering.diffs import DiffLine, diff_html
from viewer.rendering.marks import with_marks
from viewer.views.trial import trial_context
from viewer.worktree import FileEditAt, FileState, StepPlace, edits_in, worktree_at

# HTML of diffs on one page; what is beyond it is counted and linked to.
MAX_DIFF_BYTES = 600_000
# Files with fewer lines are open at first.
MAX_OPEN_LINES = 300
MAX_EDITS_LISTED = 200


@dataclass(frozen=True, slots=True)
class ShownRun:
    """Lines of a diff as HTML, and the step that wrote them."""

    html: SafeString
    place: StepPlace | None


@dataclass(frozen=True, slots=True)
class ShownFile:
    """One file of a diff, ready for its template. `note` says what is not shown."""

    path: str
    status: str
    n_added: int
    n_removed: int
    hunks: list[tuple[str, list[ShownRun]]]
    note: str = ""
    is_open: bool = True


class _Room:
    """What is left of the page for diffs."""

    def __init__(self) -> None:
        self.n_bytes = MAX_DIFF_BYTES

    def html(self, lines: Sequence[DiffLine]) -> SafeString | None:
        """The lines as HTML, None once the page is full."""
        if self.n_bytes <= 0:
            return None
        html = diff_html(lines)
        self.n_bytes -= len(html.encode())
        return html if self.n_bytes > 0 else None


@require_safe
def changes(request: HttpRequest, pk: int) -> HttpResponse:
    """The trial's patch, or the artifact `?file=`, as a diff a file; beside its lines the steps that wrote them."""
    trial, context = trial_context(request, pk, "changes")
    candidates = candidates_of(trial)
    wanted = request.GET.get("file", "")
    if wanted and wanted not in [candidate.path for candidate in candidates]:
        raise Http404("The trial has no such patch.")
    path = wanted or (candidates[0].path if candidates else "")
    found = read_changes(trial, path) if path else None
    edits = edits_in(trial)
    room = _Room()
    context |= {
        "candidates": candidates if len(candidates) > 1 else [],
        "found": found,
        "files": [_shown(file, edits, room) for file in found.patch.files] if found else [],
        "edits": _listed(edits),
        "n_edits": len(edits),
    }
    return render(request, "viewer/changes.html", context)


@require_safe
def worktree(request: HttpRequest, pk: int, trajectory_pk: int, number: int) -> HttpResponse:
    """The files touched until a step and what was changed in them; with `?path=` one file as it was then."""
    trial, context = trial_context(request, pk, "changes")
    chosen = get_object_or_404(trial.trajectories, pk=trajectory_pk)
    step = get_object_or_404(chosen.steps.select_related("trajectory").defer("payload"), index=number - 1)
    tree = worktree_at(trial, step)
    room = _Room()
    around = chosen.markers.visible_to(request.user).filter(kind=Marker.Kind.EDIT)
    context |= {
        "chosen": chosen,
        "step": step,
        "number": number,
        "tree": tree,
        "files": [_shown_state(state, room) for state in tree.files],
        "edit_before": around.filter(index__lt=step.index).order_by("-index").values_list("index", flat=True).first(),
        "edit_after": around.filter(index__gt=step.index).order_by("index").values_list("index", flat=True).first(),
    }
    path = request.GET.get("path", "")
    if path:
        context |= _content(tree.files, path)
    return render(request, "viewer/worktree.html", context)


def _shown(file: FilePatch, edits: Sequence[FileEditAt], room: _Room) -> ShownFile:
    writers = writers_of(file, edits)
    hunks: list[tuple[str, list[ShownRun]]] = []
    is_full = False
    for hunk in file.hunks:
        runs = list(_runs(runs_of(hunk, writers), room))
        is_full = is_full or (sum(len(run.lines) for run in runs_of(hunk, writers)) > 0 and not runs)
        if runs:
            first = hunk.lines[0].new or hunk.lines[0].old or 0
            hunks.append((f"line {first:,}{f' · {hunk.heading}' if hunk.heading else ''}", runs))
    note = "The page is full: the raw patch has the rest." if is_full else ""
    if file.n_left_out:
        note = f"{file.n_left_out:,} more lines: the raw patch has them."
    if file.is_binary:
        note = "No text: only that it changed is known."
    status = f"{file.status} from {file.old_path}" if file.old_path else file.status
    status = f"{status}, mode {file.mode}" if file.mode else status
    is_open = file.n_added + file.n_removed <= MAX_OPEN_LINES
    return ShownFile(file.path, status, file.n_added, file.n_removed, hunks, note, is_open)


def _runs(runs: Sequence[Run], room: _Room) -> Iterator[ShownRun]:
    for run in runs:
        html = room.html(run.lines)
        if html is None:
            return
        yield ShownRun(html, run.place)


def _shown_state(state: FileState, room: _Room) -> ShownFile:
    lines = state.diff()
    html = room.html(lines) if lines else None
    status = "deleted" if state.is_deleted else "added" if state.base == "" else "changed"
    notes = [] if state.is_known else ["Not all of its content is known: its edits are shown one after the other."]
    if lines and html is None:
        notes.append("The page is full.")
    return ShownFile(
        path=state.path,
        status=status,
        n_added=sum(line.sign == "+" for line in lines),
        n_removed=sum(line.sign == "-" for line in lines),
        hunks=[("", [ShownRun(html, None)])] if html is not None else [],
        note=" ".join(notes),
        is_open=len(lines) <= MAX_OPEN_LINES,
    )


def _content(files: Sequence[FileState], path: str) -> dict[str, Any]:
    state = next((state for state in files if state.path == path), None)
    if state is None:
        raise Http404("No such file was touched until this step.")
    if state.text is None:
        return {"state": state, "content": None}
    text = with_marks(state.text).removesuffix("\n")
    content: Block = code_block(text, language_of(path), ALONE, start=1)
    return {"state": state, "content": content}


def _listed(edits: Sequence[FileEditAt]) -> list[tuple[StepPlace, list[str]]]:
    """The steps that edited files, each with their names."""
    found: dict[StepPlace, dict[str, None]] = {}
    for made in edits:
        found.setdefault(made.place, {})[made.edit.path] = None
    return [(place, list(paths)) for place, paths in list(found.items())[:MAX_EDITS_LISTED]]
