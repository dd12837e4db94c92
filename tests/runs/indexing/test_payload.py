import json
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from runs.formats.reading import parse_json
from runs.formats.trajectory_reader import read_trajectory
from runs.indexing.payload import MAX_STEP_BYTES, MAX_UNPACKED_BYTES, StepPayload, pack, unpack
from tests.runs.indexing.files import step, trajectory


def packed(*steps: dict[str, Any], index: int = 0) -> StepPayload:
    """The payload of one step of a document, packed and unpacked."""
    return unpack(pack(read_trajectory(trajectory(*steps)).steps[index]))


def test_a_step_comes_back_as_it_was_read_with_its_raw_form_beside_it() -> None:
    raw = step(
        1,
        message=[{"type": "text", "text": "look"}, {"type": "image", "source": {"path": "images/1.png"}}],
        reasoning_content="hm",
        tool_calls=[{"tool_call_id": "c1", "function_name": "bash", "arguments": {"command": "ls"}}],
        observation={
            "results": [
                {"source_call_id": "c1", "content": "a\nb", "subagent_trajectory_ref": [{"trajectory_path": "s.json"}]},
                {"content": "from nobody"},
            ]
        },
        surprise=[1],
    )
    payload = packed(raw)
    assert (payload.message, payload.reasoning) == ("look", "hm")
    assert payload.images == ["images/1.png"]
    [call] = payload.calls
    assert (call.id, call.name, call.arguments) == ("c1", "bash", {"command": "ls"})
    assert call.subagent_paths == ["s.json"]
    assert "a\nb" in (call.result or "")
    assert "from nobody" in f"{payload.observations}{call.result}"
    assert payload.raw == raw
    assert not payload.is_damaged


def test_the_raw_form_is_the_same_whatever_it_shares_with_the_normalised_one() -> None:
    calls = [{"tool_call_id": name, "function_name": "x", "arguments": {"n": name}} for name in "abc"]
    results: list[Any] = [
        {"source_call_id": "b", "content": "same text"},
        {"source_call_id": "a", "content": "same text"},
        {"source_call_id": "c", "content": "one"},
        {"source_call_id": "c", "content": "two"},
        {"content": [{"type": "text", "text": "part"}]},
        "no object",
        {"content": None},
    ]
    for raw in (
        step(1, tool_calls=calls, observation={"results": results}),
        step(1, tool_calls=[*calls, "no object"], observation={"results": results}),
        step(1, message=None, tool_calls=[{"arguments": '{"a": 1}'}, {}], observation={"results": {}}),
        step(1, message="0", tool_calls={}, observation=[], shared={"message": True}),
    ):
        assert packed(raw).raw == raw


def test_arguments_that_are_json_text_become_an_object_and_other_text_stays_text() -> None:
    payload = packed(
        step(
            1,
            tool_calls=[
                {"tool_call_id": "a", "function_name": "x", "arguments": '{"path": "f"}'},
                {"tool_call_id": "b", "function_name": "x", "arguments": "rm -rf"},
            ],
        )
    )
    assert [call.arguments for call in payload.calls] == [{"path": "f"}, "rm -rf"]


def test_a_step_over_the_limit_keeps_the_head_and_the_tail_of_its_long_texts() -> None:
    payload = packed(step(1, message="HEAD" + "x" * 5_000_000 + "TAIL"))
    assert payload.message.startswith("HEAD")
    assert payload.message.endswith("TAIL")
    assert "characters cut" in payload.message
    assert len(payload.message) < 300_000


def test_a_step_of_countless_small_parts_still_fits() -> None:
    data = pack(read_trajectory(trajectory(step(1, extra={"k": list(range(1_000_000, 1_600_000))}))).steps[0])
    assert zstandard.frame_content_size(data) <= MAX_STEP_BYTES
    assert unpack(data).message == "step 1"


def test_nul_and_surrogates_in_a_step_come_back_as_text_that_can_be_sent() -> None:
    payload = packed(step(1, message="a\x00b\ud800c"))
    payload.message.encode()
    assert payload.message.startswith("a")


@given(st.binary(max_size=200))
def test_a_damaged_payload_says_so_and_never_raises(data: bytes) -> None:
    assert unpack(data).is_damaged


@pytest.mark.parametrize("text", [b"[]", b"{}", b"nope", b"\xff", b"[" * 100_000, b'{"message": '])
def test_a_frame_that_holds_no_step_is_damaged(text: bytes) -> None:
    assert unpack(zstandard.compress(text)).is_damaged


def test_a_frame_that_would_unpack_to_more_than_the_limit_is_not_unpacked() -> None:
    assert unpack(zstandard.compress(b" " * (MAX_UNPACKED_BYTES + 1))).is_damaged


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
        max_leaves=10,
    )
)
def test_any_step_that_can_be_read_can_be_packed_and_unpacked(value: Any) -> None:
    raw = {"message": value, "tool_calls": value, "observation": {"results": value}, "extra": value}
    payload = packed(parse_json(json.dumps(raw), lenient=True))
    assert not payload.is_damaged
    assert payload.raw == parse_json(json.dumps(raw), lenient=True)
