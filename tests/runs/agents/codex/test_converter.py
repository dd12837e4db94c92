"""Codex's logs against what the scripted server answered, and as no agent should leave them."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.agents.codex.converter import CodexConverter
from runs.agents.conversion.base import ConversionContext
from runs.formats.trajectory import Step, Trajectory, dump_trajectory
from tests.support.conversion import (
    Call,
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

FOLDERS = {folder.name: folder for folder in golden_folders("codex")}
SCENARIOS = sorted(FOLDERS)
TASK = (
    "The file /app/calculator.py has a bug: add(a, b) returns the wrong value. Fix it so that add(2, 3) returns 5. "
    "Do not change the tests."
)
NO_ROLLOUT = "there is no rollout file of Codex: steps are what it printed, without times and usage of each"
ROLLOUT = "sessions/2026/11/21/rollout-2026-11-21T02-00-00-01a1fbe1-0000-7000-8000-000000000000.jsonl"


def _golden(scenario: str) -> Golden:
    return load_golden(FOLDERS[scenario], lambda path: path.removeprefix("killed-"))


def _trajectory(scenario: str) -> Trajectory:
    return converted(CodexConverter(), _golden(scenario).files)


def _as_told(golden: Golden, *threads: str) -> list[Said]:
    """The Responses API does not tell what was written to a cache; input that is no JSON object is kept as `input`."""
    return [
        replace(
            said,
            figures=said.figures.without_cache_write(),
            calls=tuple(
                call if isinstance(call.arguments, dict) else Call(call.id, call.name, {"input": call.arguments})
                for call in said.calls
            ),
        )
        for said in golden.said(*threads)
    ]


def _sub_threads(golden: Golden) -> list[str]:
    return sorted({call["thread"] for call in golden.truth["calls"] if call["thread"].startswith("sub")})


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_call_of_the_main_thread_is_one_step_that_equals_what_the_server_gave(scenario: str) -> None:
    golden = _golden(scenario)
    trajectory = converted(CodexConverter(), golden.files)
    assert said_in(trajectory) == _as_told(golden, "main", "compact")
    assert totals_in(trajectory) == golden.figures("main", "compact").without_cache_write()
    assert all(step.llm_call_count == 1 for step in trajectory.steps if step.source == "agent")


@pytest.mark.parametrize("scenario", ["subagent", "fork"])
def test_a_sub_agent_is_a_trajectory_of_its_own_that_the_call_refers_to(scenario: str) -> None:
    golden = _golden(scenario)
    converter = CodexConverter()
    trajectory = converted(converter, golden.files)
    (child,) = _subagents(trajectory)
    assert said_in(child) == _as_told(golden, *_sub_threads(golden))
    assert totals_in(child) == golden.figures(*_sub_threads(golden)).without_cache_write()
    everything = golden.figures("main", *_sub_threads(golden)).without_cache_write()
    assert totals_of(converter) == everything
    references = [
        (call.function_name, reference.trajectory_id)
        for step in trajectory.steps
        for call in step.tool_calls or ()
        for result in (step.observation.results if step.observation else ())
        if result.source_call_id == call.tool_call_id
        for reference in result.subagent_trajectory_ref or ()
    ]
    assert references == [("spawn_agent", child.trajectory_id)]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_trajectory_is_valid_and_has_no_finding_or_warning(scenario: str) -> None:
    converter = CodexConverter()
    trajectory = converted(converter, _golden(scenario).files)
    assert problems_of(trajectory) == []
    assert findings_of(trajectory) == []
    assert converter.warnings == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_instruction_is_the_first_step_and_there_once(scenario: str) -> None:
    golden = _golden(scenario)
    task = golden.run.get("instruction", TASK)
    trajectory = converted(CodexConverter(ConversionContext(instruction=task)), golden.files)
    assert [(step.step_id, step.message) for step in trajectory.steps if step.source == "user"] == [(1, task)]


def test_results_have_what_the_model_read_and_how_the_command_ended() -> None:
    steps = _trajectory("basic").steps
    good, bad = (step.observation.results[0] for step in steps[1:3] if step.observation)
    assert good.extra is not None
    assert good.extra["exit_code"] == 0
    assert bad.extra is not None
    assert bad.extra["exit_code"] == 1
    assert isinstance(good.content, str)
    assert good.content.startswith("Chunk ID: 90f6e2\nWall time: 0.0000 seconds\n")
    assert good.content.endswith("def multiply(a, b):\n    return a * b\n")
    both = results_of(steps[3])
    assert list(both) == ["call_03a", "call_03b"]
    assert str(both["call_03b"]).endswith("2+3 = 5\n")


def test_steps_have_model_effort_time_and_the_delay_of_the_first_token() -> None:
    first, second = [step for step in _trajectory("tools").steps if step.source == "agent"][:2]
    assert (first.model_name, first.reasoning_effort) == ("gpt-5.5", "high")
    assert first.timestamp == "2026-11-21T07:04:52.447Z"
    assert first.metrics
    assert first.metrics.extra
    assert first.metrics.extra["time_to_first_token_ms"] == 164.0
    assert second.metrics
    assert "time_to_first_token_ms" not in (second.metrics.extra or {})


def test_what_a_cut_stream_left_is_kept_apart_and_marked() -> None:
    steps = _trajectory("retry").steps
    cut, again = steps[4:]
    assert cut.reasoning_content == again.reasoning_content == "Everything works, so I can report."
    assert (cut.message, cut.metrics) == ("", None)
    assert cut.extra is not None
    assert cut.extra["unfinished"] is True
    assert cut.extra["api_errors"] == [
        "Reconnecting... 1/5 (stream disconnected before completion: stream closed before response.completed)"
    ]
    assert is_whole_call(again)


def test_a_turn_that_was_killed_is_kept_and_marked() -> None:
    converter = CodexConverter()
    last = converted(converter, _golden("stall").files).steps[-1]
    assert last.reasoning_content == "Let me run a test module; it may not exist."
    assert last.extra == {"unfinished": True}
    assert (converter.is_done, converter.final_error()) == (False, None)


def test_a_turn_that_may_go_on_is_not_called_unfinished() -> None:
    converter = CodexConverter()
    for path, data in _golden("stall").files.items():
        converter.feed(path, data)
    assert converter.updates()[-1].step.extra is None


def test_a_compaction_is_the_step_of_the_call_that_made_the_summary() -> None:
    trajectory = _trajectory("compact")
    (step,) = (step for step in trajectory.steps if (step.extra or {}).get("context_management"))
    assert step.extra == {"context_management": {"type": "compaction"}}
    assert str(step.message).startswith("<analysis>short</analysis>")
    assert trajectory.final_metrics
    assert trajectory.final_metrics.extra
    assert trajectory.final_metrics.extra["summarization_count"] == 1
    assert trajectory.final_metrics.extra["peak_context_tokens"] == 186_000


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ("auth", "unexpected status 401 Unauthorized: invalid api key"),
        ("fatal", "prompt is too long: 208310 tokens > 200000 maximum"),
    ],
)
def test_a_failed_end_is_the_last_step_in_the_words_of_the_log(scenario: str, words: str) -> None:
    converter = CodexConverter()
    last = converted(converter, _golden(scenario).files).steps[-1]
    assert (last.source, last.extra and last.extra["is_error"]) == ("system", True)
    assert words in str(last.message)
    assert converter.is_done
    assert converter.final_error() == last.message


def test_retries_without_any_answer_are_told_with_the_task() -> None:
    first = _trajectory("auth").steps[0]
    assert first.extra is not None
    assert [text[:21] for text in first.extra["api_errors"]] == [f"Reconnecting... {n}/5 (" for n in range(1, 6)]


@pytest.mark.parametrize("scenario", ["basic", "compact", "retry", "subagent", "tools"])
def test_an_error_that_was_recovered_from_is_no_final_error(scenario: str) -> None:
    converter = CodexConverter()
    converted(converter, _golden(scenario).files)
    assert converter.is_done
    assert converter.final_error() is None


def test_what_the_cli_tells_the_model_on_the_way_is_a_system_step() -> None:
    told = [str(step.message) for step in _trajectory("subagent").steps if step.source == "system"]
    assert [text.split("\n")[0] for text in told] == ["<subagent_notification>"]


def test_history_that_a_fork_was_given_is_marked_as_a_copy() -> None:
    (child,) = _subagents(_trajectory("fork"))
    assert [(step.source, step.is_copied_context) for step in child.steps[:3]] == [
        ("user", True),
        ("system", None),
        ("user", None),
    ]
    assert not any(step.is_copied_context for step in child.steps[3:])


def test_tools_of_all_kinds_have_their_results() -> None:
    steps = {step.step_id: step for step in _trajectory("tools").steps}
    assert _extra(steps[2]) == {"exit_code": 0, "duration_sec": 0.0}
    assert str(_only(steps[3])).startswith("apply_patch verification failed")
    assert "Process running with session ID" in str(_only(steps[4]))
    assert _extra(steps[4])["exit_code"] == 3, "the command ended after its first output came back"
    (image,) = _only(steps[6])
    assert image.source.media_type == "image/png"
    assert results_of(steps[7])["call_006a"] == "unsupported call: no_such_tool"
    mcp = steps[9].tool_calls or ()
    assert [(call.function_name, (call.extra or {}).get("namespace")) for call in mcp][1] == ("add", "mcp__calc")
    assert _result(steps[9], "call_008b").extra["is_error"] is True


def test_the_head_of_the_session_is_told() -> None:
    trajectory = _trajectory("basic")
    assert trajectory.session_id == "01a1fbd9-2661-7df2-93b8-0dbd1583fb2f"
    assert trajectory.agent.version == "0.169.0"
    assert trajectory.agent.extra == {"cwd": "/app", "originator": "codex_exec", "model_provider": "fake"}


@settings(max_examples=30, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("scenario", ["auth", "compact", "fork", "retry", "stall", "subagent"])
def test_the_trajectory_does_not_depend_on_cuts_nor_on_the_order_of_files(scenario: str, data: st.DataObject) -> None:
    files = _golden(scenario).files
    whole = converted(CodexConverter(), files)
    pieces = data.draw(cuttings(files))
    every = data.draw(st.integers(1, 5))
    trajectory = check_replay(CodexConverter(), pieces, every=every)
    assert trajectory is not None
    assert dump_trajectory(trajectory) == dump_trajectory(whole)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_updates_line_by_line_replay_to_the_final_steps(scenario: str) -> None:
    files = _golden(scenario).files
    assert check_replay(CodexConverter(), by_line(files)) == converted(CodexConverter(), files)


@pytest.mark.parametrize("scenario", ["compact", "fork", "retry", "tools"])
def test_damaged_logs_give_what_can_be_read_and_never_raise(scenario: str) -> None:
    golden = _golden(scenario).files
    printed = {"codex.txt": golden["codex.txt"]}
    for name, files in (*damaged(golden), *damaged(printed)):
        trajectory = check_replay(CodexConverter(), files.items())
        assert trajectory is None or problems_of(trajectory) == [], name


def test_a_torn_last_line_is_a_warning_and_costs_nothing_else() -> None:
    files = _golden("basic").files
    path = next(path for path in files if path.startswith("sessions/"))
    converter = CodexConverter()
    trajectory = converted(converter, {path: files[path][:-40]})
    assert converter.warnings == [f"the last line of {path} is torn"]
    assert len(trajectory.steps) == 5
    assert not converter.is_done


def test_a_log_of_another_agent_is_a_warning() -> None:
    converter = CodexConverter()
    claude = b'{"type":"assistant","message":{"id":"m1","content":[{"type":"text","text":"hi"}]}}\n'
    assert fed(converter, [("codex.txt", claude), (ROLLOUT, claude)]) is None
    assert converter.warnings == [NO_ROLLOUT]


def test_an_empty_log_is_a_warning() -> None:
    converter = CodexConverter()
    assert fed(converter, [("codex.txt", b""), (ROLLOUT, b"")]) is None
    assert converter.warnings == [NO_ROLLOUT]


def test_where_only_the_output_was_kept_it_gives_steps_and_the_sum_of_usage() -> None:
    files = {"codex.txt": _golden("basic").files["codex.txt"]}
    converter = CodexConverter(ConversionContext(instruction=TASK, model_name="gpt-5.5"))
    trajectory = check_replay(converter, by_line(files))
    assert trajectory is not None
    assert converter.warnings == [NO_ROLLOUT]
    assert trajectory.steps[0].message == TASK
    told = _as_told(_golden("basic"), "main")
    assert [(said.text, said.reasoning) for said in said_in(trajectory)] == [
        (said.text, said.reasoning) for said in told
    ]
    assert _extra(trajectory.steps[2]) == {"exit_code": 1}
    assert totals_of(converter) == _golden("basic").figures("main").without_cache_write()
    assert (converter.is_done, problems_of(trajectory), findings_of(trajectory)) == (True, [], [])


def test_a_killed_run_of_which_only_the_output_was_kept_is_unfinished() -> None:
    trajectory = converted(CodexConverter(), {"codex.txt": _golden("stall").files["codex.txt"]})
    assert trajectory.steps[-1].extra == {"unfinished": True}


def test_why_the_cli_did_not_start_is_its_final_error() -> None:
    converter = CodexConverter()
    fed(converter, [("codex.txt", b"Error loading config.toml: unknown variant `loud`\nin `web_search`\n")])
    assert converter.final_error() == "Error loading config.toml: unknown variant `loud`"


def test_of_two_main_threads_the_printed_one_is_main_and_the_other_is_kept() -> None:
    basic, retry = _golden("basic").files, _golden("retry").files
    files: Files = {**{path: data for path, data in retry.items() if path != "codex.txt"}, **basic}
    trajectory = converted(CodexConverter(), files)
    assert trajectory.session_id == "01a1fbd9-2661-7df2-93b8-0dbd1583fb2f"
    (other,) = _subagents(trajectory)
    assert other.trajectory_id == "01a1fbe1-8ebf-78b0-81ad-e5eec09d480d"
    assert problems_of(trajectory) == []


def test_a_sub_agent_is_never_taken_for_the_main_thread() -> None:
    files = _golden("subagent").files
    main, child = sorted(path for path in files if path.startswith("sessions/"))
    converter = CodexConverter()
    converter.feed(child, files[child])
    assert converter.updates() == []
    converter.feed(main, files[main])
    assert {update.thread for update in converter.updates()} == {"main", child.removesuffix(".jsonl")[-36:]}


# What follows is hand-made after the documented items and those of older versions.


def _line(kind: str, **payload: Any) -> bytes:
    record = {"timestamp": "2026-11-21T02:00:00.123Z", "type": kind, "payload": payload}
    return json.dumps(record).encode() + b"\n"


def _item(kind: str, **payload: Any) -> bytes:
    return _line("response_item", type=kind, **payload)


def _said(text: str) -> bytes:
    return _item("message", role="assistant", content=[{"type": "output_text", "text": text}])


def _asked(text: str) -> bytes:
    return _item("message", role="user", content=[{"type": "input_text", "text": text}])


def _used(total: int, last: int) -> bytes:
    usage = {"input_tokens": last, "cached_input_tokens": 3, "output_tokens": 7, "total_tokens": last + 7}
    return _line(
        "event_msg",
        type="token_count",
        info={"total_token_usage": {"total_tokens": total}, "last_token_usage": usage},
    )


def _of_lines(*lines: bytes) -> Trajectory:
    return converted(CodexConverter(), {ROLLOUT: b"".join(lines)})


def test_in_logs_without_usage_records_a_growing_token_count_ends_a_call() -> None:
    trajectory = _of_lines(
        _asked("<environment_context>\n</environment_context>"),
        _asked("do it"),
        _said("one"),
        _used(17, 10),
        _said("lost"),
        _used(17, 10),
        _said("two"),
        _used(44, 20),
    )
    agent = trajectory.steps[1:]
    assert [(step.message, step.metrics and step.metrics.prompt_tokens) for step in agent] == [
        ("one", 10),
        ("lost", None),
        ("two", 20),
    ]
    assert trajectory.steps[0].message == "do it"
    assert agent[1].extra == {"unfinished": True}


def test_a_search_by_the_provider_is_flagged() -> None:
    action = {"type": "search", "query": "codex"}
    step = _of_lines(_asked("x"), _item("web_search_call", id="ws_1", status="completed", action=action)).steps[1]
    assert step.extra == {"server_web_search": True, "unfinished": True}
    assert step.tool_calls
    (call,) = step.tool_calls
    assert (call.function_name, call.arguments, call.extra) == ("web_search", action, {"server_web_search": True})
    assert _result(step, "ws_1").extra == {"status": "completed"}


def test_reasoning_that_is_encrypted_stays_unread() -> None:
    step = _of_lines(_asked("x"), _item("reasoning", summary=[], encrypted_content="c2VjcmV0"), _said("y")).steps[1]
    assert step.reasoning_content is None
    assert step.extra == {"encrypted_reasoning": True, "unfinished": True}


def test_an_instruction_that_the_log_lacks_comes_from_the_job() -> None:
    converter = CodexConverter(ConversionContext(instruction="do it"))
    trajectory = converted(converter, {ROLLOUT: _said("done")})
    assert [(step.source, step.message) for step in trajectory.steps] == [("user", "do it"), ("agent", "done")]


def test_output_that_versions_of_2025_wrapped_is_unwrapped() -> None:
    wrapped = json.dumps({"output": "boom\n", "metadata": {"exit_code": 2, "duration_seconds": 0.5}})
    step = _of_lines(
        _asked("x"),
        _item("local_shell_call", call_id="c1", status="completed", action={"type": "exec", "command": ["false"]}),
        _item("function_call_output", call_id="c1", output=wrapped),
    ).steps[1]
    assert results_of(step) == {"c1": "boom\n"}
    assert _result(step, "c1").extra == {"exit_code": 2, "duration_sec": 0.5}


def test_a_compaction_by_the_api_that_shows_no_summary_is_a_step_of_its_own() -> None:
    steps = _of_lines(_asked("x"), _said("one"), _used(17, 10), _line("compacted", message="")).steps
    assert [(step.source, (step.extra or {}).get("context_management")) for step in steps[1:]] == [
        ("agent", None),
        ("system", {"type": "compaction"}),
    ]


def test_a_turn_that_was_interrupted_says_so() -> None:
    converter = CodexConverter()
    lines = _asked("x") + _said("half") + _line("event_msg", type="turn_aborted", reason="interrupted")
    steps = converted(converter, {ROLLOUT: lines}).steps
    assert [(step.source, step.message) for step in steps[1:]] == [("agent", "half"), ("system", "interrupted")]
    assert converter.final_error() == "interrupted"


def test_a_result_without_a_call_is_kept_with_the_step_before() -> None:
    step = _of_lines(_asked("x"), _said("y"), _item("function_call_output", call_id="?", output="late")).steps[1]
    assert results_of(step) == {None: "late"}


def _subagents(trajectory: Trajectory) -> list[Trajectory]:
    return trajectory.subagent_trajectories or []


def _result(step: Step, call_id: str) -> Any:
    assert step.observation is not None
    (result,) = (result for result in step.observation.results if result.source_call_id == call_id)
    return result


def _only(step: Step) -> Any:
    (content,) = results_of(step).values()
    return content


def _extra(step: Step) -> dict[str, Any]:
    assert step.observation is not None
    return step.observation.results[0].extra or {}
