"""A trial from its plan to its result.json, in the host sandbox."""

import asyncio
import json
from pathlib import Path

import pytest

from runs.formats.job import AgentConfig, VerifierConfig
from runs.formats.result import TrialResult
from tests.support.processes import watched_argvs
from tests.support.tasks import CLOSED, make_task
from tests.support.trials import make_plan, run_on_host


def exception_of(result: TrialResult) -> tuple[str, str | None]:
    assert result.exception_info is not None
    return result.exception_info.exception_type, result.exception_info.cause


async def test_the_oracle_gets_the_reward_and_its_files_have_the_fields_names(tmp_path: Path) -> None:
    plan = make_plan(make_task(tmp_path), tmp_path / "job")
    phases: list[str] = []
    result = await run_on_host(plan, phases)
    assert result.rewards == {"reward": 1.0}
    assert result.exception_info is None
    assert phases == ["environment_setup", "agent_setup", "agent_execution", "artifacts", "verifier"]
    names = {path.relative_to(plan.directory).as_posix() for path in plan.directory.rglob("*") if path.is_file()}
    assert names == {
        "agent/oracle.txt",
        "agent/trajectory.json",
        "artifacts/manifest.json",
        "build.log",
        "changes.patch",
        "config.json",
        "lock.json",
        "result.json",
        "network.json",
        "trial.log",
        "verifier/reward.txt",
        "verifier/test-stdout.txt",
        "workspace.tar.zst",
    }
    written = json.loads((plan.directory / "result.json").read_text())
    assert written["verifier_result"] == {"rewards": {"reward": 1.0}, "exit_code": 0}
    assert written["task_name"] == "tests/write-answer"
    assert written["agent_info"]["name"] == "oracle"
    assert written["started_at"] < written["environment_setup"]["started_at"] < written["finished_at"]


async def test_the_agent_that_does_nothing_gets_none(tmp_path: Path) -> None:
    result = await run_on_host(make_plan(make_task(tmp_path), tmp_path / "job", agent="nop"))
    assert result.rewards == {"reward": 0.0}


async def test_the_trajectory_says_what_was_asked_and_what_was_run(tmp_path: Path) -> None:
    plan = make_plan(make_task(tmp_path, solve="echo working; exit 3\n"), tmp_path / "job")
    await run_on_host(plan)
    steps = json.loads((plan.directory / "agent" / "trajectory.json").read_text())["steps"]
    assert steps[0]["message"] == "Write answer.txt."
    [result] = steps[1]["observation"]["results"]
    assert result["content"] == "working\n"
    assert result["extra"]["exit_code"] == 3
    assert (plan.directory / "agent" / "exit-code.txt").read_text() == "3\n"


async def test_a_reward_written_by_a_process_that_outlived_the_agent_changes_nothing(tmp_path: Path) -> None:
    planted = "echo 1 > /logs/verifier/reward.txt; echo '{\"reward\": 1}' > /logs/verifier/reward.json"
    lurking = f"while :; do [ -e /tests/test.sh ] && sleep 0.3 && {{ {planted}; }}; sleep 0.02; done"
    task = make_task(
        tmp_path,
        solve=f"{planted}; echo fake > /tests/test.sh\nnohup setsid bash -c '{lurking}' >/dev/null 2>&1 &\n",
        test="#!/bin/bash\necho 0 > /logs/verifier/reward.txt\nsleep 1\n",
    )
    result = await run_on_host(make_plan(task, tmp_path / "job"))
    assert result.rewards == {"reward": 0.0}
    assert not (tmp_path / "job" / "trial-1" / "verifier" / "reward.json").exists()


