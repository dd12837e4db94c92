"""`pierjob regrade`: finished trials judged again, in fresh sandboxes, with their directories untouched."""

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from pier_site.accounts.local import local_owner
from runs.models import Job, Step
from tests.runs.jobs.commands import pierrun
from tests.runs.jobs.regrades import HALF, SEPARATE, Run, content, regrade, results, rewards, runner
from tests.runs.trial.test_multi_step import make_steps
from tests.support.tasks import BASE_IMAGE, CLOSED, make_task

pytestmark = pytest.mark.django_db(transaction=True)

SLOW = CLOSED.replace("timeout_sec = 60.0", "timeout_sec = 2.0", 1)
OUTSIDE = (
    "set -e; echo 42 > answer.txt; ln -s answer.txt link; mkdir -p 'a b'; echo x > 'a b/c'; rm removed\n"
    "echo two > /etc/own.conf; rm /etc/gone.conf; mkdir -p /opt/made; printf new > /opt/made/file; ln -s /x /opt/link\n"
    "printf 'tool\\0' > /root/.tool; chmod +x answer.txt\n"
)
SEES_ALL = """#!/bin/bash
set -e
test -x answer.txt; test "$(cat answer.txt)" = 42; test "$(readlink link)" = answer.txt; test -f 'a b/c'
test ! -e removed; test "$(cat /etc/own.conf)" = two; test ! -e /etc/gone.conf
test "$(cat /opt/made/file)" = new; test "$(readlink /opt/link)" = /x
test "$(cat /logs/agent/said.txt)" = hello; test ! -e /logs/agent/trajectory.json
test "$(cat /logs/artifacts/kept)" = kept
echo 1 > /logs/verifier/reward.txt
"""


@pytest.mark.parametrize("agent", ["oracle", "nop"])
def test_the_same_tests_give_the_same_rewards_and_the_source_stays_as_it_is(
    tmp_path: Path, run: Run, agent: str
) -> None:
    make_task(tmp_path / "set", "a")
    make_task(tmp_path / "set", "b", solve="true\n")
    old = run("-a", agent)
    before = content(old)
    code, out, err = regrade(old, to=tmp_path / "again")
    new = tmp_path / "again" / "new"
    assert (code, err) == (0, "")
    assert out.endswith("2 regraded, 0 with another reward, 0 not regraded\n")
    assert rewards(new) == rewards(old)
    assert content(old) == before
    for task, result in results(new).items():
        then = results(old)[task]
        for key in ("agent_info", "agent_result", "n_agent_steps", "task_checksum", "task_name", "exception_info"):
            assert result[key] == then[key]
        assert (result["agent_execution"], result["agent_setup"]) == (None, None)
        origin = result["regraded_from"]
        assert (origin["job"], origin["trial"], origin["state"]) == ("old", then["trial_name"], "workspace")
        place = Path(origin["directory"])
        assert origin["result_digest"].startswith("sha256:")
        assert (new / result["trial_name"] / "agent/trajectory.json").read_bytes() == (
            place / "agent/trajectory.json"
        ).read_bytes()
        assert not (new / result["trial_name"] / "workspace.tar.zst").exists()


def test_changed_tests_change_the_reward_and_the_trial_is_a_row_with_steps(
    tmp_path: Path, run: Run, client: Client
) -> None:
    task = make_task(tmp_path / "set")
    old = run()
    (task / "tests/test.sh").write_text(HALF)
    code, out, _ = regrade("old", to=tmp_path / "jobs")
    assert code == 0
    assert "1 → 0.5 (" in out
    trial = Job.objects.get(name="new").trials.get()
    assert (trial.reward, trial.status, trial.agent_name) == (0.5, "finished", "oracle")
    assert Step.objects.filter(trial=trial).count() == Step.objects.filter(trial__job__directory=str(old)).count() > 0
    client.force_login(local_owner())
    assert 'id="step-1"' in client.get(reverse("trial", args=[trial.pk])).content.decode()


