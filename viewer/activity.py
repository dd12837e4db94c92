"""The activity of a trajectory and its sub-agents on one axis, as the geometry of SVGs: numbers and path data alone."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from viewer.timeline import WIDTH, Busy, Clock, Moment, Spans, between_steps, busy_in, seconds_from, start_of

# Rows of the drawing, top to bottom, as (y, height) in its units.
MODEL, TOOL, CONTEXT, TOTALS, TESTS = (2.0, 8.0), (12.0, 8.0), (26.0, 34.0), (66.0, 34.0), (106.0, 22.0)
HEIGHT = 130
# The same of the drawing of a lane.
LANE_MODEL, LANE_TOOL, LANE_EITHER = (1.0, 5.0), (8.0, 5.0), (1.0, 12.0)
LANE_HEIGHT = 14
MAX_POINTS = 250
MAX_SLICES = 100
MAX_LANE_SLICES = 20


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
class Thread:
    """A sub-agent's run, to be drawn as a lane."""

    trajectory_pk: int
    label: str
    moments: Sequence[Moment]


@dataclass(frozen=True, slots=True)
class Lane:
    """What the template draws of a sub-agent, on the axis of the trajectory that it worked for."""

    trajectory_pk: int
    label: str
    n_steps: int
    duration_sec: float
    model: str
    tool: str
    either: str
    slices: list[Slice]
    height: int = LANE_HEIGHT


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
    lanes: list[Lane]
    height: int = HEIGHT


def activity_of(
    moments: Sequence[Moment],
    tests: Sequence[Verdict],
    ticks: dict[str, list[int]],
    *,
    by_clock: bool,
    threads: Sequence[Thread] = (),
) -> Activity | None:
    """The drawing; by steps where no times are known. `ticks` are indexes of steps by kind. None below two steps."""
    if len(moments) < 2:
        return None
    runs = _runs(moments, threads)
    clock = Clock.of(moments, [run.busy.all() for run in runs]) if by_clock else None
    places = [clock.x(second) for second in clock.seconds] if clock else _evenly(len(moments))
    at = dict(zip((moment.position for moment in moments), places, strict=True))
    busy = _placed(clock.busy, clock.x) if clock else _step_strips(moments, places)
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
        slices=_slices(moments, places, MAX_SLICES),
        peak_context_tokens=max((tokens for _, tokens in context), default=None),
        total_tokens=round(tokens[-1][1]) if tokens else None,
        total_cost_usd=cost[-1][1] if cost else None,
        model_sec=_sum_known(*(moment.model_sec for moment in moments)),
        tool_sec=_sum_known(*(moment.tool_sec for moment in moments)),
        lanes=_lanes(runs, clock.x if clock else _by_steps(moments, places)),
    )  # fmt: skip


@dataclass(slots=True)
class _Run:
    """A thread on the clock of the trajectory that it worked for."""

    thread: Thread
    seconds: list[float]
    busy: Busy


def _runs(moments: Sequence[Moment], threads: Sequence[Thread]) -> list[_Run]:
    """The threads in the order in which they began; without times none has a place."""
    start = start_of(moments)
    if start is None:
        return []
    timed = [(thread, seconds_from(start, thread.moments)) for thread in threads if start_of(thread.moments)]
    runs = [_Run(thread, seconds, busy_in(thread.moments, seconds)) for thread, seconds in timed]
    return sorted(runs, key=lambda run: run.seconds[0])


def _by_steps(moments: Sequence[Moment], places: Sequence[float]) -> Callable[[float], float]:
    start = start_of(moments)
    seconds = seconds_from(start, moments) if start else [0.0] * len(moments)
    return lambda second: between_steps(seconds, places, second)


def _lanes(runs: Sequence[_Run], x: Callable[[float], float]) -> list[Lane]:
    lanes: list[Lane] = []
    for run in runs:
        busy = _placed(run.busy, x)
        lanes.append(
            Lane(
                trajectory_pk=run.thread.trajectory_pk,
                label=run.thread.label,
                n_steps=len(run.thread.moments),
                duration_sec=run.seconds[-1] - run.seconds[0],
                model=_bars(busy.model, LANE_MODEL),
                tool=_bars(busy.tool, LANE_TOOL),
                either=_bars(busy.either, LANE_EITHER),
                slices=_slices(run.thread.moments, [x(second) for second in run.seconds], MAX_LANE_SLICES),
            )
        )
    return lanes


def _placed(busy: Busy, x: Callable[[float], float]) -> Busy:
    def drawn(spans: Spans) -> Spans:
        return [(x(begin), x(stop)) for begin, stop in spans]

    return Busy(drawn(busy.model), drawn(busy.tool), drawn(busy.either))


def _step_strips(moments: Sequence[Moment], places: Sequence[float]) -> Busy:
    """By steps the strips say which steps were of the model and which called tools."""
    width = WIDTH / len(moments)
    busy = Busy()
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


def _slices(moments: Sequence[Moment], places: Sequence[float], most: int) -> list[Slice]:
    """At most so many parts of the axis, each with the steps that begin in it; together they cover it."""
    least = WIDTH / most
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
