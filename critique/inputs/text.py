"""The numbered text of a trial's trajectories: files of bounded size that a small model can read and cite from.

Only our own lines begin in the first column: whatever a step says is indented, so nothing in it can pass for a heading.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from critique.inputs.copying import make_folder, write_file
from critique.inputs.readme import Told, readme
from critique.inputs.step_text import one_word
from critique.inputs.trajectories import MAIN, NumberedTrajectory, StepText

MAX_STEPS: Final = 100
MAX_FILE_BYTES: Final = 200_000
MAX_LINE_CHARS: Final = 1_000
# A line without any space is broken only where file tools would cut it.
MAX_WORD_CHARS: Final = 1_900
MAX_OUTLINE_BYTES: Final = 4_000_000
MAX_OUTLINE_CHARS: Final = 120
MAX_TOOLS: Final = 6
INDENT: Final = "  "
OUTLINE: Final = "outline.txt"
README: Final = "README.md"


@dataclass(frozen=True, slots=True)
class Rendered:
    """What was written."""

    n_steps: int
    n_files: int


def write_text(trajectories: Iterable[NumberedTrajectory], folder: Path) -> Rendered:
    """Write the text of all trajectories to `folder`, which is made; memory: one file, or one step if that is more."""
    make_folder(folder)
    outline = _Outline()
    told: list[Told] = []
    for trajectory in trajectories:
        n_files = _write_trajectory(trajectory, folder, outline)
        told.append(Told(trajectory.label, trajectory.n_steps, n_files, trajectory.task_step, trajectory.path))
    write_file(folder / OUTLINE, outline.pieces())
    write_file(folder / README, [readme(told).encode()])
    return Rendered(sum(one.n_steps for one in told), sum(one.n_files for one in told))


def heading(step: StepText, label: str = MAIN, note: str = "") -> str:
    """The line above a step. Of what a trial's files say only tools' names are in it, reduced to words."""
    who = f"step {step.number}" if label == MAIN else f"{label} step {step.number}"
    tools = [one_word(name) for name in step.tools[:MAX_TOOLS]] + (["…"] if len(step.tools) > MAX_TOOLS else [])
    said = (
        *(who, step.source, step.at[11:19]),
        f"tools: {', '.join(tools)}" if tools else "",
        *("error" if step.has_error else "", "copied from earlier" if step.is_copied else "", note),
    )
    return f"=== {' · '.join(word for word in said if word)} ==="


def body(step: StepText) -> Iterator[str]:
    """The lines of a step below its heading: titles of ours, and indented all that it says, whole."""
    if not step.parts:
        yield "--- nothing said ---"
    for part in step.parts:
        yield f"--- {part.title} ---"
        for line in part.text.split("\n"):
            yield from (INDENT + piece for piece in _wrapped(line))


def _wrapped(line: str) -> Iterator[str]:
    """A line in pieces of bounded length, broken at a space where there is one."""
    at = 0
    while len(line) - at > MAX_LINE_CHARS:
        space = line.rfind(" ", at + 1, at + MAX_LINE_CHARS)
        if space < 0:
            space = line.find(" ", at + 1, at + MAX_WORD_CHARS)
        end = space if space >= 0 else min(at + MAX_WORD_CHARS, len(line))
        yield line[at:end]
        at = end
    if at < len(line) or not line:
        yield line[at:]


def _write_trajectory(trajectory: NumberedTrajectory, folder: Path, outline: "_Outline") -> int:
    """Write a trajectory's files; returns how many. A step that fills a file gets files of its own."""
    prefix = "" if trajectory.label == MAIN else f"{trajectory.label}-"
    files = _Files(folder, prefix)
    for step in trajectory.steps():
        outline.add(step, trajectory.label)
        lines = [heading(step, trajectory.label), *body(step), ""]
        data = _joined(lines)
        if len(data) > MAX_FILE_BYTES:
            files.close()
            files.write_parts(step, trajectory.label, lines[1:])
        else:
            files.add(step.number, data)
    files.close()
    return files.n_files


@dataclass(slots=True)
class _Files:
    """The chunk that is being filled, and where it goes."""

    folder: Path
    prefix: str
    n_files: int = 0
    _first: int = 0
    _last: int = 0
    _data: bytes = b""

    def add(self, number: int, data: bytes) -> None:
        """Put a step into the chunk, or into the next one if there is no more room."""
        if self._first and (number - self._first >= MAX_STEPS or len(self._data) + len(data) > MAX_FILE_BYTES):
            self.close()
        self._first, self._last = self._first or number, number
        self._data += data

    def close(self) -> None:
        """Write the chunk, if there is any."""
        if self._first:
            self._write(f"steps-{self._first:05}-{self._last:05}", self._data)
        self._first, self._data = 0, b""

    def write_parts(self, step: StepText, label: str, lines: list[str]) -> None:
        """Write a step that is too large for a chunk, in parts, each under its heading."""
        parts = list(_parts(lines))
        for number, part in enumerate(parts, start=1):
            head = heading(step, label, note=f"part {number} of {len(parts)}")
            self._write(f"step-{step.number:05}-part-{number}", _joined([head, *part, ""]))

    def _write(self, name: str, data: bytes) -> None:
        write_file(self.folder / f"{self.prefix}{name}.txt", [data])
        self.n_files += 1


def _parts(lines: list[str]) -> Iterator[list[str]]:
    room = MAX_FILE_BYTES - 1_000  # for the heading
    part: list[str] = []
    n_bytes = 0
    for line in lines:
        size = len(line.encode()) + 1
        if part and n_bytes + size > room:
            yield part
            part, n_bytes = [], 0
        part.append(line)
        n_bytes += size
    yield part


class _Outline:
    """One line a step, until there are too many."""

    def __init__(self) -> None:
        self._data = bytearray(b"# step | who | tools | first words\n")
        self._n_left_out = 0

    def add(self, step: StepText, label: str) -> None:
        """Add the line of a step."""
        who = str(step.number) if label == MAIN else f"{label} {step.number}"
        tools = ",".join(one_word(name) for name in step.tools[:MAX_TOOLS]) + (" ERROR" if step.has_error else "")
        words = " ".join(step.summary.split())[:MAX_OUTLINE_CHARS]
        line = f"{who} | {step.source} | {tools.strip() or '-'} | {words}\n".encode()
        if self._n_left_out or len(self._data) + len(line) > MAX_OUTLINE_BYTES:
            self._n_left_out += 1
        else:
            self._data += line

    def pieces(self) -> Iterator[bytes]:
        """The file."""
        yield bytes(self._data)
        if self._n_left_out:
            yield f"# {self._n_left_out:,} more steps are not listed here: see the files of their numbers\n".encode()


def _joined(lines: list[str]) -> bytes:
    return "\n".join([*lines, ""]).encode()
