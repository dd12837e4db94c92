"""What Cursor CLI is installed and started with, and what it may reach."""

import json
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from runs.agents.arguments import AgentArgumentInvalid
from runs.agents.base import AgentRun
from runs.agents.cursor_cli.agent import CursorCli
from runs.agents.install import Script
from runs.agents.installed import Launch
from runs.errors import InputInvalid
from runs.formats.task import McpServer
from runs.sandboxes.base import Sandbox

ENV = {"CURSOR_API_KEY": "key_0123456789"}
HOSTILE = "--force; fix 'it' $(touch /tmp/x)\n\"é"


@pytest.fixture(autouse=True)
def _runner_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*CursorCli.variables, "LITELLM_MODEL_REGISTRY_PATH"):
        monkeypatch.delenv(name, raising=False)


def _agent(model_name: str | None = "cursor/composer-1", **kwargs: Any) -> CursorCli:
    return CursorCli(model_name=model_name, kwargs=kwargs)


def _launch(agent: CursorCli, env: Mapping[str, str] = ENV, **run: Any) -> Launch:
    known = agent.environment(env)
    given: dict[str, Any] = {"instruction": "fix it", "user": None, "solution": Path("x"), **run}
    return agent.launch(
        AgentRun(sandbox=cast("Sandbox", None), logs=Path("x"), env=known, **given), given["instruction"], known
    )


def test_the_vendors_script_installs_what_is_current() -> None:
    install = _agent().install()
    assert isinstance(install.method, Script)
    assert install.clis == ("cursor-agent",)
    assert "--version" not in install.method.text


def test_a_version_that_is_wanted_is_checked_after_the_install(tmp_path: Path) -> None:
    install = _agent(version="2026.01.28-fd13201").install()
    assert isinstance(install.method, Script)
    check = "set -eu\n" + install.method.text[install.method.text.index("installed=") :]
    cli = tmp_path / ".local/bin/cursor-agent"
    cli.parent.mkdir(parents=True)
    for version, code in (("2026.01.28-fd13201", 0), ("2026.02.02-aaaaaaa", 1)):
        cli.write_text(f"#!/bin/sh\necho {version}\n")
        cli.chmod(0o755)
        ran = subprocess.run(["sh", "-c", check], env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, check=False)
        assert ran.returncode == code


def test_a_version_that_is_none_reaches_no_shell() -> None:
    with pytest.raises(AgentArgumentInvalid, match="version"):
        _agent(version="1; curl x | sh")


def test_the_instruction_is_one_word_after_all_flags() -> None:
    launch = _launch(_agent(mode="plan"), instruction=HOSTILE)
    assert launch.argv == (
        "/opt/pier/bin/cursor-agent",
        "--print",
        "--output-format=stream-json",
        "--force",
        "--mode",
        "plan",
        "--model",
        "composer-1",
        "--",
        HOSTILE,
    )
    assert shlex.split(shlex.join(launch.argv)) == list(launch.argv)


def test_in_a_closed_sandbox_all_is_allowed_but_the_web() -> None:
    launch = _launch(_agent(), is_closed=True)
    assert "--trust" in launch.argv
    assert "--force" not in launch.argv
    (file,) = launch.files
    assert file.path == "~/.cursor/cli-config.json"
    assert json.loads(file.text)["permissions"] == {
        "allow": ["Shell(*)", "Read(**)", "Write(**)", "Mcp(*:*)"],
        "deny": ["WebFetch(*)"],
    }


def test_without_a_key_it_does_not_start() -> None:
    with pytest.raises(InputInvalid, match="CURSOR_API_KEY"):
        _launch(_agent(), {})


def test_the_key_is_in_the_environment_alone() -> None:
    launch = _launch(_agent(), is_closed=True)
    assert ENV["CURSOR_API_KEY"] not in repr(launch)
    assert _agent().environment(ENV) == ENV


def test_it_reaches_cursors_own_hosts() -> None:
    assert _agent().hosts({}) == ["cursor.com", "*.cursor.sh"]


@pytest.mark.parametrize(
    ("kwargs", "words"), [({"mode": "agent"}, "none of plan, ask"), ({"modes": "plan"}, "did you mean 'mode'")]
)
def test_what_it_does_not_take_is_refused_before_anything_starts(kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(AgentArgumentInvalid, match=words):
        _agent(**kwargs)


def test_mcp_servers_are_told_with_the_headers_that_variables_give() -> None:
    servers = (
        McpServer(name="calc", transport="stdio", command="python3", args=["-m", "calc"]),
        McpServer(name="docs", transport="sse", url="http://docs:8000/sse", headers={"Authorization": "${T}"}),
    )
    launch = _launch(_agent(), {**ENV, "T": "token"}, mcp_servers=servers)
    (file,) = launch.files
    assert (file.path, file.is_secret) == ("~/.cursor/mcp.json", True)
    assert json.loads(file.text)["mcpServers"] == {
        "calc": {"command": "python3", "args": ["-m", "calc"]},
        "docs": {"url": "http://docs:8000/sse", "headers": {"Authorization": "token"}},
    }
    assert "--approve-mcps" in launch.argv


def test_skills_are_linked_where_it_looks_for_them(tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.mkdir()
    (one / "SKILL.md").write_text("---\nname: one\n---\n")
    launch = _launch(_agent(), skills=(one,))
    assert launch.uploads == ((one, "/opt/pier-skills/one"),)
    subprocess.run(["sh", "-c", launch.prepare], env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, check=True)
    assert (tmp_path / ".cursor/skills").readlink() == Path("/opt/pier-skills")
