"""What stands round the steps of a page that is taken away: outlines, activities, and what the trial changed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from runs.models import Marker, Step, Trajectory, Trial
from runs.queries import Reader
from viewer.activity_rows import TICKS, read_activity
from viewer.changes import candidates_of
from viewer.export.offline import Offline, Section
from viewer.outline import MAX_MARKERS, OutlineStep, by_step, whole_outline
from viewer.shown_changes import shown_changes

# Trajectories with a drawing: sub-agents have a lane in that of the one that they worked for.
MAX_DRAWINGS = 12
NOTHING = SafeString("")


@dataclass(frozen=True, slots=True)
class Panels:
    """Fragments that are fit for the page."""

    outlines: Mapping[int, SafeString]
    activities: Mapping[int, SafeString]
    changes: SafeString


def panels_of(
    trial: Trial, rows: Sequence[Trajectory], reader: Reader | None, converters: Mapping[int, Offline]
) -> Panels:
    """The panels of the trajectories in `rows`; a query for each drawing and five for the rest.

    Without a reader, whom a command line does not know, there are only the markers that rules made.
    """
    markers = _markers(trial, reader)
    drawn = [row for row in rows if row.kind != Trajectory.Kind.SUBAGENT][:MAX_DRAWINGS]
    first = next(iter(converters.values()), None) or Offline(Section("", 0), {}, lambda _: None)
    return Panels(
        outlines=_outlines(trial, rows, markers, converters),
        activities={row.pk: _activity(trial, row, rows, markers[row.pk], converters[row.pk]) for row in drawn},
        changes=_changes(trial, first),
    )


def _markers(trial: Trial, reader: Reader | None) -> Mapping[int, list[Marker]]:
    own = Marker.objects.filter(trial=trial)
    seen = own.filter(kind__in=Marker.DERIVED) if reader is None else own.visible_to(reader)
    found: dict[int, list[Marker]] = defaultdict(list)
    for marker in seen.order_by("index", "id")[:MAX_MARKERS]:
        found[marker.trajectory_id].append(marker)
    return found


def _outlines(
    trial: Trial,
    rows: Sequence[Trajectory],
    markers: Mapping[int, list[Marker]],
    converters: Mapping[int, Offline],
) -> dict[int, SafeString]:
    """All of each outline, folded; of the steps that the page holds."""
    steps: dict[int, list[OutlineStep]] = defaultdict(list)
    most = max((converter.section.n_steps for converter in converters.values()), default=0)
    wanted = Step.objects.filter(trial=trial, index__lt=most).order_by("trajectory_id", "index")
    for pk, index, source, summary in wanted.values_list("trajectory_id", "index", "source", "summary"):
        if pk in converters and index < converters[pk].section.n_steps:
            steps[pk].append(OutlineStep(index, source, summary))
    found: dict[int, SafeString] = {}
    for row in rows:
        outline = whole_outline(steps[row.pk], by_step(markers[row.pk]))
        if len(outline) > 1:
            context = {"trial": trial, "chosen": row, "rows": outline}
            found[row.pk] = converters[row.pk].html(render_to_string("viewer/_outline_rows.html", context))
    return found


def _activity(
    trial: Trial, row: Trajectory, rows: Sequence[Trajectory], markers: Iterable[Marker], converter: Offline
) -> SafeString:
    kinds = {Marker.Kind.TEST, *TICKS}
    shown = read_activity(row, rows, [marker for marker in markers if marker.kind in kinds], by_clock=True)
    if shown.drawing is None:
        return NOTHING
    context = {"trial": trial, "chosen": row, "shown": shown, "activity": shown.drawing}
    return converter.drawing(render_to_string("viewer/export/_activity.html", context))


def _changes(trial: Trial, converter: Offline) -> SafeString:
    candidates = candidates_of(trial)
    changes = shown_changes(trial, candidates[0].path if candidates else "")
    if changes.found is None and not changes.edits:
        return NOTHING
    return converter.html(render_to_string("viewer/_changes.html", {"trial": trial, "changes": changes}))
