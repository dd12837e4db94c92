from pathlib import Path
from uuid import uuid4

import pytest

from runs.formats.job import AgentConfig, EnvironmentConfig, TaskSource, TrialConfig
from runs.formats.lock import SECRET, UNSET, TrialLock, hash_of, read_lock
from runs.formats.task_directory import task_digest
from runs.scheduling import locking
from runs.trial.plan import TrialPlan
from tests.support.tasks import make_task


def locked(task: Path, folder: Path, env: dict[str, str] | None = None) -> TrialLock:
    """The lock of a trial of the task, as it is written and read back."""
    config = TrialConfig(
        task=TaskSource(path=task, source="set"),
        trial_name="trial-1",
        trials_dir=folder,
        agent=AgentConfig(name="nop", env=env or {}),
        environment=EnvironmentConfig(type="host"),
        extra_instructions=["Be brief."],
        job_id=uuid4(),
    )
    plan = TrialPlan(config, attempt=2)
    plan.directory.mkdir(parents=True)
    locking.write_trial_lock(plan)
    lock = read_lock(plan.directory, TrialLock)
    assert lock
    return lock


def test_a_lock_says_which_task_in_which_state(tmp_path: Path) -> None:
    task = make_task(tmp_path)
    (task / ".git").mkdir()
    (task / ".git" / "HEAD").write_text("ref")
    lock = locked(task, tmp_path / "job")
    assert (lock.task.name, lock.task.source, lock.task.digest) == ("write-answer", "set", task_digest(task))
    assert (lock.pier_site.trial_name, lock.pier_site.attempt) == ("trial-1", 2)
    assert lock.extra_instructions
    assert [text.digest for text in lock.extra_instructions] == [hash_of("Be brief.")]
    contents = lock.pier_site.contents
    assert contents
    assert contents.files["instruction.md"] == hash_of("Write answer.txt.")
    assert set(contents.files) == {
        *("environment/Dockerfile", "instruction.md", "solution/solve.sh", "task.toml", "tests/test.sh"),
    }
    assert {"[agent]", "[verifier]", "[environment]", "[task]"} <= set(contents.tables)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("MODE", "fast", hash_of("fast")),
        ("MODE", "${HOST_MODE}", hash_of("from the host")),
        ("MODE", "${NOT_THERE:-spare}", hash_of("spare")),
        ("MODE", "${NOT_THERE}", UNSET),
        ("API_KEY", "${HOST_MODE}", SECRET),
        ("MODE", "${HOST_KEY}", SECRET),
        ("MODE", "${HARMLESS}", SECRET),
    ],
)
def test_a_variable_is_kept_as_a_digest_and_a_secret_not_even_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv("HOST_MODE", "from the host")
    monkeypatch.setenv("HOST_KEY", "plain words")
    monkeypatch.setenv("HARMLESS", "sk-proj-0123456789abcdefghijkl")
    lock = locked(make_task(tmp_path), tmp_path / "job", {name: value})
    assert lock.pier_site.variables == {"agent.env": {name: expected}}


def test_the_variables_that_a_task_takes_from_this_machine_are_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGION", "north")
    task = make_task(tmp_path, toml='[environment.env]\nREGION = "${REGION}"\n\n[verifier.env]\nLEVEL = "3"\n')
    assert locked(task, tmp_path / "job").pier_site.variables == {
        "task.environment.env": {"REGION": hash_of("north")},
        "task.verifier.env": {"LEVEL": hash_of("3")},
    }


def test_a_task_of_many_files_is_locked_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "MAX_LISTED_FILES", 3)
    task = make_task(tmp_path)
    lock = locked(task, tmp_path / "job")
    assert lock.task.digest == task_digest(task)
    assert lock.pier_site.contents
    assert lock.pier_site.contents.files == {}


def test_a_task_that_is_gone_is_locked_with_its_problem(tmp_path: Path) -> None:
    lock = locked(tmp_path / "gone", tmp_path / "job")
    assert lock.task.digest == locking.NOTHING
    assert lock.pier_site.problem
