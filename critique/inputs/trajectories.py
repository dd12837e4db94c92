"""A trial's trajectories as they are numbered for people, critics and citations: the order, the labels, the text.

Rendered text, citation check and indexing all take these from here. The order is the index's own: its reader is used.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import zstandard

from critique.inputs.step_text import Part, parts_of, plain
from runs.formats.trajectory_reader import ReadStep, ReadTrajectory
from runs.indexing.documents import Document, DocumentFinder
from runs.indexing.reader import Reader
from runs.indexing.step_rows import StepRow
from runs.models import Trajectory

MAIN: Final = "main"
_LEVEL: Final = 1


@dataclass(frozen=True, slots=True)
class StepText:
    """One step. `text` is all of it that can be quoted; `parts` is the same with titles of ours.

    `number` is that of the pages, from 1; `at` is an ISO instant or empty.
    """

    number: int
    source: str
    at: str
    text: str
    summary: str = ""
    tools: tuple[str, ...] = ()
    has_error: bool = False
    is_copied: bool = False
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class NumberedTrajectory:
    """One trajectory of a trial. `path` and `fragment` are those of its row; `label` is how citations name it."""

    label: str
    path: str
    fragment: str
    task_step: str
    kind: str
    n_steps: int
    _heads: list[StepText]
    _frames: list[bytes]

    def steps(self) -> Iterator[StepText]:
        """The steps in order, whole; one at a time is in memory. Can be called again."""
        return (self._step(index) for index in range(self.n_steps))

    def step(self, number: int) -> StepText | None:
        """The step of this number, or None where there is none."""
        return self._step(number - 1) if 1 <= number <= self.n_steps else None

    def _step(self, index: int) -> StepText:
        head = self._heads[index]
        parts = _unpacked(self._frames[index])
        text = "\n".join(part.text for part in parts)
        return StepText(
            head.number, head.source, head.at, text, head.summary, head.tools, head.has_error, head.is_copied, parts
        )


def trajectories_of(trial_directory: Path) -> list[NumberedTrajectory]:
    """The trajectories below a trial directory, in the order of their rows; what cannot be read is passed over.

    Reads all of them once (memory: one file parsed, and the texts of all, compressed).
    """
    finder = _Finder(Reader(trial_directory))
    documents = finder.find()
    labels = labels_of(document.row.kind for document in documents)
    return [_numbered(*found) for found in zip(labels, documents, finder.frames, strict=True)]


def labels_of(kinds: Iterable[str]) -> list[str]:
    """How trajectories are named, from their kinds in reading order: main, continuation-1, subagent-1, main-2."""
    counts: Counter[str] = Counter()
    labels: list[str] = []
    for kind in kinds:
        counts[kind] += 1
        is_first_main = kind == Trajectory.Kind.MAIN and counts[kind] == 1
        labels.append(MAIN if is_first_main else f"{Trajectory.Kind(kind).value}-{counts[kind]}")
    return labels


class _Finder(DocumentFinder):
    """The index's finder, which keeps beside each document the texts of its steps."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(reader)
        self.frames: list[list[bytes]] = []
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)

    def _add(self, read: ReadTrajectory, wanted: Any, fragment: str) -> list[Any]:
        # Each document comes before those that are embedded in it, in both lists.
        self.frames.append([self._packed(step) for step in read.steps])
        return list(super()._add(read, wanted, fragment))

    def _packed(self, step: ReadStep) -> bytes:
        return self._compressor.compress(json.dumps(parts_of(step), ensure_ascii=False).encode())


def _unpacked(frame: bytes) -> tuple[Part, ...]:
    return tuple(Part(title, text) for title, text in json.loads(zstandard.decompress(frame)))


def _numbered(label: str, document: Document, frames: list[bytes]) -> NumberedTrajectory:
    row = document.row
    heads = [_head(step) for step in document.steps]
    return NumberedTrajectory(
        label=label,
        path=row.path,
        fragment=row.fragment,
        task_step=row.task_step,
        kind=Trajectory.Kind(row.kind).value,
        n_steps=len(heads),
        _heads=heads,
        _frames=frames,
    )


def _head(row: StepRow) -> StepText:
    return StepText(
        number=row.index + 1,
        source=row.source,
        at=row.at.isoformat() if row.at else "",
        text="",
        summary=plain(row.summary),
        tools=tuple(row.tool_names.split()),
        has_error=row.has_error,
        is_copied=row.is_copied_context,
    )