def test_the_tests_of_another_place_are_taken(tmp_path: Path, on_host: Run) -> None:
    make_task(tmp_path / "set")
    [trial] = [path.parent for path in on_host().glob("*/result.json")]
    make_task(tmp_path / "other", test=HALF)
    for place in (tmp_path / "other", tmp_path / "other/write-answer"):
        assert regrade(trial, "-t", place, to=tmp_path / "jobs", name=place.name)[0] == 0
        assert rewards(tmp_path / "jobs" / place.name) == {"write-answer": {"reward": 0.5}}
    code, _, err = regrade(trial, "-t", tmp_path, to=tmp_path / "jobs")
    assert code == 2
    assert f"its task is not at {tmp_path / 'write-answer'}" in err


@pytest.mark.docker
def test_what_the_agent_left_elsewhere_and_in_its_logs_is_there_again(tmp_path: Path, docker_engine: object) -> None:
    logs = "echo hello > /logs/agent/said.txt; echo kept > /logs/artifacts/kept\n"
    image = f"FROM {BASE_IMAGE}\nWORKDIR /app\n"
    image += "RUN echo 1 > removed && echo one > /etc/own.conf && echo x > /etc/gone.conf\n"
    make_task(tmp_path / "set", solve=OUTSIDE + logs, test=SEES_ALL, dockerfile=image)
    old = runner(tmp_path, "docker")()
    code, out, err = regrade(old, to=tmp_path / "jobs")
    assert rewards(tmp_path / "jobs/new") == {"write-answer": {"reward": 1.0}}, out + err
    assert code == 0
    [result] = results(tmp_path / "jobs/new").values()
    assert result["warnings"] == ["not restored: /root/.tool"]


def test_a_timeout_of_the_agent_stays_beside_its_new_reward(tmp_path: Path, on_host: Run) -> None:
    task = make_task(tmp_path / "set", solve="echo 42 > answer.txt; sleep 60\n", toml=SLOW)
    old = on_host()
    (task / "tests/test.sh").write_text(HALF)
    code, _, _ = regrade(old, to=tmp_path / "jobs")
    assert code == 0
    [result] = results(tmp_path / "jobs/new").values()
    assert result["exception_info"]["exception_type"] == "AgentTimeoutError"
    assert result["verifier_result"]["rewards"] == {"reward": 0.5}
    assert (tmp_path / "jobs/new" / result["trial_name"] / "exception.txt").exists()


def test_a_failure_of_the_verifier_goes_and_is_kept_beside(tmp_path: Path, on_host: Run) -> None:
    task = make_task(tmp_path / "set", test="#!/bin/bash\nexit 3\n")
    old = on_host()
    (task / "tests/test.sh").write_text(HALF)
    assert regrade(old, to=tmp_path / "jobs")[0] == 0
    [result] = results(tmp_path / "jobs/new").values()
    assert result["exception_info"] is None
    assert result["regraded_from"]["exception_info"]["exception_type"] == "RewardFileNotFoundError"
    (task / "tests/test.sh").write_text("#!/bin/bash\nexit 3\n")
    code, out, _ = regrade(old, to=tmp_path / "jobs", name="third")
    assert code == 1
    assert "no reward → no reward, RewardFileNotFoundError (" in out
    assert out.endswith("0 regraded, 0 with another reward, 1 without a verdict, 0 not regraded\n")


def test_a_separate_verifier_gets_the_artifacts_that_were_collected(tmp_path: Path, run: Run) -> None:
    test = "#!/bin/bash\n[ -f /app/answer.txt ] && exit 1; cp out/score /logs/verifier/reward.txt\n"
    solve = "echo 1 > answer.txt; mkdir out; echo 0.75 > out/score\n"
    toml = SEPARATE.replace('source = "out"', 'source = "/app/out"')
    task = make_task(tmp_path / "set", solve=solve, test=test, toml=toml)
    old = run()
    assert rewards(old) == {"write-answer": {"reward": 0.75}}
    # Not even the working directory is needed for it.
    next(old.glob("*/workspace.tar.zst")).unlink()
    assert regrade(old, to=tmp_path / "jobs")[0] == 0
    [result] = results(tmp_path / "jobs/new").values()
    assert result["verifier_result"]["rewards"] == {"reward": 0.75}
    assert (result["regraded_from"]["state"], result["verifier_environment_mode"]) == ("artifacts", "separate")
    # An artifact that was not collected then has to come from the working directory.
    (task / "task.toml").write_text((task / "task.toml").read_text() + '\n[[artifacts]]\nsource = "/app/answer.txt"\n')
    code, _, err = regrade(old, to=tmp_path / "jobs", name="third")
    assert code == 2
    assert "workspace.tar.zst" in err


