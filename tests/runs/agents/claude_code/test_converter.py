"""What becomes of the parts of Claude Code's logs: results, compactions, sub-agents, ends, errors."""

import json
from pathlib import Path
from typing import Any

import pytest

from runs.agents.claude_code.converter import ClaudeCodeConverter
from runs.agents.conversion.base import ConversionContext
from runs.agents.conversion.images import ImageStore
from runs.formats.trajectory import dump_trajectory
from tests.runs.agents.claude_code.recorded import GOLDEN, STDOUT, session_of, without
from tests.support.conversion import Files, converted, findings_of, problems_of


def test_results_say_what_failed_and_with_which_exit_code() -> None:
    trajectory = converted(ClaudeCodeConverter(), GOLDEN["results"].files)
    results = {
        result.source_call_id: result
        for step in trajectory.steps
        for result in (step.observation.results if step.observation else ())
    }
    extras = {identity: result.extra or {} for identity, result in results.items()}
    assert extras["toolu_002b"] == {"is_error": True, "exit_code": 3}
    assert str(results["toolu_002b"].content) == "Exit code 3\na\ufffdb\ufffdc\n\x1b[31mred\x1b[0m"
    assert extras["toolu_002c"] == {"is_error": True}
    assert extras["toolu_001a"]["full_output"].startswith("sessions/projects/-app/")
    assert extras["toolu_003a"]["duration_sec"] > 0


def test_an_image_that_the_agent_read_is_a_file_beside_the_trajectory() -> None:
    trajectory = converted(ClaudeCodeConverter(), GOLDEN["results"].files)
    results = next(step.observation.results for step in trajectory.steps if step.observation and step.step_id == 3)
    content = results[0].content
    assert isinstance(content, list)
    (image,) = content
    assert image.source
    assert image.source.path.startswith("images/")
    assert "iVBORw0KGgo" not in dump_trajectory(trajectory)


def test_a_search_by_the_provider_is_flagged() -> None:
    trajectory = converted(ClaudeCodeConverter(), GOLDEN["results"].files)
    flagged = [step.step_id for step in trajectory.steps if (step.extra or {}).get("server_web_search")]
    assert flagged == [4]


def test_a_compaction_is_one_step_with_the_summary_and_its_figures() -> None:
    trajectory = converted(ClaudeCodeConverter(), GOLDEN["compact"].files)
    (step,) = [step for step in trajectory.steps if "context_management" in (step.extra or {})]
    assert step.source == "system"
    assert "The operator was changed from - to +" in str(step.message)
    assert step.extra == {
        "context_management": {
            "type": "compaction",
            "trigger": "auto",
            "tokens_before": 186295,
            "tokens_after": 2890,
            "duration_ms": 844.0,
        }
    }
    assert trajectory.final_metrics
    extra = trajectory.final_metrics.extra or {}
    assert extra["summarization_count"] == 1
    assert extra["peak_context_tokens"] == 186000
    assert extra["unlogged_usage"]["completion_tokens"] == 211


def test_sub_agents_are_threads_that_the_calls_which_began_them_refer_to() -> None:
    trajectory = converted(ClaudeCodeConverter(), GOLDEN["background-agents"].files)
    refs = {
        result.source_call_id: [ref.trajectory_id for ref in result.subagent_trajectory_ref or ()]
        for step in trajectory.steps
        for result in (step.observation.results if step.observation else ())
    }
    subagents = {subagent.trajectory_id: subagent for subagent in trajectory.subagent_trajectories or ()}
    first, second = (subagents[refs[call][0]] for call in ("toolu_001a", "toolu_001b"))
    assert [step.message for step in first.steps] == ["[thread:a] look", "A works", "A done"]
    assert [step.message for step in second.steps] == ["[thread:b] look", "B works", "B done"]
    origins = [(step.extra or {}).get("origin") for step in trajectory.steps if step.source == "user"]
    assert origins.count("task-notification") == 2


