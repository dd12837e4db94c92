"""Citations of steps, and a critique's citations as a whole."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from critique.citations.checking import check_citations
from critique.citations.folding import folded, n_alphanumeric
from critique.citations.formats import CITATIONS_FILE, CheckedCitations, read_citations, write_citations
from critique.citations.quotes import MIN_ALPHANUMERIC
from critique.formats.contract import MAX_CITATIONS, CritiqueResult
from critique.inputs.text import INDENT, body
from critique.inputs.trajectories import trajectories_of
from tests.critique.citations.trials import check, check_one, make_input

MESSAGES = ["I will read the tests first.", 'Two tests fail with KeyError: "slug".', "All 12 tests pass now."]


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """An input folder with a trajectory of three steps."""
    return make_input(tmp_path / "input", MESSAGES)


def test_a_quote_is_verified_in_the_step_that_is_named(given: Path) -> None:
    checked = check_one(given, {"step": 2, "quote": "Two tests fail with  KeyError: “slug”"})
    assert (checked.claim, checked.citation, checked.kind) == (1, 1, "step")
    assert (checked.is_verified, checked.note) == (True, "")
    assert checked.trajectory is not None
    assert (checked.trajectory.label, checked.trajectory.path) == ("main", "agent/trajectory.json")


@pytest.mark.parametrize(
    ("citation", "note"),
    [
        ({"step": 1, "quote": "All 12 tests pass now."}, "not in step 1; found in step 3"),
        ({"step": 3, "quote": "All 13 tests pass now."}, "not in step 3"),
        ({"step": 4, "quote": "All 12 tests pass"}, "there is no step 4: the trajectory has 3; found in step 3"),
        ({"step": 10**12, "quote": "nothing like it"}, "there is no step 1000000000000: the trajectory has 3"),
        ({"step": 1, "quote": "read the", "trajectory": "other"}, "there is no trajectory 'other'; found in step 1"),
        ({"step": 1, "quote": "I a"}, "too short to be evidence: fewer than 4 letters or digits"),
        ({"step": 1, "quote": ""}, "too short to be evidence: fewer than 4 letters or digits"),
        ({"step": 3, "quote": "All 12 … pass now."}, "a part of the quote is too short to be evidence by itself"),
    ],
)
def test_any_other_quote_is_unverified_with_the_reason(given: Path, citation: dict[str, object], note: str) -> None:
    checked = check_one(given, citation)
    assert (checked.is_verified, checked.note) == (False, note)


def test_other_trajectories_go_by_their_label_or_path(given: Path) -> None:
    make_input(given, ["The sub-agent looks around."], name="trajectory.helper.json")
    for label in ("subagent-1", "agent/trajectory.helper.json"):
        checked = check_one(given, {"step": 1, "quote": "The sub-agent looks", "trajectory": label})
        assert checked.is_verified
        assert checked.trajectory is not None
        assert checked.trajectory.path == "agent/trajectory.helper.json"
    elsewhere = check_one(given, {"step": 1, "quote": "The sub-agent looks"})
    assert (elsewhere.is_verified, elsewhere.note) == (False, "not in step 1; found in step 1 of subagent-1")


def test_what_was_given_to_the_critic_counts_and_not_the_trial_as_it_is(given: Path, tmp_path: Path) -> None:
    trial = make_input(tmp_path / "unmasked", ["The key is hunter2-hunter2."]) / "trial"
    assert check_one(given, {"step": 1, "quote": "read the tests first"}, trial=trial).is_verified
    assert not check_one(given, {"step": 1, "quote": "The key is hunter2-hunter2"}, trial=trial).is_verified


def test_without_the_given_input_the_trial_itself_is_looked_at(given: Path) -> None:
    trial = given / "trial"
    assert check_one(None, {"step": 1, "quote": "read the tests first"}, trial=trial).is_verified
    for name in ("trial/agent/trajectory.json", "/critique/input/trial/agent/trajectory.json"):
        assert check_one(None, {"file": name, "quote": "read the tests first"}, trial=trial).is_verified
    gone = check_one(None, {"file": "workspace/main.py", "quote": "read the tests first"}, trial=trial)
    assert (gone.is_verified, gone.note) == (
        False,
        "the file is not kept: what the critic was given has been removed",
    )
    out = check_one(
        None, {"file": "trial/../input/trial/agent/trajectory.json", "quote": "read the tests"}, trial=trial
    )
    assert not out.is_verified


def test_without_any_trajectory_that_is_said(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing", None):
        checked = check_one(folder, {"step": 1, "quote": "read the tests first"})
        assert (checked.is_verified, checked.note) == (False, "there is no trajectory to look in")


@pytest.mark.parametrize("document", ["", "{", "[]", '{"steps": 3}', '{"steps": [1, null, {"message": {"a": []}}]}'])
def test_a_broken_trajectory_leaves_its_citations_unverified(given: Path, document: str) -> None:
    (given / "trial" / "agent" / "trajectory.json").write_text(document)
    assert not check_one(given, {"step": 1, "quote": "read the tests first"}).is_verified


def test_no_citation_is_dropped_and_the_order_is_the_claims(given: Path) -> None:
    citations = [
        {"file": "trial/agent/trajectory.json", "quote": "Two tests fail"},
        {"step": 2, "quote": "Two tests fail"},
        {"verifier_test": "test_slug"},
        {"step": 2, "quote": "Two tests fail"},
        {"step": 9, "quote": "Two tests fail"},
    ]
    claims = [{"claim": "One.", "citations": citations}, {"claim": "Two."}, {"claim": "3.", "citations": citations[:2]}]
    result = CritiqueResult.model_validate({"rating": "bad", "feedback": "See.", "claims": claims})
    checked = check_citations(result, input_folder=given, trial_directory=None)
    assert [(one.claim, one.citation, one.kind) for one in checked.citations] == [
        *(
            (1, 1, "file"),
            (1, 2, "step"),
            (1, 3, "test"),
            (1, 4, "step"),
            (1, 5, "step"),
            (3, 1, "file"),
            (3, 2, "step"),
        )
    ]
    assert [one.is_verified for one in checked.of_claim(1)] == [True, True, False, True, False]
    assert checked.n_unverified == 2


def test_calls_and_results_can_be_quoted(tmp_path: Path) -> None:
    folder = make_input(tmp_path, ["Now I run it."])
    path = folder / "trial" / "agent" / "trajectory.json"
    document = json.loads(path.read_text())
    document["steps"][0] |= {
        "reasoning_content": "It should be quick.",
        "tool_calls": [
            {"tool_call_id": "c1", "function_name": "bash", "arguments": {"command": "grep -n 'x' a.py\nls -la"}}
        ],
        "observation": {"results": [{"source_call_id": "c1", "content": "total 8\n\x1b[32ma.py\x1b[0m"}]},
    }
    path.write_text(json.dumps(document))
    for quote in ("It should be quick", "grep -n 'x' a.py\nls -la", r"grep -n 'x' a.py\nls -la", "total 8 a.py"):
        assert check_one(folder, {"step": 1, "quote": quote}).is_verified


@given_any(st.text(max_size=400), st.integers(0, 40))
def test_what_the_numbered_text_shows_of_a_step_can_be_quoted_from_it(
    tmp_path_factory: pytest.TempPathFactory, said: str, n_words: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "shown-steps"
    make_input(folder, [f"Ordinary words first. {said}", "word " * n_words + "the long line ends here, " * 100])
    [trajectory] = trajectories_of(folder / "trial")
    shown = [
        {"step": step.number, "quote": line}
        for step in trajectory.steps()
        for line in body(step)
        if line.startswith(INDENT) and n_alphanumeric(folded(line)) >= MIN_ALPHANUMERIC
    ]
    checked = check(folder, *shown[:MAX_CITATIONS])
    assert [one for one in checked.citations if not one.is_verified] == []


def test_searching_ends_when_it_is_too_much_and_that_is_said(given: Path) -> None:
    (given / "big.txt").write_text("word " * 100_000)
    citations: list[dict[str, Any]] = [
        {"file": "big.txt", "quote": "words of another"},
        {"step": 1, "quote": "read the tests"},
    ]
    checked = check(given, *citations, max_effort=50_000)
    note = "not checked: the citations of this critique ask for too much searching"
    assert [(one.is_verified, one.note) for one in checked.citations] == [(False, note), (True, "")]


def test_the_file_gives_back_what_was_written(given: Path, tmp_path: Path) -> None:
    checked = check(given, {"step": 2, "quote": "Two tests fail"}, {"file": "nowhere\u2028", "quote": "x" * 20_000})
    write_citations(tmp_path, checked)
    assert read_citations(tmp_path) == checked
    assert json.loads((tmp_path / CITATIONS_FILE).read_text())["citations"][0]["is_verified"] is True


@pytest.mark.parametrize("text", ["", "{", "[]", '{"citations": [{"claim": 0}]}', '{"schema_version": "2"}'])
def test_a_file_that_cannot_be_read_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    assert read_citations(tmp_path) is None
    (tmp_path / CITATIONS_FILE).write_text(text)
    assert read_citations(tmp_path) is None


any_citation = st.one_of(
    st.fixed_dictionaries({"step": st.integers(1), "quote": st.text(), "trajectory": st.text()}),
    st.fixed_dictionaries({"file": st.text(min_size=1), "quote": st.text(), "line": st.none() | st.integers(1)}),
    st.fixed_dictionaries({"verifier_test": st.text(min_size=1), "quote": st.text()}),
)


@given_any(st.lists(any_citation, max_size=8))
def test_hostile_citations_are_answered_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, citations: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "hostile-citations"
    if not folder.exists():
        make_input(folder, MESSAGES)
    checked = check(folder, *citations)
    assert [one.citation for one in checked.citations] == list(range(1, len(citations) + 1))
    assert CheckedCitations.model_validate_json(checked.model_dump_json()) == checked