def test_a_new_artifact_of_a_separate_verifier_is_collected_from_the_kept_state(tmp_path: Path, run: Run) -> None:
    toml = SEPARATE.replace('source = "out"', 'source = "/app/answer.txt"')
    task = make_task(tmp_path / "set")
    old = run()
    text = (task / "task.toml").read_text()
    (task / "task.toml").write_text(text.split("[agent]")[0] + toml)
    (task / "tests/test.sh").write_text("#!/bin/bash\ncp /app/answer.txt /logs/verifier/reward.txt\n")
    assert regrade(old, to=tmp_path / "jobs")[0] == 0
    assert rewards(tmp_path / "jobs/new") == {"write-answer": {"reward": 42.0}}


def test_of_several_steps_the_last_that_was_run_is_judged_again(tmp_path: Path, on_host: Run) -> None:
    task = make_steps(tmp_path / "set", {"one": "1", "two": "0"})
    old = on_host()
    (task / "steps/two/tests/test.sh").write_text(
        "#!/bin/bash\n[ \"$(cat done.txt)\" = $'one\\ntwo' ] && echo 0.5 > /logs/verifier/reward.txt\n"
    )
    assert regrade(old, to=tmp_path / "jobs")[0] == 0
    [result] = results(tmp_path / "jobs/new").values()
    assert result["verifier_result"]["rewards"] == {"reward": 0.75}
    steps = [(step["step_name"], step["verifier_result"]["rewards"]) for step in result["step_results"]]
    assert steps == [("one", {"reward": 1.0}), ("two", {"reward": 0.5})]
    assert "not judged again, for only the last state is kept: step one" in result["warnings"]
    folder = tmp_path / "jobs/new" / result["trial_name"]
    assert (folder / "steps/one/agent/trajectory.json").is_file()
    assert (folder / "steps/two/agent/oracle.txt").read_text() == "one\ntwo\n"


def test_trials_of_several_jobs_are_one_job_and_their_attempts_are_counted_on(tmp_path: Path, on_host: Run) -> None:
    make_task(tmp_path / "set")
    first = on_host("-k", 2)
    pierrun("-p", tmp_path / "set", "-o", tmp_path / "jobs", "--job-name", "second")
    [trial] = [path.parent for path in (tmp_path / "jobs/second").glob("*/result.json")]
    assert regrade(first, trial, trial, to=tmp_path / "jobs")[0] == 0
    assert sorted(Job.objects.get(name="new").trials.values_list("attempt", flat=True)) == [1, 2, 3]
    pierrun("-p", tmp_path / "set", "-o", tmp_path / "jobs", "--job-name", "other", "--ve", "MODE=strict")
    code, _, err = regrade("second", "other", to=tmp_path / "jobs")
    assert code == 2
    assert "has other settings of the verifier than the first trial" in err


def test_a_step_that_reaches_its_minimum_only_now_is_told(tmp_path: Path, on_host: Run) -> None:
    task = make_steps(tmp_path / "set", {"one": "0.4", "two": "1"}, extra="min_reward = 0.5")
    old = on_host()
    (task / "steps/one/tests/test.sh").write_text(HALF)
    assert regrade(old, to=tmp_path / "jobs")[0] == 0
    [result] = results(tmp_path / "jobs/new").values()
    assert [step["step_name"] for step in result["step_results"]] == ["one"]
    assert any("reaches its minimum now, and the steps after it were not run" in note for note in result["warnings"])
