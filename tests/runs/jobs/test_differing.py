"""`pierjob diff`, on jobs that were run, and on job directories of other programs."""

import json
from pathlib import Path
from typing import Any

import pytest

from runs.jobs.differing import diff_jobs, lines_of
from tests.runs.indexing.files import trial_result, write
from tests.runs.jobs.commands import pierjob, pierrun
from tests.support.tasks import make_task

NEW_TEST = "#!/bin/bash\necho 0.5 > /logs/verifier/reward.txt\n"


def run(folder: Path, name: str, *arguments: object) -> Path:
    """The directory of a job over the task set in `folder`."""
    pierrun("-p", folder / "set", "-o", folder / "jobs", "--job-name", name, *arguments)
    return folder / "jobs" / name


def decisions(old: Path, new: Path) -> dict[str, tuple[str, list[str]]]:
    """Decision and reasons by task."""
    return {trial.task: (trial.decision.value, list(trial.reasons)) for trial in diff_jobs(str(old), str(new)).trials}


@pytest.mark.django_db(transaction=True)
def test_changed_tasks_are_named_by_file_and_decided_one_by_one(tmp_path: Path) -> None:
    tasks = {name: make_task(tmp_path / "set", name) for name in ("same", "judged", "asked", "limits")}
    old = run(tmp_path, "old", "-a", "nop")
    (tasks["judged"] / "tests/test.sh").write_text(NEW_TEST)
    (tasks["asked"] / "instruction.md").write_text("Write another answer.")
    (tasks["same"] / "solution/solve.sh").write_text("true\n")
    toml = tasks["limits"] / "task.toml"
    toml.write_text(toml.read_text().replace("[verifier]\ntimeout_sec = 60.0", "[verifier]\ntimeout_sec = 90.0"))
    make_task(tmp_path / "set", "added")
    found = decisions(old, run(tmp_path, "new", "-a", "nop"))
    assert {task: decision for task, (decision, _) in found.items()} == {
        "added": "rerun",
        "asked": "rerun",
        "judged": "regrade",
        "limits": "regrade",
        "same": "reuse",
    }
    [reason] = found["judged"][1]
    before, after = reason.removeprefix("task file tests/test.sh changed: ").split(" → ")
    assert before.startswith("sha256:")
    assert after.startswith("sha256:")
    assert before != after
    assert found["limits"][1][0].startswith("task table task.toml [verifier] changed: sha256:")
    assert found["same"][1][0].endswith("which changes nothing here")


@pytest.mark.django_db(transaction=True)
def test_a_changed_variable_is_named_and_a_rotated_secret_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_task(tmp_path / "set")
    flags = ("-a", "nop", "--ae", "MODE=${HOST_MODE}", "--ae", "API_KEY=${HOST_KEY}")
    monkeypatch.setenv("HOST_MODE", "slow")
    monkeypatch.setenv("HOST_KEY", "sk-first-of-two-secrets")
    old = run(tmp_path, "old", *flags)
    monkeypatch.setenv("HOST_KEY", "sk-second-of-two-secrets")
    rotated = run(tmp_path, "rotated", *flags)
    assert decisions(old, rotated) == {"write-answer": ("reuse", [])}
    monkeypatch.setenv("HOST_MODE", "fast")
    [(decision, [reason])] = decisions(old, run(tmp_path, "new", *flags)).values()
    assert decision == "rerun"
    assert reason.startswith("variable agent.env.MODE changed: sha256:")
    written = "".join(path.read_text() for path in (tmp_path / "jobs").rglob("lock.json"))
    assert "of-two-secrets" not in written
    assert '"API_KEY": "secret"' in written


@pytest.mark.django_db(transaction=True)
def test_attempts_are_paired_sound_ones_first_and_a_broken_task_must_be_rerun(tmp_path: Path) -> None:
    make_task(tmp_path / "set", "good")
    (make_task(tmp_path / "set", "broken") / "task.toml").write_text("[agent\n")
    old, new = run(tmp_path, "old", "-k", 2), run(tmp_path, "new", "-k", 3)
    spoilt = next(old.glob("good__*/result.json"))
    spoilt.unlink()
    found = diff_jobs("old", str(new))
    assert found.counts == {"reuse": 1, "regrade": 0, "rerun": 5}
    reasons = [trial.reasons[0] for trial in found.trials if trial.task == "good" and trial.reasons]
    assert reasons == [
        f"{spoilt.parent.name} has no result",
        "there is no trial of this task by this agent to compare with",
    ]
    assert {trial.reasons[0].partition(" ")[2] for trial in found.trials if trial.task == "broken" and trial.old} == {
        "ended with TaskInvalid (task)"
    }
    assert found.only_in_old == []


