"""Tests that critics cite: found by name in the verifier's report (CTRF, ctrf.io), else in its output."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from critique.citations.files import Wanted, find_in_file
from critique.citations.folding import folded, n_alphanumeric
from critique.citations.quotes import (
    MIN_ALPHANUMERIC,
    TOO_SHORT,
    Effort,
    Quote,
    folds_of,
    is_found,
    quote_of,
    why_not_found,
)
from runs.errors import FileUnreadable
from runs.formats.reading import read_json, stays_within
from runs.indexing.stamps import places
from runs.trial.verifier import OUTPUT

REPORT: Final = "ctrf.json"
MAX_REPORT_BYTES: Final = 16 * 1024 * 1024
MAX_TESTS: Final = 50_000
_SEPARATOR: Final = re.compile(r"::|/|\.| > ")


@dataclass(frozen=True, slots=True)
class TestVerdict:
    """Whether the verifier ran a test of this name, and said of it what is quoted."""

    __test__ = False

    is_verified: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReportedTest:
    """A test of a report: its name, and all that the report says of how it went."""

    name: str
    text: str


class VerifierOutput:
    """What the verifier of a trial, or of each TaskStep, left; read when it is first asked for."""

    def __init__(self, trial_directory: Path | None, effort: Effort) -> None:
        self._root = trial_directory
        self._effort = effort
        self._tests: list[ReportedTest] | None = None

    def check(self, name: str, quote: str) -> TestVerdict:
        """Look for a test by its name, and for the words in what is said of it."""
        wanted = quote_of(quote)
        if quote.strip() and wanted is None:
            return TestVerdict(is_verified=False, note=TOO_SHORT)
        found = [test for test in self._reported() if self._effort.spend(len(test.name)) and _is_named(test.name, name)]
        if not found:
            return self._check_in_output(name, wanted)
        others = "" if folded(found[0].name) == folded(name) else f"the report names it {found[0].name}"
        if len(found) > 1:
            others = f"{len(found)} tests of the report have this name"
        if wanted is None or any(is_found(wanted, folds_of(test.text, self._effort), self._effort) for test in found):
            return TestVerdict(is_verified=True, note=others)
        if self._is_in_output(wanted):
            return TestVerdict(
                is_verified=True, note="the quote is in the verifier's output, not in the test's message"
            )
        why = why_not_found(wanted, self._effort) or "the test is there, and the quote is not in what is said of it"
        return TestVerdict(is_verified=False, note=why)

    def _check_in_output(self, name: str, quote: Quote | None) -> TestVerdict:
        last = _last_component(name)
        names = [quote_of(part) for part in dict.fromkeys([name, last]) if n_alphanumeric(part) >= MIN_ALPHANUMERIC]
        if not names:
            return TestVerdict(is_verified=False, note=TOO_SHORT)
        if not any(one and self._is_in_output(one) for one in names):
            has_any = self._root is not None and any(self._files(REPORT, OUTPUT))
            reason = "no test of this name in the verifier's report or output"
            return TestVerdict(
                is_verified=False, note=reason if has_any else "the verifier left no report and no output"
            )
        if quote is None:
            return TestVerdict(is_verified=True, note="named in the verifier's output")
        if self._is_in_output(quote):
            return TestVerdict(is_verified=True, note="test and quote are in the verifier's output")
        why = why_not_found(quote, self._effort) or "the test is named in the verifier's output, the quote is not in it"
        return TestVerdict(is_verified=False, note=why)

    def _is_in_output(self, quote: Quote) -> bool:
        for path in self._files(OUTPUT):
            try:
                if find_in_file(path, [Wanted(quote)], self._effort)[0].is_found:
                    return True
            except FileUnreadable:
                continue
        return False

    def _reported(self) -> Sequence[ReportedTest]:
        if self._tests is None:
            self._tests = [test for path in self._files(REPORT) for test in _read_report(path)]
        return self._tests

    def _files(self, *names: str) -> Iterator[Path]:
        """The files of these names that there are; none that lies elsewhere."""
        if self._root is None:
            return
        for place in places(self._root):
            for name in names:
                path = self._root / place / "verifier" / name
                if path.is_file() and stays_within(path, self._root):
                    yield path.resolve()


def _read_report(path: Path) -> Iterator[ReportedTest]:
    try:
        data = read_json(path, max_bytes=MAX_REPORT_BYTES, lenient=True)
    except FileUnreadable:
        return
    results = data.get("results") if isinstance(data, dict) else None
    listed = results.get("tests") if isinstance(results, dict) else None
    for entry in listed[:MAX_TESTS] if isinstance(listed, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            yield ReportedTest(entry["name"], "\n".join(_texts(entry)))


def _texts(entry: dict[str, Any]) -> Iterator[str]:
    """What a report says of one test: its name and status, and how it failed."""
    for key in ("name", "status", "rawStatus", "message", "trace", "suite", "filePath"):
        value = entry.get(key)
        if isinstance(value, str):
            yield value
    for key in ("stdout", "stderr", "suite"):
        lines = entry.get(key)
        yield from (line for line in (lines if isinstance(lines, list) else ()) if isinstance(line, str))


def _is_named(reported: str, cited: str) -> bool:
    """Whether both name one test: either may have more of the path before it; a citation may leave parameters out."""
    if reported == cited or folded(reported) == folded(cited):
        return True
    reported_base, _, reported_parameters = folded(reported).partition("[")
    cited_base, _, cited_parameters = folded(cited).partition("[")
    if cited_parameters and cited_parameters != reported_parameters:
        return False
    long, short = _components(reported_base), _components(cited_base)
    if len(long) < len(short):
        long, short = short, long
    return n_alphanumeric("".join(short)) >= MIN_ALPHANUMERIC and long[len(long) - len(short) :] == short


def _components(name: str) -> list[str]:
    return [part for part in _SEPARATOR.split(name) if part and part != "py"]


def _last_component(name: str) -> str:
    """The test's own name, with its parameters."""
    base, bracket, parameters = folded(name).partition("[")
    return f"{(_components(base) or [''])[-1]}{bracket}{parameters}"
