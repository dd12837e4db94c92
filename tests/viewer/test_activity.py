import re
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from viewer.activity import GAP_SEC, MAX_SLICES, WIDTH, Moment, Verdict, activity_of

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


SECONDS = st.one_of(st.none(), st.floats(-1e6, 1e7))


@given(st.lists(st.tuples(SECONDS, st.floats(0, 1e6), st.integers(0, 10**15)), max_size=60), st.booleans())
def test_no_clock_and_no_figure_draws_outside(rows: list[tuple[float | None, float, int]], by_clock: bool) -> None:
    moments = [moment(n, s, model_sec=sec, tool_sec=sec, prompt_tokens=big) for n, (s, sec, big) in enumerate(rows)]
    found = activity_of(moments, [], {"error": list(range(len(rows)))}, by_clock=by_clock)
    if found is None:
        return
    for path in (found.model, found.tool, found.either, found.context, found.tokens, *found.ticks.values()):
        assert all(0 <= number <= WIDTH + 1 for number in numbers(path))
    assert len(found.slices) <= MAX_SLICES
    assert found.slices[0].first == 1
    assert found.slices[-1].last == len(rows)
    assert all(part.width >= 0.1 and 0 <= part.x <= WIDTH - 5 for part in found.slices)
