"""The outline of a trajectory: steps that matter by themselves, the others in groups, in rows that fit a panel."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from runs.models import Marker, Step

MAX_ROWS = 100
MAX_STRETCHES = 60
MAX_STEPS = 100_000
MAX_MARKERS = 50_000
MAX_LISTED = 200
MAX_MARKS = 3
_ROUND = (10, 20, 25, 50, 100, 200, 250, 500, 1_000, 2_000, 5_000)
# Reads are kept for the working tree; in an outline they would be every other row.
QUIET = (Marker.Kind.READ,)
# Which of several markers is shown first, and the colour of those that have no tone of their own.
_ORDER = {kind: rank for rank, kind in enumerate((
    Marker.Kind.CLAIM, Marker.Kind.COMMENT, Marker.Kind.TEST, Marker.Kind.ERROR, Marker.Kind.HIDDEN_READ,
    Marker.Kind.REFUSED, Marker.Kind.TEST_EDIT, Marker.Kind.UNTESTED, Marker.Kind.SUBMIT, Marker.Kind.COMPACTION,
    Marker.Kind.SUBAGENT, Marker.Kind.HISTORY, Marker.Kind.REPEAT, Marker.Kind.EDIT,
))}  # fmt: skip


class OutlineStep(NamedTuple):
    """What the outline needs of a step; the fields are columns of Step, in this order."""

    position: int
    source: str
    summary: str


@dataclass(frozen=True, slots=True)
class Mark:
    """One marker, or several of a kind, as a row shows it. `url` is empty where it leads to the step itself."""

    kind: str
    label: str
    tone: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A step, or a group of consecutive ones; numbers count from 1. A group that `opens` has rows of its own.

    `rows` are empty until somebody asks for them; with `is_open` they are to be seen.
    """

    first: int
    last: int
    label: str
    source: str
    marks: list[Mark]
    opens: bool = False
    is_open: bool = False
    rows: "list[Row]" = field(default_factory=list)

    @property
    def is_group(self) -> bool:
        """Whether it stands for several steps."""
        return self.last > self.first


@dataclass(frozen=True, slots=True)
class KindCount:
    """How many steps have a marker of a kind."""

    kind: str
    label: str
    count: int


type Markers = Mapping[int, Sequence[Marker]]
# A group that is open: the number of its first step, after those of the groups that it is in.
type Path = tuple[int, ...]
# The rows of a stretch of steps, and whether they are to be seen.
type Inner = Callable[[Sequence[OutlineStep]], tuple[list[Row], bool]]


def by_step(markers: Iterable[Marker]) -> dict[int, list[Marker]]:
    """The markers of each step, the most telling first."""
    found: dict[int, list[Marker]] = {}
    for marker in markers:
        if marker.kind not in QUIET:
            found.setdefault(marker.index, []).append(marker)
    for those in found.values():
        those.sort(key=lambda marker: _ORDER.get(Marker.Kind(marker.kind), 99))
    return found


def counts_of(markers: Markers) -> list[KindCount]:
    """How many steps have each kind, in the order of importance."""
    counts = Counter(kind for those in markers.values() for kind in {marker.kind for marker in those})
    kinds = sorted(counts, key=lambda kind: _ORDER.get(Marker.Kind(kind), 99))
    return [KindCount(str(kind), str(Marker.Kind(kind).label), counts[kind]) for kind in kinds]


def outline_of(steps: Sequence[OutlineStep], markers: Markers, opened: Sequence[Path] = ()) -> list[Row]:
    """Rows of consecutive `steps`: each notable one and the groups between, or equal stretches if too many.

    Of the stretches, those that have a step of `opened` are open: they may have grown since they were opened.
    """

    def inner(part: Sequence[OutlineStep]) -> tuple[list[Row], bool]:
        first, last = part[0].position + 1, part[-1].position + 1
        inside = [path[1:] for path in opened if path and first <= path[0] <= last]
        return (outline_of(part, markers, inside), True) if inside else ([], False)

    return _rows_of(steps, markers, inner)


