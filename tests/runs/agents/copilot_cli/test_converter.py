"""Copilot CLI's logs against what the scripted server answered, and as no agent should leave them."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.agents.conversion.base import ConversionContext
from runs.agents.copilot_cli.converter import CopilotCliConverter
from runs.formats.trajectory import Step, Trajectory, dump_trajectory
from tests.support.conversion import (
    Files,
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
    is_whole_call,
    load_golden,
    problems_of,
    results_of,
    said_in,
    totals_in,
    totals_of,
)

FOLDERS = {folder.name: folder for folder in golden_folders("copilot-cli")}
SCENARIOS = sorted(FOLDERS)
TASK = (
    "The file /app/calculator.py has a bug: add(a, b) returns the wrong value. Fix it so that add(2, 3) returns 5. "
    "Do not change the tests."
)
EVENTS = "copilot/session-state/a/events.jsonl"
STDOUT = "copilot-cli.txt"


def _golden(scenario: str) -> Golden:
    return load_golden(FOLDERS[scenario])


def _trajectory(scenario: str) -> Trajectory:
    return converted(CopilotCliConverter(), _golden(scenario).files)


def _as_told(golden: Golden, *threads: str) -> list[Said]:
    """OpenAI's APIs do not tell what was written to a cache; Anthropic's does, and the server's ids had a prefix."""
    said = golden.said(*threads)
    if golden.truth["api"] == "anthropic":
        return [replace(one, calls=tuple(replace(call, id=f"toolu_{call.id}") for call in one.calls)) for one in said]
    return [replace(one, figures=one.figures.without_cache_write()) for one in said]


def _turns(trajectory: Trajectory) -> Trajectory:
    """Without the steps of compactions, whose calls the log has in other words."""
    steps = [step for step in trajectory.steps if not (step.extra or {}).get("context_management")]
    return trajectory.model_copy(update={"steps": steps})


def _sub_threads(golden: Golden) -> list[str]:
    return sorted({call["thread"] for call in golden.truth["calls"]} - {"main", "compact", "side"})


def _children(trajectory: Trajectory) -> list[Trajectory]:
    return list(trajectory.subagent_trajectories or ())


def _extras(steps: list[Step], name: str) -> list[Any]:
    return [(step.extra or {}).get(name) for step in steps]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_call_of_the_main_thread_is_one_step_that_equals_what_the_server_gave(scenario: str) -> None:
    golden = _golden(scenario)
    trajectory = converted(CopilotCliConverter(), golden.files)
    turns = _turns(trajectory)
    assert said_in(turns) == _as_told(golden, "main")
    assert all(step.llm_call_count == 1 for step in turns.steps if step.source == "agent")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_totals_are_those_of_the_server(scenario: str) -> None:
    golden = _golden(scenario)
    converter = CopilotCliConverter()
    trajectory = converted(converter, golden.files)
    # The log does not tell how much of a compaction's output was reasoning.
    unknown = golden.figures("compact").reasoning
    expected = [golden.figures("main", "compact"), golden.figures("main", "compact", *_sub_threads(golden))]
    if golden.truth["api"] != "anthropic":
        expected = [figures.without_cache_write() for figures in expected]
    expected = [replace(figures, reasoning=figures.reasoning - unknown) for figures in expected]
    assert [totals_in(trajectory), totals_of(converter)] == expected
    n_unfinished = sum(bool((step.extra or {}).get("unfinished")) for step in trajectory.steps)
    n_whole = golden.n_calls("main", "compact", *_sub_threads(golden))
    assert converter.totals().n_calls == n_whole + n_unfinished


@pytest.mark.parametrize("scenario", ["subagent", "subagents"])
def test_sub_agents_are_trajectories_of_their_own_that_the_calls_refer_to(scenario: str) -> None:
    golden = _golden(scenario)
    trajectory = converted(CopilotCliConverter(), golden.files)
    children = _children(trajectory)
    given_by_thread = [_as_told(golden, thread) for thread in _sub_threads(golden)]
    assert sorted((said_in(child) for child in children), key=repr) == sorted(given_by_thread, key=repr)
    assert [child.steps[0].source for child in children] == ["user"] * len(children)
    references = [
        (call.function_name, reference.trajectory_id)
        for step in trajectory.steps
        for call in step.tool_calls or ()
        for result in (step.observation.results if step.observation else ())
        if result.source_call_id == call.tool_call_id
        for reference in result.subagent_trajectory_ref or ()
    ]
    assert references == [("task", child.trajectory_id) for child in children]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_trajectory_is_valid_and_has_no_finding_or_warning(scenario: str) -> None:
    converter = CopilotCliConverter()
    trajectory = converted(converter, _golden(scenario).files)
    assert problems_of(trajectory) == []
    assert findings_of(trajectory) == []
    assert converter.warnings == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_instruction_is_the_first_step_and_there_once(scenario: str) -> None:
    golden = _golden(scenario)
    task = golden.run.get("instruction", TASK)
    trajectory = converted(CopilotCliConverter(ConversionContext(instruction=task)), golden.files)
    assert [(step.step_id, step.message) for step in trajectory.steps if step.source == "user"] == [(1, task)]


