"""What the trial changed in the end: the patch that says so, and which step wrote each line, as far as edits tell."""

from collections.abc import Sequence
from dataclasses import dataclass

from runs.models import Trial
from viewer.files import read_text
from viewer.patches import FilePatch, Hunk, Patch, read_patch
from viewer.rendering.diffs import DiffLine
from viewer.worktree import FileEditAt, StepPlace

PATCH = "changes.patch"
MAX_PATCH_BYTES = 3 * 1024 * 1024
MAX_CANDIDATES = 20


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file of the trial that is a patch."""

    path: str
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive lines that one step wrote, or of which that isn't known."""

    lines: list[DiffLine]
    place: StepPlace | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """A patch of the trial, and where it is. `missing_bytes` were too many to be read."""

    path: str
    size_bytes: int
    patch: Patch
    missing_bytes: int


def candidates_of(trial: Trial) -> list[Candidate]:
    """The trial's own patch, then artifacts that look like one; one query."""
    found = [Candidate(file.path, file.size_bytes) for file in [read_text(trial, PATCH, head=1, tail=0)] if file]
    names = trial.artifacts.filter(path__iregex=r"\.(patch|diff)$").exclude(path=PATCH).order_by("path")
    return found + [Candidate(row.path, row.size_bytes) for row in names[:MAX_CANDIDATES]]


def read_changes(trial: Trial, path: str) -> Changes | None:
    """The patch at `path`, None where there is no such file."""
    file = read_text(trial, path, head=MAX_PATCH_BYTES, tail=0)
    if file is None:
        return None
    return Changes(path, file.size_bytes, read_patch(file.head), file.missing_bytes)


def runs_of(hunk: Hunk, writers: dict[str, StepPlace]) -> list[Run]:
    """The hunk's lines in runs: added ones by the step that wrote them last."""
    runs: list[Run] = []
    for line in hunk.lines:
        place = writers.get(line.text) if line.sign == "+" else None
        if line.sign == "+" and not line.text.strip() and runs:
            place = runs[-1].place  # a blank line goes with the one above it
        if not runs or runs[-1].place != place:
            runs.append(Run([], place))
        runs[-1].lines.append(line)
    return runs


def writers_of(file: FilePatch, edits: Sequence[FileEditAt]) -> dict[str, StepPlace]:
    """For each line that an edit of the file wrote, the last step that did."""
    found: dict[str, StepPlace] = {}
    for made in edits:
        if is_same_file(file.path, made.edit.moved_to or made.edit.path):
            found |= dict.fromkeys(made.edit.written, made.place)
    return found


def is_same_file(path: str, named: str) -> bool:
    """Whether a path of a patch and one that a call named can be one file: either may have folders in front."""
    path, named = path.strip("/"), named.removeprefix("./").strip("/")
    return path == named or path.endswith(f"/{named}") or named.endswith(f"/{path}")
