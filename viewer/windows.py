"""Windows of a trajectory: the steps around, after or before a place in it, as many as fit a page's budget."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import QueryDict
from django.template.loader import get_template

from runs.models import Step, Trajectory, Trial
from viewer.cards import Subagents, card_of

STEPS_IN_WINDOW = 50
# A deep link opens its window a little above the step, so that what led to it is in sight.
STEPS_ABOVE = 3
# What a window may come to: with the header of the page it stays under 60 KB and 3,000 nodes.
WINDOW_BYTES = 40_000
WINDOW_TAGS = 4_400  # two for most nodes
END = "end"


@dataclass(frozen=True, slots=True)
class Shown:
    """One step as HTML. `revision` is the live cursor, 0 for a step that was read from finished files."""

    index: int
    revision: int
    html: str

    @property
    def number(self) -> int:
        """The step's number, from 1."""
        return self.index + 1


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive steps of those that are shown. `before` and `after` are cursors of the windows around it."""

    steps: list[Shown]
    before: int | None
    after: int | None
    last: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a window is: after an index, before one, at a step (its index), or at the end."""

    kind: str
    index: int

    @classmethod
    def of(cls, query: QueryDict) -> "Place":
        """As an address says it; without a word, the start. Raises BadRequest."""
        if "after" in query:
            return cls("after", number_in(query.get("after", "")))
        if "before" in query:
            return cls("before", number_in(query.get("before", "")))
        at = query.get("at", "")
        if at == END:
            return cls("before", 10**9)
        return cls("at", max(0, number_in(at) - 1)) if at or "at" in query else cls("after", -1)


def number_in(text: str) -> int:
    """A step number or a cursor from an address: digits that a database takes. Raises BadRequest."""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BadRequest("A step number is a whole number.")
    return int(text)


class StepRenderer:
    """Makes steps of one trajectory to HTML, the same for pages, windows and the live feed."""

    def __init__(self, trial: Trial, chosen: Trajectory, subagents: Subagents) -> None:
        self._trajectory = chosen
        self._subagents = subagents
        self._context: Mapping[str, Any] = {"trial": trial, "chosen": chosen}
        self._template = get_template("viewer/_step.html")

    def times_before(self, steps: Iterable[Step]) -> dict[int, datetime | None]:
        """When the step ahead of each was, by the index of that step ahead; one query."""
        ahead = [step.index - 1 for step in steps if step.index]
        return dict(self._trajectory.steps.filter(index__in=ahead).values_list("index", "at")) if ahead else {}

    def shown(self, step: Step, times: Mapping[int, datetime | None]) -> Shown:
        """The step as HTML."""
        card = card_of(step, before=times.get(step.index - 1), subagents=self._subagents)
        return Shown(step.index, step.revision or 0, self._template.render({**self._context, "card": card}))


class _Room:
    """What is left of a window's budget. The first step always fits: each is bounded by itself."""

    def __init__(self) -> None:
        self._bytes, self._tags, self._is_fresh = WINDOW_BYTES, WINDOW_TAGS, True

    def takes(self, shown: Shown, *, share: float = 1.0) -> bool:
        """Whether the step fits; then its place is taken. With a share, only that part of the budget is given out."""
        n_bytes, n_tags = self._bytes - len(shown.html.encode()), self._tags - shown.html.count("<")
        fits = n_bytes >= WINDOW_BYTES * (1 - share) and n_tags >= WINDOW_TAGS * (1 - share)
        if fits or self._is_fresh:
            self._bytes, self._tags, self._is_fresh = n_bytes, n_tags, False
            return True
        return False


def window_at(place: Place, steps: QuerySet[Step], renderer: StepRenderer) -> Window:
    """The window at a place of `steps`, which belong to the renderer's trajectory; five queries."""
    above, below = _candidates(place, steps)
    if place.kind == "at" and not below:
        above, below = _candidates(Place("before", 10**9), steps)
    times = renderer.times_before([*above, *below])
    room = _Room()
    shown: list[Shown] = []
    if place.kind == "at" and below:
        # The step that was asked for comes first, then a little of what led to it, then what follows.
        target = renderer.shown(below.pop(0), times)
        room.takes(target)
        shown.append(target)
    share = 0.75 if shown else 1.0
    for step in above:
        card = renderer.shown(step, times)
        if not room.takes(card, share=share):
            break
        shown.insert(0, card)
    for step in below:
        card = renderer.shown(step, times)
        if not room.takes(card):
            break
        shown.append(card)
    return _with_cursors(shown, place, steps)


def _candidates(place: Place, steps: QuerySet[Step]) -> tuple[list[Step], list[Step]]:
    """Steps that may be shown: those above the place, the nearest first, and those below it."""
    if place.kind == "after":
        return [], list(steps.filter(index__gt=place.index).order_by("index")[:STEPS_IN_WINDOW])
    above = steps.filter(index__lt=place.index).order_by("-index")
    if place.kind == "before":
        return list(above[:STEPS_IN_WINDOW]), []
    below = steps.filter(index__gte=place.index).order_by("index")
    return list(above[:STEPS_ABOVE]), list(below[: STEPS_IN_WINDOW - STEPS_ABOVE])


def _with_cursors(shown: list[Shown], place: Place, steps: QuerySet[Step]) -> Window:
    if not shown:
        edge = place.index if place.kind == "after" else -1
        return Window([], edge + 1 if edge >= 0 else None, None, edge)
    first, last = shown[0].index, shown[-1].index
    is_before = first > 0 and steps.filter(index__lt=first).exists()
    is_after = steps.filter(index__gt=last).exists()
    return Window(shown, first if is_before else None, last if is_after else None, last)