async def test_a_service_may_live_on_where_the_task_says_so(tmp_path: Path) -> None:
    service = "nohup setsid sh -c 'sleep 0.5; touch /app/answer.txt; sleep 5' >/dev/null 2>&1 &\n"
    test = "#!/bin/bash\nsleep 1; [ -f answer.txt ]; echo $((1 - $?)) > /logs/verifier/reward.txt\n"
    dies = make_task(tmp_path, "dies", solve=service, test=test)
    keep = f"{CLOSED}\n[metadata.pier_site]\nkeep_processes = true\n"
    lives = make_task(tmp_path, "lives", solve=service, test=test, toml=keep)
    results = [await run_on_host(make_plan(task, tmp_path / "job", name=task.name)) for task in (dies, lives)]
    assert [result.rewards for result in results] == [{"reward": 0.0}, {"reward": 1.0}]


async def test_an_agent_stopped_at_its_timeout_is_verified_with_what_it_had_done(tmp_path: Path) -> None:
    task = make_task(tmp_path, solve="echo 42 > answer.txt; echo so far; sleep 60\n")
    plan = make_plan(task, tmp_path / "job", agent=AgentConfig(name="oracle", override_timeout_sec=0.8))
    result = await run_on_host(plan)
    assert exception_of(result) == ("AgentTimeoutError", "budget")
    assert result.rewards == {"reward": 1.0}
    assert "so far" in (plan.directory / "agent" / "trajectory.json").read_text()
    assert "AgentTimeoutError" in (plan.directory / "exception.txt").read_text()


async def test_a_verifier_that_hangs_gives_no_reward(tmp_path: Path) -> None:
    plan = make_plan(
        make_task(tmp_path, test="#!/bin/bash\necho begun; sleep 60\n"),
        tmp_path / "job",
        verifier=VerifierConfig(override_timeout_sec=1.5),
    )
    result = await run_on_host(plan)
    assert exception_of(result) == ("VerifierTimeoutError", "verifier")
    assert result.rewards is None
    assert (plan.directory / "verifier" / "test-stdout.txt").read_text() == "begun\n"


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("exit 1", "RewardFileNotFoundError"),
        ("touch /logs/verifier/reward.txt", "RewardFileEmptyError"),
        ("echo nan > /logs/verifier/reward.txt", "VerifierOutputParseError"),
        ('echo \'{"reward": "1"}\' > /logs/verifier/reward.json', "VerifierOutputParseError"),
        ("echo -1 > /logs/verifier/reward.txt", "VerifierCrashedError"),
        ("ln -s /etc/hostname /logs/verifier/reward.txt", "RewardFileNotFoundError"),
        ("mkdir /logs/verifier/reward.txt", "RewardFileNotFoundError"),
        ("head -c 2000000 /dev/zero | tr '\\0' 1 > /logs/verifier/reward.txt", "VerifierOutputParseError"),
    ],
)
async def test_what_is_not_a_reward_is_the_verifiers_named_failure(tmp_path: Path, script: str, error: str) -> None:
    result = await run_on_host(make_plan(make_task(tmp_path, test=f"#!/bin/bash\n{script}\n"), tmp_path / "job"))
    assert exception_of(result) == (error, "verifier")
    assert result.rewards is None


async def test_the_exit_code_of_the_tests_never_changes_a_written_reward(tmp_path: Path) -> None:
    test = "#!/bin/bash\necho 0.5 > /logs/verifier/reward.txt\nexit 9\n"
    result = await run_on_host(make_plan(make_task(tmp_path, test=test), tmp_path / "job"))
    assert result.rewards == {"reward": 0.5}
    assert result.verifier_result is not None
    assert result.verifier_result.exit_code == 9


async def test_reward_txt_counts_before_reward_json_and_a_difference_is_logged(tmp_path: Path) -> None:
    test = "#!/bin/bash\necho 0 > /logs/verifier/reward.txt\necho '{\"reward\": 1}' > /logs/verifier/reward.json\n"
    plan = make_plan(make_task(tmp_path, test=test), tmp_path / "job")
    assert (await run_on_host(plan)).rewards == {"reward": 0.0}
    assert "reward.txt and reward.json differ" in (plan.directory / "trial.log").read_text()