def test_a_sub_agent_is_referred_to_while_it_still_runs() -> None:
    golden = GOLDEN["subagent"]
    session = session_of(golden)
    until_the_call = b"".join(
        line for line in golden.files[session].splitlines(keepends=True) if b'"tool_result"' not in line
    ).partition(b'"msg_claude-subagent_004"')[0]
    files = {**golden.files, session: until_the_call.rpartition(b"\n")[0] + b"\n", STDOUT: b""}
    converter = ClaudeCodeConverter()
    for path, data in files.items():
        converter.feed(path, data)
    trajectory = converter.trajectory()
    assert trajectory
    (step,) = [step for step in trajectory.steps if step.tool_calls]
    assert step.observation
    refs = step.observation.results[0].subagent_trajectory_ref or []
    assert [ref.trajectory_id for ref in refs] == ["ab2c0467306fc9b5f"]
    assert findings_of(trajectory) == []


def test_the_turn_in_which_the_process_was_killed_comes_from_stdout_and_is_marked() -> None:
    golden = GOLDEN["stall"]
    trajectory = converted(ClaudeCodeConverter(), golden.files)
    last = trajectory.steps[-1]
    assert last.extra == {"unfinished": True}
    assert last.reasoning_content == "Let me run a test module; it may not exist."
    without_stdout = converted(ClaudeCodeConverter(), without(golden, STDOUT))
    assert without_stdout.steps == trajectory.steps[:-1]


def test_a_turn_is_shown_while_the_session_file_does_not_have_it_yet() -> None:
    golden = GOLDEN["basic"]
    session = session_of(golden)
    converter = ClaudeCodeConverter()
    converter.feed(session, golden.files[session].partition(b'"msg_claude-basic_002"')[0].rpartition(b"\n")[0] + b"\n")
    logged = [update.step.step_id for update in converter.updates()]
    assert logged == [1, 2]
    converter.feed(STDOUT, golden.files[STDOUT].partition(b"Exit code 1")[0].rpartition(b"\n")[0] + b"\n")
    (coming,) = converter.updates()
    assert (coming.thread, coming.step.step_id, coming.step.message) == ("main", 3, "Now I run the tests.")
    assert coming.step.extra == {"unfinished": True}
    assert converter.updates() == []
    converter.feed(session, golden.files[session][converter.offset(session) :])
    assert [update.step.step_id for update in converter.updates()] == [3, 4, 5]


@pytest.mark.parametrize("named", [True, False], ids=["by its id", "by its call"])
def test_what_a_killed_sub_agent_printed_last_is_kept_too(named: bool) -> None:
    golden = GOLDEN["background-agents"]
    side = next(path for path, data in golden.files.items() if path.endswith(".jsonl") and b"[thread:a]" in data[:2000])
    stdout = golden.files[STDOUT].partition(b'"task_notification"')[0].rpartition(b"\n")[0] + b"\n"
    files = {
        **golden.files,
        side: golden.files[side].partition(b'"A done"')[0].rpartition(b"\n")[0] + b"\n",
        STDOUT: stdout if named else stdout.replace(b'"agent_id"', b'"no_agent_id"'),
    }
    trajectory = converted(ClaudeCodeConverter(), files)
    key = side.rpartition("agent-")[2].removesuffix(".jsonl")
    (subagent,) = [each for each in trajectory.subagent_trajectories or () if each.trajectory_id == key]
    assert [step.message for step in subagent.steps] == ["[thread:a] look", "A works", "A done"]
    assert subagent.steps[-1].extra == {"unfinished": True}
    assert len(trajectory.subagent_trajectories or ()) == 2


def _lines(*records: dict[str, Any]) -> Files:
    text = "".join(
        json.dumps({"uuid": f"u{number}", "timestamp": f"2026-01-01T00:00:{number:02}Z", **record}) + "\n"
        for number, record in enumerate(records)
    )
    return {"sessions/projects/-app/s.jsonl": text.encode()}


