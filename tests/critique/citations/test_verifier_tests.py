"""Citations of verifier tests, by what the verifier reported and printed."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.critique.citations.trials import check_one

REPORTED = [
    {"name": "tests/test_slug.py::TestSlug::test_of_empty", "status": "failed", "message": "AssertionError: '' != 'x'"},
    {"name": "tests/test_slug.py::test_cut[40-ascii]", "status": "passed"},
    {"name": "tests/test_slug.py::test_cut[80-ascii]", "status": "failed", "trace": "E  assert 81 <= 80"},
    {"name": "t1", "status": "passed"},
    {"name": "Slug > keeps dots in v1.5", "status": "passed"},
]
NAMED = "the report names it tests/test_slug.py::TestSlug::test_of_empty"
OUTPUT = "collected 4 items\ntests/test_other.py::test_printed PASSED\nE  NameError: name 'slug' is not defined\n"


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """An input folder whose verifier left a report and output."""
    verifier = tmp_path / "trial" / "verifier"
    verifier.mkdir(parents=True)
    (verifier / "ctrf.json").write_text(json.dumps({"results": {"tests": REPORTED}}))
    (verifier / "test-stdout.txt").write_text(OUTPUT)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "quote", "note"),
    [
        ("tests/test_slug.py::TestSlug::test_of_empty", "", ""),
        ("tests/test_slug.py::TestSlug::test_of_empty", "AssertionError: '' != 'x'", ""),
        ("TestSlug::test_of_empty", "", NAMED),
        ("tests.test_slug.TestSlug.test_of_empty", "", NAMED),
        ("/tests/test_slug.py::TestSlug::test_of_empty", "", NAMED),
        ("test_cut[80-ascii]", "assert 81 <= 80", "the report names it tests/test_slug.py::test_cut[80-ascii]"),
        ("test_cut", "assert 81 <= 80", "2 tests of the report have this name"),
        ("t1", "", ""),
        ("keeps dots in v1.5", "", "the report names it Slug > keeps dots in v1.5"),
        ("test_printed", "", "named in the verifier's output"),
        ("tests/test_other.py::test_printed", "", "named in the verifier's output"),
        ("test_printed", "NameError: name 'slug' is not defined", "test and quote are in the verifier's output"),
        (
            "test_of_empty",
            "NameError: name 'slug' is not defined",
            "the quote is in the verifier's output, not in the test's message",
        ),
    ],
)  # fmt: skip
def test_a_test_is_found_by_its_name(given: Path, name: str, quote: str, note: str) -> None:
    checked = check_one(given, {"verifier_test": name, "quote": quote})
    assert (checked.kind, checked.is_verified, checked.note) == ("test", True, note)


@pytest.mark.parametrize(
    ("name", "quote", "note"),
    [
        ("test_invented", "", "no test of this name in the verifier's report or output"),
        ("OtherClass::test_of_empty", "", "no test of this name in the verifier's report or output"),
        ("test_cut[120-ascii]", "", "no test of this name in the verifier's report or output"),
        ("of_empty", "", "no test of this name in the verifier's report or output"),
        ("test_print", "", "no test of this name in the verifier's report or output"),
        (
            "test_of_empty",
            "AssertionError: 'y' != 'x'",
            "the test is there, and the quote is not in what is said of it",
        ),
        ("test_printed", "it was never run", "the test is named in the verifier's output, the quote is not in it"),
        ("t2", "", "too short to be evidence: fewer than 4 letters or digits"),
        ("test_of_empty", "x", "too short to be evidence: fewer than 4 letters or digits"),
        ("::::", "", "too short to be evidence: fewer than 4 letters or digits"),
    ],
)
def test_what_the_verifier_did_not_say_is_unverified(given: Path, name: str, quote: str, note: str) -> None:
    checked = check_one(given, {"verifier_test": name, "quote": quote})
    assert (checked.is_verified, checked.note) == (False, note)


@pytest.mark.parametrize(
    "report",
    [
        "",
        "[",
        "[]",
        "{}",
        '{"results": []}',
        '{"results": {"tests": {}}}',
        '{"results": {"tests": [1, {"name": 3}, {}]}}',
    ],
)
def test_a_broken_report_leaves_the_output_to_be_searched(given: Path, report: str) -> None:
    (given / "trial" / "verifier" / "ctrf.json").write_text(report)
    assert check_one(given, {"verifier_test": "test_printed"}).is_verified
    assert not check_one(given, {"verifier_test": "test_of_empty"}).is_verified


def test_reports_of_task_steps_count_too(given: Path) -> None:
    verifier = given / "trial" / "steps" / "second" / "verifier"
    verifier.mkdir(parents=True)
    entry: dict[str, Any] = {"name": "test_of_second", "status": "failed", "stdout": ["line one", 2, "said in between"]}
    (verifier / "ctrf.json").write_text(json.dumps({"results": {"tests": [entry]}}))
    assert check_one(given, {"verifier_test": "test_of_second", "quote": "said in between"}).is_verified


def test_a_report_that_lies_elsewhere_is_not_read(given: Path, tmp_path: Path) -> None:
    report = given / "trial" / "verifier" / "ctrf.json"
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere.json"
    elsewhere.write_text(report.read_text())
    report.unlink()
    report.symlink_to(elsewhere)
    assert not check_one(given, {"verifier_test": "test_of_empty"}).is_verified


def test_without_report_and_output_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "trial").mkdir()
    for folder in (tmp_path, None):
        checked = check_one(folder, {"verifier_test": "test_of_empty"})
        assert (checked.is_verified, checked.note) == (False, "the verifier left no report and no output")
