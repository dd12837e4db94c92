"""What Copilot CLI is installed and started with, and what it may reach."""

import json
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from runs.agents.arguments import AgentArgumentInvalid
from runs.agents.base import AgentRun
from runs.agents.copilot_cli.agent import CopilotCli
from runs.agents.install import Npm, Script
from runs.agents.installed import Launch
from runs.formats.task import McpServer
from runs.formats.template import VariableMissing
from runs.sandboxes.base import Sandbox

KEY = "sk-0123456789abcdef"
TOKEN = "github_pat_0123456789"
PROVIDER = {"COPILOT_PROVIDER_BASE_URL": "https://gateway.example.com:8443/v1", "COPILOT_PROVIDER_API_KEY": KEY}
HOSTILE = "fix 'it'; $(touch /tmp/x) `id`\n--model x \"\\\0 é\n"


@pytest.fixture(autouse=True)
def _runner_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*CopilotCli.variables, "LITELLM_MODEL_REGISTRY_PATH"):
        monkeypatch.delenv(name, raising=False)


def _agent(model_name: str | None = "openai/gpt-5-mini", **kwargs: Any) -> CopilotCli:
    return CopilotCli(model_name=model_name, kwargs=kwargs)


def _launch(agent: CopilotCli, env: Mapping[str, str] | None = None, **run: Any) -> Launch:
    known = agent.environment(env or {})
    given: dict[str, Any] = {"instruction": "fix it", "user": None, "solution": Path("x"), **run}
    return agent.launch(
        AgentRun(sandbox=cast("Sandbox", None), logs=Path("x"), env=known, **given), given["instruction"], known
    )


def _value(launch: Launch, flag: str) -> str | None:
    return launch.argv[launch.argv.index(flag) + 1] if flag in launch.argv else None


def test_it_is_installed_as_a_pinned_package_and_unpacked_there() -> None:
    install = _agent().install()
    assert install.method == Npm(("@github/copilot@1.0.102",))
    assert install.clis == ("copilot",)
    assert "COPILOT_PKG_CACHE_HOME=/opt/pier/copilot-cli " in install.commands[0]
    assert _launch(_agent()).env["COPILOT_PKG_CACHE_HOME"] == "/opt/pier/copilot-cli"
    assert _agent(version="1.0.103").install().method == Npm(("@github/copilot@1.0.103",))


def test_the_vendors_script_gets_the_version_too() -> None:
    install = _agent(install_method="script").install()
    assert isinstance(install.method, Script)
    assert "VERSION=v1.0.102 " in install.method.text
    assert "curl" in install.programs


def test_a_version_that_is_none_reaches_no_shell() -> None:
    for method in ("package", "script"):
        with pytest.raises(AgentArgumentInvalid, match="version"):
            _agent(version="1; curl x | sh", install_method=method)


def test_the_instruction_is_what_it_reads_and_never_in_the_argv() -> None:
    launch = _launch(_agent(), instruction=HOSTILE)
    assert launch.stdin == HOSTILE.encode()
    assert launch.argv == (
        "/opt/pier/bin/copilot",
        "--yolo",
        "--output-format=json",
        "--no-color",
        "--no-ask-user",
        "--disable-client-telemetry",
        "--model",
        "gpt-5-mini",
    )


def test_arguments_become_flags_and_raw_ones_come_last() -> None:
    launch = _launch(
        _agent(
            reasoning_effort="high",
            mode="autopilot",
            context_tier="long_context",
            max_autopilot_continues=3,
            excluded_tools="task, sql",
            extra_args="--add-dir '/a b' --experimental",
        )
    )
    assert launch.argv[8:] == (
        "--effort",
        "high",
        "--mode",
        "autopilot",
        "--context",
        "long_context",
        "--max-autopilot-continues",
        "3",
        "--excluded-tools",
        "task,sql",
        "--add-dir",
        "/a b",
        "--experimental",
    )
    assert _launch(_agent(extra_args=["--agent", "it's; x"])).argv[-2:] == ("--agent", "it's; x")


