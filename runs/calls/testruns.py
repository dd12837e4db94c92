"""Recognises the test run in a shell command and its result in the output of the common test runners."""

import re
from collections.abc import Callable
from dataclasses import dataclass

_RUNNERS = re.compile(
    r"(?:^|[\s;&|(/])(?:"
    r"pytest|py\.test|tox|nox|unittest|go\s+test|cargo\s+(?:\S+\s+)*?(?:test|nextest)|"
    r"(?:npm|yarn|pnpm|bun)\s+(?:run\s+|exec\s+)?(?:test|t|vitest|jest)\b|vitest|jest|mocha|ava|"
    r"node\s+--test|deno\s+test|ctest|rspec|phpunit|dotnet\s+test|mix\s+test|swift\s+test|"
    r"(?:mvn|gradle|\./gradlew|\./mvnw)\s[^\n]*?\btest|make\s+(?:-\S+\s+)*(?:test|tests|check)|rake\s+(?:test|spec)|"
    r"manage\.py\s+test|run_?tests?(?:\.sh|\.py)?"
    r")(?=$|[\s;&|):.])"
)
# The end of the output has the summary; so much of it is looked at.
TAIL_CHARS = 6_000
_MAX_COMMAND_CHARS = 4_000


@dataclass(frozen=True, slots=True)
class TestRun:
    """What a test run came to; counts are None where its output does not tell them, `is_passed` where nothing does."""

    __test__ = False

    n_passed: int | None
    n_failed: int | None
    is_passed: bool | None

    @property
    def label(self) -> str:
        """In words: "12 passed, 3 failed"."""
        if self.n_passed is None or self.n_failed is None:
            return {True: "tests passed", False: "tests failed", None: "tests run"}[self.is_passed]
        if not self.n_passed and not self.n_failed:
            return "no tests ran"
        return f"{self.n_passed} passed" + (f", {self.n_failed} failed" if self.n_failed else "")


def is_test_command(command: str) -> bool:
    """Whether a command line runs tests, as far as its words tell."""
    return bool(_RUNNERS.search(command[:_MAX_COMMAND_CHARS]))


def result_of(output: str, *, is_error: bool | None) -> TestRun:
    """The result of a test run from what it printed, else from whether the call failed."""
    tail = _ESCAPES.sub("", output[-TAIL_CHARS:])
    counts = next((found for read in _READERS if (found := read(tail))), None)
    if counts:
        n_passed, n_failed = (min(figure, 10**6) for figure in counts)
        return TestRun(n_passed, n_failed, n_failed == 0 and bool(n_passed) and is_error is not True)
    if is_error is None and (code := _EXIT.search(output[:500] + tail[-500:])):
        is_error = code[1] != "0"
    return TestRun(None, None, None if is_error is None else not is_error)


_ESCAPES = re.compile(r"\x1b\[[0-9;]{0,20}m")
_EXIT = re.compile(r"exit(?:ed)?(?: with)?[ _]?(?:code|status)?\W{0,3}(\d{1,3})\b", re.IGNORECASE)
_COUNT = re.compile(r"(\d{1,7}) (passed|failed|errors?|skipped|xfailed|xpassed|warnings?)\b")
_PYTEST = re.compile(r"^(?:=+ )?(?:\d{1,7} \w+,? )+in [\d.]{1,12}s", re.MULTILINE)
_RAN = re.compile(r"^Ran (\d{1,7}) tests? in", re.MULTILINE)
_UNITTEST_BAD = re.compile(r"^FAILED \(([^)\n]{0,100})\)", re.MULTILINE)
_GO = re.compile(r"^\s*--- (PASS|FAIL): |^(ok|FAIL)\s+\S+\s", re.MULTILINE)
_CARGO = re.compile(r"^test result: \w+\. (\d{1,7}) passed; (\d{1,7}) failed", re.MULTILINE)
_JEST = re.compile(
    r"^\s*Tests:?\s+(?:(\d{1,7}) failed[,|\s]+)?(?:\d+ skipped[,|\s]+)?(?:(\d{1,7}) passed)?", re.MULTILINE
)
_MOCHA = re.compile(r"^\s*(\d{1,7}) (passing|failing)\b", re.MULTILINE)
_TAP = re.compile(r"^(?:#|\u2139) (pass|fail) (\d{1,7})$", re.MULTILINE)
_MAVEN = re.compile(r"Tests run: (\d{1,7}), Failures: (\d{1,7})(?:, Errors: (\d{1,7}))?")
_RSPEC = re.compile(r"^(\d{1,7}) examples?, (\d{1,7}) failures?", re.MULTILINE)
_CTEST = re.compile(r"tests passed, (\d{1,7}) tests failed out of (\d{1,7})")

