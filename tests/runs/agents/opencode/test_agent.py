"""How OpenCode is declared: its install, hosts, config and argv, with hostile and wrong values."""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from runs.agents.arguments import AgentArgumentInvalid
from runs.agents.base import AgentRun
from runs.agents.install import Npm, Script, cli_path
from runs.agents.installed import Launch
from runs.agents.opencode import agent as module
from runs.agents.opencode.agent import OpenCode
from runs.formats.task import McpServer
from runs.sandboxes.base import AGENT_LOGS, Sandbox

MODEL = "anthropic/claude-opus-4-7"
HOSTILE = "--help\n\"quoted\" 'single' `id` $(id) ; rm -rf / é \\ %s {{x}}"
GATEWAY = {"baseURL": "https://gateway.example.com:8443/v1"}


@pytest.fixture(autouse=True)
def _runner_without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*OpenCode.variables, "LITELLM_MODEL_REGISTRY_PATH"):
        monkeypatch.delenv(name, raising=False)


def opencode(model: str | None = MODEL, **kwargs: Any) -> OpenCode:
    return OpenCode(model_name=model, kwargs=kwargs)


def a_run(**changes: Any) -> AgentRun:
    """A run whose sandbox is not reached: launching only says what would be done."""
    given: dict[str, Any] = {"env": {}, "user": None, "solution": Path("/nowhere"), **changes}
    return AgentRun("fix it", cast("Sandbox", None), Path("/nowhere"), **given)


def launched(agent: OpenCode, instruction: str = "fix it", **changes: Any) -> Launch:
    run = a_run(**changes)
    return agent.launch(run, instruction, agent.environment(run.env))


def config_of(launch: Launch) -> dict[str, Any]:
    (file,) = launch.files
    assert file.path == "~/.config/opencode/opencode.json"
    assert file.is_secret
    return cast("dict[str, Any]", json.loads(file.text))


def test_the_instruction_is_read_as_input_exactly() -> None:
    launch = launched(opencode(), HOSTILE)
    assert launch.stdin == HOSTILE.encode()
    assert launch.argv == (
        cli_path("opencode"),
        f"--model={MODEL}",
        "run",
        "--format=json",
        "--thinking",
        "--title=trial",
        "--dangerously-skip-permissions",
    )


def test_hostile_values_stay_one_argument_each() -> None:
    launch = launched(opencode(f"anthropic/{HOSTILE}", variant=HOSTILE))
    assert shlex.split(shlex.join(launch.argv)) == list(launch.argv)
    assert launch.argv[1] == f"--model=anthropic/{HOSTILE}"
    assert launch.argv[-1] == f"--variant={HOSTILE}"


def test_no_secret_is_in_the_argv_nor_in_what_is_run_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-runner")
    agent = opencode(opencode_config={"provider": {"anthropic": {"options": {"apiKey": "sk-literal"}}}})
    launch = launched(agent, env={"OTHER": "sk-job"})
    assert "sk-" not in " ".join([*launch.argv, launch.prepare, *launch.env.values()])
    assert config_of(launch)["provider"]["anthropic"]["options"]["apiKey"] == "sk-literal"


@pytest.mark.parametrize("model", [None, "", "claude-opus-4-7", "anthropic/", "/claude"])
def test_a_model_has_to_name_its_provider(model: str | None) -> None:
    agent = opencode(model)
    with pytest.raises(AgentArgumentInvalid, match="provider/model"):
        agent.hosts({})
    with pytest.raises(AgentArgumentInvalid, match="provider/model"):
        launched(agent)


def test_unknown_and_wrong_arguments_are_refused() -> None:
    with pytest.raises(AgentArgumentInvalid, match="did you mean 'variant'"):
        opencode(varient="high")
    with pytest.raises(AgentArgumentInvalid, match="opencode_config"):
        opencode(opencode_config="not a table")
    with pytest.raises(AgentArgumentInvalid, match="is no version"):
        opencode(version="1.0; id").install()


def test_the_jobs_config_goes_over_what_is_made() -> None:
    own = {"autoupdate": "notify", "provider": {"openai": {"models": {"gpt-5.5": {"limit": {"context": 9}}}}}}
    env = {"OPENAI_BASE_URL": "https://gateway.example.com/v1", "OPENAI_API_KEY": "k"}
    config = config_of(launched(opencode("openai/gpt-5.5", opencode_config=own), env=env))
    assert config == {
        "autoupdate": "notify",
        "share": "disabled",
        "provider": {
            "openai": {
                "models": {"gpt-5.5": {"limit": {"context": 9}}},
                "options": {"baseURL": "https://gateway.example.com/v1"},
            }
        },
    }


