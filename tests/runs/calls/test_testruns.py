import pytest

from runs.calls.testruns import is_test_command, result_of


@pytest.mark.parametrize(
    "command",
    [
        "pytest -q", "cd /app && python -m pytest tests/ -x 2>&1 | tail -5", "python3 -m unittest discover",
        "go test ./...", "cargo test --workspace", "npm test", "npm run test -- --watch=false", "npx vitest run",
        "make -j4 test", "mvn -q -Dtest=Foo test", "bundle exec rspec spec", "ctest --output-on-failure",
        "./run_tests.sh", "python manage.py test app", "dotnet test",
    ],
)  # fmt: skip
def test_test_runners_are_known(command: str) -> None:
    assert is_test_command(command)


@pytest.mark.parametrize(
    "command", ["ls tests", "cat test_a.py", "pip install pytest-cov", "git commit -m 'go testing'"]
)
def test_other_commands_are_no_test_runs(command: str) -> None:
    assert not is_test_command(command)


@pytest.mark.parametrize(
    ("output", "n_passed", "n_failed"),
    [
        ("===== 3 failed, 12 passed, 2 warnings in 0.41s =====", 12, 3),
        ("12 passed in 0.4s", 12, 0),
        ("\x1b[31m== \x1b[1m1 error\x1b[0m in 0.12s ==\x1b[0m".replace("\x1b[31m==", "=="), 0, 1),
        ("Ran 5 tests in 0.1s\n\nFAILED (failures=1, errors=1)\n", 3, 2),
        ("Ran 5 tests in 0.1s\n\nOK\n", 5, 0),
        ("--- PASS: TestA (0.00s)\n--- FAIL: TestB (0.00s)\nFAIL\tx/y\t0.4s\n", 1, 1),
        ("ok  \tx/y\t0.4s\nok  \tx/z\t0.1s\n", 2, 0),
        ("test result: ok. 5 passed; 0 failed; 0 ignored\ntest result: FAILED. 1 passed; 2 failed;", 6, 2),
        ("Tests:       1 failed, 2 skipped, 4 passed, 7 total", 4, 1),
        ("      Tests  4 passed (4)", 4, 0),
        ("  5 passing (12ms)\n  1 failing\n", 5, 1),
        ("# tests 3\n# pass 2\n# fail 1\n", 2, 1),
        ("Tests run: 5, Failures: 1, Errors: 1, Skipped: 0", 3, 2),
        ("5 examples, 1 failure\n", 4, 1),
        ("80% tests passed, 1 tests failed out of 5", 4, 1),
    ],
)
def test_summaries_of_runners_are_read(output: str, n_passed: int, n_failed: int) -> None:
    found = result_of(output, is_error=None)
    assert (found.n_passed, found.n_failed, found.is_passed) == (n_passed, n_failed, n_failed == 0)


@pytest.mark.parametrize(
    ("output", "is_error", "label"),
    [
        ("", None, "tests run"),
        ("boom", True, "tests failed"),
        ("fine", False, "tests passed"),
        ("Process exited with code 1\nOutput:\n", None, "tests failed"),
        ("=== no tests ran in 0.01s ===", None, "tests run"),
    ],
)
def test_without_a_summary_the_exit_code_tells(output: str, is_error: bool | None, label: str) -> None:
    assert result_of(output, is_error=is_error).label == label
