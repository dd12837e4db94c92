"""A critic's output: Pier's contract and ours, sentences that a model can act on, and what is kept of a broken one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from critique.formats.contract import FileCitation, StepCitation, VerifierTestCitation
from critique.formats.reading import MAX_BROKEN_BYTES, ContractBroken, parse_result
from critique.formats.schema import MAX_PROBLEMS
from critique.rubrics.files import parse_rubric

RUBRIC = parse_rubric(
    json.dumps({
        "name": "mine",
        "title": "Mine",
        "text": "Look.",
        "tags": [{"name": "OK", "rating": "good"}, {"name": "NO", "rating": "bad"}],
        "categories": [{"name": "fact"}],
        "criteria": [{"name": "is_sound"}],
    }),
    Path("mine.json"),
)  # fmt: skip
CLAIM = {
    "claim": "It skips the test.",
    "category": "fact",
    "severity": "major",
    "confidence": 0.8,
    "citations": [{"step": 3, "quote": "skip"}],
}
GOOD = {
    "rating": "good",
    "tags": ["OK"],
    "feedback": "Sound.",
    "confidence": 1,
    "claims": [CLAIM],
    "checks": {"is_sound": {"outcome": "pass", "explanation": "It is."}},
}


def parse(document: Any, schema: Mapping[str, Any] | None = None) -> Any:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return parse_result(data, schema)


def broken(document: Any, schema: Mapping[str, Any] | None = None) -> ContractBroken:
    with pytest.raises(ContractBroken) as caught:
        parse(document, schema)
    return caught.value


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    """GOOD with another value at a place."""
    document: Any = json.loads(json.dumps(GOOD))
    place = document
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = to
    return dict(document)


@pytest.mark.parametrize(
    ("given_tags", "read"),
    [
        ({"tag": "A"}, ["A"]),
        ({"tags": "A"}, ["A"]),
        ({"tags": ["A", "B"]}, ["A", "B"]),
        ({"tag": "B", "tags": ["A", "B"]}, ["B", "A"]),
        ({"tag": "", "tags": ["A"]}, ["A"]),
    ],
    ids=["tag", "tags as text", "tags", "both", "an empty tag beside tags"],
)
def test_a_file_of_pier_passes_unchanged(given_tags: dict[str, Any], read: list[str]) -> None:
    result = parse(
        {"rating": "bad", "feedback": "Cheated.", "trial_outcome": "PASS", "evidence": ["a", 2]} | given_tags
    )
    assert (result.rating, result.feedback, result.tags) == ("bad", "Cheated.", read)
    assert result.model_extra == {"trial_outcome": "PASS", "evidence": ["a", 2]}


def test_keys_that_pier_leaves_free_may_have_another_form() -> None:
    free = {"confidence": "high", "claims": ["it passes"], "checks": [1]}
    result = parse({"rating": "good", "tag": "A", "feedback": "x"} | free)
    assert (result.confidence, result.claims, result.checks) == (None, [], {})
    assert result.model_extra == {f"{key}_as_written": value for key, value in free.items()}


def test_claims_of_our_form_are_checked_also_where_no_rubric_asks_for_them() -> None:
    document = {"rating": "good", "tag": "A", "feedback": "x", "claims": [{"claim": "y", "citations": [{"step": 0}]}]}
    assert broken(document).problems == [
        "claims[0].citations[0].step: should be greater than or equal to 1, not 0",
        "claims[0].citations[0].quote: is required",
    ]


@pytest.mark.parametrize("missing", ["rating", "tags", "feedback"])
def test_what_pier_requires_is_required_where_no_rubric_says_otherwise(missing: str) -> None:
    document = {"rating": "good", "tags": ["A"], "feedback": "x"}
    del document[missing]
    assert broken(document).problems == [f"{missing}: is required"]


def test_a_rubric_may_do_without_rating_and_tags() -> None:
    text = json.dumps({"name": "ask", "title": "Ask", "text": "Answer.", "answer": {"rating": "none", "min_claims": 0}})
    schema = parse_rubric(text, Path("ask.json")).output_schema
    result = parse({"feedback": "Yes.", "confidence": 0.5, "claims": []}, schema)
    assert (result.rating, result.tags) == (None, [])


def test_the_whole_of_a_good_result_is_read() -> None:
    citations = [{"step": "4", "quote": "a"}, {"file": "task/x", "quote": "b", "line": 2}, {"verifier_test": "t::u"}]
    check = {"command": "grep -c skip tests/a.py", "expect": {"exit_code": 1}}
    claim = CLAIM | {"citations": citations, "suggested_check": check}
    result = parse(changed("claims", 0, to=claim) | {"mine": 1}, RUBRIC.output_schema)
    assert result.claims[0].citations == [
        StepCitation(step=4, quote="a"),
        FileCitation(file="task/x", quote="b", line=2),
        VerifierTestCitation(verifier_test="t::u"),
    ]
    assert result.claims[0].suggested_check.timeout_sec == 60
    assert result.model_extra == {"mine": 1}


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (changed("rating", to="fine"), "rating: should be 'good' or 'bad', not 'fine'"),
        (changed("rating", to="bad"), "rating: must be 'good', not 'bad'"),
        (changed("tags", to=["MAYBE"]), "tags[0]: must be one of OK, NO, not 'MAYBE'"),
        (changed("tags", to=["OK", "NO"]), "tags: may have at most 1 entries, and has 2"),
        (changed("claims", to=[]), "claims: must have at least 1 entries, and has 0"),
        (changed("claims", 0, "category", to="guess"), "claims[0].category: must be one of fact, not 'guess'"),
        (changed("claims", 0, "citations", to=[]), "claims[0].citations: must have at least 1 entries, and has 0"),
        (changed("claims", 0, "citations", 0, "step", to=0), "claims[0].citations[0].step: should be greater than"),
        (
            changed("claims", 0, "citations", 0, to={"page": 1}),
            "claims[0].citations[0]: must have step and quote, file",
        ),
        (changed("claims", 0, "severity", to="huge"), "claims[0].severity: should be 'info', 'minor'"),
        (
            changed("claims", 0, "suggested_check", to={"command": "x", "expect": {}}),
            "claims[0].suggested_check.expect",
        ),
        (changed("checks", to={}), "checks.is_sound: is required"),
        (changed("confidence", to=70), "confidence: should be less than or equal to 1"),
    ],
    ids=lambda value: value.split(":")[0] if isinstance(value, str) else "",
)
def test_a_problem_names_the_place_and_what_is_wanted(document: dict[str, Any], problem: str) -> None:
    found = broken(document, RUBRIC.output_schema).problems
    assert [one for one in found if one.startswith(problem)], found


def test_contract_and_schema_complain_in_one_answer_and_about_a_place_once() -> None:
    document = changed("rating", to="fine") | {"tags": ["MAYBE"]}
    del document["feedback"]
    assert broken(document, RUBRIC.output_schema).problems == [
        "rating: should be 'good' or 'bad', not 'fine'",
        "feedback: is required",
        "tags[0]: must be one of OK, NO, not 'MAYBE'",
    ]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the file is empty"),
        (b'```json\n{"rating": "good"}\n```', "without a Markdown fence"),
        (b'{"rating": "good",', "not JSON at line 1"),
        (b"[]", "one JSON object"),
        (b'{"feedback": "\xff"}', "byte 14 is not UTF-8"),
        (b'{"confidence": NaN}', "NaN is not a number"),
        (b'{"a":' * 60 + b"1" + b"}" * 60, "nested deeper than 40 levels"),
        (b" " * (4 * 1024 * 1024 + 1), "at most 4,194,304"),
    ],
    ids=["empty", "fenced", "torn", "a list", "bytes", "NaN", "deep", "huge"],
)
def test_what_is_no_json_object_is_said_so_and_nothing_is_kept(data: bytes, problem: str) -> None:
    error = broken(data)
    assert problem in error.problems[0]
    assert error.partial is None


def test_what_no_database_takes_is_cleaned() -> None:
    result = parse(b'{"rating": "good", "tag": "A\\u0000", "feedback": "x\\ud800", "more": ["\\u0000"]}')
    assert (result.tags, result.feedback, result.model_extra) == (["A�"], "x�", {"more": ["�"]})


def test_the_good_parts_of_a_broken_result_are_kept() -> None:
    claims = [
        CLAIM,
        CLAIM | {"citations": [{"step": 0, "quote": "x"}, {"file": "task/y", "quote": "z"}], "severity": "huge"},
        {"claim": ""},
        "a claim",
    ]
    checks = {"is_sound": {"outcome": "perhaps"}, "other": {"outcome": "fail"}}
    document = GOOD | {"rating": "fine", "tag": "NO", "claims": claims, "checks": checks, "mine": [1]}
    partial = broken(document, RUBRIC.output_schema).partial
    assert partial == {
        "tags": ["NO", "OK"],
        "feedback": "Sound.",
        "confidence": 1,
        "claims": [
            CLAIM,
            {
                "claim": "It skips the test.",
                "category": "fact",
                "confidence": 0.8,
                "citations": [{"file": "task/y", "quote": "z"}],
            },
        ],
        "checks": {"other": {"outcome": "fail"}},
        "mine": [1],
    }


def test_problems_and_their_length_are_bounded() -> None:
    claims = [{"claim": "x", "severity": "y" * 10_000, "category": "z" * 10_000} for _ in range(150)]
    problems = broken(GOOD | {"claims": claims}, RUBRIC.output_schema).problems
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1].startswith("and ")
    assert max(map(len, problems)) <= 501


def test_a_million_broken_claims_are_refused_quickly() -> None:
    data = b'{"rating": "good", "claims": [' + b",".join([b"{}"] * 1_000_000) + b"]}"
    assert len(data) > MAX_BROKEN_BYTES
    assert any(problem.startswith("claims: ") for problem in broken(data, RUBRIC.output_schema).problems)


def test_very_many_criteria_are_refused_with_one_sentence() -> None:
    document = GOOD | {"checks": {f"c{n}": {} for n in range(100_000)}}
    assert broken(document, RUBRIC.output_schema).problems == ["checks: may have at most 100 criteria, and has 100,000"]


_keys = st.sampled_from(["rating", "tag", "tags", "feedback", "claims", "claim", "citations", "step", "file", "quote"])
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(_keys | st.sampled_from(["checks", "confidence"]), _values, max_size=6))
def test_whatever_a_model_writes_is_a_result_or_a_list_of_problems(document: dict[str, Any]) -> None:
    for schema in (None, RUBRIC.output_schema):
        try:
            read: object = parse_result(json.dumps(document).encode(), schema)
        except ContractBroken as error:
            read = error.problems
        assert read
