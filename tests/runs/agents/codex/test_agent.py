"""What Codex is installed, configured and started with, and what it may reach."""

import shlex
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from runs.agents.arguments import AgentArgumentInvalid
from runs.agents.base import AgentRun
from runs.agents.codex.agent import Codex
from runs.agents.install import Npm, Script
from runs.agents.installed import Launch
from runs.formats.task import McpServer
from runs.formats.template import VariableMissing
from runs.sandboxes.base import Sandbox

GATEWAY = """
model_provider = "respan"
[model_providers.respan]
name = "Respan Gateway"
base_url = "https://endpoint.respan.ai/api/"
wire_api = "responses"
env_key = "RESPAN_API_KEY"
"""
HOME = "/var/tmp/pier-codex-a1a4699f685cd218"
HOSTILE = "fix 'it'; $(touch /tmp/x) `id`\n--config x \"\\\0 é\n"


@pytest.fixture(autouse=True)
def _runner_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*Codex.variables, "CODEX_AUTH_JSON_PATH", "CODEX_FORCE_AUTH_JSON", "LITELLM_MODEL_REGISTRY_PATH"):
        monkeypatch.delenv(name, raising=False)


def _agent(model_name: str | None = "openai/gpt-5.5", **kwargs: Any) -> Codex:
    return Codex(model_name=model_name, kwargs=kwargs)


def _launch(agent: Codex, env: Mapping[str, str] | None = None, **run: Any) -> Launch:
    env = agent.environment(env or {})
    given: dict[str, Any] = {"instruction": "fix it", "user": None, "solution": Path("x"), **run}
    return agent.launch(
        AgentRun(sandbox=cast("Sandbox", None), logs=Path("/jobs/j/t/agent"), env=env, **given),
        given["instruction"],
        env,
    )


def _config(launch: Launch) -> dict[str, Any]:
    (text,) = (file.text for file in launch.files if file.path == f"{HOME}/config.toml")
    return tomllib.loads(text)


def _file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "given"
    path.write_text(text)
    return str(path)


def test_it_is_installed_as_a_pinned_package() -> None:
    install = _agent().install()
    assert install.method == Npm(("@openai/codex@0.169.0",))
    assert install.clis == ("codex",)
    assert _agent(version="0.170.1").install().method == Npm(("@openai/codex@0.170.1",))


def test_the_vendors_script_gets_the_version_too() -> None:
    install = _agent(install_method="script").install()
    assert isinstance(install.method, Script)
    assert "CODEX_RELEASE=0.169.0 " in install.method.text
    assert install.programs == ("curl",)


def test_a_version_that_is_none_reaches_no_shell() -> None:
    for method in ("package", "script"):
        with pytest.raises(AgentArgumentInvalid, match="version"):
            _agent(version="1; curl x | sh", install_method=method)


def test_the_instruction_is_what_it_reads_and_never_in_the_argv() -> None:
    launch = _launch(_agent(), instruction=HOSTILE)
    assert launch.stdin == HOSTILE.encode()
    assert launch.argv == (
        "/opt/pier/bin/codex",
        "exec",
        "--dangerously-bypass-approvals-and-sandbox",
        "--skip-git-repo-check",
        "--json",
        "--model",
        "gpt-5.5",
        "-c",
        'model_reasoning_effort="high"',
        "-",
    )


