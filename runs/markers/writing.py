"""Marker rows of the rules, written and replaced with the steps that they are of. What people said is left alone."""

from collections.abc import Sequence

from runs.markers.derive import MarkerRow
from runs.models import Marker

BATCH = 500


def insert_markers(rows: Sequence[MarkerRow], *, trajectory_id: int, trial_id: int) -> None:
    """Add the rows; the caller has removed what they replace and holds the transaction."""
    if not rows:
        return
    Marker.objects.bulk_create(
        [
            Marker(
                trial_id=trial_id,
                trajectory_id=trajectory_id,
                index=row.index,
                kind=row.kind,
                label=row.label,
                tone=row.tone,
                n_passed=row.n_passed,
                n_failed=row.n_failed,
            )
            for row in rows
        ],
        batch_size=BATCH,
    )


def remove_derived(trial_id: int) -> None:
    """Remove every marker of the trial that rules made."""
    Marker.objects.filter(trial=trial_id, kind__in=Marker.DERIVED).delete()


def replace_markers(rows: Sequence[MarkerRow], *, grown: Sequence[int], trajectory_id: int, trial_id: int) -> None:
    """Add the rows of a live trajectory's steps, instead of those that the steps which have `grown` had before."""
    for start in range(0, len(grown), BATCH):
        span = Marker.objects.filter(trajectory=trajectory_id, index__in=grown[start : start + BATCH])
        span.filter(kind__in=Marker.DERIVED).delete()
    insert_markers(rows, trajectory_id=trajectory_id, trial_id=trial_id)
