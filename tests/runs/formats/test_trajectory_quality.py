"""The quality report: each finding by its code and step, and silence about what is right."""

import time
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.errors import TrajectoryInvalid
from runs.formats.trajectory import Trajectory
from runs.formats.trajectory_quality import MAX_LOOKUPS, MAX_PER_CODE, Code, Finding, quality_of
from runs.formats.trajectory_reader import ReadTrajectory, read_trajectory
from runs.formats.trajectory_versions import INTRODUCED
from tests.runs.formats.test_trajectory import JSON, PLACES, VALID, changed
from tests.runs.formats.test_trajectory_reader import call, read, results

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "atif.md"


def found(trajectory: ReadTrajectory, *files: str) -> list[tuple[str, int | None]]:
    """Code and step of every finding, where only these files exist."""
    return [(finding.code, finding.step_id) for finding in quality_of(trajectory, file_exists=files.__contains__)]


def said(trajectory: ReadTrajectory) -> list[str]:
    return [finding.message for finding in quality_of(trajectory)]


def ref(**fields: str) -> dict[str, Any]:
    return {"message": "m", "observation": {"results": [{"subagent_trajectory_ref": [fields]}]}}


SUBAGENT = {
    "schema_version": "ATIF-v1.7",
    "trajectory_id": "sub",
    "agent": {"name": "s", "version": "1"},
    "steps": [{"step_id": 1, "source": "user", "message": "go"}],
}
SAID = {"message": "done"}
ANSWERED = {"tool_calls": [call("c")], "observation": results("ok", source_call_id="c")}
OPEN = {"tool_calls": [call("c")]}


def test_nothing_is_found_in_a_document_that_is_right() -> None:
    assert quality_of(read_trajectory(VALID)) == []
    assert found(read({"source": "user", "message": "go"}, ANSWERED, SAID)) == []


def test_a_subagent_must_be_embedded_or_lie_beside() -> None:
    assert found(read(ref(trajectory_id="sub"), subagent_trajectories=[SUBAGENT])) == []
    assert found(read(ref(trajectory_id="other"), subagent_trajectories=[SUBAGENT])) == [("dangling-subagent", 1)]
    assert found(read(ref(session_id="s"))) == [("dangling-subagent", 1)]
    assert found(read(SAID, ref(trajectory_path="sub.json"))) == [("missing-subagent-file", 2)]
    assert found(read(ref(trajectory_path="sub.json")), "sub.json") == []
    assert found(read(ref(trajectory_path="s3://bucket/sub.json"))) == []


def test_a_subagent_that_is_referred_to_often_is_named_once() -> None:
    assert found(read(*[ref(trajectory_id="gone")] * 5)) == [("dangling-subagent", 1)]


def test_without_a_way_to_look_no_file_is_missing() -> None:
    trajectory = read(ref(trajectory_path="sub.json"), continued_trajectory_ref="next.json")
    assert quality_of(trajectory) == []
    assert found(trajectory) == [("missing-subagent-file", 1), ("missing-continuation", None)]


def test_media_that_is_not_there_is_named() -> None:
    image = {"type": "image", "source": {"media_type": "image/png", "path": "a.png"}}
    trajectory = read({"message": [image]}, {"message": "m", "observation": {"results": [{"content": [image]}]}})
    assert found(trajectory) == [("missing-media", 1), ("missing-media", 2)]
    assert found(trajectory, "a.png") == []


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([OPEN], [("unanswered-call", 1)]),
        ([OPEN, SAID], [("unanswered-call", 1), ("step-after-unfinished-turn", 2)]),
        ([OPEN, {"source": "system"}, SAID], [("unanswered-call", 1), ("step-after-unfinished-turn", 3)]),
        # One of two is answered: the turn was finished, badly.
        (
            [
                {
                    "tool_calls": [call("a"), call("b")],
                    "observation": {"results": [{"source_call_id": "a", "content": "x"}]},
                },
                SAID,
            ],
            [("unanswered-call", 1)],
        ),
        # One result for all calls, without an id, is how a whole family of writers does it.
        ([{"tool_calls": [call("a"), call("b"), call("d")], "observation": results("all")}, SAID], []),
        # A result in a step of its own.
        ([OPEN, {"observation": results("late", source_call_id="c")}, SAID], []),
        ([{**OPEN, "is_copied_context": True}, SAID], []),
        ([{**OPEN, "observation": {"results": [{"source_call_id": "c", "content": None}]}}, SAID], []),
    ],
)
def test_a_call_wants_a_result(steps: list[dict[str, Any]], expected: list[tuple[str, int | None]]) -> None:
    assert found(read(*steps)) == expected


