"""OpenCode's logs against what the model server saw, whole, cut, damaged, with and without exports."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runs.agents.conversion.base import ConversionContext
from runs.agents.opencode.converter import OpenCodeConverter
from runs.formats.trajectory import Step, Trajectory, dump_trajectory
from tests.support.conversion import (
    Call,
    Files,
    Golden,
    Said,
    check_replay,
    converted,
    cuttings,
    damaged,
    fed,
    findings_of,
    golden_folders,
    load_golden,
    problems_of,
    said_in,
    totals_in,
    totals_of,
)

INSTRUCTION = (
    "The file /app/calculator.py has a bug: add(a, b) returns the wrong value. "
    "Fix it so that add(2, 3) returns 5. Do not change the tests."
)
FOLDERS = golden_folders("opencode")
STDOUT = "opencode.txt"
# These APIs don't tell what was written to a cache.
WITHOUT_CACHE_WRITE = ("@chat", "@openai")


def scenario(name: str) -> Golden:
    return load_golden(next(folder for folder in FOLDERS if folder.name == name))


def converter(instruction: str | None = INSTRUCTION) -> OpenCodeConverter:
    return OpenCodeConverter(ConversionContext(instruction, "anthropic/claude-opus-4-7", "1.18.33"))


def printed(files: Files) -> Files:
    return {path: data for path, data in files.items() if path == STDOUT}


def exported(files: Files) -> Files:
    return {path: data for path, data in files.items() if path != STDOUT}


def as_opencode_logs(said: list[Said], name: str) -> list[Said]:
    """What the server gave as OpenCode logs it: a prefix before Anthropic's call ids, no cache writes of OpenAI."""
    if name.endswith(WITHOUT_CACHE_WRITE):
        return [replace(one, figures=one.figures.without_cache_write()) for one in said]
    return [replace(one, calls=tuple(replace(call, id=f"toolu_{call.id}") for call in one.calls)) for one in said]


def dumped(trajectory: Trajectory | None) -> str:
    return dump_trajectory(trajectory) if trajectory else ""