type Counts = tuple[int, int] | None
type _Reader = Callable[[str], Counts]


def _pytest(text: str) -> Counts:
    lines = _PYTEST.findall(text) and [line for line in text.splitlines() if _PYTEST.match(line)]
    if not lines:
        return None
    counts = {word.rstrip("s"): int(figure) for figure, word in _COUNT.findall(lines[-1])}
    return counts.get("passed", 0), counts.get("failed", 0) + counts.get("error", 0)


def _unittest(text: str) -> Counts:
    ran = _RAN.findall(text)
    if not ran:
        return None
    bad = _UNITTEST_BAD.findall(text)
    n_bad = sum(int(figure) for figure in re.findall(r"(?:failures|errors)=(\d{1,7})", bad[-1])) if bad else 0
    return max(0, int(ran[-1]) - n_bad), n_bad


def _go(text: str) -> Counts:
    found = _GO.findall(text)
    tests = [verdict for verdict, _ in found if verdict]
    if "FAIL" in tests or "PASS" in tests:
        n_failed = tests.count("FAIL")
        # Without -v only failures are named: packages that passed stand for what is not counted.
        return tests.count("PASS") or sum(package == "ok" for _, package in found), n_failed
    packages = [package for _, package in found]
    return (packages.count("ok"), packages.count("FAIL")) if packages else None


def _cargo(text: str) -> Counts:
    found = _CARGO.findall(text)
    return (sum(int(passed) for passed, _ in found), sum(int(failed) for _, failed in found)) if found else None


def _jest(text: str) -> Counts:
    found = [pair for pair in _JEST.findall(text) if any(pair)]
    return (int(found[-1][1] or 0), int(found[-1][0] or 0)) if found else None


def _words(pattern: re.Pattern[str], good: str, bad: str, *, word_first: bool) -> _Reader:
    def read(text: str) -> Counts:
        pairs = pattern.findall(text)
        counts = {pair[0]: pair[1] for pair in pairs} if word_first else {pair[1]: pair[0] for pair in pairs}
        return (int(counts.get(good, 0)), int(counts.get(bad, 0))) if counts else None

    return read


def _maven(text: str) -> Counts:
    found = _MAVEN.findall(text)
    if not found:
        return None
    n_run, n_failed, n_errors = (int(figure or 0) for figure in found[-1])
    return max(0, n_run - n_failed - n_errors), n_failed + n_errors


def _totals(pattern: re.Pattern[str], *, total_first: bool) -> _Reader:
    def read(text: str) -> Counts:
        found = pattern.findall(text)
        if not found:
            return None
        total, failed = (int(figure) for figure in (found[-1] if total_first else reversed(found[-1])))
        return max(0, total - failed), failed

    return read


_READERS: tuple[_Reader, ...] = (
    _pytest, _unittest, _cargo, _go, _jest,
    _words(_MOCHA, "passing", "failing", word_first=False),
    _words(_TAP, "pass", "fail", word_first=True),
    _maven,
    _totals(_RSPEC, total_first=True),
    _totals(_CTEST, total_first=False),
)  # fmt: skip
