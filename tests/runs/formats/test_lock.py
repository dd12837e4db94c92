from pathlib import Path
from typing import Any

import pytest

from runs.errors import FileUnreadable
from runs.formats.lock import (
    LOCK,
    SECRET,
    Effect,
    JobLock,
    JobNotes,
    TaskContents,
    TaskLock,
    TrialLock,
    TrialNotes,
    agent_key,
    differences,
    dump_lock,
    hash_of,
    read_lock,
)

FILES = {
    "instruction.md": hash_of("i"),
    "solution/solve.sh": hash_of("s"),
    "task.toml": hash_of("t"),
    "tests/test.sh": hash_of("v"),
}
TABLES = {"[agent]": hash_of("a"), "[verifier]": hash_of("b")}


def lock(
    *,
    files: dict[str, str] | None = None,
    tables: dict[str, str] | None = None,
    variables: dict[str, dict[str, str]] | None = None,
    **changes: Any,
) -> TrialLock:
    """The lock of a trial by some agent, with these changes."""
    contents = TaskContents(files=FILES | (files or {}), tables=TABLES | (tables or {}))
    keys = {
        "task": TaskLock(name="t", digest=hash_of(repr(contents)), path="/tasks/t"),
        "agent": {"name": "codex", "model_name": "openai/gpt-5"},
        "environment": {"type": "docker"},
        "verifier": {},
        "pier_site": TrialNotes(trial_name="t__1", attempt=1, variables=variables or {}, contents=contents),
    }
    return TrialLock.model_validate(keys | changes)


def said(old: TrialLock, new: TrialLock) -> list[tuple[str, str, Effect]]:
    return [(found.kind, found.name, found.effect) for found in differences(old, new)]


def test_equal_locks_do_not_differ() -> None:
    assert differences(lock(), lock()) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"files": {"tests/test.sh": hash_of("2")}}, ("task file", "tests/test.sh", Effect.REGRADE)),
        ({"files": {"steps/one/tests/a.py": hash_of("2")}}, ("task file", "steps/one/tests/a.py", Effect.REGRADE)),
        ({"files": {"environment/tests/a": hash_of("2")}}, ("task file", "environment/tests/a", Effect.RERUN)),
        ({"files": {"instruction.md": hash_of("2")}}, ("task file", "instruction.md", Effect.RERUN)),
        ({"files": {"solution/solve.sh": hash_of("2")}}, ("task file", "solution/solve.sh", Effect.NONE)),
        (
            {"files": {"task.toml": hash_of("2")}, "tables": {"[verifier]": hash_of("2")}},
            ("task table", "task.toml [verifier]", Effect.REGRADE),
        ),
        ({"files": {"task.toml": hash_of("a comment")}}, ("task file", "task.toml", Effect.RERUN)),
        ({"agent": {"name": "codex", "model_name": "openai/gpt-6"}}, ("setting", "agent.model_name", Effect.RERUN)),
        ({"verifier": {"max_timeout_sec": 5}}, ("setting", "verifier.max_timeout_sec", Effect.REGRADE)),
        ({"verifier_timeout_multiplier": 2}, ("setting", "verifier_timeout_multiplier", Effect.REGRADE)),
        ({"environment": {"force_build": True}}, ("setting", "environment.force_build", Effect.NONE)),
        ({"extra_instructions": [{"digest": hash_of("x")}]}, ("instruction", "1 (text)", Effect.RERUN)),
    ],
)
def test_what_changed_is_named_and_says_what_it_asks_for(
    changes: dict[str, Any], expected: tuple[str, str, Effect]
) -> None:
    assert said(lock(), lock(**changes)) == [expected]


def test_the_solution_matters_to_the_oracle() -> None:
    agent = {"name": "oracle"}
    [difference] = differences(lock(agent=agent), lock(agent=agent, files={"solution/solve.sh": hash_of("2")}))
    assert difference.effect == Effect.RERUN


def test_a_changed_file_and_variable_are_told_with_both_digests() -> None:
    old = lock(variables={"agent.env": {"MODE": hash_of("slow")}})
    new = lock(variables={"agent.env": {"MODE": hash_of("fast")}}, files={"tests/new.py": hash_of("n")})
    assert [difference.sentence() for difference in differences(old, new)] == [
        f"task file tests/new.py is new ({hash_of('n')})",
        f"variable agent.env.MODE changed: {hash_of('slow')} → {hash_of('fast')}",
    ]


def test_a_rotated_secret_is_no_difference_and_a_new_one_is() -> None:
    def with_key(value: str, names: tuple[str, ...] = ("API_KEY",)) -> TrialLock:
        agent = {"name": "codex", "env": {"API_KEY": value}, "kwargs": {"auth_token": value}}
        return lock(agent=agent, variables={"agent.env": dict.fromkeys(names, SECRET)})

    assert differences(with_key("${API_KEY}"), with_key("****")) == []
    assert said(with_key("****"), with_key("****", ("API_KEY", "OTHER_KEY"))) == [
        ("variable", "agent.env.OTHER_KEY", Effect.RERUN)
    ]


def test_a_task_whose_files_are_not_known_differs_as_a_whole() -> None:
    bare = lock(pier_site={})
    other = lock(task={"digest": hash_of("other"), "name": "t"})
    assert said(bare, other) == [("task", "t", Effect.RERUN)]


def test_left_out_defaults_are_no_differences() -> None:
    full = lock(environment={"type": "docker", "delete": True, "cpu_enforcement_policy": "auto", "mounts": None})
    assert differences(lock(), full) == []


def test_variables_of_a_lock_without_digests_are_compared_by_their_texts() -> None:
    def theirs(mode: str, key: str) -> TrialLock:
        return lock(pier_site={}, agent={"name": "codex", "env": {"MODE": mode, "API_KEY": key}})

    assert said(theirs("a", "${K}"), theirs("b", "****")) == [("variable", "agent.env.MODE", Effect.RERUN)]


def test_unknown_keys_of_other_programs_are_compared_as_they_are() -> None:
    agent = {"name": "codex", "concurrency_group": "a"}
    found = differences(lock(agent=agent), lock(agent=agent | {"concurrency_group": "b"}))
    assert [(item.name, item.old, item.new) for item in found] == [("agent.concurrency_group", '"a"', '"b"')]
    assert agent_key(lock(agent=agent)) != agent_key(lock())


def test_a_job_lock_is_read_back_and_has_the_contents_of_a_task_once(tmp_path: Path) -> None:
    trial = lock()
    contents = trial.pier_site.contents
    assert contents
    bare = trial.model_copy(update={"pier_site": TrialNotes(trial_name="t__1")})
    job = JobLock(trials=[bare, bare], pier_site=JobNotes(version="1", tasks={trial.task.digest: contents}))
    text = dump_lock(job)
    assert text.count("instruction.md") == 1
    assert "null" not in text
    (tmp_path / LOCK).write_text(text)
    read = read_lock(tmp_path, JobLock)
    assert read
    assert [item.pier_site.contents for item in read.with_contents()] == [contents, contents]


@pytest.mark.parametrize("text", ["{", "[]", '{"trials": [{}]}', '{"trials": 3}', "[" * 100_000])
def test_a_broken_lock_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / LOCK).write_text(text)
    with pytest.raises(FileUnreadable, match=LOCK):
        read_lock(tmp_path, JobLock)


def test_a_missing_lock_is_none(tmp_path: Path) -> None:
    assert read_lock(tmp_path, TrialLock) is None