def whole_outline(steps: Sequence[OutlineStep], markers: Markers) -> list[Row]:
    """The same rows, with all that groups hold at once."""
    return _rows_of(steps, markers, lambda part: (whole_outline(part, markers), False))


def _rows_of(steps: Sequence[OutlineStep], markers: Markers, inner: Inner) -> list[Row]:
    rows: list[Row] = []
    quiet: list[OutlineStep] = []
    for step in steps:
        if step.position in markers or step.source == Step.Source.USER:
            rows += _group(quiet)
            quiet = []
            rows.append(_row(step, markers.get(step.position, ())))
        else:
            quiet.append(step)
    rows += _group(quiet)
    return rows if len(rows) <= MAX_ROWS else _stretches(steps, markers, inner)


def rows_of_kind(steps: Sequence[OutlineStep], markers: Markers, kind: str) -> list[Row]:
    """A row for each step that has a marker of the kind, at most MAX_LISTED."""
    found = [step for step in steps if any(marker.kind == kind for marker in markers.get(step.position, ()))]
    return [
        _row(step, [marker for marker in markers[step.position] if marker.kind == kind]) for step in found[:MAX_LISTED]
    ]


def _row(step: OutlineStep, markers: Sequence[Marker]) -> Row:
    label = "Task" if step.source == Step.Source.USER and step.position == 0 else step.summary
    return Row(
        step.position + 1, step.position + 1, label, step.source, [_mark(marker) for marker in markers[:MAX_MARKS]]
    )


def _mark(marker: Marker) -> Mark:
    # A path of this site and nothing else: who writes markers may quote others.
    url = marker.url if marker.url.startswith("/") and not marker.url.startswith("//") else ""
    return Mark(marker.kind, marker.label or str(Marker.Kind(marker.kind).label), marker.tone, url)


def _group(steps: Sequence[OutlineStep]) -> list[Row]:
    """One row for steps without markers; a lone step has its own words."""
    if not steps:
        return []
    if len(steps) == 1:
        return [_row(steps[0], ())]
    return [Row(steps[0].position + 1, steps[-1].position + 1, f"{len(steps):,} steps", "", [])]


def _stretches(steps: Sequence[OutlineStep], markers: Markers, inner: Inner) -> list[Row]:
    """Stretches of equally many steps, each with what happened in it by kind."""
    least = -(-len(steps) // MAX_STRETCHES)
    length = next((size for size in _ROUND if size >= least), least)
    found: list[Row] = []
    for start in range(0, len(steps), length):
        part = steps[start : start + length]
        first, last = part[0].position + 1, part[-1].position + 1
        rows, is_open = inner(part)
        found.append(Row(first, last, f"{len(part):,} steps", "", _summed(part, markers), True, is_open, rows))
    return found


def _summed(steps: Sequence[OutlineStep], markers: Markers) -> list[Mark]:
    inside = {step.position: markers[step.position] for step in steps if step.position in markers}
    found: list[Mark] = []
    for counted in counts_of(inside)[:MAX_MARKS]:
        those = [marker for step in inside.values() for marker in step if marker.kind == counted.kind]
        found.append(_sum_of(counted, those))
    return found


def _sum_of(counted: KindCount, those: Sequence[Marker]) -> Mark:
    """Several markers of a kind as one: of test runs the last result, of others how many steps have one."""
    last = _mark(those[-1])
    if counted.kind == Marker.Kind.TEST:
        runs = f" ({counted.count:,} runs)" if counted.count > 1 else ""
        return Mark(last.kind, f"{last.label}{runs}", last.tone)
    label = f"{counted.label} ×{counted.count:,}" if counted.count > 1 else last.label
    return Mark(last.kind, label, max(marker.tone for marker in those))