def test_hostile_values_stay_one_word_of_the_argv() -> None:
    launch = _launch(_agent(command_model_name="m'; touch x #", reasoning_summary="detailed"))
    assert launch.argv[5:7] == ("--model", "m'; touch x #")
    assert shlex.split(shlex.join(launch.argv)) == list(launch.argv)
    assert 'model_reasoning_summary="detailed"' in launch.argv


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"reasoning_effort": "extreme"}, "none of none, minimal, low"),
        ({"reasoning_efort": "high"}, "did you mean 'reasoning_effort'"),
        ({"config_toml": "a = "}, "config_toml"),
        ({"config_toml_file": "/nowhere/at/all.toml"}, "config_toml_file"),
    ],
)
def test_what_it_does_not_take_is_refused_before_anything_starts(kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(AgentArgumentInvalid, match=words):
        _agent(**kwargs)


def test_by_default_it_asks_nobody_but_the_model() -> None:
    config = _config(_launch(_agent()))
    assert config == {
        "check_for_update_on_startup": False,
        "analytics": {"enabled": False},
        "otel": {"exporter": "none"},
        "features": {"plugins": False, "unified_exec": True},
        "shell_environment_policy": {"exclude": ["CODEX_API_KEY", "OPENAI_API_KEY"]},
    }


def test_in_a_closed_sandbox_the_provider_searches_no_web_unless_the_job_wants_it() -> None:
    assert _config(_launch(_agent(), is_closed=True))["web_search"] == "disabled"
    wanted = _agent(config_toml='web_search = "live"')
    assert _config(_launch(wanted, is_closed=True))["web_search"] == "live"


def test_the_jobs_toml_goes_over_its_file_and_both_over_ours(tmp_path: Path) -> None:
    file = _file(tmp_path, '[features]\nplugins = true\nx = 1\n[tui]\ntheme = "file"\n')
    config = _config(_launch(_agent(config_toml_file=file, config_toml='[tui]\ntheme = "own"\n')))
    assert config["features"] == {"plugins": True, "unified_exec": True, "x": 1}
    assert config["tui"] == {"theme": "own"}


def test_a_gateway_is_reached_with_its_own_key_and_nothing_else() -> None:
    agent = _agent(config_toml=GATEWAY, reasoning_effort="xhigh")
    env = {"RESPAN_API_KEY": "sk-secret"}
    assert agent.hosts(env) == ["endpoint.respan.ai"]
    launch = _launch(agent, env)
    config = _config(launch)
    assert config["model_provider"] == "respan"
    assert config["model_providers"]["respan"]["wire_api"] == "responses"
    assert "RESPAN_API_KEY" in config["shell_environment_policy"]["exclude"]
    assert launch.env["CODEX_API_KEY"] == ""


@pytest.mark.parametrize(
    ("toml", "env", "hosts"),
    [
        ("", {}, ["api.openai.com"]),
        ("", {"OPENAI_BASE_URL": "http://llm.test:8080/v1"}, ["llm.test:8080"]),
        ('openai_base_url = "https://eu.example.com/v1"', {}, ["eu.example.com"]),
        (
            '[mcp_servers.docs]\nurl = "https://docs.example.com:8443/mcp"',
            {},
            ["docs.example.com:8443", "api.openai.com"],
        ),
        (GATEWAY, {"OPENAI_BASE_URL": "https://unused.example.com"}, ["endpoint.respan.ai"]),
    ],
)
def test_hosts_are_those_of_the_urls_with_their_ports(toml: str, env: dict[str, str], hosts: list[str]) -> None:
    assert _agent(config_toml=toml).hosts(env) == hosts


def test_a_key_goes_in_by_the_environment_alone() -> None:
    launch = _launch(_agent(), {"OPENAI_API_KEY": "sk-secret", "OPENAI_BASE_URL": "https://eu.example.com/v1"})
    assert launch.env == {"CODEX_HOME": HOME, "CODEX_API_KEY": "sk-secret"}
    assert "sk-secret" not in repr((launch.argv, launch.files, launch.prepare, launch.stdin))
    assert _config(launch)["openai_base_url"] == "https://eu.example.com/v1"


def test_a_sign_in_is_a_file_that_is_removed_again(tmp_path: Path) -> None:
    login = '{"OPENAI_API_KEY": null, "tokens": {"access_token": "t"}}'
    env = {"CODEX_AUTH_JSON_PATH": _file(tmp_path, login), "OPENAI_API_KEY": "sk-other", "CODEX_API_KEY": "sk-third"}
    launch = _launch(_agent(), env)
    assert [(file.path, file.is_secret) for file in launch.files] == [
        (f"{HOME}/config.toml", True),
        (f"{HOME}/auth.json", True),
    ]
    assert launch.files[1].text == login
    assert launch.env["CODEX_API_KEY"] == ""
    assert _agent().hosts(env) == ["chatgpt.com", "auth.openai.com"]


def test_a_sign_in_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(AgentArgumentInvalid, match="CODEX_AUTH_JSON_PATH"):
        _launch(_agent(), {"CODEX_AUTH_JSON_PATH": str(tmp_path / "none.json")})


def test_mcp_servers_are_told_with_the_headers_that_variables_give() -> None:
    servers = (
        McpServer(name="calc", transport="stdio", command="python3", args=["-m", "calc"]),
        McpServer(
            name="docs", transport="streamable-http", url="http://docs:8000/mcp", headers={"Authorization": "${T}"}
        ),
    )
    assert _config(_launch(_agent(), {"T": "token"}, mcp_servers=servers))["mcp_servers"] == {
        "calc": {"command": "python3", "args": ["-m", "calc"]},
        "docs": {"url": "http://docs:8000/mcp", "http_headers": {"Authorization": "token"}},
    }
    with pytest.raises(VariableMissing):
        _launch(_agent(), mcp_servers=servers)


def _skill(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text("---\nname: x\n---\n")
    return folder


def test_sessions_are_written_where_they_are_followed(tmp_path: Path) -> None:
    launch = _launch(_agent())
    home = tmp_path / "home"
    script = launch.prepare.replace("/logs/agent", str(tmp_path / "logs")).replace(HOME, str(home))
    for _ in range(2):
        subprocess.run(["sh", "-c", script], check=True, env={"PATH": "/usr/bin:/bin"})
    assert (home / "sessions").readlink() == tmp_path / "logs/sessions"
    assert list((tmp_path / "logs/sessions").iterdir()) == []


def test_a_skill_comes_into_the_clis_own_folder(tmp_path: Path) -> None:
    skill = _skill(tmp_path / "it's; a skill")
    assert _launch(_agent(), skills=(skill,)).uploads == ((skill, f"{HOME}/skills/it's; a skill"),)
