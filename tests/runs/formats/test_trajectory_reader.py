"""Lenient ATIF: every deviation that real writers have is read, noted and kept raw."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.errors import TrajectoryInvalid
from runs.formats.trajectory_reader import ReadTrajectory, read_trajectory, totals
from tests.runs.formats.test_trajectory import JSON, PLACES, VALID, changed


def read(*steps: Any, **header: Any) -> ReadTrajectory:
    """A trajectory of these steps, numbered, by the agent unless a step says otherwise."""
    numbered = [{"step_id": i, "source": "agent", "message": "", **step} for i, step in enumerate(steps, start=1)]
    agent = {"name": "a", "version": "1"}
    return read_trajectory({"schema_version": "ATIF-v1.7", "agent": agent, "steps": numbered, **header})


def call(identifier: str, **more: Any) -> dict[str, Any]:
    return {"tool_call_id": identifier, "function_name": "bash", "arguments": {}, **more}


def results(*contents: str, **more: Any) -> dict[str, Any]:
    return {"results": [{"content": content, **more} for content in contents]}


def test_a_valid_document_is_read_without_a_word() -> None:
    trajectory = read_trajectory(VALID)
    assert (trajectory.valid, trajectory.errors, trajectory.warnings) == (True, [], [])
    user, agent, system = trajectory.steps
    assert [step.index for step in trajectory.steps] == [0, 1, 2]
    assert (user.source, user.message, user.at) == ("user", "Do it", datetime(2026, 8, 21, 12, tzinfo=UTC))
    assert (agent.message, agent.images, agent.reasoning, agent.prompt_tokens) == ("a", ["i.png"], "why", 5)
    assert (agent.tool_calls[0].name, agent.tool_calls[0].arguments["command"], agent.tool_calls[0].result) == (
        "bash",
        "ls",
        "x",
    )
    assert agent.observations == []
    assert system.raw is VALID["steps"][2]
    assert [subagent.agent_name for subagent in trajectory.subagents] == ["sub"]


@pytest.mark.parametrize(
    ("arguments", "expected", "text"),
    [
        ({"a": 1}, {"a": 1}, None),
        ('{"a": 1}', {"a": 1}, None),
        ("ls -l", {}, "ls -l"),
        ("[1]", {}, "[1]"),
        ([1], {}, "[1]"),
        (None, {}, None),
        ("[" * 100_000, {}, "[" * 100_000),
    ],
)
def test_arguments_are_an_object_or_text(arguments: Any, expected: dict[str, Any], text: str | None) -> None:
    trajectory = read({"tool_calls": [call("c", arguments=arguments)]})
    found = trajectory.steps[0].tool_calls[0]
    assert (found.arguments, found.arguments_text) == (expected, text)
    assert trajectory.valid == isinstance(arguments, dict)
    assert bool(trajectory.warnings) != isinstance(arguments, dict)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (None, ""),
        ("", ""),
        ([], ""),
        ([{"type": "text", "text": "a"}, "b", None, {"type": "text", "text": "c"}], "a\nb\nc"),
        ({"type": "text", "text": "a"}, "a"),
        ([{"type": "thing", "x": 1}], '{"type": "thing", "x": 1}'),
        (7, "7"),
        ("nul\0 and \ud800", "nul\ufffd and \ufffd"),
    ],
)
def test_messages_become_text(message: Any, text: str) -> None:
    assert read({"message": message}).steps[0].message == text


def test_results_join_their_calls_by_id_in_any_order() -> None:
    observation = {"results": [{"source_call_id": "b", "content": "2"}, {"source_call_id": "a", "content": "1"}]}
    step = read({"tool_calls": [call("a"), call("b")], "observation": observation}).steps[0]
    assert [found.result for found in step.tool_calls] == ["1", "2"]
    assert step.observations == []


def test_results_in_later_steps_join_their_calls_and_say_so() -> None:
    trajectory = read(
        {"tool_calls": [call("a"), call("b")]},
        {"observation": results("1", source_call_id="a")},
        {"observation": results("2"), "extra": {"toolCallId": "b"}},
    )
    assert [found.result for found in trajectory.steps[0].tool_calls] == ["1", "2"]
    assert [step.answers for step in trajectory.steps] == [[], ["a"], ["b"]]
    assert all(step.observations == [] for step in trajectory.steps)
    assert trajectory.warnings == ["step 2: a result stands in a later step than its call (and 1 more)"]


def test_results_without_ids_join_by_position_where_the_counts_agree() -> None:
    same = read({"tool_calls": [call("a"), call("b")], "observation": results("1", "2")}).steps[0]
    assert [found.result for found in same.tool_calls] == ["1", "2"]
    several = read({"tool_calls": [call("a")], "observation": results("1", "2")}).steps[0]
    assert several.tool_calls[0].result == "1\n2"
    later = read({"tool_calls": [call("a"), call("b")]}, {"observation": results("1")}, {"observation": results("2")})
    assert [found.result for found in later.steps[0].tool_calls] == ["1", "2"]


def test_one_result_for_several_calls_stays_the_steps_own() -> None:
    step = read({"tool_calls": [call("a"), call("b")], "observation": results("both")}).steps[0]
    assert [found.result for found in step.tool_calls] == [None, None]
    assert [observation.text for observation in step.observations] == ["both"]


def test_a_result_of_a_call_that_never_was_is_kept() -> None:
    trajectory = read({"tool_calls": [call("a")], "observation": results("x", source_call_id="z")})
    assert trajectory.steps[0].observations[0].source_call_id == "z"
    assert trajectory.steps[0].tool_calls[0].result is None
    assert not trajectory.valid
    assert trajectory.warnings == ["step 1: a result names a call that doesn't exist"]


@pytest.mark.parametrize(
    ("extra", "is_error"),
    [
        ({"is_error": True}, True),
        ({"isError": False}, False),
        ({"exit_code": 2}, True),
        ({"exit_code": 0}, False),
        ({}, None),
        ({"status": "error"}, True),
    ],
)
def test_what_a_writer_says_of_success_is_kept(extra: dict[str, Any], is_error: bool | None) -> None:
    step = read({"tool_calls": [call("a")], "observation": results("x", source_call_id="a", extra=extra)}).steps[0]
    assert step.tool_calls[0].is_error is is_error


def test_subagent_references_go_with_their_result() -> None:
    ref = {"trajectory_id": "t", "trajectory_path": "sub.json", "session_id": "s"}
    step = read(
        {"tool_calls": [call("a")], "observation": results("x", source_call_id="a", subagent_trajectory_ref=[ref])}
    ).steps[0]
    found = step.tool_calls[0].subagents[0]
    assert (found.trajectory_id, found.trajectory_path, found.session_id) == ("t", "sub.json", "s")


@pytest.mark.parametrize(
    ("timestamp", "at"),
    [
        ("2026-08-21T12:00:00", datetime(2026, 8, 21, 12, tzinfo=UTC)),
        ("2026-08-21T14:00:00+02:00", datetime(2026, 8, 21, 12, tzinfo=UTC)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1_787_313_600_000, datetime(2026, 8, 21, 12, tzinfo=UTC)),
        ("yesterday", None),
        ("0001-01-01T00:00:00+23:00", None),
        (1e300, None),
        (True, None),
        ([], None),
        (None, None),
    ],
)
def test_timestamps_become_aware_instants_or_nothing(timestamp: Any, at: datetime | None) -> None:
    trajectory = read({"timestamp": timestamp})
    assert trajectory.steps[0].at == at
    assert bool(trajectory.warnings) == (timestamp is not None and at is None)


@pytest.mark.parametrize("value", ["5", True, -1, float("nan"), 1e300, 10**400, [], None])
def test_counts_that_are_none_are_unknown(value: Any) -> None:
    step = read({"metrics": {"prompt_tokens": value, "cost_usd": value if isinstance(value, str) else None}}).steps[0]
    assert (step.prompt_tokens, step.cost_usd) == (None, None)


def test_unknown_keys_versions_and_sources_are_read_and_noted() -> None:
    trajectory = read({"novelty": 1}, {"source": "tool"}, schema_version="ATIF-v1.9", agent={"name": "a", "api": "x"})
    assert not trajectory.valid
    assert trajectory.steps[0].raw["novelty"] == 1
    assert trajectory.steps[1].source == "system"
    assert trajectory.agent["api"] == "x"
    assert any("newer than this reader" in warning for warning in trajectory.warnings)


@pytest.mark.parametrize(
    "data",
    [
        None,
        1,
        [],
        "x",
        {},
        {"steps": []},
        {"messages": [], "trajectory_format": "mini-swe-agent-1"},
        {"schema_version": "2", "steps": []},
        {"schema_version": "ATIF-v1.7", "steps": {}},
    ],
)
def test_what_is_no_atif_is_refused(data: Any) -> None:
    with pytest.raises(TrajectoryInvalid, match="not an ATIF trajectory"):
        read_trajectory(data)


def test_a_document_without_steps_is_still_shown() -> None:
    trajectory = read()
    assert (trajectory.steps, trajectory.valid, trajectory.warnings) == ([], False, ["the document has no steps"])


def test_totals_leave_out_copied_context_and_keep_unknown_unknown() -> None:
    trajectory = read(
        {"metrics": {"prompt_tokens": 100, "cost_usd": 1.0}, "is_copied_context": True},
        {"metrics": {"prompt_tokens": 10, "completion_tokens": 2, "cost_usd": 0.5}},
        {"metrics": {"prompt_tokens": 30}, "source": "agent"},
        {"source": "system", "extra": {"context_management": {"type": "compaction"}}},
    )
    found = totals(trajectory)
    assert (found.prompt_tokens, found.completion_tokens, found.cached_tokens, found.cost_usd) == (40, 2, None, 0.5)
    assert (found.peak_context_tokens, found.summarization_count, found.n_agent_steps) == (30, 1, 2)


def test_totals_prefer_the_documents_own() -> None:
    final = {
        "total_prompt_tokens": 7,
        "total_cost_usd": 0,
        "extra": {"peak_context_tokens": 5, "summarization_count": 0},
    }
    found = totals(
        read({"metrics": {"prompt_tokens": 1, "completion_tokens": 2, "cost_usd": 9.0}}, final_metrics=final)
    )
    assert (found.prompt_tokens, found.completion_tokens, found.cost_usd) == (7, 2, 0.0)
    assert (found.peak_context_tokens, found.summarization_count) == (5, 0)


def test_the_cost_includes_embedded_subagents() -> None:
    subagent = {
        "agent": {"name": "s", "version": "1"},
        "trajectory_id": "t",
        "steps": [{"step_id": 1, "source": "agent", "message": "", "metrics": {"cost_usd": 0.25, "prompt_tokens": 9}}],
    }
    found = totals(read({"metrics": {"cost_usd": 0.5, "prompt_tokens": 1}}, subagent_trajectories=[subagent]))
    assert (found.cost_usd, found.prompt_tokens) == (0.75, 1)


def test_subagents_without_end_are_cut() -> None:
    document: dict[str, Any] = {
        "agent": {"name": "s", "version": "1"},
        "steps": [{"step_id": 1, "source": "user", "message": ""}],
    }
    for number in range(60):
        document = {**document, "trajectory_id": str(number), "subagent_trajectories": [document]}
    depth, trajectory = 0, read_trajectory(document)
    while trajectory.subagents:
        depth, trajectory = depth + 1, trajectory.subagents[0]
    assert depth == 20
    assert any("deeper than 20" in warning for warning in trajectory.warnings)


def test_ten_thousand_steps_and_a_hundred_thousand_results_are_read_in_seconds() -> None:
    steps = [
        {"step_id": i + 1, "tool_calls": [call(f"c{i}")], "observation": results("x" * 500, source_call_id=f"c{i}")}
        for i in range(10_000)
    ]
    started = time.monotonic()
    trajectory = read(*steps, {"tool_calls": [call("z")], "observation": results(*["y"] * 100_000)})
    assert time.monotonic() - started < 10
    assert len(trajectory.steps[-1].tool_calls[0].results) == 100_000
    assert trajectory.valid


@given(
    st.sampled_from(
        [*PLACES, "steps/1/observation/results/0/extra", "steps/0/timestamp", "steps/1/tool_calls/0/arguments"]
    ),
    JSON,
)
def test_any_change_is_read_or_refused(path: str, value: Any) -> None:
    try:
        trajectory = read_trajectory(changed(path, value))
    except TrajectoryInvalid:
        return
    totals(trajectory)
    json.dumps([step.message for step in trajectory.steps], ensure_ascii=False).encode()


@given(JSON)
def test_any_value_is_read_or_refused(value: Any) -> None:
    with pytest.raises(TrajectoryInvalid):
        read_trajectory(value)
