"""The activity of a trajectory on one axis, as the geometry of an SVG: numbers and path data alone."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

WIDTH = 1000.0
# Rows of the drawing, top to bottom, as (y, height) in its units.
MODEL, TOOL, CONTEXT, TOTALS, TESTS = (2.0, 8.0), (12.0, 8.0), (26.0, 34.0), (66.0, 34.0), (106.0, 22.0)
HEIGHT = 130
# An idle stretch longer than this is cut out of the wall clock's axis; what is left of it is this share of the whole.
GAP_SEC = 300.0
GAP_SHARE = 0.015
MAX_POINTS = 250
MAX_SLICES = 100
MAX_STEPS = 100_000


class Moment(NamedTuple):
    """What the drawing needs of a step; the fields are columns of Step, in this order."""

    position: int
    at: datetime | None
    source: str
    n_tool_calls: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    model_sec: float | None
    tool_sec: float | None


class Verdict(NamedTuple):
    """A test run: the index of its step, whether it passed, and its counts where they are known."""

    position: int
    tone: str
    n_passed: int | None
    n_failed: int | None


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the axis, in units of the drawing; `label` says what it is."""

    x: float
    width: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Slice(Span):
    """A part of the axis that leads to a step; numbers count from 1."""

    first: int = 1
    last: int = 1


@dataclass(frozen=True, slots=True)
class Activity:
    """Everything the template draws. Paths and points are SVG's own notation; figures are what the legend says."""

    is_clock: bool
    model: str
    tool: str
    either: str
    context: str
    tokens: str
    cost: str
    tests: str
    ticks: dict[str, str]
    gaps: list[Span]
    slices: list[Slice]
    peak_context_tokens: int | None
    total_tokens: int | None
    total_cost_usd: float | None
    model_sec: float | None
    tool_sec: float | None
    height: int = HEIGHT


@dataclass(slots=True)
class _Busy:
    """Stretches of time in seconds from the first step: of the model, of tools, and of one of them, untold which."""

    model: list[tuple[float, float]] = field(default_factory=list)
    tool: list[tuple[float, float]] = field(default_factory=list)
    either: list[tuple[float, float]] = field(default_factory=list)


def activity_of(
    moments: Sequence[Moment], tests: Sequence[Verdict], ticks: dict[str, list[int]], *, by_clock: bool
) -> Activity | None:
    """The drawing; by steps where no times are known. `ticks` are indexes of steps by kind. None below two steps."""
    if len(moments) < 2:
        return None
    clock = _Clock.of(moments) if by_clock else None
    places = [clock.x(second) for second in clock.seconds] if clock else _evenly(len(moments))
    at = dict(zip((moment.position for moment in moments), places, strict=True))
    busy = _clock_strips(clock) if clock else _step_strips(moments, places)
    context = [(x, moment.prompt_tokens) for x, moment in zip(places, moments, strict=True) if moment.prompt_tokens]
    tokens = _running(places, [_sum_known(moment.prompt_tokens, moment.completion_tokens) for moment in moments])
    cost = _running(places, [moment.cost_usd for moment in moments])
    return Activity(
        is_clock=clock is not None,
        model=_bars(busy.model, MODEL),
        tool=_bars(busy.tool, TOOL),
        either=_bars(busy.either, (MODEL[0], TOOL[0] + TOOL[1] - MODEL[0])),
        context=_line(context, CONTEXT),
        tokens=_line(tokens, TOTALS),
        cost=_line(cost, TOTALS),
        tests=_tests_line([(at[test.position], test) for test in tests if test.position in at]),
        ticks={kind: _ticks((at[index] for index in indexes if index in at), kind) for kind, indexes in ticks.items()},
        gaps=[Span(clock.x(start), clock.x(end) - clock.x(start), f"{end - start:.0f}") for start, end in clock.gaps]
        if clock else [],
        slices=_slices(moments, places),
        peak_context_tokens=max((tokens for _, tokens in context), default=None),
        total_tokens=round(tokens[-1][1]) if tokens else None,
        total_cost_usd=cost[-1][1] if cost else None,
        model_sec=_sum_known(*(moment.model_sec for moment in moments)),
        tool_sec=_sum_known(*(moment.tool_sec for moment in moments)),
    )  # fmt: skip


@dataclass(slots=True)
class _Clock:
    """The wall clock from the first step on, with long idle stretches cut out."""

    moments: Sequence[Moment]
    seconds: list[float]
    busy: _Busy
    gaps: list[tuple[float, float]]
    shown_sec: float
    gap_sec: float

    @classmethod
    def of(cls, moments: Sequence[Moment]) -> "_Clock | None":
        """None where fewer than two steps have different times."""
        start = next((moment.at for moment in moments if moment.at), None)
        if start is None:
            return None
        seconds: list[float] = []
        for moment in moments:
            told = (moment.at - start).total_seconds() if moment.at else 0.0
            # Steps stay in their order: a clock that stepped back stands still.
            seconds.append(max(told, seconds[-1] if seconds else 0.0))
        last_sec = moments[-1].tool_sec or 0.0
        end = seconds[-1] + last_sec
        if end <= 0:
            return None
        busy = _busy(moments, seconds)
        gaps = _idle([*busy.model, *busy.tool, *busy.either], end)
        kept = end - sum(stop - begin for begin, stop in gaps)
        gap_sec = max(GAP_SHARE * kept, kept / 200)
        return cls(moments, seconds, busy, gaps, kept + len(gaps) * gap_sec or 1.0, gap_sec)

    def x(self, second: float) -> float:
        """Where a moment is on the axis."""
        position = bisect_right(self.gaps, (second, float("inf")))
        passed = second
        for begin, stop in self.gaps[:position]:
            inside = min(1.0, (second - begin) / (stop - begin))
            passed -= (min(second, stop) - begin) - inside * self.gap_sec
        return min(WIDTH, max(0.0, WIDTH * passed / self.shown_sec))


