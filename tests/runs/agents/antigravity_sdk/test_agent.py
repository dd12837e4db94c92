"""The Antigravity SDK's declaration: what is installed, how it is started, what it may reach."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from runs.agents.antigravity_sdk.agent import OPTIONS_FILE, SKILLS, AntigravitySdk
from runs.agents.arguments import AgentArgumentInvalid
from runs.agents.base import AgentRun
from runs.agents.install import Uv
from runs.agents.installed import Launch
from runs.errors import InputInvalid
from runs.formats.task import McpServer
from runs.sandboxes.base import AGENT_LOGS, Sandbox


@pytest.fixture(autouse=True)
def _no_variables_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in AntigravitySdk.variables:
        monkeypatch.delenv(name, raising=False)


def _agent(model_name: str | None = "google/gemini-3.1-pro-preview", **kwargs: Any) -> AntigravitySdk:
    return AntigravitySdk(model_name=model_name, kwargs=kwargs)


def _run(tmp_path: Path, **changes: Any) -> AgentRun:
    sandbox = cast("Sandbox", None)
    run = {"instruction": "", "sandbox": sandbox, "logs": tmp_path, "env": {}, "user": None, "solution": tmp_path}
    return AgentRun(**{**run, **changes})


def _options(launch: Launch) -> dict[str, Any]:
    (file,) = launch.files
    assert (file.path, file.is_secret) == (OPTIONS_FILE, True)
    return cast("dict[str, Any]", json.loads(file.text))


def test_the_options_go_in_a_file_and_the_instruction_by_stdin(tmp_path: Path) -> None:
    launch = _agent(reasoning_effort="high").launch(_run(tmp_path), '"; $(id)', {"GEMINI_API_KEY": "secret"})
    options = _options(launch)
    assert (options["model"], options["reasoning_effort"]) == ("gemini-3.1-pro-preview", "high")
    assert options["events"] == f"{AGENT_LOGS}/antigravity-sdk-events.jsonl"
    assert options["disabled_tools"] == ["ask_question"]
    assert launch.stdin == b'"; $(id)'
    assert "secret" not in " ".join(launch.argv) + json.dumps(options)


def test_searching_the_web_is_off_in_a_closed_network(tmp_path: Path) -> None:
    options = _options(_agent().launch(_run(tmp_path, is_closed=True), "Fix it.", {}))
    assert options["disabled_tools"] == ["ask_question", "search_web", "read_url_content"]


@pytest.mark.parametrize(
    ("env", "hosts"),
    [
        ({}, ["generativelanguage.googleapis.com"]),
        ({"GOOGLE_GEMINI_BASE_URL": "http://gateway.internal:8080/g"}, ["gateway.internal:8080"]),
    ],
)
def test_the_host_is_the_base_urls_or_googles(env: dict[str, str], hosts: list[str]) -> None:
    assert _agent().hosts(env) == hosts


def test_the_runners_key_does_not_go_to_a_jobs_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "runner")
    assert _agent().environment({}) == {"GEMINI_API_KEY": "runner"}
    gateway = {"GOOGLE_GEMINI_BASE_URL": "https://g.example"}
    assert _agent().environment(gateway) == gateway


@pytest.mark.parametrize("model", [None, "gemini-3.1-pro-preview", "openai/gpt-5.5"])
def test_a_model_of_another_provider_is_refused(tmp_path: Path, model: str | None) -> None:
    with pytest.raises(InputInvalid, match="google/gemini"):
        _agent(model).launch(_run(tmp_path), "Fix it.", {})


def test_another_version_and_unknown_arguments_are_refused() -> None:
    with pytest.raises(AgentArgumentInvalid, match=r"only 0\.1\.9"):
        _agent(version="0.2.0")
    with pytest.raises(AgentArgumentInvalid, match="did you mean 'skill_paths'"):
        _agent(skills_paths="/x")


def test_mcp_servers_and_skills(tmp_path: Path) -> None:
    servers = (
        McpServer(name="local", transport="stdio", command="serve", args=["--x"]),
        McpServer(
            name="far", transport="streamable-http", url="https://m.example", headers={"Authorization": "${TOKEN}"}
        ),
    )
    skill = tmp_path / "review"
    skill.mkdir()
    (skill / "SKILL.md").write_text("---\nname: review\n---\n")
    run = _run(tmp_path, mcp_servers=servers, skills=(skill,))
    launch = _agent(skill_paths=["/more"]).launch(run, "Fix it.", {})
    options = _options(launch)
    assert [server["name"] for server in options["mcp_servers"]] == ["local", "far"]
    assert options["mcp_servers"][1]["headers"] == {"Authorization": "${TOKEN}"}
    assert options["skills_paths"] == [SKILLS, "/more"]
    assert launch.uploads == ((skill, f"{SKILLS}/review"),)
    without = _agent(load_skills=False).launch(run, "Fix it.", {})
    assert (without.uploads, _options(without)["skills_paths"]) == ((), [])


def test_a_tool_server_over_sse_is_refused(tmp_path: Path) -> None:
    server = McpServer(name="old", transport="sse", url="https://s.example/sse")
    with pytest.raises(InputInvalid, match="sse"):
        _agent().launch(_run(tmp_path, mcp_servers=(server,)), "Fix it.", {})


def test_everything_that_is_installed_is_fixed_by_its_digest() -> None:
    install = _agent().install()
    assert isinstance(install.method, Uv)
    lines = (install.method.requirements or "").splitlines()
    names = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert any(line.startswith("google-antigravity==0.1.9") for line in names)
    assert all(line.rstrip().endswith("\\") for line in names)
    assert install.files["antigravity-sdk/run.py"].startswith('"""Runs in the sandbox')
