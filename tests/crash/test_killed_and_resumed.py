"""A job that is killed again and again, and resumed each time, ends as one that nobody disturbed."""

import json
import random
import signal
import time
from pathlib import Path
from typing import Any

from runs.checkpoints import KILL_AT, Checkpoint
from tests.support.site import Ended, Site
from tests.support.tasks import make_task

SEED = 20260701
N_TASKS, N_ATTEMPTS, N_KILLS = 8, 5, 10
# Half of the kills are at a named point, the others at any time after some more results.
POINTS = [
    Checkpoint.TRIAL_CLAIMED,
    Checkpoint.FILE_HALF_WRITTEN,
    Checkpoint.COMMAND_RUNNING,
    Checkpoint.CONFIG_WRITTEN,
    Checkpoint.VERIFIED,
    Checkpoint.RESULT_WRITTEN,
    Checkpoint.TRIAL_INDEXED,
    Checkpoint.ROW_FINISHED,
]
TRIAL_COLUMNS = "name, status, task_name, attempt, reward, exception_type, cause, n_steps, phase, problems"


def write_job(folder: Path, name: str) -> Path:
    for n in range(N_TASKS):
        if not (folder / "set" / f"task-{n}").exists():
            make_task(folder / "set", f"task-{n}", **({"test": "#!/bin/bash\nexit 1\n"} if n == 3 else {}))
    job = {
        "job_name": name, "jobs_dir": str(folder / "jobs"), "n_concurrent_trials": 4, "n_attempts": N_ATTEMPTS,
        "environment": {"type": "host"}, "datasets": [{"path": str(folder / "set")}], "final_state": False,
        "retry": {"max_retries": 1, "min_wait_sec": 0.05, "max_wait_sec": 0.1, "exclude_exceptions": []},
    }  # fmt: skip
    (folder / f"{name}.yaml").write_text(json.dumps(job))
    return folder / f"{name}.yaml"


def results_of(job: Path) -> dict[str, dict[str, Any]]:
    return {path.parent.name: json.loads(path.read_text()) for path in job.glob("*/result.json")}


def shape(value: Any) -> Any:
    """A JSON value without what differs from one run to the next: the keys, and of each value the type."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else type(value).__name__


def ends(job: Path) -> list[tuple[Any, ...]]:
    """What each trial came to, with the shape of its result."""
    return sorted(
        (
            result["task_name"], result["attempt"], str(result["verifier_result"]),
            (result["exception_info"] or {}).get("exception_type"), json.dumps(shape(result), sort_keys=True),
        )
        for result in results_of(job).values()
    )  # fmt: skip


def killed(site: Site, job: Path, dice: random.Random, *arguments: object) -> Ended:
    """Run a command that is killed after a while: at a named point, or at any moment after a few results."""
    n_more = dice.randint(1, 3)
    if dice.random() < 0.5:
        return site.run(*arguments, **{KILL_AT: f"{dice.choice(POINTS)}:{n_more}"})
    pause, wanted = dice.random() / 5, len(results_of_names(job)) + n_more
    with site.start(*arguments) as process:
        while len(results_of_names(job)) < wanted and process.poll() is None:
            time.sleep(0.01)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        return Ended(process.pid, process.communicate()[0], process.returncode)


def results_of_names(job: Path) -> set[str]:
    return {path.parent.name for path in job.glob("*/result.json")}


def stamps(job: Path) -> set[tuple[int, bytes]]:
    """Time and content of every trial's result, and of its earlier executions': those that are put aside keep both."""
    found = [*job.glob("*/result.json"), *job.glob("*/executions/[0-9]*/result.json")]
    return {(path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def test_forty_trials_killed_ten_times_end_like_those_of_an_undisturbed_run(
    tmp_path: Path, site: Site, fresh_site: Site
) -> None:
    dice = random.Random(SEED)
    undisturbed = site.run("pierrun", "-c", write_job(tmp_path, "undisturbed"), "-q", "-y")
    assert undisturbed.code == 1, undisturbed.output
    config, job = write_job(tmp_path, "disturbed"), tmp_path / "jobs" / "disturbed"
    before: set[tuple[int, bytes]] = set()
    for _ in range(N_KILLS):
        begun = (job / "config.json").exists()
        arguments = ("pierjob", "resume", "-p", job) if begun else ("pierrun", "-c", config)
        ended = killed(site, job, dice, *arguments, "-q", "-y")
        assert ended.code == -signal.SIGKILL, ended.output
        now = stamps(job)
        assert before <= now, "a result that was there has changed or gone"
        before = now
    last = site.run("pierjob", "resume", "-p", job, "-q", "-y")
    assert last.code == 1, last.output

    assert len(results_of(job)) == N_TASKS * N_ATTEMPTS
    assert ends(job) == ends(tmp_path / "jobs" / "undisturbed")
    assert_alike(job, tmp_path / "jobs" / "undisturbed")
    rows = site.rows(f"{TRIAL_COLUMNS}, job_id", "runs_trial")
    [first, second] = sorted({row.pop("job_id") for row in site.rows("job_id", "runs_trial")})
    ours = [row for row in rows if row.pop("job_id") == second]
    assert first != second
    assert len(ours) == N_TASKS * N_ATTEMPTS
    assert {row["status"] for row in ours} == {"finished"}
    assert fresh_site.run("pierjob", "index", job).code == 0
    assert fresh_site.rows(TRIAL_COLUMNS, "runs_trial") == sorted(ours, key=repr)
    assert "nothing to run" in site.run("pierjob", "resume", "-p", job, "-q", "-y").output


def assert_alike(job: Path, other: Path) -> None:
    """The jobs' own files say the same, but for names, times and how often something was tried."""
    ours, theirs = (json.loads((path / "result.json").read_text()) for path in (job, other))
    assert ours["finished_at"]
    for one in (ours, theirs):
        one["stats"].pop("n_retries")
        for evaluation in one["stats"]["evals"].values():
            for table in (*evaluation["reward_stats"].values(), evaluation["exception_stats"]):
                table.update({key: len(names) for key, names in table.items()})
    assert ours["stats"] == theirs["stats"]
    assert shape(ours) == shape(theirs)
    locked = json.loads((job / "lock.json").read_text())["trials"]
    assert {entry["pier_site"]["trial_name"] for entry in locked} == results_of_names(job)


