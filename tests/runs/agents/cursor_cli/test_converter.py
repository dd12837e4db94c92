"""Cursor CLI's events, hand-made after their documentation, and as no agent should leave them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.agents.conversion.base import ConversionContext
from runs.agents.cursor_cli.converter import CursorCliConverter
from runs.formats.trajectory import Step, Trajectory, dump_trajectory
from runs.prices.table import list_prices
from tests.support.conversion import (
    GOLDEN,
    Figures,
    Files,
    by_line,
    check_replay,
    converted,
    cuttings,
    damaged,
    fed,
    findings_of,
    problems_of,
    results_of,
    totals_in,
    totals_of,
)

STDOUT = "cursor-cli.txt"
SCENARIOS = ["basic", "killed", "refused", "without-ids"]
TASK = "Fix add() in calculator.py."


def _files(scenario: str) -> Files:
    return {STDOUT: (GOLDEN / "cursor-cli/hand-made" / scenario / STDOUT).read_bytes()}


def _trajectory(scenario: str) -> Trajectory:
    return converted(CursorCliConverter(), _files(scenario))


def _calls(step: Step) -> list[tuple[str, dict[str, Any]]]:
    return [(call.function_name, call.arguments) for call in step.tool_calls or ()]


def _extras(step: Step) -> list[dict[str, Any] | None]:
    return [result.extra for result in step.observation.results] if step.observation else []


def test_events_with_one_model_call_id_are_one_step() -> None:
    steps = _trajectory("basic").steps
    assert [(step.source, step.message, step.reasoning_content) for step in steps] == [
        ("user", TASK, None),
        ("agent", "I'll fix the operator — déjà vu ✓.", "The add function subtracts."),
        ("agent", "", "Two checks at once."),
        ("agent", "Fixed.", "It works."),
    ]
    assert [len(_calls(step)) for step in steps] == [0, 1, 2, 0]
    assert [step.llm_call_count for step in steps] == [None, 1, 1, 1]
    assert {step.model_name for step in steps[1:]} == {"Composer 1"}
    assert steps[1].timestamp == "2026-11-21T02:14:20.020Z"


def test_calls_have_their_own_arguments_and_results_whatever_order_they_come_back_in() -> None:
    _, fix, checks, _ = _trajectory("basic").steps
    assert _calls(fix) == [("shell", {"command": "sed -i 's/a - b/a + b/' calculator.py", "workingDirectory": ""})]
    assert results_of(fix) == {"call_1\nfc_1": ""}
    assert _extras(fix) == [{"exit_code": 0, "duration_sec": 0.052}]
    assert results_of(checks) == {
        "call_2a": "E\nFAILED (errors=1)",
        "call_2b": "def add(a, b):\n    return a + b\n",
    }
    failed = {"exit_code": 1, "duration_sec": 0.18, "is_error": True, "outcome": "failure"}
    assert _extras(checks) == [failed, None]


def test_without_ids_a_new_call_begins_once_all_tools_have_answered() -> None:
    steps = _trajectory("without-ids").steps
    assert [(step.message, [name for name, _ in _calls(step)]) for step in steps[1:]] == [
        ("I'll read the file.", ["read"]),
        ("", ["edit"]),
        ("", ["todo"]),
        ("Done.", []),
    ]
    assert _calls(steps[3]) == [("todo", {"items": ["fix"]})]
    assert results_of(steps[2]) == {"t2": "the text was not found"}
    assert _extras(steps[2]) == [{"is_error": True, "outcome": "error"}]
    assert results_of(steps[3]) == {"t3": "noted"}


def test_totals_are_those_that_the_last_event_sums() -> None:
    converter = CursorCliConverter()
    trajectory = converted(converter, _files("basic"))
    whole = Figures(prompt=1622 + 16915 + 4807, cached=16915, cache_write=4807, completion=448)
    assert totals_of(converter) == whole
    assert totals_in(trajectory) == Figures(prompt=whole.prompt, cached=whole.cached, completion=whole.completion)
    assert all(step.metrics is None for step in trajectory.steps)
    assert converter.totals().cost_usd is None
    assert converter.n_llm_calls() == 3


def test_cost_is_the_clis_own_or_that_of_a_price_table() -> None:
    context = ConversionContext(model_name="anthropic/claude-opus-4-7", prices=list_prices())
    priced = CursorCliConverter(context)
    metrics = converted(priced, _files("basic")).final_metrics
    assert metrics
    assert metrics.total_cost_usd
    assert metrics.extra
    assert metrics.extra["cost_source"].startswith("prices of ")
    told = CursorCliConverter(context)
    told.feed(STDOUT, _files("basic")[STDOUT].replace(b'"subtype": "success"', b'"total_cost_usd": 0.25'))
    metrics = converted(told, {}).final_metrics
    assert metrics
    assert metrics.extra
    assert (metrics.total_cost_usd, metrics.extra["cost_source"]) == (0.25, "cursor-cli total_cost_usd")


def test_a_killed_run_keeps_the_thought_that_it_was_in() -> None:
    converter = CursorCliConverter()
    last = converted(converter, _files("killed")).steps[-1]
    assert (last.message, last.reasoning_content, last.extra) == ("", "Now I check", {"unfinished": True})
    assert not converter.is_done
    assert converter.final_error() is None


def test_a_refused_run_ends_with_the_words_that_were_printed() -> None:
    converter = CursorCliConverter()
    assert len(converted(converter, _files("refused")).steps) == 1
    assert converter.final_error() == "Error: You've hit your usage limit"


def test_a_result_that_is_an_error_is_the_final_error() -> None:
    converter = CursorCliConverter()
    converter.feed(STDOUT, _files("basic")[STDOUT].replace(b'"is_error": false', b'"is_error": true'))
    converter.close()
    assert converter.is_done
    assert str(converter.final_error()).endswith("Fixed.")


def test_a_web_search_of_the_service_is_flagged() -> None:
    data = _files("without-ids")[STDOUT].replace(b"editToolCall", b"webSearchToolCall")
    step = converted(CursorCliConverter(), {STDOUT: data}).steps[2]
    assert (step.extra, _calls(step)[0][0]) == ({"server_web_search": True}, "webSearch")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_trajectory_is_valid_and_has_no_finding_or_warning(scenario: str) -> None:
    converter = CursorCliConverter()
    trajectory = converted(converter, _files(scenario))
    assert problems_of(trajectory) == []
    assert findings_of(trajectory) == []
    assert converter.warnings == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_instruction_is_the_first_step_and_there_once(scenario: str) -> None:
    trajectory = converted(CursorCliConverter(ConversionContext(instruction=TASK)), _files(scenario))
    assert [(step.step_id, step.message) for step in trajectory.steps if step.source == "user"] == [(1, TASK)]
    without = b"".join(line for line in _files(scenario)[STDOUT].splitlines(keepends=True) if b'"user"' not in line)
    added = fed(CursorCliConverter(ConversionContext(instruction=TASK)), [(STDOUT, without)])
    assert added is None or [step.message for step in added.steps if step.source == "user"] == [TASK]


def test_the_head_of_the_session_is_told() -> None:
    trajectory = _trajectory("basic")
    assert trajectory.session_id == "5f0a6c0e-0000-4000-8000-000000000001"
    assert trajectory.agent.extra == {"cwd": "/app", "permission_mode": "default", "api_key_source": "env"}


@settings(max_examples=25, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_trajectory_does_not_depend_on_cuts(scenario: str, data: st.DataObject) -> None:
    files = _files(scenario)
    pieces = data.draw(cuttings(files))
    trajectory = check_replay(CursorCliConverter(), pieces, every=data.draw(st.integers(1, 5)))
    assert trajectory is not None
    assert dump_trajectory(trajectory) == dump_trajectory(converted(CursorCliConverter(), files))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_updates_line_by_line_replay_to_the_final_steps(scenario: str) -> None:
    assert check_replay(CursorCliConverter(), by_line(_files(scenario))) is not None


@pytest.mark.parametrize("scenario", ["basic", "without-ids"])
def test_damaged_logs_give_what_is_left_of_them(scenario: str) -> None:
    for kind, broken in damaged(_files(scenario)):
        converter = CursorCliConverter(ConversionContext(instruction=TASK))
        trajectory = check_replay(converter, broken.items())
        assert (trajectory is None) == (kind == "empty"), kind
        if trajectory:
            assert problems_of(trajectory) == [], kind


def test_logs_of_another_agent_give_nothing() -> None:
    other = b'{"type":"thread.started","thread_id":"x"}\n{"type":"turn.started"}\n[1]\n\xff\n'
    assert fed(CursorCliConverter(), [(STDOUT, other)]) is None