async def test_a_task_that_cannot_be_loaded_is_a_failed_trial_with_a_result(tmp_path: Path) -> None:
    task = make_task(tmp_path)
    (task / "task.toml").write_text("[agent\n")
    plan = make_plan(task, tmp_path / "job")
    result = await run_on_host(plan)
    assert exception_of(result) == ("TaskInvalid", "task")
    assert (plan.directory / "result.json").is_file()


async def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    task = make_task(tmp_path, toml=f'{CLOSED}\n[environment.env]\nKEY = "${{PIER_TEST_NOT_SET}}"\n')
    result = await run_on_host(make_plan(task, tmp_path / "job"))
    assert result.exception_info is not None
    assert "PIER_TEST_NOT_SET" in result.exception_info.exception_message


async def test_a_health_check_that_never_succeeds_is_infrastructure_and_nothing_is_verified(tmp_path: Path) -> None:
    check = '\n[environment.healthcheck]\ncommand = "echo not yet; false"\ninterval_sec = 0.01\nretries = 2\n'
    result = await run_on_host(make_plan(make_task(tmp_path, toml=CLOSED + check), tmp_path / "job"))
    assert exception_of(result) == ("HealthcheckError", "infrastructure")
    assert result.exception_info is not None
    assert "not yet" in result.exception_info.exception_message
    assert result.rewards is None


async def test_a_cancelled_trial_leaves_a_result_and_no_process(tmp_path: Path) -> None:
    marker = "import time; time.sleep(60)  # pier-cancelled-probe"
    plan = make_plan(make_task(tmp_path, solve=f"echo begun; python3 -c '{marker}'\n"), tmp_path / "job")
    running = asyncio.create_task(run_on_host(plan))
    while not (plan.directory / "agent" / "oracle.txt").exists():  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    running.cancel()
    result = await running
    assert exception_of(result) == ("CancelledError", "cancelled")
    assert json.loads((plan.directory / "result.json").read_text())["exception_info"]["cause"] == "cancelled"
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(b"pier-cancelled-probe" in command for command in commands)


async def test_artifacts_land_where_they_say_with_a_manifest(tmp_path: Path) -> None:
    wanted = """
artifacts = ["/app/answer.txt", "/app/missing.txt", { source = "/app/out", destination = "kept", exclude = ["*.tmp"] }]
"""
    solve = "echo 42 > answer.txt; mkdir out; touch out/a.csv out/b.tmp; echo note > /logs/artifacts/note.txt\n"
    task = make_task(tmp_path, solve=solve)
    (task / "task.toml").write_text(wanted + (task / "task.toml").read_text())
    plan = make_plan(task, tmp_path / "job")
    await run_on_host(plan)
    artifacts = plan.directory / "artifacts"
    names = {path.relative_to(artifacts).as_posix() for path in artifacts.rglob("*") if path.is_file()}
    assert names == {"manifest.json", "answer.txt", "kept/a.csv", "note.txt"}
    lines = {line["source"]: line for line in json.loads((artifacts / "manifest.json").read_text())}
    assert lines["/app/out"]["destination"] == "artifacts/kept"
    assert [lines[source]["status"] for source in ("/logs/artifacts", "/app/answer.txt", "/app/missing.txt")] == [
        "ok",
        "ok",
        "failed",
    ]


async def test_a_secret_of_the_agent_is_in_no_file_and_in_no_argv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROBE_API_KEY", "sk-very-secret-value")
    solve = '[ "$PROBE_API_KEY" = sk-very-secret-value ] && echo 42 > answer.txt; touch /logs/agent/there; sleep 0.4\n'
    agent = AgentConfig(name="oracle", env={"PROBE_API_KEY": "${PROBE_API_KEY}"})
    plan = make_plan(make_task(tmp_path, solve=solve), tmp_path / "job", agent=agent)
    async with watched_argvs() as argvs:
        assert (await run_on_host(plan)).rewards == {"reward": 1.0}
    assert any(b"/solution/solve.sh" in argv for argv in argvs)
    assert not any(b"sk-very-secret" in argv for argv in argvs)
    files = [path for path in plan.directory.parent.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if b"sk-very-secret" in path.read_bytes()]
