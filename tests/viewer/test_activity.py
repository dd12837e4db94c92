import re
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from viewer.activity import MAX_LANE_SLICES, MAX_SLICES, Thread, Verdict, activity_of
from viewer.timeline import GAP_SEC, WIDTH, Moment

START = datetime(2026, 11, 20, 8, tzinfo=UTC)


def moment(position: int, second: float | None, **figures: float) -> Moment:
    at = None if second is None else START + timedelta(seconds=second)
    known = {"n_tool_calls": 0, "prompt_tokens": None, "completion_tokens": None, "cost_usd": None}
    return Moment(position, at, "agent", **{**known, "model_sec": None, "tool_sec": None, **figures})  # type: ignore[arg-type]


def numbers(path: str) -> list[float]:
    return [float(figure) for figure in re.findall(r"-?[\d.]+", path)]


def test_the_model_and_its_tools_are_busy_in_turn() -> None:
    moments = [moment(0, 0), moment(1, 10, model_sec=10, tool_sec=5, n_tool_calls=1), moment(2, 20, model_sec=5)]
    found = activity_of(moments, [], {}, by_clock=True)
    assert found
    assert found.model == "M0 2H500v8H0zM750 2H1000v8H750z"
    assert found.tool == "M500 12H750v8H500z"
    assert (found.model_sec, found.tool_sec, found.either) == (15, 5, "")


def test_without_told_times_the_time_is_the_models_or_its_tools() -> None:
    found = activity_of([moment(0, 0), moment(1, 10, n_tool_calls=1), moment(2, 20)], [], {}, by_clock=True)
    assert found
    assert found.model == "M0 2H500v8H0z"
    assert found.either == "M500 2H1000v18H500z"


def test_a_long_idle_stretch_is_cut_out() -> None:
    idle = 10 * GAP_SEC
    moments = [moment(0, 0), moment(1, 10, model_sec=10), moment(2, 20 + idle, model_sec=10)]
    found = activity_of(moments, [], {}, by_clock=True)
    assert found
    (gap,) = found.gaps
    assert gap.width < WIDTH / 20
    assert gap.label == f"{idle:.0f}"
    assert numbers(found.model)[-1] > gap.x


def test_without_times_the_axis_counts_steps() -> None:
    found = activity_of([moment(n, None) for n in range(4)], [], {}, by_clock=True)
    assert found
    assert not found.is_clock
    assert [(part.first, part.x) for part in found.slices] == [(1, 0), (2, 250), (3, 500), (4, 750)]


def test_tests_passing_are_a_line_that_holds_between_runs() -> None:
    tests = [Verdict(1, "bad", 1, 1), Verdict(3, "good", 2, 0)]
    found = activity_of([moment(n, n) for n in range(4)], tests, {"failed": [1]}, by_clock=False)
    assert found
    assert found.tests == "M250 117H750V107H1000"
    assert found.ticks["failed"].startswith("M250 ")


def test_figures_run_up_to_their_totals() -> None:
    moments = [moment(n, n, prompt_tokens=100 * n, completion_tokens=10, cost_usd=0.5) for n in range(3)]
    found = activity_of(moments, [], {}, by_clock=False)
    assert found
    assert (found.peak_context_tokens, found.total_tokens, found.total_cost_usd) == (200, 330, 1.5)


def thread(label: str, *moments: Moment) -> Thread:
    return Thread(7, label, moments)


def test_sub_agents_have_lanes_on_the_same_axis_in_the_order_in_which_they_began() -> None:
    moments = [moment(0, 0), moment(1, 10, model_sec=10, n_tool_calls=1, tool_sec=80), moment(2, 100, model_sec=10)]
    late = thread("late", moment(0, 60), moment(1, 80, model_sec=20))
    early = thread("early", moment(0, 20), moment(1, 30, model_sec=10, n_tool_calls=1, tool_sec=20), moment(2, 60))
    found = activity_of(moments, [], {}, by_clock=True, threads=[late, early])
    assert found
    assert [lane.label for lane in found.lanes] == ["early", "late"]
    first, second = found.lanes
    assert (first.model, first.tool) == ("M200 1H300v5H200zM500 1H600v5H500z", "M300 8H500v5H300z")
    assert second.model == "M600 1H800v5H600z"
    assert (first.n_steps, first.duration_sec, first.slices[0].first, first.slices[-1].last) == (3, 40, 1, 3)
    # By steps, a lane is between the steps during which it ran.
    by_steps = activity_of(moments, [], {}, by_clock=False, threads=[late])
    assert by_steps
    assert 333 < numbers(by_steps.lanes[0].model)[0] < numbers(by_steps.lanes[0].model)[2] < 667


def test_a_stretch_in_which_a_sub_agent_worked_is_not_cut_out() -> None:
    hour = 3_600.0
    moments = [moment(0, 0), moment(1, 10, model_sec=10), moment(2, hour, model_sec=10)]
    alone = activity_of(moments, [], {}, by_clock=True)
    together = activity_of(
        moments, [], {}, by_clock=True, threads=[thread("x", moment(0, 20), moment(1, 3_580, model_sec=3_560))]
    )
    assert alone
    assert together
    assert (len(alone.gaps), len(together.gaps)) == (1, 0)


def test_without_times_there_are_no_lanes() -> None:
    found = activity_of([moment(0, None), moment(1, None)], [], {}, by_clock=True, threads=[thread("x", moment(0, 1))])
    assert found
    assert found.lanes == []


SECONDS = st.one_of(st.none(), st.floats(-1e6, 1e7))


@given(st.lists(st.tuples(SECONDS, st.floats(0, 1e6), st.integers(0, 10**15)), max_size=60), st.booleans())
def test_no_clock_and_no_figure_draws_outside(rows: list[tuple[float | None, float, int]], by_clock: bool) -> None:
    moments = [moment(n, s, model_sec=sec, tool_sec=sec, prompt_tokens=big) for n, (s, sec, big) in enumerate(rows)]
    threads = [Thread(1, "x", moments[half:]) for half in (0, len(moments) // 2) if moments[half:]]
    found = activity_of(moments, [], {"error": list(range(len(rows)))}, by_clock=by_clock, threads=threads)
    if found is None:
        return
    for lane in found.lanes:
        assert all(0 <= number <= WIDTH + 1 for path in (lane.model, lane.tool) for number in numbers(path))
        assert len(lane.slices) <= MAX_LANE_SLICES
    for path in (found.model, found.tool, found.either, found.context, found.tokens, *found.ticks.values()):
        assert all(0 <= number <= WIDTH + 1 for number in numbers(path))
    assert len(found.slices) <= MAX_SLICES
    assert found.slices[0].first == 1
    assert found.slices[-1].last == len(rows)
    assert all(part.width >= 0.1 and 0 <= part.x <= WIDTH - 5 for part in found.slices)