def test_every_fifth_task_is_broken_and_the_others_finish(tmp_path: Path, site: Site) -> None:
    for n in range(10):
        task = make_task(tmp_path / "set", f"task-{n}")
        if n % 5 == 4:
            (task / "task.toml").write_text("[agent\n")
    arguments = ("-p", tmp_path / "set", "-o", tmp_path / "jobs", "--job-name", "fifths")
    done = site.run("pierrun", *arguments, "-e", "host", "-q", "-y")
    assert done.code == 1, done.output
    rows = site.rows("task_name, status, reward, cause", "runs_trial")
    assert [row["reward"] for row in rows if row["cause"] == ""] == [1.0] * 8
    assert [(row["status"], row["reward"]) for row in rows if row["cause"] == "task"] == [("finished", None)] * 2


def test_a_job_that_died_before_it_was_locked_goes_on_or_says_that_nothing_was_begun(
    tmp_path: Path, site: Site
) -> None:
    make_task(tmp_path / "set", "one")
    for name, point, code in (
        ("nothing", Checkpoint.JOB_DIRECTORY_CLAIMED, 2),
        ("rows", Checkpoint.ROWS_WRITTEN, 2),
        # The second file is the job's first result.json: there is a configuration and no lock.
        ("unlocked", f"{Checkpoint.FILE_HALF_WRITTEN}:2", 0),
    ):
        arguments = ("-p", tmp_path / "set", "-o", tmp_path / "jobs", "--job-name", name, "-e", "host", "-q", "-y")
        assert site.run("pierrun", *arguments, **{KILL_AT: point}).code == -signal.SIGKILL
        again = site.run("pierjob", "resume", "-p", tmp_path / "jobs" / name, "-q", "-y")
        assert again.code == code, again.output
        assert ("so nothing was begun: run the job anew" in again.output) == (code == 2)
    assert len(list((tmp_path / "jobs").glob("unlocked/*__*/result.json"))) == 1
    jobs = {row["id"]: row["name"] for row in site.rows("id, name", "runs_job")}
    rows = [row for row in site.rows("job_id, status, reward", "runs_trial") if jobs[row["job_id"]] == "unlocked"]
    assert [(row["status"], row["reward"]) for row in rows] == [("finished", 1.0)]
