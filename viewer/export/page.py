"""A trial as one page that needs nothing else: no server, no script, no network. Made piece by piece, never whole."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString

from runs.models import Step, Trajectory, Trial, seconds_between
from runs.queries import Reader, steps_after, trajectories_of
from viewer.cards import Subagents, card_of, subagents_of
from viewer.ctrf import read_ctrf
from viewer.export.offline import Offline, Section
from viewer.export.panels import NOTHING, Panels, panels_of
from viewer.export.pictures import Pictures
from viewer.export.stylesheet import trial_stylesheet
from viewer.files import TextFile, read_text
from viewer.outcome import outcome_of
from viewer.trajectories import labels_of

MAX_STEPS = 10_000
"""Steps in a page unless asked for otherwise: of the trajectories in their order, as many as fit."""
MAX_PAGE_BYTES = 64 * 1024 * 1024
"""Where a page ends in any case: browsers get slow with more."""
_WINDOW = 100
_FILE_BYTES = 64 * 1024
_MAX_TASK_STEPS = 20


@dataclass(frozen=True, slots=True)
class Part:
    """A trajectory of the page."""

    trajectory: Trajectory
    section: Section
    label: str
    activity: SafeString = NOTHING
    outline: SafeString = NOTHING

    @property
    def n_left_out(self) -> int:
        """How many of its steps the page does not hold."""
        return self.trajectory.n_steps - self.section.n_steps


def trial_page(
    trial: Trial, *, reader: Reader | None = None, max_steps: int = MAX_STEPS, max_bytes: int = MAX_PAGE_BYTES
) -> Iterator[str]:
    """The page in pieces, the first of which has the head; one query a hundred steps, and a few for the rest.

    Its markers are those that `reader` may see, without one those that rules made.
    """
    trajectories = trajectories_of(trial)
    parts = _parts(trajectories, max_steps)
    sections = {part.trajectory.pk: part.section for part in parts}
    pictures = Pictures(trial)
    converters = {pk: Offline(section, sections, pictures.data_url) for pk, section in sections.items()}
    panels = panels_of(trial, trajectories, reader, converters)
    parts = [_with_panels(part, panels) for part in parts]
    # The steps go where this stands in what the template gives; nobody who wrote a step can have known it.
    place = secrets.token_hex(16)
    page = render_to_string("viewer/export/page.html", _context(trial, parts, place) | {"changes": panels.changes})
    pieces = page.split(place)
    n_bytes = len(page.encode())
    yield pieces[0]
    subagents = subagents_of(trajectories)
    for part, after in zip(parts, pieces[1:], strict=True):
        converter = converters[part.trajectory.pk]
        for number, html in _steps(trial, part, subagents):
            if n_bytes > max_bytes:
                yield f'<p class="notice" data-tone="warn">The page is full: it ends before step {number:,}.</p>'
                break
            piece = converter.html(html)
            n_bytes += len(piece.encode())
            yield piece
        yield after


def _parts(trajectories: list[Trajectory], max_steps: int) -> list[Part]:
    labels = labels_of(trajectories)
    parts = []
    for position, trajectory in enumerate(trajectories):
        n_steps = min(trajectory.n_steps, max_steps)
        max_steps -= n_steps
        section = Section(f"t{position + 1}-" if position else "", n_steps)
        label = labels[trajectory.pk] if len(trajectories) > 1 else "trajectory"
        parts.append(Part(trajectory, section, label))
    return parts


def _with_panels(part: Part, panels: Panels) -> Part:
    pk = part.trajectory.pk
    return replace(part, activity=panels.activities.get(pk, NOTHING), outline=panels.outlines.get(pk, NOTHING))


def _steps(trial: Trial, part: Part, subagents: Subagents) -> Iterator[tuple[int, str]]:
    """The markup of each step that the page has room for, as the trial's page would show it, with its number."""
    cursor, before = -1, None
    while True:
        window = steps_after(part.trajectory, cursor=cursor, limit=_WINDOW)
        for step in window:
            if step.index >= part.section.n_steps:
                return
            yield step.index + 1, _step_html(trial, part.trajectory, step, before, subagents)
            before = step.at or before
        if window.next is None:
            return
        cursor = int(window.next)


def _step_html(trial: Trial, chosen: Trajectory, step: Step, before: datetime | None, subagents: Subagents) -> str:
    card = card_of(step, before=before, subagents=subagents)
    return render_to_string("viewer/_step.html", {"card": card, "trial": trial, "chosen": chosen, "is_alone": True})


def _context(trial: Trial, parts: list[Part], place: str) -> dict[str, Any]:
    sheet = trial_stylesheet()
    return {
        "sheet": sheet,
        "place": place,
        "trial": trial,
        "job": trial.job,
        "outcome": outcome_of(trial),
        "elapsed_sec": seconds_between(trial.started_at, trial.finished_at),
        "rewards": list(trial.rewards.items())[:40] if isinstance(trial.rewards, dict) else [],
        "parts": parts,
        "n_left_out": sum(part.n_left_out for part in parts),
        "tests": read_ctrf(trial, "verifier/ctrf.json"),
        "files": _files(trial),
        "exported_at": timezone.now(),
    }


def _files(trial: Trial) -> list[TextFile]:
    """What the verifiers of the trial and of its task's steps printed, and the traceback, where there are any."""
    steps = [step.get("step_name") for step in trial.step_results[:_MAX_TASK_STEPS] if isinstance(step, dict)]
    names = ["verifier/test-stdout.txt", *(f"steps/{name}/verifier/test-stdout.txt" for name in steps)]
    if trial.exception_type:
        names.append("exception.txt")
    read = (read_text(trial, name, head=_FILE_BYTES, tail=_FILE_BYTES) for name in names)
    return [file for file in read if file and file.size_bytes]
