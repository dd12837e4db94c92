"""Trajectory and Step rows of a trial, replaced as a whole; what its steps come to where result.json doesn't say."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import F

from runs.indexing.columns import MAX_POSITIVE_INTEGER, MAX_TOKENS
from runs.indexing.documents import Document, DocumentFinder
from runs.indexing.problems import Problem
from runs.indexing.reader import Reader
from runs.indexing.step_rows import insert_steps
from runs.markers.refusals import add_refusals
from runs.markers.writing import insert_markers, remove_derived
from runs.models import Step, Trajectory, Trial

# Where kept rows wait while others take their places: positions are unique within a trial.
ASIDE = 1_000_000
ROW_FIELDS = [
    field.attname
    for field in Trajectory._meta.concrete_fields
    if field.attname not in ("id", "trial_id", "path", "fragment")
]


@dataclass(frozen=True, slots=True)
class TrialTrajectories:
    """The documents of one trial in reading order, unsaved."""

    documents: list[Document]

    def missing_in(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Step counts, and those of the trial's token and cost columns that its result left null."""
        own = [step for document in self.documents for step in document.steps if not step.is_copied_context]
        main = [document.totals for document in self.documents if document.is_main]
        sums = {
            "n_input_tokens": _sum(MAX_TOKENS, (total.prompt_tokens for total in main)),
            "n_cache_tokens": _sum(MAX_TOKENS, (total.cached_tokens for total in main)),
            "n_output_tokens": _sum(MAX_TOKENS, (total.completion_tokens for total in main)),
            "cost_usd": _sum(MAX_TOKENS, (total.cost_usd for total in main)),
            "peak_context_tokens": max((total.peak_context_tokens or 0 for total in main), default=0) or None,
            "summarization_count": _sum(MAX_POSITIVE_INTEGER, (total.summarization_count for total in main)),
        }
        n_agent_steps = sum(step.source == Step.Source.AGENT for step in own)
        return {
            **{name: figure for name, figure in sums.items() if columns.get(name) is None},
            "n_steps": len(own),
            "n_agent_steps": n_agent_steps if own else columns.get("n_agent_steps", 0),
        }


def index_trajectories(trial: Trial, directory: Path) -> list[Problem]:
    """Replace the trial's trajectories and steps by what its directory holds, and bring its totals up to date.

    Tokens and cost that the trial has are kept. Returns what was passed over. Everything is read and compressed
    first; then one transaction.
    """
    reader = Reader(directory)
    found = read_trajectories(reader)
    columns = found.missing_in({field.attname: getattr(trial, field.attname) for field in Trial._meta.concrete_fields})
    with transaction.atomic():
        write_trajectories(trial, found)
        Trial.objects.filter(pk=trial.pk).update(**columns)
    for name, value in columns.items():
        setattr(trial, name, value)
    return reader.problems


def read_trajectories(reader: Reader) -> TrialTrajectories:
    """All trajectory documents below the reader's trial directory, as unsaved rows."""
    documents = DocumentFinder(reader).find()
    add_refusals(reader.root, documents)
    return TrialTrajectories(documents)


def write_trajectories(trial: Trial, found: TrialTrajectories) -> None:
    """Replace the trial's Trajectory and Step rows in one transaction.

    A document that was there before keeps its row and id; its steps are written anew, and those that are as they
    were keep their revision, so that a reader who follows the trial is sent only what changed.
    """
    documents = found.documents
    with transaction.atomic():
        known = _known_steps(trial)
        revision = _next_revision(trial) if known else None
        kept = _clear(trial, {(document.row.path, document.row.fragment) for document in documents})
        for position, document in enumerate(documents):
            row = document.row
            row.trial, row.position = trial, position
            row.parent = document.parent.row if document.parent else None
            row.pk = kept.get((row.path, row.fragment))
            before = known.get(row.pk) if row.pk else None
            if before is not None:
                for step in document.steps:
                    digest, old = before.get(step.index, (None, None))
                    step.revision = old if digest == hash(step.payload) else revision
            row.save(force_insert=row.pk is None, update_fields=ROW_FIELDS if row.pk else None)
            insert_steps(document.steps, trajectory_id=row.pk, trial_id=trial.pk)
            insert_markers(document.markers, trajectory_id=row.pk, trial_id=trial.pk)


# Of each trajectory's steps, by index: the hash of the payload, which has all of the step, and the revision.
type KnownSteps = dict[int, dict[int, tuple[int, int | None]]]


def _known_steps(trial: Trial) -> KnownSteps:
    """The steps that the trial has so far."""
    known: KnownSteps = defaultdict(dict)
    rows = Step.objects.filter(trial=trial).values_list("trajectory_id", "index", "revision", "payload")
    for trajectory_id, index, revision, payload in rows.iterator(chunk_size=500):
        known[trajectory_id][index] = (hash(bytes(payload)), revision)
    return known


def _next_revision(trial: Trial) -> int:
    row = Trial.objects.filter(pk=trial.pk)
    row.update(revision=F("revision") + 1)
    trial.revision = row.values_list("revision", flat=True).get()
    return trial.revision


def _clear(trial: Trial, documents: set[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Remove steps and rows that are no more; returns the ids of the rows that stay, moved out of the way."""
    rows = {(row.path, row.fragment): row.pk for row in trial.trajectories.only("pk", "path", "fragment")}
    if not rows:
        return {}
    kept = {key: pk for key, pk in rows.items() if key in documents}
    Step.objects.filter(trial=trial).delete()
    remove_derived(trial.pk)
    stays = Trajectory.objects.filter(pk__in=kept.values())
    stays.update(position=F("position") + ASIDE, parent=None)
    Trajectory.objects.filter(trial=trial).exclude(pk__in=kept.values()).delete()
    return kept


def _sum[N: (int, float)](limit: int, figures: Iterable[N | None]) -> N | None:
    """The sum of what is known, None if nothing is, and None for a sum that no trial can have come to."""
    known = [figure for figure in figures if figure is not None]
    if not known:
        return None
    total = sum(known[1:], start=known[0])
    return total if total <= limit else None