def _busy(moments: Sequence[Moment], seconds: Sequence[float]) -> _Busy:
    """What was going on between consecutive steps: a step's time is when the model had answered."""
    busy = _Busy()
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


def _idle(spans: Iterable[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """Stretches longer than GAP_SEC in which nothing went on, at most 50."""
    gaps: list[tuple[float, float]] = []
    reached = 0.0
    for begin, stop in [*sorted(spans), (end, end)]:
        if begin - reached > GAP_SEC:
            gaps.append((reached, begin))
        reached = max(reached, stop)
    return gaps[:50]


def _clock_strips(clock: _Clock) -> _Busy:
    def drawn(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(clock.x(begin), clock.x(stop)) for begin, stop in spans]

    return _Busy(drawn(clock.busy.model), drawn(clock.busy.tool), drawn(clock.busy.either))


def _step_strips(moments: Sequence[Moment], places: Sequence[float]) -> _Busy:
    """By steps the strips say which steps were of the model and which called tools."""
    width = WIDTH / len(moments)
    busy = _Busy()
    for x, moment in zip(places, moments, strict=True):
        if moment.source == "agent":
            busy.model.append((x, x + width))
        if moment.n_tool_calls:
            busy.tool.append((x, x + width))
    return busy


def _evenly(n_steps: int) -> list[float]:
    return [WIDTH * position / n_steps for position in range(n_steps)]


def _running(places: Sequence[float], figures: Sequence[float | None]) -> list[tuple[float, float]]:
    """What the figures come to so far; nothing where none is known."""
    total, found = 0.0, list[tuple[float, float]]()
    for x, figure in zip(places, figures, strict=True):
        if figure:
            total += figure
            found.append((x, total))
    return found


def _bars(spans: Iterable[tuple[float, float]], row: tuple[float, float]) -> str:
    """Path data of bars; those that would touch are one."""
    merged: list[list[float]] = []
    for begin, stop in sorted(spans):
        if merged and begin - merged[-1][1] < 1.0:
            merged[-1][1] = max(merged[-1][1], stop)
        elif stop > begin:
            merged.append([begin, max(stop, begin + 0.8)])
    y, height = row
    return "".join(f"M{_n(begin)} {_n(y)}H{_n(stop)}v{_n(height)}H{_n(begin)}z" for begin, stop in merged)


def _line(points: Sequence[tuple[float, float]], row: tuple[float, float]) -> str:
    """Points of a line that reaches the top of its row at its highest; of many, the highest of each stretch."""
    highest = max((value for _, value in points), default=0.0)
    if highest <= 0:
        return ""
    y, height = row
    kept: dict[int, tuple[float, float]] = {}
    for x, value in points:
        place = int(x * MAX_POINTS / WIDTH)
        if place not in kept or value >= kept[place][1]:
            kept[place] = (x, value)
    return " ".join(f"{_n(x)},{_n(y + height * (1 - value / highest))}" for x, value in kept.values())


def _tests_line(tests: Sequence[tuple[float, Verdict]]) -> str:
    """Path data of the share of tests that pass: it holds from one run to the next."""
    y, height = TESTS
    path = ""
    for x, test in tests[-MAX_POINTS:]:
        total = (test.n_passed or 0) + (test.n_failed or 0)
        share = (test.n_passed or 0) / total if total else {"good": 1.0, "bad": 0.0}.get(test.tone)
        if share is not None:
            top = _n(y + (height - 2) * (1 - share) + 1)
            path += f"H{_n(x)}V{top}" if path else f"M{_n(x)} {top}"
    return f"{path}H{_n(WIDTH)}" if path else ""


def _ticks(places: Iterable[float], kind: str) -> str:
    """Path data of a stroke at each place: through the whole drawing for a compaction, else in the lowest row."""
    y, height = (0.0, float(HEIGHT)) if kind == "compaction" else TESTS
    kept = sorted({round(x * 2) / 2 for x in places})[: 2 * MAX_POINTS]
    return "".join(f"M{_n(x)} {_n(y)}v{_n(height)}" for x in kept)


def _slices(moments: Sequence[Moment], places: Sequence[float]) -> list[Slice]:
    """Parts of the axis, each with the steps that begin in it; together they cover it."""
    least = WIDTH / MAX_SLICES
    # The last step begins where the axis ends: it too has a place that can be clicked.
    inside = [min(x, WIDTH - least) for x in places]
    starts: list[int] = []
    for position, x in enumerate(inside):
        if not starts or int(x / least) > int(inside[starts[-1]] / least):
            starts.append(position)
    found: list[Slice] = []
    for start, stop in zip(starts, [*starts[1:], len(moments)], strict=True):
        x = inside[start] if start else 0.0
        end = inside[stop] if stop < len(moments) else WIDTH
        first, last = moments[start].position + 1, moments[stop - 1].position + 1
        label = f"Step {first:,}" if first == last else f"Steps {first:,} to {last:,}"
        found.append(Slice(round(x, 1), round(end - x, 1), label, first, last))
    return found


def _sum_known(*figures: float | None) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return sum(known) if known else None


def _n(figure: float) -> str:
    """A number as short as SVG takes it."""
    return f"{figure:.1f}".removesuffix(".0")