def test_hostile_values_stay_one_word_of_the_argv() -> None:
    launch = _launch(_agent(command_model_name="m'; touch x #", agent="$(id)"))
    assert (_value(launch, "--model"), _value(launch, "--agent")) == ("m'; touch x #", "$(id)")
    assert shlex.split(shlex.join(launch.argv)) == list(launch.argv)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"reasoning_effort": "extreme"}, "none of none, minimal, low"),
        ({"mode": "ask"}, "none of interactive, plan, autopilot"),
        ({"context_tier": "huge"}, "none of default, long_context"),
        ({"extra_args": "--a 'b"}, "extra_args"),
        ({"extra_arg": "x"}, "did you mean 'extra_args'"),
    ],
)
def test_what_it_does_not_take_is_refused_before_anything_starts(kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(AgentArgumentInvalid, match=words):
        _agent(**kwargs)


def test_with_a_provider_of_ones_own_it_asks_nobody_but_that() -> None:
    launch = _launch(_agent(), PROVIDER)
    assert launch.env["COPILOT_OFFLINE"] == "true"
    assert launch.env["COPILOT_AUTO_UPDATE"] == "false"
    assert "COPILOT_OFFLINE" not in _launch(_agent(), {"GH_TOKEN": TOKEN}).env
    assert "COPILOT_OFFLINE" not in _launch(_agent(), {**PROVIDER, "COPILOT_OFFLINE": "false"}).env


@pytest.mark.parametrize(
    ("env", "hosts"),
    [
        (PROVIDER, ["gateway.example.com:8443"]),
        ({"COPILOT_PROVIDER_BASE_URL": "http://llm.test/s/v1"}, ["llm.test"]),
        (
            {"COPILOT_GITHUB_TOKEN": TOKEN},
            ["api.github.com", "*.githubcopilot.com", "copilot-proxy.githubusercontent.com"],
        ),
        ({"GH_TOKEN": TOKEN, "GH_HOST": "corp.ghe.com"}, ["corp.ghe.com", "*.corp.ghe.com"]),
        (
            {**PROVIDER, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel.example.com:4318"},
            ["gateway.example.com:8443", "otel.example.com:4318"],
        ),
    ],
)
def test_hosts_are_the_providers_or_githubs(env: dict[str, str], hosts: list[str]) -> None:
    assert _agent().hosts(env) == hosts


def test_secrets_are_in_the_environment_alone_and_kept_from_tools() -> None:
    env = {**PROVIDER, "COPILOT_PROVIDER_HEADERS": "X-Key: 0123456789abcdef", "GH_TOKEN": "short"}
    launch = _launch(_agent(), env)
    assert KEY not in repr((launch.argv, launch.files, launch.prepare, launch.stdin))
    assert _value(launch, "--secret-env-vars") == "COPILOT_PROVIDER_API_KEY,COPILOT_PROVIDER_HEADERS"


def test_a_placeholder_for_a_key_is_not_blotted_out_of_all_text() -> None:
    launch = _launch(_agent(), {**PROVIDER, "COPILOT_PROVIDER_API_KEY": "not-used"})
    assert "--secret-env-vars" not in launch.argv


def test_the_runners_tokens_reach_no_provider_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    assert _agent().environment({}) == {"GITHUB_TOKEN": TOKEN}
    assert _agent().environment(PROVIDER) == PROVIDER
    assert _agent().environment({"GH_TOKEN": "own"}) == {"GH_TOKEN": "own"}


def test_a_job_with_a_token_is_not_led_to_the_runners_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PROVIDER.items():
        monkeypatch.setenv(name, value)
    assert _agent().environment({"COPILOT_MODEL": "m"}) == {**PROVIDER, "COPILOT_MODEL": "m"}
    own_key = _agent().environment({"COPILOT_PROVIDER_BEARER_TOKEN": "own"})
    assert "COPILOT_PROVIDER_API_KEY" not in own_key


def test_in_a_closed_sandbox_it_has_no_web_tools() -> None:
    launch = _launch(_agent(excluded_tools=["web_fetch", "sql"]), PROVIDER, is_closed=True)
    assert _value(launch, "--excluded-tools") == "web_fetch,sql,web_search"
    assert "--disable-builtin-mcps" in launch.argv
    assert "--disable-builtin-mcps" not in _launch(_agent(), PROVIDER).argv


def test_mcp_servers_are_told_with_the_headers_that_variables_give() -> None:
    servers = (
        McpServer(name="calc", transport="stdio", command="python3", args=["-m", "calc"]),
        McpServer(
            name="docs", transport="streamable-http", url="http://docs:8000/mcp", headers={"Authorization": "${T}"}
        ),
    )
    launch = _launch(_agent(), {"T": "token"}, mcp_servers=servers)
    (file,) = launch.files
    assert (file.path, file.is_secret) == ("/tmp/copilot-cli/pier-mcp.json", True)
    assert json.loads(file.text)["mcpServers"] == {
        "calc": {"type": "local", "command": "python3", "args": ["-m", "calc"], "tools": ["*"]},
        "docs": {"type": "http", "url": "http://docs:8000/mcp", "headers": {"Authorization": "token"}, "tools": ["*"]},
    }
    assert _value(launch, "--additional-mcp-config") == f"@{file.path}"
    with pytest.raises(VariableMissing):
        _launch(_agent(), mcp_servers=servers)


def test_only_the_sessions_lie_below_the_log_folder(tmp_path: Path) -> None:
    launch = _launch(_agent())
    assert launch.env["COPILOT_HOME"] == "/tmp/copilot-cli"
    script = launch.prepare.replace("/logs/agent", str(tmp_path / "logs")).replace(
        "/tmp/copilot-cli", str(tmp_path / "h")
    )
    for _ in range(2):
        subprocess.run(["sh", "-c", script], check=True)
    assert (tmp_path / "h/session-state").readlink() == tmp_path / "logs/copilot/session-state"
    assert list((tmp_path / "logs/copilot/session-state").iterdir()) == []


def test_skills_go_where_the_cli_looks_for_them(tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.mkdir()
    (one / "SKILL.md").write_text("---\nname: one\n---\n")
    assert _launch(_agent(), skills=(one,)).uploads == ((one, "/tmp/copilot-cli/skills/one"),)