def _message(identity: str, *blocks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    message = {"id": identity, "model": "m", "stop_reason": "end_turn", "content": list(blocks), **fields}
    return {"type": "assistant", "message": message}


def test_what_golden_logs_do_not_have() -> None:
    found = [{"type": "web_search_result", "url": "https://a.example"}]
    files = _lines(
        {"type": "user", "message": {"content": "Go."}},
        _message(
            "m1",
            {"type": "redacted_thinking", "data": "x"},
            {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
            {"type": "web_search_tool_result", "tool_use_id": "s1", "content": found},
            {"type": "text", "text": "Found."},
            usage={"input_tokens": 3, "output_tokens": 5, "cache_creation": {"ephemeral_1h_input_tokens": 7}},
        ),
        {"type": "attachment", "attachment": {"type": "queued_command", "prompt": "More.", "commandMode": "prompt"}},
        {"type": "system", "subtype": "notice", "level": "warning", "content": "The model was changed."},
        _message("m2", {"type": "text", "text": "I will not."}, stop_reason="refusal"),
        {"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": "lost", "content": "late"}]}},
    )
    trajectory = converted(ClaudeCodeConverter(), files)
    _, searched, queued, warned, refused = trajectory.steps
    assert searched.extra == {
        "redacted_thinking": True,
        "server_web_search": True,
        "cache_creation_1h_tokens": 7,
    }
    assert searched.observation
    assert searched.observation.results[0].content == json.dumps(found)
    assert (queued.source, queued.message, queued.extra) == ("user", "More.", {"origin": "prompt"})
    assert (warned.source, warned.message) == ("system", "The model was changed.")
    assert refused.extra == {"stop_reason": "refusal"}
    assert refused.observation
    assert refused.observation.results[0].extra == {"tool_use_id": "lost"}
    assert problems_of(trajectory) == []


def test_refused_requests_are_steps_in_the_words_of_the_log() -> None:
    converter = ClaudeCodeConverter()
    trajectory = converted(converter, GOLDEN["auth"].files)
    *_, last_try, end = trajectory.steps
    assert last_try.message == "401 invalid api key"
    assert last_try.extra == {
        "api_error": {"status": 401, "attempt": 10, "max_retries": 10, "retry_in_ms": 34427},
    }
    assert end.source == "system"
    assert end.message == converter.final_error() == "Failed to authenticate. API Error: 401 invalid api key"
    assert converter.n_llm_calls() == 11
    assert converter.is_done


@pytest.mark.parametrize(
    ("scenario", "error"),
    [("basic", None), ("retry", None), ("stall", None), ("background-agents", None), ("fatal", "Prompt is too long")],
)
def test_only_what_the_run_failed_of_is_its_error(scenario: str, error: str | None) -> None:
    for files in (GOLDEN[scenario].files, without(GOLDEN[scenario], STDOUT)):
        converter = ClaudeCodeConverter()
        converted(converter, files)
        assert converter.final_error() == error


def test_a_run_is_done_with_its_result_and_not_before() -> None:
    golden = GOLDEN["background-agents"]
    converter = ClaudeCodeConverter()
    seen = []
    for line in golden.files[STDOUT].splitlines(keepends=True):
        converter.feed(STDOUT, line)
        seen.append((converter.is_done, json.loads(line)["type"] == "result"))
    assert all(done == is_result for done, is_result in seen)
    assert seen[-1] == (True, True)


def test_who_where_and_with_which_tools_comes_from_the_log() -> None:
    trajectory = converted(ClaudeCodeConverter(ConversionContext(agent_version="0.0.1")), GOLDEN["basic"].files)
    assert trajectory.agent.version == "2.1.329"
    assert trajectory.agent.extra == {"cwds": ["/app"], "git_branches": ["HEAD"]}
    assert trajectory.session_id == "c43e9dd8-2529-47c6-a71f-436ab9db7e8f"
    assert {tool["name"] for tool in trajectory.agent.tool_definitions or ()} >= {"Bash", "Read", "Agent"}
    first = trajectory.steps[1]
    assert (first.model_name, first.reasoning_effort, first.llm_call_count) == ("claude-opus-4-7", "xhigh", 1)
    assert first.metrics
    extra = first.metrics.extra or {}
    assert 0 < extra["time_to_first_token_ms"] < extra["duration_ms"] < 2000


def test_images_are_written_once_below_the_folder_that_is_given(tmp_path: Path) -> None:
    converted(ClaudeCodeConverter(images=ImageStore(tmp_path)), GOLDEN["results"].files)
    assert [path.suffix for path in (tmp_path / "images").iterdir()] == [".png"]