def test_an_unanswered_call_is_named_and_counted() -> None:
    assert said(read(OPEN)) == ["the call of 'bash' has no result"]
    two = {"tool_calls": [call("a"), call("b")]}
    assert said(read(two)) == ["2 of 2 calls have no result, the first is of 'bash'"]


def test_call_ids_are_used_once() -> None:
    twice = {"tool_calls": [call("c"), call("c")], "observation": results("x", "y", source_call_id="c")}
    assert ("duplicate-call-id", 1) in found(read(twice))
    assert found(read(ANSWERED, SAID, ANSWERED)) == [("repeated-call-id", 3)]
    assert said(read(ANSWERED, ANSWERED)) == ["the call id 'c' was used before, in step 1"]


def test_time_running_backwards_is_named_at_the_step_that_is_too_early() -> None:
    at = [{**SAID, "timestamp": f"2026-01-01T00:00:{second}Z"} for second in ("10", "08.5", "09")]
    trajectory = read(at[0], SAID, at[1], at[2])
    assert found(trajectory) == [("time-backwards", 3)]
    assert said(trajectory) == ["its time is 1.500 s before that of step 1"]
    assert found(read({**at[0], "is_copied_context": True}, at[1])) == []


def test_figures_that_no_run_has_are_named() -> None:
    def metrics(**figures: Any) -> dict[str, Any]:
        return {**SAID, "metrics": figures}

    assert found(read(metrics(prompt_tokens=5, cached_tokens=5))) == []
    assert found(read(metrics(prompt_tokens=5, cached_tokens=6))) == [("cached-over-prompt", 1)]
    assert found(read(SAID, metrics(cost_usd=-0.1))) == [("negative-number", 2)]
    totals = {"total_cached_tokens": 9, "total_prompt_tokens": 8, "total_completion_tokens": -1}
    assert found(read(SAID, final_metrics=totals)) == [("negative-number", None), ("cached-over-prompt", None)]
    assert found(read(metrics(prompt_tokens=True, cached_tokens="9", cost_usd=None))) == []


STEP = {**SAID, "metrics": {"prompt_tokens": 10, "cost_usd": 0.1}}


