"""`pierjob rerun`: which trials are chosen, and that all else stays."""

import json
from pathlib import Path

import pytest

from runs.formats.result import AgentInfo, ExceptionInfo, TaskId, TrialResult, VerifierResult
from runs.jobs.rerunning import has_valid_reward
from runs.models import Job, Status, Trial
from runs.trial.record import now
from tests.runs.jobs.commands import pierjob
from tests.runs.jobs.test_resuming import contents, failing_once, interrupt, run
from tests.support.tasks import make_task


def result(exception: str = "", rewards: dict[str, float] | None = None) -> TrialResult:
    return TrialResult(
        task_name="task",
        trial_name="trial",
        trial_uri="",
        task_id=TaskId(path="/task"),
        task_checksum="",
        config={},
        agent_info=AgentInfo(name="oracle"),
        verifier_result=VerifierResult(rewards=rewards),
        exception_info=ExceptionInfo(exception_type=exception, exception_message="", occurred_at=now())
        if exception
        else None,
    )


@pytest.mark.parametrize(
    ("exception", "rewards", "valid"),
    [
        ("", {"reward": 0.0}, True),
        ("", None, False),
        ("AgentTimeoutError", {"reward": 0.0}, True),
        ("AgentTimeoutError", None, False),
        ("RateLimitError", {"reward": 0.0}, False),
        ("SandboxFailed", {"reward": 1.0}, False),
        ("NobodyKnowsThis", {"reward": 1.0}, False),
    ],
)
def test_a_reward_counts_where_the_failure_beside_it_is_the_agents(
    exception: str, rewards: dict[str, float] | None, valid: bool
) -> None:
    assert has_valid_reward(result(exception, rewards)) is valid


def test_a_headline_that_the_job_asks_for_must_be_there() -> None:
    assert not has_valid_reward(result(rewards={"other": 1.0}), "wanted")
    assert has_valid_reward(result(rewards={"wanted": 1.0}), "wanted")


def three_trials(tmp_path: Path) -> tuple[Path, Path, str]:
    """A job of three trials, one of which got no reward: its directory, what mends it, the name of the failed one."""
    mended = failing_once(tmp_path)
    make_task(tmp_path / "set", "one")
    make_task(tmp_path / "set", "two")
    job = run(tmp_path)
    return job, mended, Trial.objects.exclude(exception_type="").get().name


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "flags",
    [["--unscored"], ["--errors"], ["--errors", "RewardFileNotFoundError"], ["--errors", "x.RewardFileNotFoundError"]],
)
def test_trials_without_a_reward_are_run_again_in_place_and_their_files_are_kept(
    tmp_path: Path, flags: list[str]
) -> None:
    job, mended, failed = three_trials(tmp_path)
    others = {path.name: contents(path) for path in job.glob("*__*") if path.name != failed}
    before = contents(job)
    code, out, _ = pierjob("rerun", "job", *flags, "--dry-run")
    assert (code, out) == (0, f"{failed}  no reward, RewardFileNotFoundError, execution 2 would be run\n")
    assert contents(job) == before
    mended.touch()
    assert pierjob("rerun", job, *flags)[0] == 0
    assert {name: contents(job / name) for name in others} == others
    row = Trial.objects.get(name=failed)
    assert (row.execution, row.reward, row.exception_type, row.cause) == (2, 1.0, "", "")
    earlier = json.loads((job / failed / "executions" / "1" / "result.json").read_text())
    assert earlier["exception_info"]["exception_type"] == "RewardFileNotFoundError"
    stats = json.loads((job / "result.json").read_text())["stats"]
    assert (stats["n_completed_trials"], stats["n_errored_trials"], stats["n_pending_trials"]) == (3, 0, 0)
    assert Job.objects.get().reward_sum == 3.0
    code, out, _ = pierjob("rerun", job, "--unscored")
    assert (code, "nothing to run" in out) == (0, True)


@pytest.mark.django_db(transaction=True)
def test_named_trials_are_run_again_and_what_has_not_ended_stays_so(tmp_path: Path) -> None:
    make_task(tmp_path / "set", "one")
    make_task(tmp_path / "set", "two")
    job = run(tmp_path)
    unfinished = interrupt(job, "one")
    code, _, err = pierjob("rerun", job, "--trial", unfinished)
    assert (code, "it has no result yet" in err) == (2, True)
    code, _, err = pierjob("rerun", job, "--trial", "nobody")
    assert (code, "the job has no such trial" in err) == (2, True)
    ended = Trial.objects.exclude(name=unfinished).get().name
    assert pierjob("rerun", job, "--trial", ended)[0] == 0
    assert Trial.objects.get(name=ended).execution == 2
    assert Trial.objects.get(name=unfinished).status == Status.INTERRUPTED
    assert Job.objects.get().status == Status.INTERRUPTED
    assert json.loads((job / "result.json").read_text())["finished_at"] is None
    assert pierjob("resume", "-p", job)[0] == 0
    assert Job.objects.get().status == Status.FINISHED


@pytest.mark.django_db(transaction=True)
def test_what_to_run_again_must_be_said_and_be_there(tmp_path: Path) -> None:
    make_task(tmp_path / "set", "one")
    job = run(tmp_path)
    code, _, err = pierjob("rerun", job)
    assert (code, "say which trials" in err) == (2, True)
    code, _, err = pierjob("rerun", job, "--errors", "Nothing")
    assert (code, "no trial ended with Nothing; exceptions: none" in err) == (2, True)