def test_in_a_closed_sandbox_the_web_tools_are_off_unless_the_job_says_otherwise() -> None:
    assert "permission" not in config_of(launched(opencode()))
    closed = config_of(launched(opencode(), is_closed=True))
    assert closed["permission"] == {"webfetch": "deny", "websearch": "deny"}
    chosen = opencode(opencode_config={"permission": {"webfetch": "allow"}})
    assert config_of(launched(chosen, is_closed=True))["permission"] == {"webfetch": "allow", "websearch": "deny"}


def test_mcp_servers_are_written_with_references_to_their_secrets() -> None:
    servers = (
        McpServer(name="files", transport="stdio", command="files-mcp", args=["--root", "/app"]),
        McpServer(
            name="docs",
            transport="streamable-http",
            url="https://docs.example.com",
            headers={"Authorization": "Bearer ${DOCS_KEY}"},
        ),
    )
    assert config_of(launched(opencode(), mcp_servers=servers))["mcp"] == {
        "files": {"type": "local", "command": ["files-mcp", "--root", "/app"], "enabled": True},
        "docs": {
            "type": "remote",
            "url": "https://docs.example.com",
            "enabled": True,
            "headers": {"Authorization": "Bearer {env:DOCS_KEY}"},
        },
    }


def test_skills_are_uploaded_and_linked(tmp_path: Path) -> None:
    skill = tmp_path / "it's a skill"
    launch = launched(opencode(), skills=(skill,))
    assert launch.uploads == ((skill, "/opt/pier/skills/it's a skill"),)
    assert shlex.quote(skill.name) in launch.prepare


def test_opencode_is_kept_quiet_where_the_job_does_not_say_otherwise() -> None:
    assert launched(opencode()).env["OPENCODE_DISABLE_AUTOUPDATE"] == "1"
    assert "OPENCODE_DISABLE_SHARE" not in launched(opencode(), env={"OPENCODE_DISABLE_SHARE": "0"}).env


@pytest.mark.parametrize(
    ("model", "config", "env", "hosts"),
    [
        (MODEL, {}, {}, ["api.anthropic.com"]),
        ("google/gemini-3.1-pro-preview", {}, {}, ["generativelanguage.googleapis.com"]),
        (
            "google/gemini-3.1-pro-preview",
            {"provider": {"google": {"options": {"baseURL": "https://endpoint.respan.ai/api/google/v1beta"}}}},
            {},
            ["endpoint.respan.ai"],
        ),
        (
            "respan/gpt-5.5",
            {"provider": {"respan": {"npm": "@ai-sdk/openai-compatible", "options": GATEWAY}}},
            {},
            ["gateway.example.com:8443"],
        ),
        ("openai/gpt-5.5", {}, {"OPENAI_BASE_URL": "http://gateway:8080/v1"}, ["gateway:8080"]),
        ("openai/gpt-5.5", {"small_model": "groq/tiny"}, {}, ["api.openai.com", "api.groq.com"]),
        (
            "openai/gpt-5.5",
            {"agent": {"build": {"model": MODEL}}},
            {},
            ["api.openai.com", "api.anthropic.com"],
        ),
        (MODEL, {"mcp": {"docs": {"url": "https://docs.example.com"}}}, {}, ["api.anthropic.com", "docs.example.com"]),
        (MODEL, {"provider": {"other": {"options": GATEWAY}}}, {}, ["api.anthropic.com"]),
        ("amazon-bedrock/claude", {}, {"AWS_REGION": "eu-west-1"}, ["bedrock-runtime.eu-west-1.amazonaws.com"]),
        ("azure/gpt", {}, {"AZURE_RESOURCE_NAME": "mine"}, ["mine.openai.azure.com"]),
        ("azure/gpt", {}, {}, []),
        ("nobody-knows/it", {}, {}, []),
    ],
)
def test_hosts_come_from_the_config_the_environment_or_the_provider(
    model: str, config: dict[str, Any], env: dict[str, str], hosts: list[str]
) -> None:
    assert opencode(model, opencode_config=config).hosts(env) == hosts


