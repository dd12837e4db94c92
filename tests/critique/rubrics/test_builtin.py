"""The rubrics that come with the site: pinned by their digests, complete, and answered in the words of pier."""

import json
from pathlib import Path
from typing import Any

import pytest

from critique.formats.reading import ContractBroken, parse_result
from critique.formats.schema import check_schema
from critique.rubrics.loading import builtin_texts

PINNED: dict[str, str] = json.loads((Path(__file__).parent / "digests.json").read_text())
ELEVEN = {
    "behavior_in_task_description", "behavior_in_tests", "informative_test_structure", "anti_cheating_measures",
    "structured_data_schema", "pinned_dependencies", "typos", "tests_or_solution_in_image", "test_deps_in_image",
    "hardcoded_solution", "file_reference_mentioned",
}  # fmt: skip
VALIDITY = {
    "PASS_LEGITIMATE": "good", "PASS_CHEATED": "bad", "FAIL_AGENT_FAULT": "good", "FAIL_TASK_UNFAIR": "bad",
    "FAIL_VERIFIER_BROKEN": "bad", "FAIL_ENVIRONMENT": "bad", "FAIL_INCOMPLETE": "bad", "FAIL_UNCLEAR": "bad",
}  # fmt: skip
MORE: dict[str, dict[str, Any]] = {
    "trial-validity": {"trial_outcome": "pass"},
    "reward-hacking": {"affects_reward": False},
    "failure-modes": {"decisive_step": None, "recoverable": True},
    "run-analysis": {"summary": "It read the code and mended it."},
}


def a_good_answer(name: str) -> dict[str, Any]:
    """The least that a critic may write by the rubric."""
    rubric = builtin_texts()[name]
    category = rubric.output_schema["$defs"]["claim"]["properties"]["category"]["enum"][0]
    claim = {"claim": "So.", "category": category, "severity": "info", "confidence": 0.5}
    answer: dict[str, Any] = {
        "feedback": "So it is.",
        "confidence": 0.9,
        "claims": [claim | {"citations": [{"step": 1, "quote": "x"}]}],
        **MORE.get(name, {}),
    }
    if rubric.tags:
        answer |= {"rating": rubric.tags[0].rating or "good", "tags": [rubric.tags[0].name]}
    if rubric.criteria:
        answer["checks"] = {one.name: {"outcome": "pass", "explanation": "It is."} for one in rubric.criteria}
    return answer


def refused(name: str, answer: dict[str, Any]) -> list[str]:
    with pytest.raises(ContractBroken) as caught:
        parse_result(json.dumps(answer).encode(), builtin_texts()[name].output_schema)
    return caught.value.problems


def test_a_builtin_rubric_changes_only_with_a_new_version() -> None:
    """Whoever changes a text raises its version and adds a line to digests.json; lines of old versions stay."""
    assert {text.label: text.digest for text in builtin_texts().values()}.items() <= PINNED.items()


def test_the_builtin_rubrics_are_these() -> None:
    assert {name: text.subject for name, text in builtin_texts().items()} == {
        "failure-modes": "trial",
        "question": "trial",
        "reward-hacking": "trial",
        "run-analysis": "trial",
        "run-summary": "run",
        "task-quality": "task",
        "trial-validity": "trial",
    }


@pytest.mark.parametrize("name", sorted(builtin_texts()))
def test_a_builtin_rubric_is_complete(name: str) -> None:
    rubric = builtin_texts()[name]
    check_schema(dict(rubric.output_schema))
    assert rubric.version >= 1
    assert rubric.critic["agent"] == "claude-code"
    assert rubric.critic["timeout_sec"] > 0
    assert all(tag.description for tag in rubric.tags)
    assert all(criterion.description and criterion.guidance for criterion in rubric.criteria)
    assert "\\" not in rubric.text


@pytest.mark.parametrize("name", sorted(builtin_texts()))
def test_the_least_answer_to_a_builtin_rubric_is_accepted_and_each_part_of_it_is_needed(name: str) -> None:
    answer = a_good_answer(name)
    parse_result(json.dumps(answer).encode(), builtin_texts()[name].output_schema)
    for key in answer:
        assert f"{key}: is required" in refused(name, {other: answer[other] for other in answer if other != key})


@pytest.mark.parametrize(
    "name", [name for name, text in builtin_texts().items() if text.subject == "trial" and text.tags]
)
def test_an_answer_about_a_trial_is_one_that_pier_takes_too(name: str) -> None:
    schema = builtin_texts()[name].output_schema
    assert {"rating", "feedback", "tags"} <= set(schema["required"])
    assert parse_result(json.dumps(a_good_answer(name)).encode(), None).tags


def test_trial_validity_has_the_tags_of_pier_and_each_has_its_rating() -> None:
    assert {tag.name: tag.rating for tag in builtin_texts()["trial-validity"].tags} == VALIDITY
    answer = a_good_answer("trial-validity") | {"tag": "PASS_CHEATED", "tags": []}
    assert refused("trial-validity", answer) == ["rating: must be 'bad', not 'good'"]


def test_task_quality_has_the_eleven_criteria_of_pier_and_harbor() -> None:
    assert {criterion.name for criterion in builtin_texts()["task-quality"].criteria} == ELEVEN


def test_run_analysis_has_the_criteria_of_pier_and_harbor() -> None:
    assert [one.name for one in builtin_texts()["run-analysis"].criteria] == ["reward_hacking", "task_specification"]


def test_a_claim_without_evidence_is_refused_by_every_builtin_rubric() -> None:
    for name in builtin_texts():
        answer = a_good_answer(name)
        answer["claims"][0]["citations"] = []
        assert "claims[0].citations: must have at least 1 entries, and has 0" in refused(name, answer)
