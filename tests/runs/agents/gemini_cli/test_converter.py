"""Gemini CLI's logs against what the scripted server really answered, in any cuts, damaged, and foreign."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runs.agents.conversion.base import ConversionContext
from runs.agents.gemini_cli.converter import GeminiCliConverter
from runs.formats.trajectory import Trajectory
from tests.support.conversion import (
    Call,
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

FOLDERS = {folder.name: folder for folder in golden_folders("gemini-cli")}
INSTRUCTIONS = (
    "The file /app/calculator.py has a bug: add(a, b) returns the wrong value. Fix it so that add(2, 3) returns 5. "
    "Do not change the tests.",
    "The file /app/calculator.py has three bugs: subtract, divide and average. Fix them.",
)
# The last stream was cut: the CLI logs it as its answer, with the input that the server had told by then.
CUT_INPUT = {"retry": Figures(prompt=6105, cached=6008), "early-end@events": Figures(prompt=7688, cached=7591)}


def load(name: str) -> Golden:
    return load_golden(FOLDERS[name])


def new_converter() -> GeminiCliConverter:
    return GeminiCliConverter(ConversionContext(model_name="gemini-3.1-pro-preview", agent_version="0.61.0"))


def as_logged(said: Said) -> Said:
    """Call ids get the tool's name in front; the API doesn't tell what was written to a cache."""
    calls = tuple(Call(f"{call.name}__{call.id}", call.name, call.arguments) for call in said.calls)
    reasoning = said.reasoning
    if reasoning and not reasoning.startswith("**"):
        reasoning = f"**Thinking**\n\n{reasoning}"
    return replace(said, calls=calls, reasoning=reasoning, figures=said.figures.without_cache_write())


def sub_threads(golden: Golden) -> list[str]:
    return list(dict.fromkeys(call["thread"] for call in golden.truth["calls"] if call["thread"].startswith("sub")))


@pytest.mark.parametrize("name", FOLDERS)
def test_each_step_is_what_the_server_answered(name: str) -> None:
    golden = load(name)
    trajectory = converted(new_converter(), golden.files)
    assert said_in(trajectory) == [as_logged(said) for said in golden.said("main")]
    subagents = trajectory.subagent_trajectories or []
    told = [[as_logged(said) for said in golden.said(thread)] for thread in sub_threads(golden)]
    assert [said_in(subagent) for subagent in subagents] == told


@pytest.mark.parametrize("name", FOLDERS)
def test_totals_are_exact(name: str) -> None:
    golden = load(name)
    converter = new_converter()
    trajectory = converted(converter, golden.files)
    cut = CUT_INPUT.get(name, Figures())
    assert totals_in(trajectory) == golden.figures("main").without_cache_write() + cut
    assert totals_of(converter) == golden.figures("main", *sub_threads(golden)).without_cache_write() + cut
    assert converter.summary_usage() is None, "nothing was used that no step has"


@pytest.mark.parametrize("name", FOLDERS)
def test_the_instruction_is_the_first_thing_the_user_says_and_documents_are_valid(name: str) -> None:
    trajectory = converted(new_converter(), load(name).files)
    said = [step.message for step in trajectory.steps if step.source == "user"]
    assert len(said) == 1
    assert said[0] in INSTRUCTIONS
    assert problems_of(trajectory) == []
    allowed = {"unanswered-call"} if name == "stall@events" else set()
    assert {finding.code for finding in findings_of(trajectory)} <= allowed
    assert "warnings" not in (trajectory.extra or {})


@pytest.mark.parametrize("name", ["subagent@events", "retry@events", "stall@events", "auth@events", "retry", "fatal"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_any_cutting_gives_the_same_trajectory_and_its_updates_replay(name: str, data: st.DataObject) -> None:
    files = load(name).files
    pieces = data.draw(cuttings(files))
    assert check_replay(new_converter(), pieces) == converted(new_converter(), files)


@pytest.mark.parametrize("name", FOLDERS)
def test_line_by_line_in_either_order_of_files_gives_the_same(name: str) -> None:
    files = load(name).files
    expected = converted(new_converter(), files)
    backwards = dict(reversed(files.items()))
    assert check_replay(new_converter(), by_line(files)) == expected
    assert check_replay(new_converter(), by_line(backwards)) == expected


@pytest.mark.parametrize("name", ["basic", "subagent@events"])
def test_damaged_logs_never_raise(name: str) -> None:
    for damage, files in damaged(load(name).files):
        trajectory = fed(new_converter(), files.items())
        assert trajectory is None or problems_of(trajectory) == [], damage


def test_a_torn_last_line_is_told() -> None:
    files = {path: data[:-30] for path, data in load("basic").files.items() if path.endswith(".jsonl")}
    trajectory = converted(new_converter(), files)
    assert any("torn" in warning for warning in (trajectory.extra or {})["warnings"])


def test_the_log_of_another_agent_gives_nothing() -> None:
    codex = b'{"type":"thread.started","thread_id":"x"}\n{"type":"item.completed","item":{"type":"agent_message"}}\n'
    assert fed(new_converter(), [("gemini-cli.txt", codex), ("sessions/rollout-1.jsonl", codex)]) is None


def test_results_and_exit_codes_come_with_their_calls() -> None:
    trajectory = converted(new_converter(), load("basic").files)
    steps = [step for step in trajectory.steps if step.source == "agent"]
    assert 'Output: """A tiny calculator' in str(results_of(steps[0])["run_shell_command__call_01a"])
    failed = steps[1].observation
    assert failed is not None
    assert (failed.results[0].extra or {})["exit_code"] == 1
    assert set(results_of(steps[2])) == {"read_file__call_03a", "run_shell_command__call_03b"}


