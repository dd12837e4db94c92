"""Gemini CLI's declaration: what is installed, how it is started, what it may reach."""

import json
import shlex
from pathlib import Path
from typing import Any, cast

import pytest

from runs.agents.arguments import AgentArgumentInvalid
from runs.agents.base import AgentRun
from runs.agents.gemini_cli.agent import CREDENTIALS_FILE, FOLDER, GeminiCli
from runs.agents.install import Npm
from runs.agents.installed import Launch
from runs.errors import InputInvalid
from runs.formats.task import McpServer
from runs.sandboxes.base import AGENT_LOGS, Sandbox

GATEWAY = {
    "GEMINI_API_KEY": "gateway-secret",
    "GOOGLE_GENERATIVE_AI_API_KEY": "gateway-secret",
    "GEMINI_API_BASE": "https://endpoint.respan.ai/api/google/vertexai/v1beta",
    "GOOGLE_GEMINI_BASE_URL": "https://endpoint.respan.ai/api/google/vertexai/",
}


@pytest.fixture(autouse=True)
def _no_variables_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GeminiCli.variables:
        monkeypatch.delenv(name, raising=False)


def _agent(model_name: str | None = "gemini/gemini-3.1-pro-preview", **kwargs: Any) -> GeminiCli:
    return GeminiCli(model_name=model_name, kwargs=kwargs)


def _run(tmp_path: Path, **changes: Any) -> AgentRun:
    sandbox = cast("Sandbox", None)
    run = {"instruction": "", "sandbox": sandbox, "logs": tmp_path, "env": {}, "user": None, "solution": tmp_path}
    return AgentRun(**{**run, **changes})


def _settings(launch: Launch) -> dict[str, Any]:
    file = next(file for file in launch.files if file.path == f"{FOLDER}/settings.json")
    assert file.is_secret
    return cast("dict[str, Any]", json.loads(file.text))


def test_a_gateway_with_the_gemini_api(tmp_path: Path) -> None:
    agent = _agent()
    env = agent.environment(GATEWAY)
    launch = agent.launch(_run(tmp_path, env=GATEWAY), "Fix it.", env)
    assert agent.hosts(GATEWAY) == ["endpoint.respan.ai"]
    assert env == GATEWAY
    assert launch.argv[-1] == "--model=gemini-3.1-pro-preview"
    assert _settings(launch)["security"] == {"auth": {"selectedType": "gemini-api-key"}}
    assert "gateway-secret" not in shlex.join(launch.argv) + json.dumps(_settings(launch))


@pytest.mark.parametrize(
    ("env", "hosts"),
    [
        ({"GEMINI_API_KEY": "k"}, ["generativelanguage.googleapis.com"]),
        ({"GEMINI_API_KEY": "k", "GOOGLE_GEMINI_BASE_URL": "http://llm.internal:8080/g"}, ["llm.internal:8080"]),
        (
            {"GEMINI_API_KEY": "k", "GEMINI_API_BASE": "https://a.example"},
            ["generativelanguage.googleapis.com", "a.example"],
        ),
        ({"GOOGLE_API_KEY": "k"}, ["aiplatform.googleapis.com"]),
        (
            {"GOOGLE_GENAI_USE_VERTEXAI": "true", "GOOGLE_CLOUD_LOCATION": "us-central1"},
            ["us-central1-aiplatform.googleapis.com", "oauth2.googleapis.com"],
        ),
        (
            {"GOOGLE_GENAI_USE_VERTEXAI": "1", "GOOGLE_CLOUD_LOCATION": "eu"},
            ["aiplatform.eu.rep.googleapis.com", "oauth2.googleapis.com"],
        ),
        (
            {"GOOGLE_GENAI_USE_VERTEXAI": "true", "GOOGLE_API_KEY": "k", "GOOGLE_VERTEX_BASE_URL": "https://v.example"},
            ["v.example"],
        ),
    ],
)
def test_the_hosts_are_those_of_the_api_that_is_used(env: dict[str, str], hosts: list[str]) -> None:
    assert _agent().hosts(env) == hosts


def test_urls_in_the_settings_are_reachable_too() -> None:
    agent = _agent(settings={"mcpServers": {"docs": {"url": "https://mcp.example:8443/sse"}}})
    assert agent.hosts({}) == ["generativelanguage.googleapis.com", "mcp.example:8443"]


def test_a_location_that_is_none_is_refused() -> None:
    with pytest.raises(InputInvalid, match="GOOGLE_CLOUD_LOCATION"):
        _agent().hosts({"GOOGLE_GENAI_USE_VERTEXAI": "true", "GOOGLE_CLOUD_LOCATION": "evil.example/"})


