"""The Antigravity SDK's events against what the scripted server really answered, in any cuts, and damaged."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runs.agents.antigravity_sdk.converter import EVENTS_LOG, AntigravitySdkConverter
from runs.agents.conversion.base import ConversionContext
from runs.formats.trajectory import Trajectory
from tests.support.conversion import (
    Figures,
    Golden,
    Said,
    by_line,
    check_replay,
    converted,
    cuttings,
    damaged,
    fed,
    findings_of,
    golden_folders,
    load_golden,
    problems_of,
    results_of,
    said_in,
    totals_in,
    totals_of,
)

FOLDERS = {folder.name: folder for folder in golden_folders("antigravity-sdk")}
INSTRUCTION = "The file /app/calculator.py has a bug: subtract. Fix it."
# What the harness calls the tools of the script.
TOOLS = {"replace_file_content": "edit_file", "invoke_subagent": "start_subagent"}
# Calls without words and thoughts leave no step: their tool calls are on one step without usage.
TOLD = [name for name in FOLDERS if name != "silent-calls"]

# A stream that was cut had told its input.
CUT_INPUT = {"cut": Figures(prompt=5821, cached=5303)}


def load(name: str) -> Golden:
    return load_golden(FOLDERS[name])


def new_converter() -> AntigravitySdkConverter:
    return AntigravitySdkConverter(ConversionContext(agent_version="0.1.9"))


def words(said: list[Said]) -> list[tuple[object, ...]]:
    """All but the ids and arguments of calls, which the harness makes anew."""
    return [
        (
            turn.text,
            turn.reasoning,
            tuple(TOOLS.get(call.name, call.name) for call in turn.calls),
            turn.figures.without_cache_write(),
        )
        for turn in said
    ]


@pytest.mark.parametrize("name", TOLD)
def test_each_step_is_what_the_server_answered(name: str) -> None:
    golden = load(name)
    converter = new_converter()
    trajectory = converted(converter, golden.files)
    assert words(said_in(trajectory)) == words(golden.said("main"))
    told = [words(golden.said("sub:inspect"))] if name == "subagent" else []
    assert [words(said_in(child)) for child in trajectory.subagent_trajectories or []] == told
    cut = CUT_INPUT.get(name, Figures())
    assert totals_in(trajectory) == golden.figures("main").without_cache_write() + cut
    assert totals_of(converter) == golden.figures("main", "sub:inspect").without_cache_write() + cut


@pytest.mark.parametrize("name", FOLDERS)
def test_the_instruction_comes_first_and_documents_are_valid(name: str) -> None:
    trajectory = converted(new_converter(), load(name).files)
    assert [step.message for step in trajectory.steps if step.source == "user"] == [INSTRUCTION]
    assert problems_of(trajectory) == []
    assert findings_of(trajectory) == []
    assert "warnings" not in (trajectory.extra or {})


@pytest.mark.parametrize("name", ["basic", "subagent"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_cutting_gives_the_same_trajectory_and_its_updates_replay(name: str, data: st.DataObject) -> None:
    files = load(name).files
    assert check_replay(new_converter(), data.draw(cuttings(files))) == converted(new_converter(), files)


@pytest.mark.parametrize("name", FOLDERS)
def test_line_by_line_gives_the_same(name: str) -> None:
    files = load(name).files
    assert check_replay(new_converter(), by_line(files)) == converted(new_converter(), files)


def test_damaged_logs_never_raise() -> None:
    for damage, files in damaged(load("basic").files):
        trajectory = fed(new_converter(), files.items())
        assert trajectory is None or problems_of(trajectory) == [], damage


def test_the_log_of_another_agent_gives_nothing() -> None:
    assert fed(new_converter(), [(EVENTS_LOG, b'{"type":"thread.started"}\n{"type":"step","step":[]}\n')]) is None


def test_results_are_told_from_arguments() -> None:
    trajectory = converted(new_converter(), load("basic").files)
    step = next(step for step in trajectory.steps if step.message == "Now I run the tests.")
    assert step.tool_calls is not None
    assert set(step.tool_calls[0].arguments) == {"command_line", "working_dir"}
    assert step.observation is not None
    assert "FAILED (errors=1)" in str(next(iter(results_of(step).values())))
    assert (step.observation.results[0].extra or {})["exit_code"] == 1


def test_a_call_refers_to_the_subagent_that_it_started() -> None:
    trajectory = converted(new_converter(), load("subagent").files)
    refs = [
        ref.trajectory_id
        for step in trajectory.steps
        for result in (step.observation.results if step.observation else [])
        for ref in result.subagent_trajectory_ref or []
    ]
    assert refs == [child.trajectory_id for child in trajectory.subagent_trajectories or []]
    assert len(refs) == 1


def test_silent_calls_keep_their_tool_calls_without_made_up_usage() -> None:
    trajectory = converted(new_converter(), load("silent-calls").files)
    assert [len(step.tool_calls or []) for step in trajectory.steps] == [0, 2, 0]
    assert trajectory.steps[1].metrics is None


def test_a_recovered_error_is_a_step_and_no_failure() -> None:
    converter = new_converter()
    trajectory = converted(converter, load("retry").files)
    error = trajectory.steps[1]
    assert (error.source, error.extra) == ("system", {"is_error": True, "http_code": 503})
    assert converter.final_error() is None
    assert converter.is_done


def test_a_refused_key_is_the_final_error() -> None:
    converter = new_converter()
    converted(converter, load("auth").files)
    assert "401" in (converter.final_error() or "")
    assert not converter.is_done


def test_a_turn_that_was_killed_is_kept_and_unfinished() -> None:
    lines = load("basic").files[EVENTS_LOG].splitlines(keepends=True)
    trajectory = fed(new_converter(), [(EVENTS_LOG, b"".join(lines[:3]))])
    assert trajectory is not None
    assert trajectory.steps[-1].extra == {"unfinished": True}
    assert trajectory.steps[-1].metrics is None


def test_a_cut_stream_is_unfinished_and_its_output_unknown() -> None:
    converter = new_converter()
    step = converted(converter, load("cut").files).steps[-2]
    assert (step.message, step.extra) == ("The operands of subtract are", {"unfinished": True})
    assert step.metrics is not None
    assert step.metrics.completion_tokens is None
    assert "invalid stream chunk" in (converter.final_error() or "")


def made_by_hand(**step: object) -> Trajectory:
    """Events after the SDK's documentation, for what could not be recorded."""
    first = {"id": "t:0", "type": "TEXT_RESPONSE", "source": "USER", "status": "DONE", "content": "Do it."}
    events = [{"type": "step", "at": "2026-11-21T07:00:00.000Z", "step": content} for content in (first, step)]
    text = "".join(json.dumps(event) + "\n" for event in events)
    return converted(new_converter(), {EVENTS_LOG: text.encode()})


def test_a_compaction_is_a_step() -> None:
    trajectory = made_by_hand(id="t:1", type="COMPACTION", source="SYSTEM", status="DONE", content="Summary.")
    assert trajectory.steps[1].extra == {"context_management": {"type": "compaction"}}
    assert trajectory.final_metrics is not None
    assert (trajectory.final_metrics.extra or {})["summarization_count"] == 1


def test_a_web_search_is_flagged_and_a_failed_call_says_so() -> None:
    call = {"name": "search_web", "id": "t:1", "args": {"query": "x"}}
    trajectory = made_by_hand(
        id="t:1", type="TOOL_CALL", source="MODEL", status="ERROR", error="refused", tool_calls=[call]
    )
    step = trajectory.steps[1]
    assert step.extra == {"server_web_search": True}
    assert step.observation is not None
    assert step.observation.results[0].content == "refused"
    assert step.observation.results[0].extra == {"is_error": True}