@pytest.mark.parametrize(
    ("steps", "final", "wrong"),
    [
        ([STEP, STEP], {"total_prompt_tokens": 20, "total_cost_usd": 0.2, "total_steps": 2}, []),
        ([STEP, STEP], {"total_prompt_tokens": 21}, ["total_prompt_tokens is 21, and the steps come to 20"]),
        ([STEP, STEP], {"total_prompt_tokens": 19}, ["total_prompt_tokens is 19, and the steps come to 20"]),
        ([STEP, STEP, STEP], {"total_cost_usd": 0.3}, []),
        ([STEP, STEP], {"total_cost_usd": 0.3}, ["total_cost_usd is 0.3, and the steps come to 0.2"]),
        ([STEP], {"total_steps": 4}, ["total_steps is 4, and the steps come to 1"]),
        # Not every step says what it used: the total may be more, never less.
        ([STEP, SAID], {"total_prompt_tokens": 25}, []),
        ([STEP, SAID], {"total_prompt_tokens": 5}, ["total_prompt_tokens is 5, and the steps come to 10"]),
        # No model was called, so nothing is missing.
        (
            [STEP, {**SAID, "llm_call_count": 0}],
            {"total_prompt_tokens": 25},
            ["total_prompt_tokens is 25, and the steps come to 10"],
        ),
        # A sub-agent or an earlier part may have used the rest.
        ([STEP, ref(trajectory_path="sub.json")], {"total_prompt_tokens": 25}, []),
        ([{**STEP, "is_copied_context": True}, STEP], {"total_prompt_tokens": 10, "total_steps": 1}, []),
        ([{**STEP, "is_copied_context": True}, STEP], {"total_prompt_tokens": 500, "total_steps": 2}, []),
        (
            [{**STEP, "is_copied_context": True}, STEP],
            {"total_prompt_tokens": 5},
            ["total_prompt_tokens is 5, and the steps come to 10"],
        ),
        ([SAID], {"total_prompt_tokens": 25}, []),
        ([STEP], {"total_prompt_tokens": "25", "total_steps": None, "total_cost_usd": float("nan")}, []),
    ],
)
def test_totals_add_up(steps: list[dict[str, Any]], final: dict[str, Any], wrong: list[str]) -> None:
    assert said(read(*steps, final_metrics=final)) == wrong


def test_notes_may_explain_another_count_of_steps() -> None:
    assert found(read(SAID, final_metrics={"total_steps": 9}, notes="the other steps were pruned")) == []


FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "extra": ({}, {"extra": {"a": 1}}),
    "observation on a system step": ({"source": "system", "observation": {"results": []}}, {}),
    "metrics.completion_token_ids": ({"metrics": {"completion_token_ids": [1]}}, {}),
    "metrics.prompt_token_ids": ({"metrics": {"prompt_token_ids": [1]}}, {}),
    "agent.tool_definitions": ({}, {"agent": {"name": "a", "version": "1", "tool_definitions": [{}]}}),
    "is_copied_context": ({"is_copied_context": False}, {}),
    "content parts": ({"message": [{"type": "text", "text": "x"}]}, {}),
    "trajectory_id": ({}, {"trajectory_id": "t"}),
    "subagent_trajectories": ({}, {"subagent_trajectories": [SUBAGENT]}),
    "llm_call_count": ({"llm_call_count": 1}, {}),
    "tool_calls[].extra": ({"tool_calls": [call("c", extra={})], "observation": results("x", source_call_id="c")}, {}),
    "observation.results[].extra": ({"observation": results("x", extra={})}, {}),
    "subagent_trajectory_ref[].trajectory_id": (ref(trajectory_id="t", trajectory_path="t.json"), {}),
    "audio parts": (
        {"message": [{"type": "audio", "source": {"media_type": "audio/wav", "path": "a.wav"}}]},
        {},
    ),
}


@pytest.mark.parametrize("name", INTRODUCED)
def test_a_field_is_newer_than_every_version_before_the_one_that_brought_it(name: str) -> None:
    step, header = FIELDS[name]
    for minor in range(9):
        version = f"ATIF-v1.{minor}"
        trajectory = read({**SAID, **step}, **{"session_id": "s", "schema_version": version, **header})
        named = [
            finding.message.partition(" came with")[0]
            for finding in quality_of(trajectory)
            if finding.code == "newer-field"
        ]
        assert (name in named) == (minor < INTRODUCED[name]), (version, named)


def test_every_version_that_is_valid_knows_its_fields() -> None:
    assert set(FIELDS) == set(INTRODUCED)
    assert found(read(SAID, schema_version="ATIF-v2.0", extra={"a": 1})) == []


def test_a_newer_field_is_named_once_with_its_first_step() -> None:
    counted = {**SAID, "llm_call_count": 1}
    trajectory = read(SAID, counted, counted, schema_version="ATIF-v1.5", session_id="s")
    assert found(trajectory) == [("newer-field", 2)]
    assert said(trajectory) == ["llm_call_count came with ATIF-v1.7; the document says ATIF-v1.5"]


