"""When the model and the tools of a trajectory were busy, and the wall clock's axis without its long idle stretches."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

WIDTH = 1000.0
# An idle stretch longer than this is cut out of the wall clock's axis; what is left of it is this share of the whole.
GAP_SEC = 300.0
GAP_SHARE = 0.015
MAX_GAPS = 50


class Moment(NamedTuple):
    """What a drawing needs of a step; the fields are MOMENT_COLUMNS of Step."""

    position: int
    at: datetime | None
    source: str
    n_tool_calls: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    model_sec: float | None
    tool_sec: float | None


MOMENT_COLUMNS = (
    "index", "at", "source", "n_tool_calls", "prompt_tokens", "completion_tokens", "cost_usd", "model_sec", "tool_sec",
)  # fmt: skip
# Stretches by their beginning and end.
type Spans = list[tuple[float, float]]


@dataclass(slots=True)
class Busy:
    """Stretches of the model, of tools, and of one of them, untold which: in seconds, or in units of an axis."""

    model: Spans = field(default_factory=list)
    tool: Spans = field(default_factory=list)
    either: Spans = field(default_factory=list)

    def all(self) -> Spans:
        """All stretches, in no order."""
        return [*self.model, *self.tool, *self.either]


def start_of(moments: Sequence[Moment]) -> datetime | None:
    """The first time that is told."""
    return next((moment.at for moment in moments if moment.at), None)


def seconds_from(start: datetime, moments: Sequence[Moment]) -> list[float]:
    """When each was, in seconds after `start`. They stay in their order: a clock that stepped back stands still."""
    seconds: list[float] = []
    for moment in moments:
        told = (moment.at - start).total_seconds() if moment.at else 0.0
        seconds.append(max(told, seconds[-1] if seconds else 0.0))
    return seconds


def busy_in(moments: Sequence[Moment], seconds: Sequence[float]) -> Busy:
    """What was going on between consecutive steps: a step's time is when the model had answered."""
    busy = Busy()
    for position, moment in enumerate(moments):
        now = seconds[position]
        following = seconds[position + 1] if position + 1 < len(moments) else now + (moment.tool_sec or 0.0)
        before = seconds[position - 1] if position else now
        previous = moments[position - 1] if position else None
        if moment.tool_sec:
            busy.tool.append((now, min(following, now + moment.tool_sec)))
        if moment.source != "agent" or previous is None:
            continue
        free_from = before + (previous.tool_sec or 0.0)
        if moment.model_sec is not None:
            begin = max(before, now - moment.model_sec)
            busy.model.append((begin, now))
            if previous.n_tool_calls and previous.tool_sec is None:
                busy.tool.append((before, begin))
        elif previous.n_tool_calls and previous.tool_sec is None:
            busy.either.append((before, now))
        elif free_from < now:
            busy.model.append((free_from, now))
    return busy


@dataclass(slots=True)
class Clock:
    """The wall clock from the first step of a trajectory on. What nobody did anything in for long is cut out."""

    seconds: list[float]
    busy: Busy
    gaps: Spans
    shown_sec: float
    gap_sec: float

    @classmethod
    def of(cls, moments: Sequence[Moment], others: Iterable[Spans] = ()) -> "Clock | None":
        """None where fewer than two steps have different times. `others` are busy besides, on the same clock."""
        start = start_of(moments)
        if start is None:
            return None
        seconds = seconds_from(start, moments)
        busy = busy_in(moments, seconds)
        spans = [*busy.all(), *(span for spans in others for span in spans)]
        own_end = seconds[-1] + (moments[-1].tool_sec or 0.0)
        end = max(own_end, *(stop for _, stop in spans)) if spans else own_end
        if end <= 0:
            return None
        gaps = _idle(spans, end)
        kept = end - sum(stop - begin for begin, stop in gaps)
        gap_sec = max(GAP_SHARE * kept, kept / 200)
        return cls(seconds, busy, gaps, kept + len(gaps) * gap_sec or 1.0, gap_sec)

    def x(self, second: float) -> float:
        """Where a moment is on the axis."""
        position = bisect_right(self.gaps, (second, float("inf")))
        passed = second
        for begin, stop in self.gaps[:position]:
            inside = min(1.0, (second - begin) / (stop - begin))
            passed -= (min(second, stop) - begin) - inside * self.gap_sec
        return min(WIDTH, max(0.0, WIDTH * passed / self.shown_sec))


def between_steps(seconds: Sequence[float], places: Sequence[float], second: float) -> float:
    """Where a moment is on an axis of steps: between those that it came between, in proportion."""
    after = bisect_right(seconds, second)
    if after == 0:
        return places[0]
    before, begin = seconds[after - 1], places[after - 1]
    if after == len(seconds):
        return begin
    return begin + (places[after] - begin) * (second - before) / (seconds[after] - before)


def _idle(spans: Iterable[tuple[float, float]], end: float) -> Spans:
    """Stretches longer than GAP_SEC in which nothing went on, at most MAX_GAPS."""
    gaps: Spans = []
    reached = 0.0
    for begin, stop in [*sorted(spans), (end, end)]:
        if begin - reached > GAP_SEC:
            gaps.append((reached, begin))
        reached = max(reached, stop)
    return gaps[:MAX_GAPS]
