"""The files of a trial as they were at a step, rebuilt from what its calls read and wrote: never more than is known."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.db.models import Exists, OuterRef

from runs.calls.edits import EditKind, FileEdit
from runs.calls.tools import edits_of, whole_file_read
from runs.indexing.payload import CallPayload, StepPayload, unpack
from runs.models import Marker, Step, Trial
from viewer.cards.files import numbered_lines
from viewer.cards.results import results_of
from viewer.rendering.diffs import DiffLine, line_diff
from viewer.rendering.marks import with_marks

MAX_STEPS = 3_000
MAX_FILES = 300
MAX_TEXT_CHARS = 2_000_000
MAX_LINES = 2_000
# Output that says it was shortened is no whole file.
_SHORTENED = ("truncated", "characters cut", "lines omitted", "[...", "output omitted")


@dataclass(frozen=True, slots=True)
class StepPlace:
    """Where a step is: its trajectory and its number, from 1."""

    trajectory_id: int
    number: int


@dataclass(frozen=True, slots=True)
class FileEditAt:
    """An edit and the step that made it."""

    place: StepPlace
    edit: FileEdit


@dataclass(frozen=True, slots=True)
class FileRead:
    """A whole file as a call showed it."""

    path: str
    text: str


@dataclass(slots=True)
class FileState:
    """One file so far. `base` is its text before the first edit, `text` its text now; None where it isn't known."""

    path: str
    base: str | None = None
    text: str | None = None
    is_deleted: bool = False
    edits: list[FileEditAt] = field(default_factory=list)

    @property
    def is_known(self) -> bool:
        """Whether a real diff from before to now can be made."""
        return self.base is not None and (self.text is not None or self.is_deleted)

    def diff(self) -> list[DiffLine]:
        """From before the first edit to now; where that isn't known, the edits one after the other."""
        if self.base is not None and (self.text is not None or self.is_deleted):
            return line_diff(self.base, self.text or "", old_start=1, new_start=1)
        return [line for made in self.edits for line in _fragment(made)][:MAX_LINES]


@dataclass(frozen=True, slots=True)
class WorkTree:
    """The files that were touched, by path. `is_cut`: more steps or files than are looked at."""

    files: list[FileState]
    is_cut: bool = False


type Event = FileEditAt | FileRead


def edits_in(trial: Trial) -> list[FileEditAt]:
    """All edits of the trial in order; one query."""
    return [event for step in _steps(trial) for event in _events(step) if isinstance(event, FileEditAt)]


def worktree_at(trial: Trial, until: Step) -> WorkTree:
    """The files after `until`, of all of the trial's trajectories, in the order of their steps' times; one query."""
    steps = _steps(trial)
    end = _moment(until)
    files: dict[str, FileState] = {}
    for step in steps:
        if _moment(step) > end:
            break
        for event in _events(step):
            _take(files, event)
    touched = [state for state in files.values() if state.edits]
    is_cut = len(steps) >= MAX_STEPS or len(files) >= MAX_FILES
    return WorkTree(sorted(touched, key=lambda state: state.path), is_cut)


def _steps(trial: Trial) -> list[Step]:
    """The steps that read or edit files, in order; which they are is known from their markers."""
    kinds = (Marker.Kind.EDIT, Marker.Kind.READ)
    marked = Marker.objects.filter(trajectory=OuterRef("trajectory"), index=OuterRef("index"), kind__in=kinds)
    steps = Step.objects.filter(Exists(marked), trial=trial).select_related("trajectory")
    found = steps.only("index", "at", "payload", "trajectory__position").order_by("trajectory__position", "index")
    return sorted(found[:MAX_STEPS], key=_moment)


def _moment(step: Step) -> tuple[datetime, int, int]:
    """What steps of several trajectories are ordered by; without times, by trajectory."""
    return step.at or datetime.min.replace(tzinfo=UTC), step.trajectory.position, step.index


def _events(step: Step) -> Iterator[Event]:
    payload = unpack(bytes(step.payload))
    place = StepPlace(step.trajectory_id, step.index + 1)
    for call, text in zip(payload.calls, _result_texts(payload), strict=True):
        if call.is_error and not isinstance(call.arguments, str) and "command" not in call.arguments:
            continue
        edits = edits_of(call.name, call.arguments)
        yield from (FileEditAt(place, edit) for edit in edits)
        if not edits and text and (read := _read(call, text)):
            yield read


def _result_texts(payload: StepPayload) -> list[str]:
    return [result.text or "" for result in results_of(payload)]


def _read(call: CallPayload, text: str) -> FileRead | None:
    """The file that a call showed from its first line to its last."""
    if len(text) > MAX_TEXT_CHARS or any(mark in text for mark in _SHORTENED):
        return None
    path = whole_file_read(call.name, call.arguments)
    if not path:
        return None
    numbers, lines = numbered_lines(text)
    if numbers and numbers[0] != 1:
        return None
    whole = "\n".join(lines) if numbers else text
    return FileRead(path, whole if whole.endswith("\n") else f"{whole}\n")


def _take(files: dict[str, FileState], event: Event) -> None:
    path = event.path if isinstance(event, FileRead) else event.edit.path
    state = _state(files, path)
    if state is None:
        return
    if isinstance(event, FileRead):
        # What the edits came to is surer than a copy of it; a copy is what there is where they are not known.
        if state.text is None:
            state.text = event.text
            if state.base is None:
                state.base = _undone([made.edit for made in state.edits], event.text)
        return
    edit = event.edit
    if not state.edits and state.base is None and edit.kind is EditKind.WRITE:
        state.base = ""
    state.edits.append(event)
    state.text = edit.applied(state.text)
    state.is_deleted = edit.kind is EditKind.DELETE
    if edit.moved_to and (moved := _state(files, edit.moved_to)):
        moved.base, moved.text = "", state.text
        moved.edits.append(event)
        state.text, state.is_deleted = None, True


def _undone(edits: Sequence[FileEdit], text: str) -> str | None:
    """The text before the edits that led to `text`, None where they cannot be undone in one way alone."""
    for edit in reversed(edits):
        for change in reversed(edit.changes):
            if change.is_everywhere or not change.new or text.count(change.new) != 1:
                return None
            text = text.replace(change.new, change.old)
        if edit.kind is not EditKind.REPLACE or edit.moved_to or not edit.changes:
            return None
    return text


def _state(files: dict[str, FileState], path: str) -> FileState | None:
    """The state of a path: calls name one file absolutely and relative to where they run."""
    path = path.removeprefix("./")
    if path in files:
        return files[path]
    for known, state in files.items():
        if known.endswith(f"/{path}") or path.endswith(f"/{known}"):
            return state
    if len(files) >= MAX_FILES:
        return None
    return files.setdefault(path, FileState(path))


def _fragment(made: FileEditAt) -> Iterable[DiffLine]:
    """One edit alone: what it takes out and puts in, without line numbers."""
    edit = made.edit
    heading = DiffLine("@", f"step {made.place.number}: {edit.kind}")
    if edit.kind is EditKind.REPLACE:
        return [heading, *(line for change in edit.changes for line in line_diff(change.old, change.new))]
    if edit.kind is EditKind.TOUCH:
        return [DiffLine("@", f"step {made.place.number}: changed by a command, in a way that its text does not tell")]
    return [heading, *(DiffLine("+", with_marks(line)) for line in edit.written[:MAX_LINES])]