def test_a_session_id_is_wanted_before_1_7() -> None:
    assert found(read(SAID, schema_version="ATIF-v1.6")) == [("missing-session-id", None)]
    assert found(read(SAID, schema_version="ATIF-v1.7")) == []


def test_an_agent_turn_that_holds_nothing_is_named() -> None:
    empty: dict[str, Any] = {"message": " \n"}
    assert found(read(SAID, empty)) == [("empty-agent-turn", 2)]
    assert found(read({"source": "user", "message": ""})) == []
    assert found(read({"message": "", "reasoning_content": "hm"})) == []
    assert found(read({"message": "", "observation": {"results": [{"content": None}]}})) == []


def test_a_finding_inside_a_subagent_names_it() -> None:
    inner = {**SUBAGENT, "steps": [{"step_id": 1, "source": "agent", "message": "", "tool_calls": [call("x")]}]}
    outer = {**SUBAGENT, "trajectory_id": "outer", "subagent_trajectories": [inner]}
    [finding] = quality_of(read(SAID, subagent_trajectories=[outer]))
    assert (finding.code, finding.step_id, finding.trajectory_id) == ("unanswered-call", 1, "sub")


def test_many_findings_of_a_kind_are_counted() -> None:
    findings = quality_of(read(*[{"message": ""}] * (MAX_PER_CODE + 7)))
    assert len(findings) == MAX_PER_CODE + 1
    assert findings[-1] == Finding("empty-agent-turn", None, "7 more of this kind")


def test_a_name_from_the_file_is_cut_and_made_printable() -> None:
    [message] = said(read({"tool_calls": [call("c", function_name="\x1b[31m" + "x" * 10_000)]}))
    assert message.isprintable()
    assert len(message) < 200


def test_ten_thousand_steps_take_a_moment() -> None:
    trajectory = read(*[ANSWERED | {"metrics": {"prompt_tokens": 5}}] * 10_000)
    started = time.process_time()
    quality_of(trajectory)
    assert time.process_time() - started < 1.0


def test_a_document_that_names_countless_files_asks_for_ten_thousand() -> None:
    asked: list[str] = []

    def exists(path: str) -> bool:
        asked.append(path)
        return True

    paths = [{"type": "image", "source": {"media_type": "image/png", "path": str(i)}} for i in range(MAX_LOOKUPS + 5)]
    quality_of(read({"message": [*paths, *paths]}), file_exists=exists)
    assert len(asked) == len(set(asked)) == MAX_LOOKUPS


def test_every_code_and_every_field_is_documented() -> None:
    page = PAGE.read_text()
    assert [code for code in get_args(Code) if f"| `{code}` |" not in page] == []
    assert [name for name, minor in INTRODUCED.items() if f"| `{name}` | 1.{minor} |" not in page] == []


@given(st.sampled_from([*PLACES, "final_metrics/total_prompt_tokens", "steps/1/observation/results/0"]), JSON)
def test_any_document_that_is_read_gets_a_report(path: str, value: Any) -> None:
    try:
        trajectory = read_trajectory(changed(path, value))
    except TrajectoryInvalid:
        return
    for finding in quality_of(trajectory, file_exists=lambda _path: False):
        assert finding.message.isprintable()


@pytest.mark.corpora
def test_the_report_on_real_trajectories_is_short(corpora: Path) -> None:
    """Goldens of real writers: what is found in them was looked at one by one, and is there."""
    expected = {
        "48-openhands-v1.5.json": {"unanswered-call"},
        "66-daydream-v1.7.json": {"dangling-subagent"},
    }
    for path in sorted((corpora / "trajectories").glob("[0-9]*.json")):
        document = Trajectory.model_validate_json(path.read_bytes()).model_dump(exclude_none=True)
        codes = {finding.code for finding in quality_of(read_trajectory(document))}
        assert codes == expected.get(path.name, set()), path.name
