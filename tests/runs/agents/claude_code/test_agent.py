"""Claude Code's declaration: what is installed, how it is started, what it may reach."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from runs.agents.arguments import AgentArgumentInvalid
from runs.agents.base import AgentRun
from runs.agents.claude_code.agent import MCP_FILE, ClaudeCode
from runs.agents.install import Npm, Script
from runs.errors import InputInvalid
from runs.formats.task import McpServer
from runs.sandboxes.base import Sandbox

GATEWAY = {
    "ANTHROPIC_AUTH_TOKEN": "gateway-secret",
    "ANTHROPIC_BASE_URL": "https://endpoint.respan.ai/api/anthropic",
    "ANTHROPIC_CUSTOM_HEADERS": "X-Respan-Route-Provider: vertex_ai",
}


@pytest.fixture(autouse=True)
def _no_variables_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*ClaudeCode.variables, *(argument.variable or "_" for argument in ClaudeCode.arguments)):
        monkeypatch.delenv(name, raising=False)


def _agent(model_name: str | None = "claude-opus-4-7", **kwargs: Any) -> ClaudeCode:
    return ClaudeCode(model_name=model_name, kwargs=kwargs)


def _run(tmp_path: Path, **changes: Any) -> AgentRun:
    sandbox = cast("Sandbox", None)
    run = {"instruction": "", "sandbox": sandbox, "logs": tmp_path, "env": {}, "user": None, "solution": tmp_path}
    return AgentRun(**{**run, **changes})


def _flag(argv: tuple[str, ...], flag: str) -> str:
    return argv[argv.index(flag) + 1]


def test_a_gateway_with_the_anthropic_api(tmp_path: Path) -> None:
    agent = _agent(reasoning_effort="max")
    env = agent.environment(GATEWAY)
    launch = agent.launch(_run(tmp_path), "Fix it.", env)
    assert agent.hosts(GATEWAY) == ["endpoint.respan.ai"]
    assert {**env, **launch.env}.items() >= GATEWAY.items()
    for name in ("ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL", "CLAUDE_CODE_SUBAGENT_MODEL"):
        assert launch.env[name] == "claude-opus-4-7"
    assert _flag(launch.argv, "--effort") == "max"
    assert _flag(launch.argv, "--disallowedTools") == "EnterPlanMode"
    assert launch.argv[-1] == "--print"
    assert "gateway-secret" not in shlex.join(launch.argv)


@pytest.mark.parametrize(
    ("env", "hosts"),
    [
        ({}, ["api.anthropic.com"]),
        ({"ANTHROPIC_BASE_URL": "http://gateway.internal:8080/anthropic"}, ["gateway.internal:8080"]),
        ({"CLAUDE_CODE_OAUTH_TOKEN": "token"}, ["api.anthropic.com"]),
        (
            {"AWS_BEARER_TOKEN_BEDROCK": "token"},
            ["bedrock-runtime.us-east-1.amazonaws.com", "bedrock.us-east-1.amazonaws.com"],
        ),
        (
            {"CLAUDE_CODE_USE_BEDROCK": "1", "AWS_REGION": "eu-west-1"},
            ["bedrock-runtime.eu-west-1.amazonaws.com", "bedrock.eu-west-1.amazonaws.com"],
        ),
        ({"CLAUDE_CODE_USE_BEDROCK": "0", "AWS_BEARER_TOKEN_BEDROCK": "token"}, ["api.anthropic.com"]),
    ],
    ids=["direct", "with a port", "oauth", "bedrock by token", "bedrock by flag", "bedrock refused"],
)
def test_what_it_has_to_reach(env: Mapping[str, str], hosts: list[str]) -> None:
    assert _agent().hosts(env) == hosts


def test_a_region_that_is_no_name_opens_nothing() -> None:
    with pytest.raises(InputInvalid, match="no region"):
        _agent().hosts({"CLAUDE_CODE_USE_BEDROCK": "1", "AWS_REGION": "x.evil.example/"})


@pytest.mark.parametrize(
    ("given", "model"),
    [
        ("anthropic/claude-opus-4-7", "claude-opus-4-7"),
        ("opus", "opus"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/x", "arn:aws:bedrock:us-east-1:1:inference-profile/x"),
    ],
)
def test_a_providers_prefix_is_no_part_of_the_model_without_a_gateway(tmp_path: Path, given: str, model: str) -> None:
    launch = _agent(given).launch(_run(tmp_path), "", {})
    assert launch.env["ANTHROPIC_MODEL"] == model
    assert "CLAUDE_CODE_SUBAGENT_MODEL" not in launch.env


def test_behind_a_gateway_the_model_keeps_its_prefix_and_the_jobs_own_choice_stands(tmp_path: Path) -> None:
    env = {**GATEWAY, "ANTHROPIC_DEFAULT_HAIKU_MODEL": "small"}
    launch = _agent("vendor/large").launch(_run(tmp_path), "", env)
    assert launch.env["ANTHROPIC_MODEL"] == "vendor/large"
    assert "ANTHROPIC_DEFAULT_HAIKU_MODEL" not in launch.env


def test_bedrock_gets_its_region_and_the_runners_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    agent = _agent("us.anthropic.claude-opus-4-7-v1:0")
    assert "AWS_ACCESS_KEY_ID" not in agent.environment({})
    env = agent.environment({"CLAUDE_CODE_USE_BEDROCK": "1"})
    assert env["AWS_ACCESS_KEY_ID"] == "id"
    launch = agent.launch(_run(tmp_path), "", env)
    assert launch.env["AWS_REGION"] == "us-east-1"
    assert launch.env["ANTHROPIC_MODEL"] == "us.anthropic.claude-opus-4-7-v1:0"


def test_a_jobs_gateway_never_gets_the_runners_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "the runner's")
    assert _agent().environment({})["ANTHROPIC_API_KEY"] == "the runner's"
    assert "ANTHROPIC_API_KEY" not in _agent().environment(GATEWAY)


@pytest.mark.parametrize(
    ("kwargs", "is_closed", "disallowed"),
    [
        ({}, False, "EnterPlanMode"),
        ({}, True, "EnterPlanMode,WebSearch,WebFetch"),
        ({"disallowed_tools": "Task, WebSearch"}, True, "Task,WebSearch,WebFetch"),
        ({"disallowed_tools": ["Bash(git push *)"]}, False, "Bash(git push *)"),
        ({"allowed_tools": "WebSearch"}, True, "EnterPlanMode,WebFetch"),
        ({"disallowed_tools": []}, False, None),
    ],
    ids=["open", "closed", "merged", "own", "allowed by name", "none"],
)
def test_tools_that_the_agent_does_not_have(
    tmp_path: Path, kwargs: dict[str, Any], is_closed: bool, disallowed: str | None
) -> None:
    argv = _agent(**kwargs).launch(_run(tmp_path, is_closed=is_closed), "", {}).argv
    assert (_flag(argv, "--disallowedTools") if "--disallowedTools" in argv else None) == disallowed


def test_every_argument_of_the_cli_reaches_it_as_one_word(tmp_path: Path) -> None:
    hostile = '\'; touch /tmp/x; echo "$(id)" `id` \n--print'
    launch = _agent(
        append_system_prompt=hostile,
        thinking="adaptive",
        thinking_display="summarized",
        max_thinking_tokens="4096",
        max_turns=7,
        max_budget_usd=1.5,
        fallback_model=["a", "b"],
        allowed_tools="Bash,Edit",
        autocompact="100000",
    ).launch(_run(tmp_path), hostile, {})
    words = shlex.split(shlex.join(launch.argv))
    assert words == list(launch.argv)
    assert _flag(launch.argv, "--append-system-prompt") == hostile
    given = {"--thinking": "adaptive", "--thinking-display": "summarized", "--max-thinking-tokens": "4096"}
    given |= {"--max-turns": "7", "--max-budget-usd": "1.5", "--fallback-model": "a,b"}
    given |= {"--allowedTools": "Bash,Edit", "--autocompact": "100000"}
    assert {flag: _flag(launch.argv, flag) for flag in given} == given
    assert launch.stdin == hostile.encode()


@pytest.mark.parametrize(
    "kwargs",
    [{"max_turn": 3}, {"reasoning_effort": "extreme"}, {"max_turns": 0}, {"max_turns": "many"}, {"thinking": True}],
)
def test_arguments_that_it_does_not_have_are_refused(kwargs: dict[str, Any]) -> None:
    with pytest.raises(AgentArgumentInvalid):
        _agent(**kwargs)


def test_mcp_servers_stand_in_a_file_that_goes_after_the_run_and_is_no_log(tmp_path: Path) -> None:
    servers = (
        McpServer(name="files", transport="stdio", command="npx", args=["-y", "server"]),
        McpServer(name="web", transport="streamable-http", url="https://m.example/mcp", headers={"X-Key": "${KEY}"}),
        McpServer(name="old", transport="sse", url="https://o.example/sse"),
    )
    launch = _agent().launch(_run(tmp_path, mcp_servers=servers), "", {})
    (file,) = launch.files
    assert (file.path, file.is_secret) == (MCP_FILE, True)
    assert not file.path.startswith("/logs")
    assert json.loads(file.text) == {
        "mcpServers": {
            "files": {"type": "stdio", "command": "npx", "args": ["-y", "server"]},
            "web": {"type": "http", "url": "https://m.example/mcp", "headers": {"X-Key": "${KEY}"}},
            "old": {"type": "sse", "url": "https://o.example/sse"},
        }
    }
    assert _flag(launch.argv, "--mcp-config") == MCP_FILE
    assert "--mcp-config" not in _agent().launch(_run(tmp_path), "", {}).argv


def test_skills_go_to_the_clis_own_folder(tmp_path: Path) -> None:
    skill = tmp_path / "review"
    launch = _agent().launch(_run(tmp_path, skills=(skill,)), "", {})
    assert launch.uploads == ((skill, "/logs/agent/sessions/skills/review"),)
    assert launch.prepare == "mkdir -p /logs/agent/sessions/skills"


def test_a_memory_folder_is_copied_to_where_the_cli_looks_for_it(tmp_path: Path) -> None:
    launch = _agent(memory_dir="/data/my memory").launch(_run(tmp_path), "", {})
    assert "cp -R '/data/my memory'/. \"$memory/\"" in launch.prepare


def test_it_is_quiet_and_keeps_its_logs_where_they_are_followed(tmp_path: Path) -> None:
    launch = _agent(None).launch(_run(tmp_path), "", {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "0"})
    assert launch.env["CLAUDE_CONFIG_DIR"] == "/logs/agent/sessions"
    assert launch.env["IS_SANDBOX"] == launch.env["DISABLE_AUTOUPDATER"] == "1"
    assert "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC" not in launch.env
    assert "ANTHROPIC_MODEL" not in launch.env


def test_it_is_installed_from_the_registry_or_by_the_vendors_script() -> None:
    package = _agent().install()
    assert package.method == Npm(("@anthropic-ai/claude-code@2.1.329",), runs_scripts=True)
    assert package.clis == ("claude",)
    script = _agent(install_method="script", version="2.0.1").install()
    assert isinstance(script.method, Script)
    assert "-- 2.0.1'" in script.method.text
    for method in ("package", "script"):
        with pytest.raises(InputInvalid, match="no version"):
            _agent(install_method=method, version="1; rm -rf /").install()