def test_only_the_keys_of_providers_in_use_leave_the_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GROQ_API_KEY"):
        monkeypatch.setenv(name, f"runner's {name}")
    agent = opencode(opencode_config={"small_model": "groq/tiny"})
    assert agent.environment({"X": "1"}) == {
        "ANTHROPIC_API_KEY": "runner's ANTHROPIC_API_KEY",
        "GROQ_API_KEY": "runner's GROQ_API_KEY",
        "X": "1",
    }
    # The runner's key is not for the gateway that the job names.
    gateway = {"ANTHROPIC_BASE_URL": "https://gateway.example.com"}
    assert "ANTHROPIC_API_KEY" not in agent.environment(gateway)


def test_it_is_installed_with_the_provider_packages_that_are_not_built_in() -> None:
    config = {
        "provider": {
            "a": {"npm": "@ai-sdk/openai-compatible"},
            "b": {"npm": "@acme/ai-sdk@1.2.3", "models": {"m": {"provider": {"npm": "plain-provider@0.1.0"}}}},
            "c": {"npm": "file:///opt/mine/index.js"},
            "d": {"npm": "@acme/unpinned"},
        }
    }
    agent = opencode("b/m", opencode_config=config)
    method = agent.install().method
    assert isinstance(method, Npm)
    assert method.packages == ("opencode-ai@1.18.33", "@acme/ai-sdk@1.2.3", "plain-provider@0.1.0")
    assert method.runs_scripts
    prepare = launched(agent).prepare
    assert "/opencode/packages/@acme/ai-sdk@1.2.3/node_modules/@acme/ai-sdk" in prepare
    with pytest.raises(AgentArgumentInvalid, match=r"'@acme/unpinned' cannot be fetched .* @acme/unpinned@1\.2\.3"):
        launched(agent, is_closed=True)


def test_the_vendors_script_is_an_alternative() -> None:
    method = opencode(install_method="script", version="1.17.0").install().method
    assert isinstance(method, Script)
    assert "--version 1.17.0" in method.text
    config = {"provider": {"a": {"npm": "plain-provider@0.1.0"}}}
    with pytest.raises(AgentArgumentInvalid, match="plain-provider"):
        opencode(install_method="script", opencode_config=config).install()


FAKE_CLI = """#!/bin/sh
case $1 in
db) echo id; echo ses_1; echo ses_2; echo ../ses_3; echo ses_4 ; case $* in *"= 1795000000000"*) ;; *) exit 1 ;; esac ;;
export) [ "$2" = ses_2 ] && exit 1; echo "{\\"id\\": \\"$2\\"}" ;;
esac
"""


def test_after_a_run_its_sessions_are_exported_and_nothing_else(tmp_path: Path) -> None:
    logs, home, cli = tmp_path / "logs", tmp_path / "home", tmp_path / "opencode"
    (logs / "sessions").mkdir(parents=True)
    (logs / "sessions" / "forged.json").write_text("{}")
    home.mkdir()
    (home / ".opencode-started").write_text("1795000000\n")
    cli.write_text(FAKE_CLI)
    cli.chmod(0o755)
    script = module.EXPORT.replace(cli_path("opencode"), str(cli)).replace(AGENT_LOGS, str(logs))
    done = subprocess.run(["sh", "-c", script], env={"HOME": str(home), "PATH": "/usr/bin:/bin"}, check=False)
    assert done.returncode == 0
    assert sorted(path.name for path in (logs / "sessions").iterdir()) == ["ses_1.json", "ses_4.json"]


def test_what_is_prepared_runs_in_a_plain_shell(tmp_path: Path) -> None:
    config = {"provider": {"b": {"npm": "@acme/ai-sdk@1.2.3"}}}
    launch = launched(opencode("b/m", opencode_config=config), skills=(Path("/nowhere/my skill"),))
    subprocess.run(["sh", "-ec", launch.prepare], env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, check=True)
    package = tmp_path / ".cache/opencode/packages/@acme/ai-sdk@1.2.3/node_modules/@acme/ai-sdk"
    assert package.readlink() == Path("/opt/pier/npm/lib/node_modules/@acme/ai-sdk")
    assert (tmp_path / ".config/opencode/skills/my skill").readlink() == Path("/opt/pier/skills/my skill")
    assert int((tmp_path / ".opencode-started").read_text()) > 1_700_000_000
