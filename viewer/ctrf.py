"""Test reports in CTRF (ctrf.io), as verifiers leave them in ctrf.json: read leniently, within bounds."""

import json
from dataclasses import dataclass, replace
from typing import Any

from runs.models import Trial
from viewer.files import read_text

MAX_BYTES = 4 * 1024 * 1024
MAX_TESTS = 2_000
MAX_WHERE_LONG = 100


@dataclass(frozen=True, slots=True)
class Test:
    """One test: status is CTRF's passed, failed, skipped, pending or other."""

    name: str
    status: str
    duration_sec: float | None
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """Failed tests first, then in the file's order; `n_tests` counts all, also those not shown."""

    tests: list[Test]
    n_tests: int
    n_passed: int
    n_failed: int

    def shortened(self) -> "Report":
        """The first tests alone, with the beginnings of what they say: where texts are too long for a page."""
        few = [replace(test, name=test.name[:200], message=test.message[:100]) for test in self.tests[:MAX_WHERE_LONG]]
        return replace(self, tests=few)


def read_ctrf(trial: Trial, path: str) -> Report | None:
    """The report at `path`, or None when there is none that can be read."""
    file = read_text(trial, path, head=MAX_BYTES, tail=0)
    if file is None or file.missing_bytes:
        return None
    try:
        data = json.loads(file.head)
    except (ValueError, RecursionError):
        return None
    results = data.get("results") if isinstance(data, dict) else None
    listed = results.get("tests") if isinstance(results, dict) else None
    if not isinstance(listed, list):
        return None
    tests = [_test(entry) for entry in listed if isinstance(entry, dict)]
    tests.sort(key=lambda test: test.status != "failed")
    return Report(
        tests=tests[:MAX_TESTS],
        n_tests=len(tests),
        n_passed=sum(test.status == "passed" for test in tests),
        n_failed=sum(test.status == "failed" for test in tests),
    )


def _test(entry: dict[str, Any]) -> Test:
    message = entry.get("message") or entry.get("trace")
    return Test(
        name=str(entry.get("name", ""))[:300],
        status=str(entry.get("status", "other"))[:20],
        duration_sec=_seconds(entry.get("duration")),
        message=message[:400] if isinstance(message, str) else "",
    )


def _seconds(duration: object) -> float | None:
    """The format counts in milliseconds; what cannot be a duration is none."""
    if isinstance(duration, bool) or not isinstance(duration, int | float) or not 0 <= duration < 1e12:
        return None
    return duration / 1000
