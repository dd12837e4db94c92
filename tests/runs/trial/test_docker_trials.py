"""Trials in real containers: the bundled examples, and agents that try to stay."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient

from runs.formats.job import EnvironmentConfig
from runs.trial.sandbox import OpenSandbox, sandbox_opener
from tests.support.tasks import BASE_IMAGE, CLOSED, make_task
from tests.support.trials import make_plan, run_in

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
TASKS = sorted(path for path in (EXAMPLES / "tasks").iterdir() if path.is_dir())
# Of `later`, the host is in the internet, where a machine that runs tests may not be.
TASKS.append(EXAMPLES / "compose-web")

pytestmark = pytest.mark.docker


@pytest.fixture
def open_sandbox(docker_engine: DockerClient) -> Iterator[OpenSandbox]:
    """How Docker sandboxes are made; at the end none may be left."""
    opener, close = sandbox_opener(EnvironmentConfig(type="docker"))
    yield opener
    close()


def containers_of(engine: DockerClient, trial: str) -> list[str]:
    found = engine.containers.list(all=True, filters={"label": f"pier-site.trial={trial}"})
    return [container.name or "" for container in found]


@pytest.mark.parametrize("agent", ["oracle", "nop"])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
async def test_each_example_gives_the_oracle_its_reward_and_nop_none(
    tmp_path: Path, open_sandbox: OpenSandbox, docker_engine: DockerClient, task: Path, agent: str
) -> None:
    name = f"{task.name}-{agent}-{tmp_path.name}"
    result = await run_in(open_sandbox, make_plan(task, tmp_path, agent=agent, name=name))
    assert result.exception_info is None or agent == "nop", result.exception_info
    assert result.rewards is not None, result.exception_info
    assert result.rewards["reward"] == (1.0 if agent == "oracle" else 0.0)
    assert containers_of(docker_engine, name) == []


async def test_a_closed_task_has_no_network_but_loopback(tmp_path: Path, open_sandbox: OpenSandbox) -> None:
    solve = '[ "$(ls /sys/class/net)" = lo ] && echo 42 > answer.txt\n'
    result = await run_in(open_sandbox, make_plan(make_task(tmp_path, solve=solve), tmp_path / "job"))
    assert result.rewards == {"reward": 1.0}


async def test_the_tests_are_not_there_while_the_agent_works(tmp_path: Path, open_sandbox: OpenSandbox) -> None:
    solve = '[ -z "$(ls -A /tests /logs/verifier 2>/dev/null | grep -v :)" ] && echo 42 > answer.txt\n'
    result = await run_in(open_sandbox, make_plan(make_task(tmp_path, solve=solve), tmp_path / "job"))
    assert result.rewards == {"reward": 1.0}


async def test_a_daemon_that_waits_for_the_verifier_changes_nothing(tmp_path: Path, open_sandbox: OpenSandbox) -> None:
    planted = "echo 1 > /logs/verifier/reward.txt; echo '{\\\"reward\\\": 1}' > /logs/verifier/reward.json"
    lurking = f"while :; do [ -e /tests/test.sh ] && {{ {planted}; }}; sleep 0.01; done"
    task = make_task(
        tmp_path,
        solve=(
            f"{planted}; mkdir -p /tests; echo 'echo 1 > /logs/verifier/reward.txt' > /tests/conftest.sh\n"
            f'nohup setsid env -i /bin/bash -c "{lurking}" >/dev/null 2>&1 &\n'
            f'(nohup setsid bash -c "{lurking}" >/dev/null 2>&1 &)\n'
        ),
        test="#!/bin/bash\nls -A /tests\necho 0 > /logs/verifier/reward.txt\nsleep 0.5\n",
    )
    plan = make_plan(task, tmp_path / "job")
    result = await run_in(open_sandbox, plan)
    assert result.rewards == {"reward": 0.0}
    assert (plan.directory / "verifier" / "test-stdout.txt").read_text() == "test.sh\n"
    assert not (plan.directory / "verifier" / "reward.json").exists()


async def test_links_planted_in_place_of_the_log_folders_are_not_followed(
    tmp_path: Path, open_sandbox: OpenSandbox
) -> None:
    solve = "rm -rf /logs/verifier /tests; mkdir /trap; ln -s /trap /tests; ln -s /trap /logs/verifier\n"
    test = '#!/bin/bash\n[ -z "$(ls -A /trap)" ]; echo $((1 - $?)) > /logs/verifier/reward.txt\n'
    result = await run_in(open_sandbox, make_plan(make_task(tmp_path, solve=solve, test=test), tmp_path / "job"))
    assert result.rewards == {"reward": 1.0}


async def test_an_image_that_cannot_be_built_is_infrastructure_and_says_why(
    tmp_path: Path, open_sandbox: OpenSandbox
) -> None:
    dockerfile = "FROM python:3.11-slim-bookworm\nRUN echo the reason; exit 3\n"
    plan = make_plan(make_task(tmp_path, dockerfile=dockerfile), tmp_path / "job")
    result = await run_in(open_sandbox, plan)
    assert result.exception_info is not None
    assert (result.exception_info.exception_type, result.exception_info.cause) == ("SandboxFailed", "infrastructure")
    assert "the reason" in result.exception_info.exception_message
    assert "the reason" in (plan.directory / "build.log").read_text()


async def test_what_this_version_cannot_give_is_refused_by_name(tmp_path: Path, open_sandbox: OpenSandbox) -> None:
    task = make_task(tmp_path, toml=f'{CLOSED}tpu = {{type = "v5e", topology = "2x2"}}\n')
    result = await run_in(open_sandbox, make_plan(task, tmp_path / "job"))
    assert result.exception_info is not None
    assert result.exception_info.exception_type == "TaskInvalid"
    assert "this version cannot give" in result.exception_info.exception_message


async def test_gpus_are_asked_of_the_engine_which_says_when_it_has_none(
    tmp_path: Path, open_sandbox: OpenSandbox, docker_engine: DockerClient
) -> None:
    if "nvidia" in docker_engine.info().get("Runtimes", {}):
        pytest.skip("this engine has GPUs")
    task = make_task(tmp_path, toml=f"{CLOSED}gpus = 1\n")
    result = await run_in(open_sandbox, make_plan(task, tmp_path / "job"))
    assert result.exception_info is not None
    assert (result.exception_info.exception_type, result.exception_info.cause) == ("SandboxFailed", "infrastructure")
    assert "gpu" in result.exception_info.exception_message


async def test_an_open_network_may_be_closed_for_the_verifier(tmp_path: Path, open_sandbox: OpenSandbox) -> None:
    toml = CLOSED.replace(
        '[agent]\ntimeout_sec = 60.0\nnetwork_mode = "no-network"', '[agent]\nnetwork_mode = "public"'
    )
    solve = "ls /sys/class/net > answer.txt\n"
    test = (
        '#!/bin/bash\n[ "$(ls /sys/class/net)" = lo ] && grep -q eth0 answer.txt; '
        "echo $((1 - $?)) > /logs/verifier/reward.txt\n"
    )
    task = make_task(tmp_path, solve=solve, test=test, toml=toml)
    result = await run_in(open_sandbox, make_plan(task, tmp_path / "job"))
    assert result.rewards == {"reward": 1.0}, result.exception_info


async def test_everybody_works_as_the_images_user_unless_the_task_names_one(
    tmp_path: Path, open_sandbox: OpenSandbox
) -> None:
    dockerfile = "FROM python:3.11-slim-bookworm\nRUN useradd -m dev\nWORKDIR /home/dev\nUSER dev\n"
    test = '[ "$(id -un) $(cat answer.txt)" = "root dev" ]; echo $((1 - $?)) > /logs/verifier/reward.txt'
    task = make_task(
        tmp_path,
        dockerfile=dockerfile,
        solve="id -un > answer.txt\n",
        test=f"#!/bin/bash\n{test}\n",
        toml=CLOSED.replace("[verifier]", '[verifier]\nuser = "root"'),
    )
    result = await run_in(open_sandbox, make_plan(task, tmp_path / "job"))
    assert result.rewards == {"reward": 1.0}, result.exception_info


async def test_each_step_has_the_network_that_it_asks_for(tmp_path: Path, open_sandbox: OpenSandbox) -> None:
    interfaces = "ls /sys/class/net | tr '\\n' ' ' > answer.txt; cat answer.txt\n"
    toml = CLOSED + (
        '\n[[steps]]\nname = "closed"\n[steps.verifier]\nnetwork_mode = "public"\n'
        '\n[[steps]]\nname = "still-closed"\n\n[[steps]]\nname = "open"\n[steps.agent]\nnetwork_mode = "public"\n'
    )
    task = make_task(tmp_path, toml=toml)
    for name in ("closed", "still-closed", "open"):
        for part in ("solution", "tests"):
            (task / "steps" / name / part).mkdir(parents=True)
        (task / "steps" / name / "instruction.md").write_text("Look around.")
        (task / "steps" / name / "solution" / "solve.sh").write_text(interfaces)
        (task / "steps" / name / "tests" / "test.sh").write_text(
            "#!/bin/bash\nls /sys/class/net; echo 1 > /logs/verifier/reward.txt\n"
        )
    plan = make_plan(task, tmp_path / "job")
    result = await run_in(open_sandbox, plan)
    assert result.exception_info is None
    steps = plan.directory / "steps"
    seen = {
        name: (steps / name / "agent" / "oracle.txt").read_text().split() for name in ("closed", "still-closed", "open")
    }
    assert seen == {"closed": ["lo"], "still-closed": ["lo"], "open": ["eth0", "lo"]}
    assert (steps / "closed" / "verifier" / "test-stdout.txt").read_text().split() == ["eth0", "lo"]
    assert (steps / "open" / "verifier" / "test-stdout.txt").read_text().split() == ["lo"]


async def test_files_beside_a_ready_image_are_laid_into_its_working_directory(
    tmp_path: Path, open_sandbox: OpenSandbox
) -> None:
    toml = CLOSED.replace("[environment]", f'[environment]\ndocker_image = "{BASE_IMAGE}"\nworkdir = "/work"')
    task = make_task(tmp_path, toml=toml, solve="cp data.txt answer.txt\n")
    (task / "environment" / "Dockerfile").rename(task / "environment" / "data.txt")
    result = await run_in(open_sandbox, make_plan(task, tmp_path / "job"))
    assert result.rewards == {"reward": 1.0}, result.exception_info
