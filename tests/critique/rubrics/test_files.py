"""Rubric files of ours, of pier and of harbor: what they become, and why one is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from critique.formats.reading import parse_result
from critique.formats.schema import check_schema
from critique.rubrics.files import RubricInvalid, parse_rubric, read_rubric

MINIMAL = {"name": "mine", "title": "Mine", "text": "Look at it."}
CRITERIA = [
    {"name": "is_fair", "description": "Fair.", "guidance": "Pass if fair."},
    {"name": "is_clear", "description": "Clear.", "guidance": "Pass if clear."},
]
OF_PIER = {
    ".toml": """
[[criteria]]
name = "is_fair"
description = "Fair."
guidance = "Pass if fair."

[[criteria]]
name = "is_clear"
description = "Clear."
guidance = "Pass if clear."
""",
    ".yaml": """
criteria:
- {name: is_fair, description: Fair., guidance: Pass if fair.}
- {name: is_clear, description: Clear., guidance: Pass if clear.}
""",
    ".json": json.dumps({"criteria": CRITERIA}),
}


def parse(**keys: Any) -> Any:
    return parse_rubric(json.dumps(MINIMAL | keys), Path("mine.json"))


@pytest.mark.parametrize("suffix", OF_PIER)
def test_criteria_of_pier_become_a_whole_rubric_in_each_of_its_formats(suffix: str) -> None:
    rubric = parse_rubric(OF_PIER[suffix], Path(f"Our_House rules{suffix}"), subject="task")
    assert (rubric.name, rubric.title, rubric.subject) == ("our-house-rules", "Our house rules", "task")
    assert [criterion.model_dump() for criterion in rubric.criteria] == CRITERIA
    assert rubric.digest == parse_rubric(OF_PIER[".json"], Path("a.json"), subject="task").digest
    assert rubric.output_schema["properties"]["checks"]["required"] == ["is_fair", "is_clear"]
    check_schema(dict(rubric.output_schema))


def test_an_answer_to_the_criteria_of_pier_is_accepted() -> None:
    rubric = parse_rubric(OF_PIER[".toml"], Path("mine.toml"))
    check = {"outcome": "pass", "explanation": "It is."}
    claim = {"claim": "Fair.", "severity": "info", "confidence": 1, "citations": [{"verifier_test": "t"}]}
    result = {
        "rating": "good",
        "tag": "ALL_MET",
        "feedback": "Fine.",
        "confidence": 1,
        "claims": [claim],
        "checks": {"is_fair": check, "is_clear": check},
    }
    assert parse_result(json.dumps(result).encode(), rubric.output_schema).rating == "good"


def test_a_file_that_says_its_subject_keeps_it() -> None:
    assert parse_rubric(json.dumps(MINIMAL | {"subject": "run"}), Path("a.json"), subject="task").subject == "run"
    assert parse_rubric(json.dumps(MINIMAL), Path("a.json"), subject="task").subject == "task"


def test_a_schema_of_its_own_is_taken_as_it_is() -> None:
    schema = {"type": "object", "required": ["rating", "feedback", "tags", "score"]}
    assert parse(output_schema=schema).output_schema == schema


def test_the_digest_is_over_all_that_a_critic_gets_and_over_nothing_else() -> None:
    same = parse(name="other", title="Other", version=4, note="New name.")
    assert same.digest == parse().digest
    for other in (
        {"text": "Look again."},
        {"subject": "task"},
        {"criteria": CRITERIA},
        {"tags": [{"name": "A"}]},
        {"categories": [{"name": "a"}]},
        {"severities": {"info": "a", "minor": "b", "major": "c", "critical": "d"}},
        {"answer": {"min_claims": 3}},
        {"critic": {"agent": "codex"}},
    ):
        assert parse(**other).digest != parse().digest, other


def test_the_text_tells_what_categories_and_severities_mean() -> None:
    severities = {name: f"{name} here" for name in ("info", "minor", "major", "critical")}
    text = parse(categories=[{"name": "leak", "description": "Told too much."}], severities=severities).text
    assert "- `leak`: Told too much." in text
    assert "- `critical`: critical here" in text


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"name": "No Slug"}, "name: "),
        ({"text": ""}, "text: "),
        ({"titel": "Mine"}, "unknown key 'titel', did you mean 'title'?"),
        ({"tags": [{"name": "A", "ratign": "good"}]}, "unknown key 'tags[0].ratign', did you mean 'rating'?"),
        ({"tags": [{"name": "A"}, {"name": "A"}]}, "tag A is there twice"),
        ({"criteria": [{"name": "a b"}]}, "criteria[0].name: "),
        ({"output_schema": {"type": "array"}}, "type object"),
        ({"answer": {"properties": {"score": {"pattern": "(a+)+"}}}}, "pattern: this keyword is not supported"),
        ({"critic": {"timeout_sec": 0}}, "critic.timeout_sec: "),
        ({"subject": "job"}, "subject: "),
        ({"version": 0}, "version: "),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_rubric_that_cannot_be_used_is_refused_with_file_and_place(keys: dict[str, Any], reason: str) -> None:
    with pytest.raises(RubricInvalid) as caught:
        parse(**keys)
    assert str(caught.value).startswith("mine.json: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.txt", "x", "a rubric file ends in .toml, .yaml, .yml, .json"),
        ("a.toml", "x =", "not TOML"),
        ("a.json", "[1]", "holds a table"),
        ("a.yaml", "- a", "holds a table"),
        ("a.yaml", "criteria: []", "there is no criterion"),
        ("a.yaml", "when: 2026-01-01", "such as a date"),
        ("a.yaml", "x: .nan", "a value that JSON doesn't have"),
    ],
    ids=["suffix", "torn", "list", "yaml list", "empty", "date", "nan"],
)
def test_a_file_of_another_kind_is_refused(name: str, text: str, reason: str) -> None:
    with pytest.raises(RubricInvalid, match=reason):
        parse_rubric(text, Path(name))


def test_a_missing_and_a_huge_file_are_refused(tmp_path: Path) -> None:
    huge = tmp_path / "huge.toml"
    huge.write_text("#" * 300_000)
    for path, reason in ((tmp_path / "none.toml", "does not exist"), (huge, "over the limit")):
        with pytest.raises(Exception, match=reason):
            read_rubric(path)


def test_what_no_database_takes_is_cleaned() -> None:
    assert parse(text="a\0b").text == "a�b\n"
