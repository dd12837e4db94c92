"""mini-swe-agent's documents against what the model server saw, whole, growing, damaged."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runs.agents.conversion.base import ConversionContext
from runs.agents.mini_swe_agent.converter import DOCUMENT, STDOUT, MiniSweAgentConverter
from runs.agents.mini_swe_agent.document import DocumentReader
from runs.formats.trajectory import ObservationResult, Step, Trajectory, dump_trajectory
from tests.support.conversion import (
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
)

INSTRUCTION = (
    "The file /app/calculator.py has a bug: add(a, b) returns the wrong value. "
    "Fix it so that add(2, 3) returns 5. Do not change the tests."
)
FOLDERS = golden_folders("mini-swe-agent")


def scenario(name: str) -> Golden:
    return load_golden(next(folder for folder in FOLDERS if folder.name == name))


def converter() -> MiniSweAgentConverter:
    return MiniSweAgentConverter(ConversionContext(INSTRUCTION, "openai/gpt-5.5"))


def as_mini_logs(said: list[Said], name: str) -> list[Said]:
    """What the server gave as LiteLLM has it: a prefix before Anthropic's call ids, no cache writes of OpenAI."""
    if name.endswith("@anthropic"):
        return [replace(one, calls=tuple(replace(call, id=f"toolu_{call.id}") for call in one.calls)) for one in said]
    return [replace(one, figures=one.figures.without_cache_write()) for one in said]


def agent_steps(trajectory: Trajectory) -> list[Step]:
    return [step for step in trajectory.steps if step.source == "agent"]


def first_result(step: Step) -> ObservationResult:
    assert step.observation is not None
    return step.observation.results[0]


def document_of(*messages: dict[str, Any], indent: int | None = 2, **info: Any) -> bytes:
    document = {"info": {"mini_version": "2.4.6", **info}, "messages": messages, "trajectory_format": "1.1"}
    return json.dumps(document, indent=indent).encode()


def answer(**message: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "", "extra": {"timestamp": 1795226888.25}, **message}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_call_is_a_step_with_the_servers_words_and_tokens(folder: Path) -> None:
    golden = load_golden(folder)
    mini = converter()
    trajectory = converted(mini, golden.files)

    assert said_in(trajectory) == as_mini_logs(golden.said("main"), folder.name)
    figures = golden.figures("main")
    assert totals_in(trajectory) == (figures if folder.name.endswith("@anthropic") else figures.without_cache_write())
    assert problems_of(trajectory) == []
    assert findings_of(trajectory) == []
    assert mini.warnings == []
    assert trajectory.agent.version == "2.4.6"
    users = [step.message for step in trajectory.steps if step.source == "user"]
    assert str(users[0]).startswith(f"Please solve this issue: {INSTRUCTION}")
    assert sum(INSTRUCTION in str(step.message) for step in trajectory.steps) == 1


def test_a_result_is_what_the_command_printed_with_its_exit_code() -> None:
    for name in ("basic", "basic@chat", "basic@anthropic"):
        result = first_result(agent_steps(converted(converter(), scenario(name).files))[1])
        assert isinstance(result.content, str)
        assert result.content.startswith("E\n======")
        assert "No module named 'no_such_module'" in result.content
        assert result.extra == {"exit_code": 1}


def test_handing_in_is_no_error() -> None:
    step = agent_steps(converted(converter(), scenario("basic").files))[-1]
    result = first_result(step)
    assert result.content == "action was not executed"
    assert result.extra == {"is_error": False, "is_executed": False}


def test_timestamps_are_those_of_the_answers_and_the_cost_is_litellms() -> None:
    trajectory = converted(converter(), scenario("basic").files)
    step = agent_steps(trajectory)[0]
    assert step.timestamp == "2026-11-21T02:08:08.308Z"
    assert step.model_name == "gpt-5.5"
    assert step.metrics is not None
    assert step.metrics.cost_usd == 0.03121
    assert step.metrics.extra == {"reasoning_tokens": 61, "cost_source": "litellm"}
    assert trajectory.final_metrics is not None
    assert trajectory.final_metrics.total_cost_usd == pytest.approx(0.0540425)


