"""What is new in a trial since a reader's cursor, as events. The database is the truth: nothing is kept between reads.

A cursor is the revision and index of the last step that was sent. Steps are sent in that order, those that changed
after they were written once more: who puts each in its place by its number misses none and doubles none.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from django.core.exceptions import BadRequest
from django.db.models import Q, QuerySet
from django.template.loader import render_to_string

from runs.models import Phase, Step, Trajectory, Trial
from runs.queries import Reader, get_trial_for, trajectories_of
from viewer.cards import subagents_of
from viewer.files import read_text
from viewer.narrowing import Narrowing
from viewer.windows import StepRenderer

STEPS_A_READ: Final = 20
VERIFIER_TAIL_BYTES: Final = 6_000
LAST: Final = 2**31 - 1
_LINE_ENDS: Final = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Cursor:
    """All steps up to this one have been seen, in the order of revision and index."""

    revision: int
    index: int = LAST

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """`12` is all of revision 12, `12.3` that far into it. Raises BadRequest."""
        revision, _, index = text.partition(".")
        parts = [revision, index] if index else [revision]
        if not all(part.isascii() and part.isdigit() and len(part) < 11 for part in parts):
            raise BadRequest("This cursor is damaged: open the page again.")
        return cls(*(min(int(part), LAST) for part in parts))

    def __str__(self) -> str:
        return f"{self.revision}.{self.index}"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the stream; with an id where the reader's cursor moves."""

    name: str
    data: str
    id: str = ""

    def encode(self) -> bytes:
        """As text/event-stream has it."""
        lines = [f"event: {self.name}", *(f"data: {line}" for line in _LINE_ENDS.split(self.data))]
        if self.id:
            lines.insert(0, f"id: {self.id}")
        return ("\n".join(lines) + "\n\n").encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Following:
    """What a reader has and wants: steps from index `first` to `last` of one trajectory, or of none yet."""

    trial_id: int
    trajectory_id: int | None
    cursor: Cursor
    first: int
    last: int
    only: Narrowing
    # What was sent last of that which has no cursor: it is sent again when it differs.
    state: str = ""
    verifier: str = ""


@dataclass(frozen=True, slots=True)
class News:
    """Events, where the reader is after them, and whether there is more at once or nothing more ever."""

    events: list[Event]
    following: Following
    is_partial: bool = False
    is_over: bool = False
    is_verifying: bool = False


def news_for(reader: Reader, following: Following) -> News:
    """What is new, at most STEPS_A_READ steps of it; up to seven queries. Raises Http404 for who may not see the trial.

    The trial's row is read before its steps: what it says of its end is then never ahead of them.
    """
    trial = get_trial_for(reader, following.trial_id)
    trajectories = trajectories_of(trial)
    chosen = next((row for row in trajectories if row.pk == following.trajectory_id), None)
    if chosen is None and (trajectories or following.trajectory_id is not None):
        return News([Event("restart", "")], following, is_over=True)
    events: list[Event] = []
    is_partial = False
    if chosen is not None:
        steps = _newer(reader, chosen, following)
        events += _step_events(trial, chosen, steps, trajectories)
        if events:
            following = replace(following, cursor=Cursor.parse(events[-1].id))
        is_partial = len(steps) == STEPS_A_READ
    verifier = _verifier_tail(trial) if trial.phase == Phase.VERIFIER else following.verifier
    if verifier != following.verifier:
        events.append(Event("verifier", verifier))
    state = _state(trial, chosen, len(trajectories))
    if state != following.state:
        events.append(Event("state", state))
    is_over = not trial.is_live and not is_partial
    if is_over:
        events.append(Event("end", ""))
    following = replace(following, state=state, verifier=verifier)
    return News(events, following, is_partial, is_over, trial.phase == Phase.VERIFIER)


def _newer(reader: Reader, chosen: Trajectory, following: Following) -> list[Step]:
    cursor = following.cursor
    # The first condition is what the index of live steps is looked up by.
    behind = Q(revision__gt=cursor.revision) | Q(revision=cursor.revision, index__gt=cursor.index)
    steps: QuerySet[Step] = chosen.steps.filter(behind, revision__gte=cursor.revision)
    steps = following.only.steps(steps, reader).filter(index__gte=following.first, index__lte=following.last)
    return list(steps.order_by("revision", "index")[:STEPS_A_READ])


def _step_events(
    trial: Trial, chosen: Trajectory, steps: list[Step], trajectories: list[Trajectory]
) -> Iterator[Event]:
    if not steps:
        return
    renderer = StepRenderer(trial, chosen, subagents_of(trajectories))
    times = renderer.times_before(steps)
    for step in steps:
        shown = renderer.shown(step, times)
        yield Event("step", shown.html, str(Cursor(shown.revision, shown.index)))


def _state(trial: Trial, chosen: Trajectory | None, n_trajectories: int) -> str:
    """What the rest of the page is asked for anew by: it differs after every write that a reader could see."""
    head = [trial.status, trial.phase, trial.execution, trial.reward, str(trial.cancel_requested_at)]
    head += [trial.revision, trial.n_steps, n_trajectories]
    return json.dumps({"n_steps": chosen.n_steps if chosen else 0, "is_live": trial.is_live, "head": head})


def _verifier_tail(trial: Trial) -> str:
    """The last lines of the verifier's output as HTML, empty while there are none."""
    file = read_text(trial, "verifier/test-stdout.txt", head=VERIFIER_TAIL_BYTES, tail=VERIFIER_TAIL_BYTES)
    if file is None:
        return ""
    text = file.tail or file.head
    return render_to_string("viewer/_verifier_tail.html", {"text": text, "trial": trial}) if text.strip() else ""
