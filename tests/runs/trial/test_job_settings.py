"""What a job adds to its trials: instructions, mounts, classes of its own, reward rules; set-up without a run."""

import json
from pathlib import Path

import pytest

from runs.agents.base import Agent, AgentRun
from runs.agents.registry import create_agent
from runs.errors import JobInvalid
from runs.formats.job import AgentConfig, EnvironmentConfig, Mount, VerifierConfig
from runs.formats.network import CLOSED
from runs.formats.result import AgentContext, TrialResult
from runs.sandboxes.base import Image, MountSpec, SandboxSpec
from runs.sandboxes.host import HostSandbox
from runs.trial.mounts import ready_mounts
from runs.trial.plan import TrialPlan
from runs.trial.sandbox import sandbox_opener
from tests.support.tasks import make_task
from tests.support.trials import make_plan, run_on_host


class Scribe(Agent):
    """An agent of a team's own: writes what it was told into answer.txt."""

    name = "scribe"
    version = "7"

    async def run(self, run: AgentRun) -> AgentContext:
        await run.sandbox.exec("cat > answer.txt", stdin=run.instruction.encode())
        return AgentContext(cost_usd=0.5)


class Shed(HostSandbox):
    """A sandbox of a team's own."""

    def __init__(self, spec: SandboxSpec, *, colour: str) -> None:
        super().__init__(spec)
        self.colour = colour


HERE = f"{__name__}:Scribe"


def with_config(plan: TrialPlan, **changes: object) -> TrialPlan:
    return TrialPlan(plan.config.model_copy(update=changes), plan.attempt)


async def test_an_agent_class_of_ones_own_runs_under_its_own_name(tmp_path: Path) -> None:
    result = await run_on_host(make_plan(make_task(tmp_path), tmp_path / "job", agent=AgentConfig(import_path=HERE)))
    assert result.rewards == {"reward": 1.0}
    assert (result.agent_info.name, result.agent_info.version) == ("scribe", "7")
    assert result.agent_result is not None
    assert result.agent_result.cost_usd == 0.5


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no.such.module:X", "No module named"),
        (f"{__name__}:Missing", "has no Missing"),
        (f"{__name__}:AgentConfig", "not a subclass"),
    ],
)
def test_an_import_path_that_cannot_be_used_says_why(path: str, words: str) -> None:
    with pytest.raises(JobInvalid, match=words):
        create_agent(AgentConfig(import_path=path))


def test_a_sandbox_class_of_ones_own_is_made_with_its_arguments() -> None:
    own = EnvironmentConfig(type=None, import_path=f"{__name__}:Shed", kwargs={"colour": "red"})
    opener, _ = sandbox_opener(own)
    made = opener(SandboxSpec(name="x", image=Image(), network=CLOSED))
    assert isinstance(made, Shed)
    assert made.colour == "red"
    with pytest.raises(JobInvalid, match="has no arguments"):
        sandbox_opener(EnvironmentConfig(type="host", kwargs={"x": 1}))


async def test_extra_instructions_follow_the_tasks_own(tmp_path: Path) -> None:
    (tmp_path / "more.md").write_text("From a file.")
    plan = make_plan(make_task(tmp_path), tmp_path / "job", agent="nop")
    plan = with_config(plan, extra_instructions=["Be brief."], extra_instruction_paths=[tmp_path / "more.md"])
    await run_on_host(plan)
    [step] = json.loads((plan.directory / "agent" / "trajectory.json").read_text())["steps"]
    assert step["message"] == "Write answer.txt.\n\nBe brief.\n\nFrom a file."


async def test_install_only_sets_up_and_runs_nothing(tmp_path: Path) -> None:
    plan = with_config(make_plan(make_task(tmp_path), tmp_path / "job"), install_only=True)
    phases: list[str] = []
    result = await run_on_host(plan, phases)
    assert phases == ["environment_setup", "agent_setup"]
    assert (result.rewards, result.exception_info) == (None, None)


async def test_pre_artifacts_sh_runs_after_the_agent_and_its_failure_ends_nothing(tmp_path: Path) -> None:
    task = make_task(tmp_path)
    (task / "pre_artifacts.sh").write_text("cp answer.txt /logs/artifacts/; exit 5\n")
    plan = make_plan(task, tmp_path / "job")
    assert (await run_on_host(plan)).rewards == {"reward": 1.0}
    assert (plan.directory / "artifacts" / "answer.txt").read_text() == "42\n"
    assert "ended with 5" in (plan.directory / "trial.log").read_text()


async def judged(tmp_path: Path, test: str, **rules: str) -> TrialResult:
    task = make_task(tmp_path, test=f"#!/bin/bash\n{test}\n")
    return await run_on_host(make_plan(task, tmp_path / "job", verifier=VerifierConfig.model_validate(rules)))


BOTH = 'echo 0 > /logs/verifier/reward.txt; echo \'{"reward": 1, "f2p": 0.5}\' > /logs/verifier/reward.json'


async def test_reward_json_may_count_first_and_the_difference_is_in_the_result(tmp_path: Path) -> None:
    result = await judged(tmp_path, BOTH, reward_order="json-first")
    assert result.rewards == {"reward": 1.0, "f2p": 0.5}
    assert "reward.json and reward.txt differ: reward.json counts" in result.warnings


async def test_the_file_that_does_not_count_may_be_broken(tmp_path: Path) -> None:
    result = await judged(tmp_path, "echo 1 > /logs/verifier/reward.txt; echo [] > /logs/verifier/reward.json")
    assert result.rewards == {"reward": 1.0}
    assert any("is broken" in warning for warning in result.warnings)


async def test_a_crash_sign_beside_a_reward_json_gives_way_to_it(tmp_path: Path) -> None:
    both = "echo -1 > /logs/verifier/reward.txt; echo '{\"f2p\": 0.5}' > /logs/verifier/reward.json"
    assert (await judged(tmp_path, both)).rewards == {"f2p": 0.5}


async def test_a_missing_reward_counts_as_zero_only_where_the_job_says_so(tmp_path: Path) -> None:
    result = await judged(tmp_path, "exit 3", missing_reward="zero")
    assert result.rewards == {"reward": 0.0}
    assert result.exception_info is None
    assert any("counted as reward 0" in warning for warning in result.warnings)


async def test_a_broken_reward_is_never_zero(tmp_path: Path) -> None:
    result = await judged(tmp_path, "echo nan > /logs/verifier/reward.txt", missing_reward="zero")
    assert result.rewards is None


def test_mounts_are_resolved_and_those_of_the_log_folders_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIER_TEST_ROOT", str(tmp_path))
    mounts = [
        Mount(source="${HOST_AGENT_LOGS_PATH}", target="${ENV_AGENT_LOGS_PATH}"),
        Mount(source="/anywhere", target="/logs/verifier"),
        Mount(source="${PIER_TEST_ROOT}", target="/opt/prices", read_only=True),
        Mount(type="volume", source="cache", target="/cache"),
    ]
    assert ready_mounts(mounts) == [
        MountSpec("bind", str(tmp_path), "/opt/prices", read_only=True),
        MountSpec("volume", "cache", "/cache", read_only=False),
    ]


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        (Mount(source="/no/such/folder", target="/x"), "does not exist"),
        (Mount(source="/tmp", target="relative"), "not an absolute path"),
        (Mount(type="image", source="busybox", target="/x"), "images cannot be mounted"),
    ],
)
def test_a_mount_that_cannot_be_made_says_why(mount: Mount, words: str) -> None:
    with pytest.raises(JobInvalid, match=words):
        ready_mounts([mount])