def test_a_compaction_is_a_step_with_the_models_summary_and_its_tokens() -> None:
    golden = _golden("compact")
    trajectory = converted(CopilotCliConverter(), golden.files)
    (step,) = (step for step in trajectory.steps if (step.extra or {}).get("context_management"))
    (told,) = _as_told(golden, "compact")
    (found,) = said_in(trajectory.model_copy(update={"steps": [step]}))
    assert found == replace(told, reasoning="", figures=replace(told.figures, reasoning=0))
    assert step.extra == {
        "context_management": {
            "type": "compaction",
            "trigger": "threshold",
            "tokens_before": 11230,
            "tokens_after": 10861,
        }
    }
    assert trajectory.final_metrics
    assert trajectory.final_metrics.extra
    assert trajectory.final_metrics.extra["summarization_count"] == 1
    assert trajectory.final_metrics.extra["peak_context_tokens"] == 186_000


def test_a_compaction_of_several_calls_counts_as_so_many() -> None:
    golden = _golden("fatal")
    (step,) = (step for step in _trajectory("fatal").steps if (step.extra or {}).get("context_management"))
    assert step.llm_call_count == golden.n_calls("compact") == 4
    assert step.message == golden.said("compact")[-1].text


@pytest.mark.parametrize(
    ("scenario", "words", "errors"),
    [
        ("auth", "Authentication failed with provider at ", ["401 invalid api key"] * 3),
        (
            "fatal",
            "Failed to get response from the AI model; retried 5 times",
            ["400 prompt is too long: 208310 tokens > 200000 maximum"] * 6,
        ),
    ],
)
def test_a_failed_end_is_the_last_step_in_the_words_of_the_log(scenario: str, words: str, errors: list[str]) -> None:
    golden = _golden(scenario)
    converter = CopilotCliConverter()
    last = converted(converter, golden.files).steps[-1]
    assert (last.source, last.extra and last.extra["is_error"]) == ("system", True)
    assert str(last.message).startswith(words)
    assert last.extra
    assert last.extra["api_errors"] == errors
    assert converter.is_done
    assert converter.final_error() == last.message
    assert converter.n_llm_calls() == len(golden.truth["calls"]), "failed ones included"


def test_errors_that_were_retried_stand_with_the_step_that_came_of_it() -> None:
    golden = _golden("retry")
    converter = CopilotCliConverter()
    trajectory = converted(converter, golden.files)
    assert _extras(trajectory.steps, "api_errors") == [
        None,
        ["503 The model is overloaded. Please try again later."],
        ["500 Internal server error"],
        None,
        ["Response was interrupted due to a server error. Retrying..."],
    ]
    (cut,) = golden.said("main", statuses=["stream-dropped-midway"])
    ((kept,),) = [kept for kept in _extras(trajectory.steps, "interrupted_answers") if kept]
    assert kept["reasoning"] == cut.reasoning
    assert cut.text.startswith(kept["message"])
    assert converter.final_error() is None
    assert converter.n_llm_calls() == len(golden.truth["calls"])


def test_an_answer_whose_connection_broke_keeps_what_had_come() -> None:
    trajectory = _trajectory("cut")
    (kept,) = [kept for kept in _extras(trajectory.steps, "interrupted_answers") if kept]
    assert kept == [
        {
            "message": "At last averag",
            "reasoning": "average skips the first value, and must refuse an empty list.",
        }
    ]
    ((words,),) = [errors for errors in _extras(trajectory.steps, "api_errors") if errors]
    assert words.startswith("Failed native model HTTP request: error decoding response body")


def test_what_was_being_said_when_it_was_killed_is_an_unfinished_step() -> None:
    golden = _golden("stall")
    converter = CopilotCliConverter()
    last = converted(converter, golden.files).steps[-1]
    (said,) = golden.said("main", statuses=["stalled-midway"])
    assert (last.message, last.reasoning_content) == (said.text, said.reasoning)
    assert last.extra == {"unfinished": True}
    assert last.metrics is None
    assert last.timestamp == "2026-11-21T02:11:41.057Z"
    assert not converter.is_done


def test_results_have_what_the_model_read_and_how_the_command_ended() -> None:
    steps = _trajectory("basic").steps
    good, bad = (step.observation.results[0] for step in steps[1:3] if step.observation)
    assert good.extra is not None
    assert good.extra["exit_code"] == 0
    assert good.extra["duration_sec"] > 0
    assert bad.extra is not None
    assert bad.extra["exit_code"] == 1
    both = results_of(steps[3])
    assert list(both) == ["call_03a", "call_03b"]
    assert "diff --git" not in str(both["call_03a"]), "that is made for the screen"
    assert str(both["call_03b"]).startswith("2+3 = 5\n")


