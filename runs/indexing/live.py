"""Steps of a running trial to rows, a few at a time, as its runner learns of them; the final index replaces them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, transaction
from django.db.models import F

from runs.errors import ExecutionSuperseded
from runs.formats.trajectory import WRITTEN_VERSION, Step
from runs.formats.trajectory_reader import read_trajectory
from runs.indexing.cleaning import clip
from runs.indexing.step_rows import StepRow, step_row, upsert_steps
from runs.markers.derive import MarkerRow, step_markers
from runs.markers.writing import replace_markers
from runs.models import Trajectory, Trial


@dataclass(frozen=True, slots=True)
class ThreadUpdate:
    """Steps of one thread that are new or have grown; `fragment` is empty for the main one, else its trajectory_id."""

    fragment: str
    steps: Sequence[Step]


@dataclass(slots=True)
class LiveIndex:
    """The rows of one running agent. `path` is where its trajectory will be, below the trial's directory."""

    trial_id: int
    execution: int
    owner: str
    path: str
    task_step: str
    agent_name: str
    model_name: str
    tell: Callable[[str, float | None], None] | None = None
    """Told of each write: the newest step in a line, and what was spent by then."""
    _rows: dict[str, int] = field(default_factory=dict)
    _n_steps: dict[str, int] = field(default_factory=dict)

    def write(self, updates: Sequence[ThreadUpdate], columns: dict[str, Any]) -> None:
        """Write the steps and the trial's own `columns` at once. Raises ExecutionSuperseded, with neither written."""
        prepared = [_prepared(update) for update in updates]
        try:
            self._write(prepared, columns)
        except DatabaseError:
            # Rows of trajectories that were made in the transaction are gone with it.
            self._rows.clear()
            raise
        newest = prepared[0].rows[-1] if prepared and prepared[0].rows else None
        if self.tell and newest:
            self.tell(f"{newest.step_id} {newest.summary}", columns.get("cost_usd"))

    def _write(self, prepared: "Sequence[_Prepared]", columns: dict[str, Any]) -> None:
        with transaction.atomic():
            mine = Trial.objects.filter(pk=self.trial_id, execution=self.execution, owner=self.owner)
            known = dict(self._n_steps)
            for update in prepared:
                highest = max((row.index + 1 for row in update.rows), default=0)
                self._n_steps[update.fragment] = max(self._n_steps.get(update.fragment, 0), highest)
            if not mine.update(n_steps=sum(self._n_steps.values()), revision=F("revision") + 1, **columns):
                raise ExecutionSuperseded(f"trial {self.trial_id}: a newer execution has taken it over")
            revision = mine.values_list("revision", flat=True).get()
            for update in prepared:
                for row in update.rows:
                    row.revision = revision
                trajectory_id = self._row(update.fragment)
                upsert_steps(update.rows, trajectory_id=trajectory_id, trial_id=self.trial_id)
                grown = [row.index for row in update.rows if row.index < known.get(update.fragment, 0)]
                replace_markers(update.markers, grown=grown, trajectory_id=trajectory_id, trial_id=self.trial_id)
                Trajectory.objects.filter(pk=trajectory_id).update(n_steps=self._n_steps[update.fragment])

    def _row(self, fragment: str) -> int:
        """The trajectory's row, made on first sight after those that the trial has."""
        if fragment not in self._rows:
            position = Trajectory.objects.filter(trial=self.trial_id).count()
            row, _ = Trajectory.objects.get_or_create(
                trial_id=self.trial_id,
                path=self.path,
                fragment=clip(fragment, 240),
                defaults={
                    "position": position,
                    "kind": Trajectory.Kind.SUBAGENT if fragment else Trajectory.Kind.MAIN,
                    "parent_id": self._row("") if fragment else None,
                    "task_step": clip(self.task_step, 255),
                    "trajectory_id": clip(fragment, 255),
                    "schema_version": WRITTEN_VERSION,
                    "agent_name": clip(self.agent_name, 255),
                    "model_name": clip(self.model_name, 255),
                },
            )
            self._rows[fragment] = row.pk
        return self._rows[fragment]


def forget_steps(trial_id: int) -> None:
    """Remove the steps that an earlier execution of a trial left in the index."""
    Trajectory.objects.filter(trial=trial_id).delete()


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The rows of some steps of a thread, and what is notable about each."""

    fragment: str
    rows: list[StepRow]
    markers: list[MarkerRow]


def _prepared(update: ThreadUpdate) -> _Prepared:
    """The rows of an update: each step is read as the final index will read it."""
    prepared = _Prepared(update.fragment, [], [])
    for step in update.steps:
        document = {
            "schema_version": WRITTEN_VERSION,
            "agent": {"name": "live", "version": "live"},
            "steps": [step.model_dump(mode="json", exclude_none=True)],
        }
        read = read_trajectory(document).steps[0]
        read.index = step.step_id - 1
        prepared.rows.append(step_row(read))
        prepared.markers.extend(step_markers(read))
    return prepared