def test_a_call_refers_to_the_subagent_that_it_started() -> None:
    trajectory = converted(new_converter(), load("subagent@events").files)
    refs = [
        ref.trajectory_id
        for step in trajectory.steps
        for result in (step.observation.results if step.observation else [])
        for ref in result.subagent_trajectory_ref or []
    ]
    assert refs == [subagent.trajectory_id for subagent in trajectory.subagent_trajectories or []]
    assert len(refs) == 2


def test_a_cut_final_stream_is_marked_unfinished_and_its_output_unknown() -> None:
    last = converted(new_converter(), load("early-end@events").files).steps[-1]
    assert last.extra == {"unfinished": True}
    assert last.metrics is not None
    assert last.metrics.completion_tokens is None


def test_a_turn_that_was_killed_in_mid_stream_is_kept_as_far_as_it_was_printed() -> None:
    last = converted(new_converter(), load("stall@events").files).steps[-1]
    assert last.message == "The operands of subtract are"
    assert last.extra == {"unfinished": True}
    assert last.metrics is None


@pytest.mark.parametrize(("name", "words"), [("auth@events", "401"), ("auth", "401"), ("fatal@events", "208310")])
def test_a_fatal_error_is_the_last_step_and_the_final_error(name: str, words: str) -> None:
    converter = new_converter()
    last = converted(converter, load(name).files).steps[-1]
    assert last.source == "system"
    assert words in str(last.message)
    assert last.timestamp is not None
    assert words in (converter.final_error() or "")


def test_recovered_errors_are_shown_where_they_happened_and_are_no_failure() -> None:
    converter = new_converter()
    trajectory = converted(converter, load("retry@events").files)
    steps = [step for step in trajectory.steps if step.source == "agent"]
    assert [len((step.extra or {}).get("api_errors", [])) for step in steps] == [1, 2, 0, 0, 0, 0, 0]
    assert converter.n_llm_calls() == len(load("retry@events").truth["calls"])
    # The cut of the last stream was not recovered from.
    assert converter.final_error() == "[API Error: terminated]\nSocketError: other side closed"


def test_the_end_is_known_from_the_printed_result() -> None:
    files = load("basic@events").files
    converter = new_converter()
    printed = files["gemini-cli.txt"].splitlines(keepends=True)
    seen = []
    for piece in (b"".join(printed[:-1]), printed[-1]):
        converter.feed("gemini-cli.txt", piece)
        seen.append(converter.is_done)
    assert seen == [False, True]
    assert converter.final_error() is None


def test_a_running_call_is_seen_before_the_session_file_has_it() -> None:
    files = load("basic@events").files
    session = next(path for path in files if path.endswith(".jsonl"))
    lines = files[session].splitlines(keepends=True)
    answered = next(number for number, line in enumerate(lines) if b"toolCalls" in line)
    printed = files["gemini-cli.txt"]
    converter = new_converter()
    converter.feed(session, b"".join(lines[:answered]))
    converter.feed("gemini-cli.txt", printed[: printed.index(b'{"type":"tool_result"')])
    trajectory = converter.trajectory()
    assert trajectory is not None
    assert [call.tool_call_id for call in trajectory.steps[-1].tool_calls or []] == ["read_file__call_001a"]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_run_that_was_killed_amid_its_calls_is_the_same_in_any_cutting(data: st.DataObject) -> None:
    files = load("basic@events").files
    torn = {path: content[: data.draw(st.integers(0, len(content)))] for path, content in files.items()}
    pieces = data.draw(cuttings(torn))
    assert check_replay(new_converter(), pieces) == fed(new_converter(), torn.items())


def test_without_the_session_file_the_output_alone_gives_the_turns() -> None:
    files = {"gemini-cli.txt": load("basic@events").files["gemini-cli.txt"]}
    converter = new_converter()
    trajectory = converted(converter, files)
    assert trajectory.steps[0].message == INSTRUCTIONS[1]
    assert [len(step.tool_calls or []) for step in trajectory.steps[1:]] == [1, 1, 1, 1, 1, 2, 0]
    assert totals_of(converter) == load("basic@events").figures("main").without_cache_write()