def test_calls_have_their_delay_their_duration_and_the_effort() -> None:
    step = _trajectory("basic").steps[1]
    assert step.metrics
    assert step.metrics.extra
    assert 0 < step.metrics.extra["time_to_first_token_ms"] < step.metrics.extra["duration_ms"]
    assert (step.model_name, step.reasoning_effort) == ("gpt-5-mini", "medium")


def test_what_autopilot_tells_the_agent_is_no_message_of_the_user() -> None:
    told = [step for step in _trajectory("autopilot").steps if step.source == "system"]
    assert len(told) == 5
    assert {(step.extra or {})["origin"] for step in told} == {"autopilot"}
    assert all("task_complete" in str(step.message) for step in told)


def test_the_head_of_the_session_is_told() -> None:
    trajectory = _trajectory("basic")
    assert trajectory.session_id == "fd20c068-a8a9-4d06-9c62-4b2f9074e3f0"
    assert trajectory.agent.version == "1.0.102"
    assert trajectory.agent.extra == {"cwd": "/app"}


def test_without_the_sessions_log_steps_are_made_of_what_was_printed() -> None:
    golden = _golden("subagent")
    converter = CopilotCliConverter()
    trajectory = converted(converter, {STDOUT: golden.files[STDOUT]})
    whole = _trajectory("subagent")
    assert [step.message for step in trajectory.steps] == [step.message for step in whole.steps]
    assert [len(child.steps) for child in _children(trajectory)] == [3]
    assert [step.metrics for step in trajectory.steps] == [None] * 5
    assert converter.warnings == [
        "there is no events.jsonl of Copilot CLI, so that the tokens of its calls are not known"
    ]
    assert converter.is_done


def test_a_cli_that_could_not_start_says_why() -> None:
    converter = CopilotCliConverter()
    assert fed(converter, [(STDOUT, b"Error: No authentication information found.\n\nTo authenticate, ...\n")]) is None
    assert converter.final_error() == "Error: No authentication information found."


