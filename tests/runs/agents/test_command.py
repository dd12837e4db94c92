"""Any command line as an agent: what it is given, what becomes of what it leaves."""

import json
from pathlib import Path

import pytest

from runs.agents.arguments import AgentArgumentInvalid
from runs.agents.command import Command
from runs.formats.job import AgentConfig
from tests.support.conversion import GOLDEN
from tests.support.tasks import make_task
from tests.support.trials import make_plan, run_on_host

pytestmark = pytest.mark.asyncio


def command_agent(command: str, **kwargs: object) -> AgentConfig:
    return AgentConfig(name="command", model_name="lab/model", kwargs={"command": command, **kwargs})


def steps_of(directory: Path) -> list[dict[str, object]]:
    steps: list[dict[str, object]] = json.loads((directory / "agent/trajectory.json").read_text())["steps"]
    return steps


async def test_it_finds_the_instruction_and_the_variables_of_harbor_env(tmp_path: Path) -> None:
    task = make_task(tmp_path / "task")
    variables = "$HARBOR_TASK_NAME|$AGENT_WORKDIR|$HTTPX_TIMEOUT|$OPENAI_MODEL"
    tell = f'cat "$HARBOR_INSTRUCTION_PATH"; echo "{variables}"; ls $HARBOR_TASK_DIR'
    plan = make_plan(task, tmp_path, agent=command_agent(tell))
    result = await run_on_host(plan)
    assert result.exception_info is None
    printed = (plan.directory / "agent/command.txt").read_text()
    assert printed.startswith((task / "instruction.md").read_text().strip())
    assert "|3600|lab/model\n" in printed
    assert printed.endswith("instruction.md\ntask.toml\n")


async def test_its_output_is_its_trajectory(tmp_path: Path) -> None:
    plan = make_plan(make_task(tmp_path / "task"), tmp_path, agent=command_agent("echo '{\"a\": 1}'; printf end"))
    await run_on_host(plan)
    user, agent = steps_of(plan.directory)
    assert user["source"] == "user"
    assert agent["tool_calls"] == [
        {
            "tool_call_id": "command",
            "function_name": "bash",
            "arguments": {"command": "echo '{\"a\": 1}'; printf end"},
        }
    ]
    assert agent["observation"]["results"][0]["content"] == '{"a": 1}\nend\n'  # type: ignore[index] # JSON


async def test_its_own_trajectory_goes_before_its_output(tmp_path: Path) -> None:
    own = {
        "schema_version": "ATIF-v1.7",
        "agent": {"name": "mine", "version": "2"},
        "steps": [{"step_id": 1, "source": "user", "message": "mine"}],
    }
    write = f"cat > /logs/agent/trajectory.json <<'END'\n{json.dumps(own)}\nEND\n"
    plan = make_plan(make_task(tmp_path / "task"), tmp_path, agent=command_agent(write))
    await run_on_host(plan)
    assert [step["message"] for step in steps_of(plan.directory)] == ["mine"]


async def test_files_are_laid_and_set_up_commands_run_before_it(tmp_path: Path) -> None:
    (tmp_path / "tool.sh").write_text("echo from the tool\n")
    config = command_agent(
        "sh /app/tool/run.sh; cat /tmp/made, by set-up",
        files={"/app/tool/run.sh": str(tmp_path / "tool.sh")},
        setup=["echo a > '/tmp/made,'; echo b > /tmp/by; echo c > /tmp/set-up; cd /tmp"],
    )
    plan = make_plan(make_task(tmp_path / "task"), tmp_path, agent=config)
    await run_on_host(plan)
    assert (plan.directory / "agent/command.txt").read_text().startswith("from the tool\na\n")


async def test_the_skills_of_the_job_lie_beside_the_instruction(tmp_path: Path) -> None:
    (tmp_path / "review").mkdir()
    (tmp_path / "review/SKILL.md").write_text("Look twice.")
    config = command_agent("cat $HARBOR_TASK_DIR/skills/review/SKILL.md")
    plan = make_plan(
        make_task(tmp_path / "task"), tmp_path, agent=config.model_copy(update={"skills": [tmp_path / "review"]})
    )
    await run_on_host(plan)
    assert (plan.directory / "agent/command.txt").read_text() == "Look twice."


@pytest.mark.parametrize("planted", ["echo x > images", "ln -s /etc images", "mkdir images"])
async def test_what_is_planted_in_the_place_of_images_costs_no_trajectory(tmp_path: Path, planted: str) -> None:
    logs = GOLDEN / "claude-code/2.1.329/results"
    config = command_agent(f"cp -r /app/golden/. /logs/agent; cd /logs/agent; {planted}", logs_of="claude-code")
    config.kwargs["files"] = {"/app/golden": str(logs)}
    plan = make_plan(make_task(tmp_path / "task"), tmp_path, agent=config)
    result = await run_on_host(plan)
    assert (result.exception_info, result.rewards) == (None, {"reward": 0.0})
    assert "images/" in (plan.directory / "agent/trajectory.json").read_text()


async def test_a_set_up_command_that_fails_is_named_with_its_words(tmp_path: Path) -> None:
    config = command_agent("true", setup="true\necho no such mirror; exit 3")
    result = await run_on_host(make_plan(make_task(tmp_path / "task"), tmp_path, agent=config))
    assert result.exception_info is not None
    assert result.exception_info.exception_type == "AgentFailed"
    assert "ended with 3: no such mirror" in result.exception_info.exception_message


async def test_an_exit_code_is_the_agents_failure_and_its_work_is_verified_all_the_same(tmp_path: Path) -> None:
    plan = make_plan(make_task(tmp_path / "task"), tmp_path, agent=command_agent("echo stuck; exit 5"))
    result = await run_on_host(plan)
    assert result.exception_info is not None
    assert result.exception_info.exception_type == "NonZeroAgentExitCodeError"
    assert "exit code 5: stuck" in result.exception_info.exception_message
    assert result.verifier_result is not None


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"command": ""},
        {"command": "true", "files": {"relative": "/etc/passwd"}},
        {"command": "true", "files": {"/a": "/no/such/file"}},
        {"command": "true", "logs_of": "nobody"},
        {"command": "true", "comand": "typo"},
    ],
)
async def test_what_it_cannot_do_is_refused_before_anything_starts(kwargs: dict[str, object]) -> None:
    with pytest.raises(AgentArgumentInvalid):
        Command(model_name=None, kwargs=kwargs)


async def test_a_conversion_that_fails_costs_the_trajectory_and_not_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("never thought of this")

    monkeypatch.setattr(Command, "finish", broken)
    plan = make_plan(make_task(tmp_path / "task"), tmp_path, agent=command_agent("echo 42 > answer.txt"))
    result = await run_on_host(plan)
    assert result.rewards == {"reward": 1.0}
    assert any("never thought of this" in warning for warning in result.warnings)