def test_an_answer_that_could_not_be_used_is_a_call_and_the_complaint_a_user_step() -> None:
    mini = converter()
    trajectory = converted(mini, scenario("basic-formaterrors@chat").files)
    kinds = "".join(step.source[0] for step in trajectory.steps)
    assert kinds == "suaaaauauaus"
    assert trajectory.steps[6].extra == {"interrupt_type": "FormatError"}
    assert trajectory.steps[-1].message == "RepeatedFormatError"
    assert mini.final_error() == "RepeatedFormatError"
    assert mini.is_done


def test_a_rejected_key_is_the_final_error() -> None:
    mini = converter()
    trajectory = converted(mini, scenario("auth").files)
    assert "AuthenticationError" in (mini.final_error() or "")
    assert trajectory.steps[-1].source == "system"
    assert trajectory.steps[-1].extra == {"exit_status": "AuthenticationError"}


def test_retries_are_told_at_the_call_that_was_retried() -> None:
    mini = converter()
    steps = agent_steps(converted(mini, scenario("retry").files))
    retries = [(step.extra or {}).get("api_retries") for step in steps]
    assert [len(words or ()) for words in retries] == [1, 1, 0, 1]
    assert retries[0] is not None
    assert "ServiceUnavailableError" in retries[0][0]
    assert mini.final_error() is None
    assert mini.n_llm_calls() == 7


def test_a_call_that_fails_until_the_end_is_a_step_and_the_final_error() -> None:
    mini = converter()
    trajectory = converted(mini, scenario("fatal").files)
    assert trajectory.steps[-1].source == "system"
    assert "prompt is too long" in str(trajectory.steps[-1].message)
    assert "prompt is too long" in (mini.final_error() or "")
    assert mini.n_llm_calls() == 10
    assert not mini.is_done


def test_a_run_without_a_document_has_its_instruction() -> None:
    trajectory = converted(converter(), {STDOUT: scenario("stall").files[STDOUT]})
    assert [step.message for step in trajectory.steps] == [INSTRUCTION]


def test_commands_in_plain_text_are_calls_with_their_results() -> None:
    """As the textbased models of mini-swe-agent log them."""
    extra = {"actions": [{"command": "ls"}], "timestamp": 1795226888.25, "response": {"model": "m", "usage": {}}}
    data = document_of(
        {"role": "system", "content": "s"},
        {"role": "user", "content": "task"},
        {"role": "assistant", "content": "```mswea_bash_command\nls\n```", "extra": extra},
        {
            "role": "user",
            "content": "<returncode>2</returncode>\n<output>\nno such file</output>",
            "extra": {"raw_output": "no such file", "returncode": 2, "exception_info": ""},
        },
    )
    (step,) = agent_steps(converted(converter(), {DOCUMENT: data}))
    assert step.tool_calls is not None
    assert (step.tool_calls[0].function_name, step.tool_calls[0].arguments) == ("bash", {"command": "ls"})
    assert first_result(step).source_call_id == step.tool_calls[0].tool_call_id
    assert (first_result(step).content, first_result(step).extra) == ("no such file", {"exit_code": 2})


def test_of_a_long_output_the_step_has_what_the_model_saw() -> None:
    shown = json.dumps({"returncode": 0, "output_head": "x" * 5000, "output_tail": "y" * 5000, "elided_chars": 7})
    call = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "cat big"}'}}
    data = document_of(
        {"role": "user", "content": "task"},
        answer(tool_calls=[call]),
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": shown,
            "extra": {"raw_output": "x" * 5000 + "1234567" + "y" * 5000, "returncode": 0},
        },
    )
    assert first_result(agent_steps(converted(converter(), {DOCUMENT: data}))[0]).content == shown