@settings(max_examples=25, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("scenario", ["fatal", "retry", "stall", "subagent"])
def test_the_trajectory_does_not_depend_on_cuts_nor_on_the_order_of_files(scenario: str, data: st.DataObject) -> None:
    files = _golden(scenario).files
    whole = converted(CopilotCliConverter(), files)
    pieces = data.draw(cuttings(files))
    every = data.draw(st.integers(1, 5))
    trajectory = check_replay(CopilotCliConverter(), pieces, every=every)
    assert trajectory is not None
    assert dump_trajectory(trajectory) == dump_trajectory(whole)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_updates_line_by_line_replay_to_the_final_steps(scenario: str) -> None:
    files = _golden(scenario).files
    assert check_replay(CopilotCliConverter(), by_line(files)) is not None
    assert check_replay(CopilotCliConverter(), by_line(dict(reversed(files.items())))) is not None


@pytest.mark.parametrize("scenario", ["fatal", "subagent"])
def test_damaged_logs_give_what_is_left_of_them(scenario: str) -> None:
    files = _golden(scenario).files
    for kind, broken in damaged(files):
        converter = CopilotCliConverter(ConversionContext(instruction=TASK))
        trajectory = check_replay(converter, broken.items())
        assert (trajectory is None) == (kind == "empty"), kind
        if trajectory:
            assert problems_of(trajectory) == [], kind


def test_a_torn_log_has_the_steps_before_the_tear() -> None:
    golden = _golden("basic")
    (path,) = (path for path in golden.files if path != STDOUT)
    data = golden.files[path]
    torn = data[: data.rindex(b'"assistant.message"') + 100]
    converter = CopilotCliConverter()
    trajectory = converted(converter, {path: torn})
    assert sum(map(is_whole_call, trajectory.steps)) == 3
    assert (trajectory.steps[-1].extra or {})["unfinished"], "its tokens were told, its words are lost"
    assert converter.warnings == [f"the last line of {path} is torn"]


def test_a_record_twice_is_one_step() -> None:
    files = _golden("retry").files
    once = converted(CopilotCliConverter(), files)
    lines = {path: b"".join(line * 2 for line in data.splitlines(keepends=True)) for path, data in files.items()}
    twice = converted(CopilotCliConverter(), {path: data for path, data in lines.items() if path != STDOUT})
    assert [step.message for step in twice.steps] == [step.message for step in once.steps]
    assert totals_in(twice) == totals_in(once)


def test_of_two_sessions_the_first_is_the_agents_and_the_other_is_kept() -> None:
    first, other = _golden("basic").files, _golden("retry").files
    files: Files = {path: data for golden in (other, first) for path, data in golden.items() if path != STDOUT}
    converter = CopilotCliConverter()
    trajectory = check_replay(converter, by_line(files))
    assert trajectory
    began = json.loads(next(data for path, data in first.items() if path != STDOUT).splitlines()[0])
    second = json.loads(next(data for path, data in other.items() if path != STDOUT).splitlines()[0])
    ordered = sorted((began, second), key=lambda event: str(event["data"]["startTime"]))
    assert trajectory.session_id == ordered[0]["data"]["sessionId"]
    assert [child.trajectory_id for child in _children(trajectory)] == [ordered[1]["data"]["sessionId"]]
    assert converter.warnings == [f"there are 2 sessions; the first one, {trajectory.session_id}, is the agent's"]


def test_logs_of_another_agent_give_nothing() -> None:
    other = b'{"type":"thread.started","thread_id":"x"}\n{"type":"turn.started"}\n[1]\n\xff\n'
    assert fed(CopilotCliConverter(), [(EVENTS, other), (STDOUT, other)]) is None


def _events(*events: tuple[str, dict[str, Any]], agent: str = "") -> bytes:
    lines = [{"type": kind, "data": data, **({"agentId": agent} if agent else {})} for kind, data in events]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def _message(text: str, **data: Any) -> tuple[str, dict[str, Any]]:
    return "assistant.message", {"content": text, "toolRequests": [], **data}


def test_no_agent_of_the_log_takes_the_place_of_the_main_thread() -> None:
    events = _events(("user.message", {"content": "do"})) + _events(_message("mine"), agent="main")
    trajectory = check_replay(CopilotCliConverter(), [(EVENTS, events)])
    assert trajectory
    assert [step.message for step in trajectory.steps] == ["do"]
    assert [child.trajectory_id for child in _children(trajectory)] == ["agent main"]


def test_an_answer_in_several_messages_is_one_step() -> None:
    usage = {"usage": {"apiCallId": "c", "inputTokens": 10, "outputTokens": 4}}
    events = _events(
        ("user.message", {"content": "do"}),
        ("session.usage_record", usage),
        _message("One.", apiCallId="c", messageId="1", chunkIndex=0, chunkCount=2, reasoningText="a"),
        _message("Two.", apiCallId="c", messageId="2", chunkIndex=1, chunkCount=2, reasoningText="b"),
    )
    _, step = converted(CopilotCliConverter(), {EVENTS: events}).steps
    assert (step.message, step.reasoning_content) == ("One.\n\nTwo.", "a\n\nb")


def test_a_web_search_of_the_provider_is_flagged() -> None:
    tools = {"provider": "openai-responses", "items": [{"type": "web_search_call", "id": "w"}]}
    events = _events(("user.message", {"content": "do"}), _message("x", serverTools=tools))
    _, step = converted(CopilotCliConverter(), {EVENTS: events}).steps
    assert step.extra == {"server_web_search": True}


def test_images_of_results_are_parts_whether_held_in_place_or_once() -> None:
    image = {"type": "image", "mimeType": "image/png", "data": "iVBORw0KGgo="}
    request = {"toolCallId": "t", "name": "view", "arguments": {"path": "a.png"}}
    binary = [image, {"type": "image", "mimeType": "image/png", "assetId": "sha256:1"}]
    events = _events(
        ("user.message", {"content": "do"}),
        _message("", toolRequests=[request]),
        ("session.binary_asset", {"assetId": "sha256:1", **image}),
        (
            "tool.execution_complete",
            {"toolCallId": "t", "success": True, "result": {"content": "an image", "binaryResultsForLlm": binary}},
        ),
    )
    trajectory = converted(CopilotCliConverter(), {EVENTS: events})
    parts = results_of(trajectory.steps[1])["t"]
    assert [part.type for part in parts] == ["text", "image", "image"]
    assert problems_of(trajectory) == []


def test_calls_beside_the_conversation_count_in_the_totals_alone() -> None:
    usage = {"usage": {"interactionType": "utility-session-name", "inputTokens": 7, "outputTokens": 3}}
    events = _events(("user.message", {"content": "do"}), ("session.usage_record", usage), _message("done"))
    converter = CopilotCliConverter()
    assert len(converted(converter, {EVENTS: events}).steps) == 2
    assert converter.totals().input_tokens == 7


def test_what_github_bills_is_told_of_the_agent() -> None:
    events = _events(
        ("user.message", {"content": "do"}),
        _message("done"),
        ("session.shutdown", {"shutdownType": "routine", "totalPremiumRequests": 1, "totalNanoAiu": 2500000}),
    )
    trajectory = converted(CopilotCliConverter(), {EVENTS: events})
    assert trajectory.agent.extra == {"premium_requests": 1, "nano_ai_units": 2500000}