def test_a_job_with_a_key_of_its_own_gets_none_of_the_runners(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.setenv(name, "runner")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    assert _agent().environment({"GEMINI_API_KEY": "job"}) == {"GEMINI_API_KEY": "job"}
    assert _agent().environment({})["GOOGLE_CLOUD_PROJECT"] == "runner"


def test_vertex_is_used_when_it_is_said(tmp_path: Path) -> None:
    env = {"GOOGLE_GENAI_USE_VERTEXAI": "true", "GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "global"}
    launch = _agent().launch(_run(tmp_path, env=env), "Fix it.", env)
    assert _settings(launch)["security"] == {"auth": {"selectedType": "vertex-ai"}}


def test_the_runners_credentials_file_goes_along_and_the_jobs_is_in_the_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "adc.json"
    own.write_text('{"type": "service_account"}')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(own))
    agent = _agent()
    launch = agent.launch(_run(tmp_path), "Fix it.", agent.environment({}))
    placed = next(file for file in launch.files if file.path == CREDENTIALS_FILE)
    assert placed.is_secret
    assert placed.text == own.read_text()
    assert launch.env["GOOGLE_APPLICATION_CREDENTIALS"] == CREDENTIALS_FILE
    job = {"GOOGLE_APPLICATION_CREDENTIALS": "/secrets/adc.json"}
    other = agent.launch(_run(tmp_path, env=job), "Fix it.", agent.environment(job))
    assert [file.path for file in other.files] == [f"{FOLDER}/settings.json"]
    assert "GOOGLE_APPLICATION_CREDENTIALS" not in other.env


def test_reasoning_effort_asks_for_its_level_and_for_readable_thoughts(tmp_path: Path) -> None:
    launch = _agent(reasoning_effort="low").launch(_run(tmp_path), "Fix it.", {})
    assert _settings(launch)["modelConfigs"] == {
        "customOverrides": [
            {
                "match": {"model": "gemini-3.1-pro-preview"},
                "modelConfig": {
                    "generateContentConfig": {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"}}
                },
            }
        ]
    }
    assert "modelConfigs" not in _settings(_agent().launch(_run(tmp_path), "Fix it.", {}))


@pytest.mark.parametrize(
    ("model", "effort"),
    [("google/gemini-2.5-pro", "high"), ("gemini-3.1-pro-preview", "minimal"), (None, "high")],
)
def test_a_level_that_the_model_does_not_have_is_refused(model: str | None, effort: str) -> None:
    with pytest.raises(InputInvalid, match="reasoning_effort"):
        _agent(model, reasoning_effort=effort)
    _agent("gemini-3-flash-preview", reasoning_effort="minimal")


def test_unknown_arguments_and_values_are_refused() -> None:
    with pytest.raises(AgentArgumentInvalid, match="did you mean 'reasoning_effort'"):
        _agent(reasoning_efort="high")
    with pytest.raises(AgentArgumentInvalid, match="sandbox"):
        _agent(sandbox="perhaps")
    with pytest.raises(InputInvalid, match="version"):
        _agent(version="1; rm -rf /").install()


def test_hostile_values_stay_single_words_of_the_argv(tmp_path: Path) -> None:
    model = "x $(touch /tmp/p); `id` '\""
    launch = _agent(model).launch(_run(tmp_path), '--model=evil\n"; $(id)', {})
    assert shlex.split(shlex.join(launch.argv)) == list(launch.argv)
    assert launch.argv[1:] == ("--yolo", "--output-format=stream-json", f"--model={model.rpartition('/')[2]}")
    assert launch.stdin == b'--model=evil\n"; $(id)'


def test_searching_the_web_by_the_provider_is_off_in_a_closed_network(tmp_path: Path) -> None:
    closed = _settings(_agent().launch(_run(tmp_path, is_closed=True), "Fix it.", {}))
    assert closed["tools"] == {"exclude": ["google_web_search", "web_fetch"]}
    assert "tools" not in _settings(_agent().launch(_run(tmp_path), "Fix it.", {}))


def test_settings_of_the_job_win_key_by_key(tmp_path: Path) -> None:
    agent = _agent(settings={"general": {"enableAutoUpdate": True}, "tools": {"exclude": []}})
    settings = _settings(agent.launch(_run(tmp_path, is_closed=True), "Fix it.", {}))
    assert settings["general"] == {"enableAutoUpdate": True, "enableAutoUpdateNotification": False}
    assert settings["tools"] == {"exclude": []}
    assert settings["telemetry"] == {"enabled": False}


def test_mcp_servers_and_skills(tmp_path: Path) -> None:
    servers = (
        McpServer(name="local", transport="stdio", command="serve", args=["--x"]),
        McpServer(
            name="far",
            transport="streamable-http",
            url="https://m.example/mcp",
            headers={"Authorization": "Bearer ${TOKEN}"},
        ),
        McpServer(name="old", transport="sse", url="https://s.example/sse"),
    )
    skill = tmp_path / "review"
    skill.mkdir()
    (skill / "SKILL.md").write_text("---\nname: review\n---\n")
    launch = _agent().launch(_run(tmp_path, mcp_servers=servers, skills=(skill,)), "Fix it.", {})
    assert _settings(launch)["mcpServers"] == {
        "local": {"command": "serve", "args": ["--x"]},
        "far": {"httpUrl": "https://m.example/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}},
        "old": {"url": "https://s.example/sse"},
    }
    assert launch.uploads == ((skill, f"{FOLDER}/skills/review"),)


def test_sessions_are_written_below_the_log_folder_and_settings_are_not(tmp_path: Path) -> None:
    launch = _agent(sandbox=True).launch(_run(tmp_path), "Fix it.", {})
    assert f"ln -sfn {AGENT_LOGS}/gemini {FOLDER}/tmp" in launch.prepare
    assert all(not file.path.startswith(AGENT_LOGS) for file in launch.files)
    assert launch.env["GEMINI_CLI_HOME"] == FOLDER.removesuffix("/.gemini")
    assert "--sandbox" in launch.argv


def test_the_package_is_pinned_to_the_tested_version_or_the_jobs() -> None:
    assert _agent().install().method == Npm(("@google/gemini-cli@0.61.0",))
    assert _agent(version="0.60.1").install().method == Npm(("@google/gemini-cli@0.60.1",))