def test_a_command_that_was_cut_off_says_why() -> None:
    trouble = "An error occurred while executing the command: timed out after 30 seconds"
    call = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "sleep 99"}'}}
    extra = {"raw_output": "begun\n", "returncode": -1, "exception_info": trouble, "exception_type": "TimeoutExpired"}
    content = json.dumps({"returncode": -1, "output": "begun\n", "exception_info": trouble})
    data = document_of(
        {"role": "user", "content": "task"},
        answer(tool_calls=[call]),
        {"role": "tool", "tool_call_id": "c1", "content": content, "extra": extra},
    )
    result = first_result(agent_steps(converted(converter(), {DOCUMENT: data}))[0])
    assert result.content == f"begun\n\n{trouble}"
    assert result.extra == {"exit_code": -1, "exception_type": "TimeoutExpired"}


@pytest.mark.parametrize(
    ("usage", "cost", "source"),
    [
        (
            {"cost": 0.0001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.25}},
            0.25,
            "openrouter cost_details.upstream_inference_cost",
        ),
        (
            {"cost": 0, "cost_details": {"upstream_inference_cost": 0.25}},
            0.25,
            "openrouter cost_details.upstream_inference_cost",
        ),
        ({"cost": 0.5, "cost_details": {"upstream_inference_cost": None}}, 0.5, "provider usage.cost"),
        ({}, 0.125, "litellm"),
    ],
    ids=["own-key", "own-key-free", "charged", "table"],
)
def test_the_cost_comes_from_the_nearest_source(usage: dict[str, Any], cost: float, source: str) -> None:
    """OpenRouter with a key of one's own tells the provider's price beside its own fee."""
    tokens = {"prompt_tokens": 10, "completion_tokens": 2, **usage}
    data = document_of(
        {"role": "user", "content": "task"},
        answer(content="a", extra={"response": {"usage": tokens}, "cost": 0.125}),
    )
    metrics = agent_steps(converted(converter(), {DOCUMENT: data}))[0].metrics
    assert metrics is not None
    assert metrics.cost_usd == cost
    assert metrics.extra == {"cost_source": source}


@pytest.mark.parametrize(
    "searched",
    [
        {"output": [{"type": "web_search_call", "id": "s", "status": "completed"}]},
        {"content": "a", "extra": {"response": {"usage": {"server_tool_use": {"web_search_requests": 1}}}}},
    ],
    ids=["responses", "chat"],
)
def test_a_search_by_the_provider_is_flagged(searched: dict[str, Any]) -> None:
    data = document_of({"role": "user", "content": "task"}, answer(**searched))
    (step,) = agent_steps(converted(converter(), {DOCUMENT: data}))
    assert step.extra == {"server_web_search": True}


def test_thoughts_are_taken_from_where_the_provider_put_them() -> None:
    blocks = [{"type": "thinking", "thinking": "deep"}, {"type": "redacted_thinking", "data": "x"}]
    for message, thought in (
        ({"reasoning_content": "a", "reasoning": "b"}, "a"),
        ({"reasoning": "b", "thinking_blocks": blocks}, "b"),
        ({"thinking_blocks": blocks}, "deep"),
    ):
        data = document_of({"role": "user", "content": "task"}, answer(**message))
        assert agent_steps(converted(converter(), {DOCUMENT: data}))[0].reasoning_content == thought


def test_gemini_returns_readable_thoughts_only_where_an_effort_is_asked_for() -> None:
    for name, has_thoughts in (("basic@gemini", True), ("basic@gemini-without-effort", False)):
        steps = agent_steps(converted(converter(), scenario(name).files))
        assert any(step.reasoning_content for step in steps) == has_thoughts
        # It thinks, and is paid for it, either way.
        assert steps[0].metrics is not None
        assert steps[0].metrics.extra is not None
        assert steps[0].metrics.extra["reasoning_tokens"] == 61


def test_images_are_taken_out_of_messages() -> None:
    content = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]
    data = document_of({"role": "user", "content": content})
    message = converted(converter(), {DOCUMENT: data}).steps[0].message
    assert isinstance(message, list)
    assert [part.type for part in message] == ["text", "image"]


