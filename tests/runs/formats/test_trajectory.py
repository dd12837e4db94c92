"""Strict ATIF: valid exactly where Harbor says so, and written as peers write it."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from runs.formats.trajectory import MAX_ERRORS, Trajectory, dump_trajectory, strict_errors

VALID: dict[str, Any] = {
    "schema_version": "ATIF-v1.7",
    "session_id": "s",
    "agent": {"name": "codex", "version": "1", "tool_definitions": [{"type": "function"}]},
    "steps": [
        {"step_id": 1, "source": "user", "message": "Do it", "timestamp": "2026-08-21T12:00:00Z"},
        {
            "step_id": 2,
            "source": "agent",
            "message": [
                {"type": "text", "text": "a"},
                {"type": "image", "source": {"media_type": "image/png", "path": "i.png"}},
            ],
            "reasoning_content": "why",
            "reasoning_effort": "high",
            "llm_call_count": 1,
            "tool_calls": [
                {"tool_call_id": "c1", "function_name": "bash", "arguments": {"command": "ls", "none": None}}
            ],
            "observation": {"results": [{"source_call_id": "c1", "content": "x"}, {"content": None}]},
            "metrics": {"prompt_tokens": 5, "prompt_token_ids": [1, 2, 3], "logprobs": [-0.5, -1e-05]},
        },
        {"step_id": 3, "source": "system", "message": "", "observation": {"results": []}},
    ],
    "final_metrics": {"total_steps": 3, "total_cost_usd": 0.5},
    "subagent_trajectories": [
        {
            "agent": {"name": "sub", "version": "1"},
            "trajectory_id": "t1",
            "steps": [{"step_id": 1, "source": "user", "message": ""}],
        }
    ],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The valid document with one place changed; `...` deletes it."""
    document = copy.deepcopy(VALID)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    target: Any = document
    for part in parents:
        target = target[part]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return document


def is_valid(document: Any) -> bool:
    """The verdict of both ways to ask, which must be the same."""
    try:
        Trajectory.model_validate(document)
    except (ValidationError, UnicodeEncodeError):
        assert strict_errors(document)
        return False
    assert strict_errors(document) == []
    return True


@pytest.mark.parametrize("minor", range(9))
def test_every_known_version_is_valid(minor: int) -> None:
    assert is_valid(changed("schema_version", f"ATIF-v1.{minor}"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema_version", ...),
        ("session_id", ...),
        ("steps/0/timestamp", "2026-08-21"),
        ("steps/0/timestamp", None),
        ("steps/1/observation/results/0", {"subagent_trajectory_ref": [{"trajectory_id": "elsewhere"}]}),
        (
            "steps/1/message/1",
            {"type": "audio", "source": {"media_type": "audio/MP3", "path": "a.mp3", "duration_sec": 1}},
        ),
        ("steps/1/llm_call_count", 7),
        ("steps/0/llm_call_count", 0),
        ("subagent_trajectories", []),
        ("subagent_trajectories", None),
    ],
)
def test_what_the_format_allows_is_valid(path: str, value: Any) -> None:
    assert is_valid(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema_version", "ATIF-v1.9"),
        ("schema_version", "1.7"),
        ("unknown", 1),
        ("agent", ...),
        ("agent/version", ...),
        ("agent/api", "x"),
        ("steps", []),
        ("steps", {}),
        ("steps", ...),
        ("steps/0", 1),
        ("steps/0/step_id", 2),
        ("steps/0/source", "tool"),
        ("steps/0/message", ...),
        ("steps/0/message", None),
        ("steps/0/timestamp", "yesterday"),
        ("steps/0/model_name", "m"),
        ("steps/0/metrics", {}),
        ("steps/2/tool_calls", []),
        ("steps/1/llm_call_count", 0),
        ("steps/1/llm_call_count", -1),
        ("steps/1/tool_calls", ...),
        ("steps/1/tool_calls/0/arguments", '{"a": 1}'),
        ("steps/1/observation/results/0/source_call_id", "c2"),
        ("steps/1/observation/results/0/subagent_trajectory_ref", [{"session_id": "s"}]),
        ("steps/1/message/0", {"type": "text"}),
        ("steps/1/message/0", {"type": "image", "text": "a"}),
        ("steps/1/message/1/source/media_type", "image/svg+xml"),
        ("steps/1/message/1/type", "audio"),
        ("final_metrics/total_steps", -1),
        ("subagent_trajectories/0/trajectory_id", ...),
        ("subagent_trajectories/0/steps", []),
        ("subagent_trajectories", [VALID["subagent_trajectories"][0]] * 2),
    ],
)
def test_what_the_format_forbids_is_named(path: str, value: Any) -> None:
    assert not is_valid(changed(path, value))


def test_an_error_names_its_place() -> None:
    assert strict_errors(changed("steps/1/tool_calls/0/arguments", "x")) == [
        "steps[1].tool_calls[0].arguments: should be a valid dictionary, not 'x'"
    ]
    assert "step_id 5 stands where 3 is expected" in strict_errors(changed("steps/2/step_id", 5))[0]


def test_errors_are_few_however_broken_the_document() -> None:
    errors = strict_errors({"agent": 1, "steps": [{"x" * 1000: 1}] * 10_000})
    assert len(errors) == MAX_ERRORS
    assert max(map(len, errors)) < 600


def test_a_document_is_written_without_nulls_and_with_numbers_in_line() -> None:
    text = dump_trajectory(Trajectory.model_validate(VALID))
    assert '"prompt_token_ids": [1, 2, 3]' in text
    assert "[-0.5, -0.00001]" in text
    assert '\n  "agent": {\n' in text
    written = json.loads(text)
    assert written["steps"][1]["tool_calls"][0]["arguments"] == {"command": "ls", "none": None}
    assert "notes" not in written
    assert is_valid(written)


def test_text_that_looks_like_an_array_is_written_as_it_is() -> None:
    message = "[\n  1,\n  2\n]"
    document = Trajectory.model_validate(changed("steps/0/message", message))
    assert json.loads(dump_trajectory(document))["steps"][0]["message"] == message


ANY_TEXT = st.text(st.characters(), max_size=20)  # with NUL and lone surrogates
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)
PLACES = [
    *("schema_version", "agent", "agent/name", "steps/0", "steps/0/message", "steps/0/step_id", "steps/1/tool_calls"),
    *(
        "steps/1/observation",
        "steps/1/observation/results",
        "steps/1/metrics",
        "steps/1/extra",
        "subagent_trajectories",
    ),
    *("subagent_trajectories/0", "final_metrics", "steps/1/metrics/logprobs", "steps", "extra"),
]


@given(st.sampled_from(PLACES), JSON)
def test_both_ways_to_ask_agree_on_any_change(path: str, value: Any) -> None:
    is_valid(changed(path, value))


@given(JSON)
def test_any_value_gets_a_verdict(value: Any) -> None:
    assert strict_errors(value)
