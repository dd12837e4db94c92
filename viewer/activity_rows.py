"""Reads what the drawing of an activity is made of: steps of a trajectory and of its sub-agents, and markers."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Max, Min, QuerySet

from runs.models import Marker, Step, Trajectory
from viewer.activity import Activity, Thread, Verdict, activity_of
from viewer.timeline import MOMENT_COLUMNS, Moment
from viewer.trajectories import labels_of

MAX_STEPS = 100_000
# Sub-agents with a lane: those that took the longest.
MAX_LANES = 8
MAX_LANE_STEPS = 20_000
# The markers that it shows: those of tests, and these.
TICKS = {Marker.Kind.ERROR: "error", Marker.Kind.COMPACTION: "compaction", Marker.Kind.EDIT: "edit"}


@dataclass(frozen=True, slots=True)
class ShownActivity:
    """The drawing, and what its legend says besides; `n_more_lanes` sub-agents have no lane."""

    drawing: Activity | None
    label: str
    last_test: Verdict | None
    n_ticks: dict[str, int]
    n_more_lanes: int


def read_activity(
    chosen: Trajectory, rows: Sequence[Trajectory], markers: Iterable[Marker], *, by_clock: bool
) -> ShownActivity:
    """The activity of one of a trial's trajectories with those of its markers that a reader may see; three queries."""
    steps = _own_steps([chosen.pk]).order_by("index")
    moments = [Moment(*row) for row in steps.values_list(*MOMENT_COLUMNS)[:MAX_STEPS]]
    found = list(markers)
    tests = [Verdict(row.index, row.tone, row.n_passed, row.n_failed) for row in found if row.kind == Marker.Kind.TEST]
    ticks = {name: [row.index for row in found if row.kind == kind] for kind, name in TICKS.items()}
    for name, tone in (("passed", "good"), ("failed", "bad")):
        ticks[name] = [test.position for test in tests if test.tone == tone]
    labels = labels_of(rows)
    below = _below(chosen, rows)
    drawing = activity_of(moments, tests, ticks, by_clock=by_clock, threads=_threads(below, labels))
    return ShownActivity(
        drawing=drawing,
        label=labels.get(chosen.pk, ""),
        last_test=tests[-1] if tests else None,
        n_ticks={name: len(indexes) for name, indexes in ticks.items()},
        n_more_lanes=len(below) - len(drawing.lanes) if drawing else 0,
    )


def _own_steps(pks: Iterable[int]) -> QuerySet[Step]:
    return Step.objects.filter(trajectory_id__in=pks, is_copied_context=False)


def _below(chosen: Trajectory, rows: Sequence[Trajectory]) -> list[int]:
    """Sub-agents that worked for the chosen trajectory, at any depth; those of nobody known are the main one's."""
    is_main = chosen.kind == Trajectory.Kind.MAIN
    inside = {chosen.pk}
    # A parent is before its children in the reading order.
    for row in rows:
        is_orphan = is_main and row.parent_id is None and row.task_step == chosen.task_step
        if row.kind == Trajectory.Kind.SUBAGENT and row.pk != chosen.pk and (row.parent_id in inside or is_orphan):
            inside.add(row.pk)
    return sorted(inside - {chosen.pk})


def _threads(pks: Sequence[int], labels: Mapping[int, str]) -> list[Thread]:
    """The steps of the sub-agents that took the longest."""
    if not pks:
        return []
    spans = _own_steps(pks).order_by().values_list("trajectory_id").annotate(Min("at"), Max("at"))
    took = {pk: (last - first).total_seconds() for pk, first, last in spans if first and last}
    longest = sorted(took, key=lambda pk: (-took[pk], pk))[:MAX_LANES]
    moments: dict[int, list[Moment]] = defaultdict(list)
    rows = _own_steps(longest).order_by("trajectory_id", "index").values_list("trajectory_id", *MOMENT_COLUMNS)
    for pk, *columns in rows[:MAX_LANE_STEPS]:
        moments[pk].append(Moment(*columns))
    return [Thread(pk, labels.get(pk, "sub-agent"), moments[pk]) for pk in longest if moments[pk]]