def test_the_cli_counts_calls_that_no_session_file_has() -> None:
    files = dict(load("subagent@events").files)
    gone = next(path for path in files if path.count("/") == 4)
    del files[gone]
    converter = new_converter()
    converted(converter, files)
    assert converter.summary_usage() is not None
    assert (
        totals_of(converter)
        == load("subagent@events").figures("main", "sub:inspect", "sub:count").without_cache_write()
    )


def session_of(*lines: str) -> Trajectory:
    header = '{"sessionId":"s-1","projectHash":"h","startTime":"2026-11-21T02:00:00.000Z","kind":"main"}'
    text = "\n".join((header, *lines)) + "\n"
    return converted(new_converter(), {"gemini/app/chats/session-1.jsonl": text.encode()})


USER = '{"id":"u1","timestamp":"2026-11-21T02:00:01.000Z","type":"user","content":[{"text":"Do it."}]}'
ANSWER = (
    '{"id":"g1","timestamp":"2026-11-21T02:00:02.000Z","type":"gemini","content":"Done so.","thoughts":[],'
    '"tokens":{"input":9,"output":2,"cached":0,"thoughts":0,"tool":0,"total":11},"model":"m"}'
)


def test_a_compaction_is_one_step_and_the_copies_after_it_are_left_out() -> None:
    """Made by hand after the CLI's source: a summary, an answer that nobody gave, and the rest under new ids."""
    history = (
        '{"$set":{"messages":['
        '{"id":"n1","type":"user","content":[{"text":"<state_snapshot>All is well.</state_snapshot>"}]},'
        '{"id":"n2","type":"gemini","content":[{"text":"Got it. Thanks for the additional context!"}]},'
        '{"id":"n3","type":"user","content":[{"text":"Do it."}]}]}}'
    )
    again = ANSWER.replace("g1", "g2").replace("Done so.", "All done.")
    trajectory = session_of(USER, ANSWER, history, again)
    assert [(step.source, step.message) for step in trajectory.steps] == [
        ("user", "Do it."),
        ("agent", "Done so."),
        ("system", "<state_snapshot>All is well.</state_snapshot>"),
        ("agent", "All done."),
    ]
    assert trajectory.final_metrics is not None
    assert (trajectory.final_metrics.extra or {})["summarization_count"] == 1


def test_masked_outputs_leave_the_steps_as_they_were() -> None:
    masked = '{"$set":{"messages":[{"id":"u1","type":"user","content":[{"text":"Do."}]}]}}'
    assert session_of(USER, ANSWER, masked) == session_of(USER, ANSWER)


def test_what_is_rewound_stays_and_says_so() -> None:
    trajectory = session_of(USER, ANSWER, '{"$rewindTo":"g1"}')
    assert [step.extra for step in trajectory.steps] == [None, {"rewound": True}]


def test_images_that_a_tool_returns_are_taken_out() -> None:
    call = (
        '"toolCalls":[{"id":"c1","name":"read_file","args":{"file_path":"/a.png"},"status":"success","result":['
        '{"functionResponse":{"id":"c1","name":"read_file","response":{"output":"Binary content provided."},'
        '"parts":[{"inlineData":{"mimeType":"image/png","data":"aGFsbG8="}}]}}]}]}'
    )
    trajectory = session_of(USER, ANSWER, ANSWER.removesuffix("}") + "," + call)
    content = results_of(trajectory.steps[1])["c1"]
    assert [part.type for part in content] == ["text", "image"]


def test_a_web_search_by_the_provider_is_flagged() -> None:
    call = '"toolCalls":[{"id":"c1","name":"google_web_search","args":{"query":"x"},"status":"error","result":[]}]}'
    step = session_of(USER, ANSWER.removesuffix("}") + "," + call).steps[1]
    assert step.extra == {"server_web_search": True}
    assert step.observation is not None
    assert (step.observation.results[0].extra or {})["is_error"] is True


def test_a_second_session_is_kept_beside_the_first_with_a_warning() -> None:
    files = load("basic").files
    session = next(path for path in files if path.endswith(".jsonl"))
    other = files[session].replace(b"b8afffbc", b"c8afffbc").replace(b'"startTime":"2026', b'"startTime":"2027')
    trajectory = converted(new_converter(), {**files, "chats/session-x.jsonl": other})
    assert said_in(trajectory) == [as_logged(said) for said in load("basic").said("main")]
    assert [subagent.trajectory_id for subagent in trajectory.subagent_trajectories or []] == ["session-x"]
    assert any("several sessions" in warning for warning in (trajectory.extra or {})["warnings"])


def test_a_session_of_older_versions_is_one_json_object() -> None:
    text = f'{{"sessionId":"s-1","startTime":"2025-11-21T02:00:00.000Z","messages":[{USER},{ANSWER}]}}'
    trajectory = converted(new_converter(), {"gemini-cli.trajectory.json": text.encode()})
    assert [step.message for step in trajectory.steps] == ["Do it.", "Done so."]
