"""What a trial changed, ready for templates: diffs as HTML within the limits of a page, and the steps that edited."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from runs.models import Trial
from viewer.changes import Changes, Run, read_changes, runs_of, writers_of
from viewer.patches import FilePatch
from viewer.rendering.diffs import DiffLine, diff_html
from viewer.worktree import FileEditAt, FileState, StepPlace, edits_in

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


@dataclass(frozen=True, slots=True)
class ShownChanges:
    """A patch file by file, where there is one, and the first of the steps that edited, each with its files."""

    found: Changes | None
    files: list[ShownFile]
    edits: list[tuple[StepPlace, list[str]]]


class Room:
    """What is left of a page for diffs."""

    def __init__(self) -> None:
        self.n_bytes = MAX_DIFF_BYTES

    def html(self, lines: Sequence[DiffLine]) -> SafeString | None:
        """The lines as HTML, None once the page is full."""
        if self.n_bytes <= 0:
            return None
        html = diff_html(lines)
        self.n_bytes -= len(html.encode())
        return html if self.n_bytes > 0 else None


def shown_changes(trial: Trial, path: str) -> ShownChanges:
    """The trial's patch at `path`, if it has one; beside its lines the steps that wrote them. One query."""
    found = read_changes(trial, path) if path else None
    edits = edits_in(trial)
    room = Room()
    return ShownChanges(
        found, [_shown(file, edits, room) for file in found.patch.files] if found else [], _listed(edits)
    )


def shown_state(state: FileState, room: Room) -> ShownFile:
    """A file as it was at a step, by what was changed in it until then."""
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


def _shown(file: FilePatch, edits: Sequence[FileEditAt], room: Room) -> ShownFile:
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


def _runs(runs: Sequence[Run], room: Room) -> Iterator[ShownRun]:
    for run in runs:
        html = room.html(run.lines)
        if html is None:
            return
        yield ShownRun(html, run.place)


def _listed(edits: Sequence[FileEditAt]) -> list[tuple[StepPlace, list[str]]]:
    """The steps that edited files, each with their names."""
    found: dict[StepPlace, dict[str, None]] = {}
    for made in edits:
        found.setdefault(made.place, {})[made.edit.path] = None
    return [(place, list(paths)) for place, paths in list(found.items())[:MAX_EDITS_LISTED]]
