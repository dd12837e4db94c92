from typing import Any

import pytest

from runs.formats.trajectory_reader import read_trajectory
from runs.markers.derive import markers_of
from tests.support.factories import make_shell_step, make_step


def marks(*steps: dict[str, Any], is_main: bool = True) -> list[tuple[int, str, str, str]]:
    numbered = [{"step_id": number} | step for number, step in enumerate(steps, start=1)]
    agent = {"name": "a", "version": "1"}
    read = read_trajectory({"schema_version": "ATIF-v1.7", "session_id": "s", "agent": agent, "steps": numbered})
    return [(row.index, str(row.kind), row.label, str(row.tone)) for row in markers_of(read.steps, is_main=is_main)]


def call(name: str, result: str = "ok", *, is_error: bool | None = None, **arguments: Any) -> dict[str, Any]:
    extra = {} if is_error is None else {"extra": {"is_error": is_error}}
    results = [{"source_call_id": "c", "content": result, **extra}]
    calls = [{"tool_call_id": "c", "function_name": name, "arguments": arguments}]
    return make_step(tool_calls=calls, observation={"results": results})


def edit(path: str = "/app/a.py") -> dict[str, Any]:
    return call("Edit", file_path=path, old_string="a", new_string="b")


def test_a_run_is_marked_from_its_first_edit_to_its_answer() -> None:
    found = marks(
        make_step(source="user", message="Fix it."),
        edit(),
        make_shell_step("pytest -q", "2 failed, 3 passed in 0.1s"),
        make_shell_step("pytest -q", "5 passed in 0.1s"),
        make_step(message="Done."),
    )
    assert found == [
        (1, "edit", "a.py", ""),
        (2, "test", "3 passed, 2 failed", "bad"),
        (3, "test", "5 passed", "good"),
        (4, "submit", "final answer", ""),
    ]


def test_an_error_is_marked_and_a_failed_test_run_is_no_error() -> None:
    assert marks(call("Bash", "no such file", is_error=True, command="cat x")) == [
        (0, "error", "Bash: no such file", "bad")
    ]
    assert marks(call("Bash", "1 failed in 0.1s", is_error=True, command="pytest")) == [
        (0, "test", "0 passed, 1 failed", "bad")
    ]


def test_an_edit_that_failed_is_an_error_and_no_edit() -> None:
    failed = call("Edit", "not found", is_error=True, file_path="a", old_string="x", new_string="y")
    assert [kind for _, kind, _, _ in marks(failed)] == ["error"]


@pytest.mark.parametrize(
    ("steps", "label"),
    [
        ([edit(), make_step(message="Done.")], "no test run at all"),
        ([make_shell_step("pytest", "1 passed in 1s"), edit(), call("finish")], "no test run after the last edit"),
    ],
)
def test_an_end_without_a_test_of_the_last_edit_is_flagged(steps: list[dict[str, Any]], label: str) -> None:
    assert (len(steps) - 1, "untested", label, "warn") in marks(*steps)
    assert not [kind for _, kind, _, _ in marks(*steps, is_main=False) if kind == "untested"]


def test_equal_calls_in_a_row_are_marked_once_at_the_last() -> None:
    same = [make_shell_step("ls", "a")] * 4
    assert marks(*same, make_shell_step("pwd", "/")) == [(3, "repeat", "the same call 4 times in a row", "warn")]
    assert marks(*same[:2]) == []


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (make_shell_step("ls /tests", ""), "hidden_read"),
        (make_shell_step("cat '/solution/solve.sh'", ""), "hidden_read"),
        (call("Read", file_path="/logs/verifier/reward.txt"), "hidden_read"),
        (make_shell_step("cd /app && git log --all -p", ""), "history"),
        (make_shell_step("git -C /app show HEAD~1", ""), "history"),
        (edit("/app/tests/test_a.py"), "test_edit"),
        (edit("src/a.test.ts"), "test_edit"),
        (call("Task", description="Look around", prompt="…"), "subagent"),
        (make_step(source="user", message="…", extra={"context_management": {"type": "compaction"}}), "compaction"),
        (make_step(source="system", message="overloaded", extra={"is_error": True}), "error"),
    ],
)
def test_what_a_reviewer_looks_for_is_marked(step: dict[str, Any], kind: str) -> None:
    assert kind in [found for _, found, _, _ in marks(step)]


@pytest.mark.parametrize(
    "command", ["pytest tests/", "ls /app/tests", "cat ./tests/a", "git status", "git diff", "echo /testsuite"]
)  # fmt: skip
def test_a_repositorys_own_tests_and_its_status_are_no_flags(command: str) -> None:
    kinds = {kind for _, kind, _, _ in marks(make_shell_step(command, ""))}
    assert not kinds & {"hidden_read", "history"}


def test_a_copy_of_an_earlier_step_is_not_marked_again() -> None:
    assert marks({**edit(), "is_copied_context": True}) == []