@pytest.mark.django_db(transaction=True)
def test_the_command_groups_what_is_alike_and_prints_json(tmp_path: Path) -> None:
    make_task(tmp_path / "set", "a")
    make_task(tmp_path / "set", "b")
    old = run(tmp_path, "old")
    (tmp_path / "set/b/tests/test.sh").write_text("#!/bin/bash\nexit 1\n")
    new = run(tmp_path, "new")
    code, out, err = pierjob("diff", old, new)
    assert (code, err) == (0, "")
    assert out.endswith("1 to reuse, 1 to regrade, 0 to rerun\n")
    code, out, _ = pierjob("diff", new, old, "--json")
    data = json.loads(out)
    assert data["counts"] == {"reuse": 1, "regrade": 1, "rerun": 0}
    [changed] = [trial for trial in data["trials"] if trial["decision"] == "regrade"]
    assert [(item["kind"], item["name"]) for item in changed["differences"]] == [("task file", "tests/test.sh")]
    # A failure of the verifier is no reason to let the agent work again.
    assert any("ended with RewardFileNotFoundError (verifier)" in reason for reason in changed["reasons"])


@pytest.mark.django_db(transaction=True)
def test_a_task_that_cannot_be_read_is_locked_with_its_problem(tmp_path: Path) -> None:
    make_task(tmp_path / "set", "good")
    (make_task(tmp_path / "set", "leaks") / "tests" / "link").symlink_to("/etc/passwd")
    job = run(tmp_path, "job")
    lock = json.loads((job / "lock.json").read_text())
    [leaks] = [trial for trial in lock["trials"] if trial["task"]["name"] == "leaks"]
    assert "leads out of the task directory" in leaks["pier_site"]["problem"]
    assert len(leaks["task"]["digest"]) == len("sha256:") + 64
    assert len(list(job.glob("*/lock.json"))) == 2


def foreign_job(folder: Path, **changes: Any) -> Path:
    """A job directory without a lock, as some generations of harbor leave it."""
    config = {"task": {"path": "/tasks/fix-it"}, "agent": {"name": "codex", "model_name": "openai/gpt-5"}}
    write(folder / "config.json", {"job_name": folder.name, "n_attempts": 1, "jobs_dir": "jobs"})
    write(folder / "job.log", "")
    write(folder / "fix-it__abc1234/config.json", config | changes)
    write(folder / "fix-it__abc1234/result.json", trial_result(config=config))
    return folder


@pytest.mark.django_db
def test_jobs_without_a_lock_are_compared_by_their_configurations(tmp_path: Path) -> None:
    old = foreign_job(tmp_path / "old")
    assert decisions(old, foreign_job(tmp_path / "same")) == {"fix-it": ("reuse", [])}
    agent = {"agent": {"name": "codex", "model_name": "openai/gpt-5", "override_timeout_sec": 5}}
    slow = diff_jobs(str(old), str(foreign_job(tmp_path / "slow", **agent)))
    assert list(lines_of(slow)) == [
        "rerun: fix-it__abc1234 (codex · gpt-5)".replace("gpt-5", "openai/gpt-5"),
        "    setting agent.override_timeout_sec is new (5.0)",
        "0 to reuse, 0 to regrade, 1 to rerun",
    ]


@pytest.mark.django_db
def test_a_broken_lock_is_named_and_the_rest_is_compared(tmp_path: Path) -> None:
    old, new = foreign_job(tmp_path / "old"), foreign_job(tmp_path / "new")
    (new / "lock.json").write_text("{")
    (new / "fix-it__abc1234/lock.json").write_text('{"task": {"digest": 3}}')
    code, out, err = pierjob("diff", old, new)
    assert code == 0
    assert out.endswith("1 to reuse, 0 to regrade, 0 to rerun\n")
    assert [line.partition(":")[0] for line in err.splitlines()] == [
        str(new / "lock.json"),
        str(new / "fix-it__abc1234/lock.json"),
    ]


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["nowhere", "plain", "empty-job"])
def test_what_is_no_job_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "plain").mkdir()
    write(tmp_path / "empty-job/job.log", "")
    code, out, err = pierjob("diff", foreign_job(tmp_path / "old"), tmp_path / name)
    assert (code, out) == (2, "")
    assert name in err
    assert err.count("\n") == 1