def agent_steps(trajectory: Trajectory) -> list[Step]:
    return [step for step in trajectory.steps if step.source == "agent"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
@pytest.mark.parametrize("told_by", [printed, exported, dict], ids=["stdout", "exports", "both"])
def test_every_call_is_a_step_with_the_servers_words_and_tokens(
    folder: Path, told_by: Callable[[Files], Files]
) -> None:
    golden = load_golden(folder)
    # One was killed before it could be exported.
    files = told_by(golden.files) or golden.files
    if folder.name == "fatal":
        # Its compactions have no tools, so the server took them for side calls; the first of those is the title.
        # The last was delivered when the process was killed.
        expected = golden.said("main", "compact", "side")[1:-1]
    else:
        expected = golden.said("main", "compact")

    opencode = converter()
    trajectory = converted(opencode, files)

    assert said_in(trajectory) == as_opencode_logs(expected, folder.name)
    assert problems_of(trajectory) == []
    assert findings_of(trajectory) == []
    assert opencode.warnings == []
    assert next(step.message for step in trajectory.steps if step.source == "user") == INSTRUCTION
    assert sum(step.message == INSTRUCTION for step in trajectory.steps) == 1
    if folder.name != "fatal":
        figures = golden.figures("main", "compact")
        no_writes = folder.name.endswith(WITHOUT_CACHE_WRITE)
        assert totals_in(trajectory) == (figures.without_cache_write() if no_writes else figures)


def test_the_sub_agents_calls_are_a_trajectory_of_their_own_that_the_task_call_names() -> None:
    golden = scenario("subagent")
    opencode = converter()
    trajectory = converted(opencode, golden.files)

    (child,) = trajectory.subagent_trajectories or []
    assert said_in(child) == as_opencode_logs(golden.said("sub"), "subagent")
    assert child.steps[0].source == "user"
    assert child.steps[0].message == "SUBAGENT-TASK: inspect /app/calculator.py and report which line is wrong."
    observation = agent_steps(trajectory)[0].observation
    assert observation is not None
    (ref,) = observation.results[0].subagent_trajectory_ref or []
    assert ref.trajectory_id == child.trajectory_id == "ses_e04154aa1ffeR2uKUjwwuRn0mT"
    assert totals_in(child) == golden.figures("sub")
    assert totals_of(opencode) == golden.figures("main", "sub")


def test_a_sub_agent_without_an_export_is_named_but_not_referred_to() -> None:
    trajectory = converted(converter(), printed(scenario("subagent").files))
    observation = agent_steps(trajectory)[0].observation
    assert observation is not None
    assert observation.results[0].subagent_trajectory_ref is None
    assert observation.results[0].extra is not None
    assert observation.results[0].extra["session_id"] == "ses_e04154aa1ffeR2uKUjwwuRn0mT"
    assert trajectory.subagent_trajectories is None


def test_the_childs_export_alone_is_a_trajectory() -> None:
    files = {"export.child.json": scenario("subagent").files["export.child.json"]}
    trajectory = converted(converter(None), files)
    assert said_in(trajectory) == as_opencode_logs(scenario("subagent").said("sub"), "subagent")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_is_seen_live_keeps_its_step_ids_in_the_final_trajectory(folder: Path) -> None:
    files = load_golden(folder).files
    live = converted(converter(), printed(files)).steps
    final = converted(converter(), files).steps
    assert len(live) <= len(final)
    for seen, kept in zip(live, final, strict=False):
        assert (seen.source, seen.message, seen.reasoning_content) == (
            kept.source,
            kept.message,
            kept.reasoning_content,
        )
        assert seen.tool_calls == kept.tool_calls
        assert (seen.metrics, seen.extra) == (kept.metrics, kept.extra) or kept.extra is not None


def test_a_failed_command_has_its_exit_code_and_its_duration() -> None:
    step = agent_steps(converted(converter(), scenario("basic").files))[1]
    assert step.observation is not None
    result = step.observation.results[0]
    assert isinstance(result.content, str)
    assert "No module named 'no_such_module'" in result.content
    assert result.extra is not None
    assert result.extra["exit_code"] == 1
    assert result.extra["duration_sec"] == 0.086


def test_timestamps_are_those_of_the_messages_to_the_millisecond() -> None:
    steps = converted(converter(), scenario("basic").files).steps
    assert [step.timestamp for step in steps[:2]] == ["2026-11-21T02:24:27.543Z", "2026-11-21T02:24:28.418Z"]
    assert steps[1].model_name == "claude-opus-4-7"


def test_the_cost_is_what_opencode_reckoned() -> None:
    trajectory = converted(converter(), scenario("basic").files)
    assert trajectory.final_metrics is not None
    assert trajectory.final_metrics.total_cost_usd == pytest.approx(0.05781125)
    metrics = agent_steps(trajectory)[0].metrics
    assert metrics is not None
    assert metrics.extra is not None
    assert metrics.extra["cost_source"] == "opencode"


def test_a_cut_stream_is_kept_and_marked_and_its_tokens_are_not_counted() -> None:
    trajectory = converted(converter(), scenario("retry").files)
    *_, cut, again = agent_steps(trajectory)
    assert cut.message == again.message
    assert cut.extra == {"unfinished": True, "finish_reason": "unknown"}
    assert cut.metrics is None
    assert again.extra is None


def test_a_killed_run_keeps_its_unfinished_turn() -> None:
    golden = scenario("stall")
    opencode = converter()
    trajectory = converted(opencode, golden.files)
    last = trajectory.steps[-1]
    assert last.extra == {"unfinished": True}
    assert last.reasoning_content == "Let me run a test module; it may not exist."
    assert not opencode.is_done


def test_a_turn_is_not_unfinished_while_it_may_still_grow() -> None:
    opencode = converter()
    opencode.feed(STDOUT, scenario("stall").files[STDOUT])
    assert opencode.updates()[-1].step.extra is None
    opencode.close()
    (update,) = opencode.updates()
    assert update.step.extra == {"unfinished": True}


@pytest.mark.parametrize("told_by", [printed, dict], ids=["stdout", "both"])
def test_a_compaction_is_a_step_that_says_so(told_by: Callable[[Files], Files]) -> None:
    trajectory = converted(converter(), told_by(scenario("compact@chat").files))
    made = [step for step in trajectory.steps if "context_management" in (step.extra or {})]
    assert [step.step_id for step in made] == [4]
    assert "<summary>" in str(made[0].message)
    assert trajectory.steps[4].source == "user"
    assert trajectory.steps[4].extra == {"synthetic": True}
    assert trajectory.final_metrics is not None
    assert trajectory.final_metrics.extra is not None
    assert trajectory.final_metrics.extra["summarization_count"] == 1
    assert trajectory.final_metrics.extra["peak_context_tokens"] == 186000


def test_the_export_tells_why_a_compaction_was_made() -> None:
    step = converted(converter(), scenario("compact@chat").files).steps[3]
    assert step.extra == {"context_management": {"type": "compaction", "auto": True, "overflow": False}}


def test_a_rejected_key_is_the_final_error() -> None:
    opencode = converter()
    trajectory = converted(opencode, scenario("auth").files)
    assert opencode.final_error() == "APIError 401: invalid api key"
    error = trajectory.steps[-1]
    assert (error.source, error.message) == ("system", "APIError 401: invalid api key")
    assert error.extra == {"api_error": {"name": "APIError", "status_code": 401, "is_retryable": False}}
    assert opencode.n_llm_calls() == 1


def test_an_error_that_was_recovered_from_is_no_final_error() -> None:
    lines = scenario("fatal").files[STDOUT].splitlines(keepends=True)
    number = next(n for n, line in enumerate(lines) if b'"type":"error"' in line)
    opencode = converter()
    for line in lines[: number + 1]:
        opencode.feed(STDOUT, line)
    assert opencode.final_error() == "ContextOverflowError: prompt is too long: 208310 tokens > 200000 maximum"
    opencode.feed(STDOUT, lines[number + 1])
    assert opencode.final_error() is None


def test_the_overflow_loop_counts_every_call_that_was_made() -> None:
    golden = scenario("fatal")
    opencode = converter()
    converted(opencode, golden.files)
    # All but the call for the session's title, which leaves no trace.
    assert opencode.n_llm_calls() == len(golden.truth["calls"]) - 1 == 130


def test_done_is_what_ends_with_an_answer_and_nothing_after_it() -> None:
    lines = scenario("compact@chat").files[STDOUT].splitlines(keepends=True)
    opencode = converter()
    done = []
    for line in lines:
        opencode.feed(STDOUT, line)
        done.append(opencode.is_done)
    summary = next(n for n, line in enumerate(lines) if b'"compaction_continue"' in line)
    assert [n for n, is_done in enumerate(done) if is_done] == [summary - 1, len(lines) - 1]


def test_the_output_of_a_command_that_still_ran_comes_from_the_export() -> None:
    export = json.loads(scenario("stall").files["export.json"])
    running = {
        "type": "tool",
        "id": "prt_running",
        "tool": "bash",
        "callID": "call_9",
        "state": {"status": "running", "input": {"command": "make"}, "metadata": {"output": "so far\n"}},
    }
    export["messages"][-1]["parts"].append(running)
    last = converted(converter(), {"export.json": json.dumps(export).encode()}).steps[-1]
    assert last.tool_calls is not None
    assert last.observation is not None
    assert last.tool_calls[0].arguments == {"command": "make"}
    assert last.observation.results[0].content == "so far\n"
    assert last.observation.results[0].extra == {"unfinished": True}


def test_a_failed_tool_is_an_error_and_an_image_is_taken_out(tmp_path: Path) -> None:
    record = json.loads(scenario("basic").files[STDOUT].splitlines()[3])
    image = {"type": "file", "mime": "image/png", "url": "data:image/png;base64,iVBORw0KGgo="}
    record["part"]["state"] |= {"status": "error", "error": "no such file", "attachments": [image]}
    step = converted(converter(), {STDOUT: json.dumps(record).encode()}).steps[-1]
    assert step.observation is not None
    result = step.observation.results[0]
    assert result.extra is not None
    assert result.extra["is_error"] is True
    assert isinstance(result.content, list)
    assert result.content[0].text == "no such file"
    assert result.content[1].source is not None
    assert result.content[1].source.path.startswith("images/")


def test_a_search_of_the_provider_itself_is_flagged() -> None:
    record = json.loads(scenario("basic").files[STDOUT].splitlines()[3])
    record["part"] |= {"tool": "web_search", "metadata": {"providerExecuted": True}}
    step = converted(converter(), {STDOUT: json.dumps(record).encode()}).steps[-1]
    assert step.extra is not None
    assert step.extra["server_web_search"] is True


def test_several_calls_in_one_message_are_several_steps() -> None:
    """So older versions export them."""
    export = json.loads(scenario("basic").files["export.json"])
    user, first, *others = export["messages"]
    for message in others:
        first["parts"] += message["parts"]
    first["info"] |= {"finish": "stop"}
    export["messages"] = [user, first]
    trajectory = converted(converter(), {"export.json": json.dumps(export).encode()})
    assert said_in(trajectory) == as_opencode_logs(scenario("basic").said("main"), "basic")


@pytest.mark.parametrize("name", ["basic", "subagent", "retry", "compact@chat", "stall", "auth"])
@given(data=st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_cuts_and_order_of_the_files_change_nothing(name: str, data: st.DataObject) -> None:
    files = scenario(name).files
    whole = dumped(converted(converter(), files))
    pieces = data.draw(cuttings(files, rewritten=exported(files)))
    assert dumped(check_replay(converter(), pieces)) == whole


@pytest.mark.parametrize("name", ["basic", "subagent", "fatal"])
def test_damaged_logs_are_survived(name: str) -> None:
    for _, files in damaged(scenario(name).files):
        for instruction in (INSTRUCTION, None):
            trajectory = fed(converter(instruction), files.items())
            if trajectory is not None:
                assert problems_of(trajectory) == []


def test_a_torn_export_leaves_what_stdout_told_and_a_warning() -> None:
    files = dict(scenario("basic").files)
    files["export.json"] = files["export.json"][:9000]
    opencode = converter()
    trajectory = converted(opencode, files)
    assert said_in(trajectory) == as_opencode_logs(scenario("basic").said("main"), "basic")
    assert opencode.warnings == ["export.json is no whole export of a session"]


def test_two_runs_in_one_folder_are_both_there() -> None:
    files = dict(scenario("basic").files)
    files["sessions/other.json"] = scenario("retry").files["export.json"]
    trajectory = converted(converter(), files)
    assert len(said_in(trajectory)) == 4
    (other,) = trajectory.subagent_trajectories or []
    assert len(said_in(other)) == 4


def test_logs_of_nobody_are_no_trajectory() -> None:
    assert fed(converter(), [(STDOUT, b"")]) is None
    assert fed(converter(), [(STDOUT, b'{"type":"item.completed","item":{"id":"item_0"}}\nhello\n')]) is None
    assert fed(converter(), [("export.json", b"[]")]) is None


def test_call_ids_that_repeat_in_one_message_stay_apart() -> None:
    lines = [json.loads(line) for line in scenario("basic").files[STDOUT].splitlines()]
    tools = [record for record in lines if record["type"] == "tool_use" and record["part"]["tool"] != "edit"][1:3]
    for record in tools:
        record["part"] |= {"callID": "same", "messageID": "msg_1"}
    data = b"".join(json.dumps(record).encode() + b"\n" for record in tools)
    step = converted(converter(), {STDOUT: data}).steps[-1]
    assert len(step.tool_calls or ()) == 2
    assert Call("same", "bash", tools[0]["part"]["state"]["input"]) == Call(
        step.tool_calls[0].tool_call_id if step.tool_calls else "",
        step.tool_calls[0].function_name if step.tool_calls else "",
        step.tool_calls[0].arguments if step.tool_calls else {},
    )