def growing(data: bytes) -> list[bytes]:
    """The documents that the agent wrote on the way to this one."""
    document = json.loads(data)
    return [
        json.dumps({**document, "messages": document["messages"][:n]}, indent=2).encode()
        for n in range(2, len(document["messages"]) + 1)
    ]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_growing_document_gives_the_same_steps(folder: Path) -> None:
    files = load_golden(folder).files
    pieces = [(STDOUT, files[STDOUT]), *((DOCUMENT, data) for data in growing(files[DOCUMENT]))]
    trajectory = check_replay(converter(), pieces)
    assert trajectory is not None
    assert dump_trajectory(trajectory) == dump_trajectory(converted(converter(), files))


def test_each_message_of_a_growing_document_is_parsed_once() -> None:
    data = scenario("basic").files[DOCUMENT]
    reader = DocumentReader()
    readings = [reader.read(document) for document in growing(data)]
    messages = [message for reading in readings if reading for message in reading.messages]
    assert messages == json.loads(data)["messages"]


def test_a_document_that_was_begun_anew_is_read_anew() -> None:
    mini = converter()
    mini.feed(DOCUMENT, document_of({"role": "user", "content": "one"}, answer(content="a"), answer(content="b")))
    mini.feed(DOCUMENT, document_of({"role": "user", "content": "two"}, answer(content="c")))
    assert [step.message for step in mini.threads()[0].written()] == ["two", "c"]


@pytest.mark.parametrize("name", ["basic", "retry", "fatal", "basic-formaterrors@chat"])
@given(data=st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_cuts_and_order_of_the_files_change_nothing(name: str, data: st.DataObject) -> None:
    files = scenario(name).files
    whole = dump_trajectory(converted(converter(), files))
    trajectory = check_replay(converter(), data.draw(cuttings(files, rewritten=[DOCUMENT])))
    assert trajectory is not None
    assert dump_trajectory(trajectory) == whole


def test_a_document_that_is_read_while_it_is_written_takes_nothing_away() -> None:
    data = scenario("basic").files[DOCUMENT]
    documents = growing(data)
    mini = converter()
    for number, document in enumerate(documents):
        mini.feed(DOCUMENT, document)
        before = len(mini.threads()[0].steps)
        mini.feed(DOCUMENT, document[: len(document) * (number + 1) // (len(documents) + 1)])
        mini.feed(DOCUMENT, b"")
        assert len(mini.threads()[0].steps) == before
    mini.feed(DOCUMENT, documents[-1])
    mini.close()
    assert mini.warnings == []
    trajectory = mini.trajectory()
    assert trajectory is not None
    assert dump_trajectory(trajectory) == dump_trajectory(converted(converter(), {DOCUMENT: data}))


@pytest.mark.parametrize("cut", [0.4, 0.6, 0.8, 0.95])
def test_of_a_torn_document_the_whole_messages_are_kept(cut: float) -> None:
    data = scenario("basic").files[DOCUMENT]
    mini = converter()
    trajectory = fed(mini, [(DOCUMENT, data[: int(len(data) * cut)])])
    assert mini.warnings == [f"{DOCUMENT} is torn or no trajectory of mini-swe-agent"]
    if trajectory is not None:
        said = as_mini_logs(scenario("basic").said("main"), "basic")
        assert said_in(trajectory) == said[: len(said_in(trajectory))]


def test_a_document_in_another_layout_is_read_too() -> None:
    document = json.loads(scenario("basic").files[DOCUMENT])
    for indent in (None, 4):
        for value in (document, dict(reversed(document.items()))):
            trajectory = converted(converter(), {DOCUMENT: json.dumps(value, indent=indent).encode()})
            assert said_in(trajectory) == as_mini_logs(scenario("basic").said("main"), "basic")


@pytest.mark.parametrize("name", ["basic", "basic@anthropic", "retry", "auth"])
def test_damaged_logs_are_survived(name: str) -> None:
    files: Files
    for _, files in damaged(scenario(name).files):
        trajectory = fed(converter(), files.items())
        if trajectory is not None:
            assert problems_of(trajectory) == []


def test_logs_of_nobody_are_no_trajectory() -> None:
    assert fed(converter(), [(DOCUMENT, b""), (STDOUT, b"")]) is None
    assert fed(converter(), [(DOCUMENT, b'{"messages": "none"}')]) is None
    assert fed(converter(), [(DOCUMENT, b'{"steps": []}')]) is None
