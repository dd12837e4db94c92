"""Cursor's CLI as an agent of a job: what is installed, how it is started, what it may reach."""

import json
import os
from collections.abc import Mapping
from typing import Any, Final

from runs.agents.arguments import AgentArgumentInvalid, Argument
from runs.agents.base import AgentRun
from runs.agents.cursor_cli.converter import AGENT, STDOUT, CursorCliConverter
from runs.agents.install import PLAIN, Install, Script, cli_path
from runs.agents.installed import ConfigFile, InstalledAgent, Launch
from runs.errors import InputInvalid
from runs.formats.task import McpServer
from runs.formats.template import resolve_all

HOME: Final = "~/.cursor"
KEY: Final = "CURSOR_API_KEY"
# Where the skills of a job are laid; the user's own folder is a link there.
SKILLS: Final = "/opt/pier-skills"
# The vendor's script installs the version that is current when it runs.
CURRENT: Final = "latest"
HOSTS: Final = ("cursor.com", "*.cursor.sh")
_SCRIPT: Final = """set -eu
curl -fsS https://cursor.com/install -o "$TMPDIR/cursor-install.sh"
bash "$TMPDIR/cursor-install.sh" </dev/null
"""
_CHECK: Final = """installed=$("$HOME/.local/bin/cursor-agent" --version)
case "$installed" in
  *{version}*) ;;
  *) echo "cursor-agent {version} is wanted, its script installs $installed" >&2; exit 1 ;;
esac
"""
ARGUMENTS: Final = (
    Argument(
        "mode",
        "choice",
        "`plan` and `ask` change nothing; without either it works on the task.",
        choices=("plan", "ask"),
        flag="--mode",
    ),
)


class CursorCli(InstalledAgent):
    """`cursor-agent`, which only its vendor's script installs and only its vendor's service answers."""

    name = AGENT
    title = "Cursor CLI"
    tested_version = CURRENT
    stdout_log = STDOUT
    converter_type = CursorCliConverter
    variables = (KEY,)
    arguments = ARGUMENTS

    def __init__(self, *, model_name: str | None, kwargs: Mapping[str, Any]) -> None:
        super().__init__(model_name=model_name, kwargs=kwargs)
        if not PLAIN.fullmatch(self.version):
            raise AgentArgumentInvalid(self.name, "version", f"{self.version[:80]!r} is no version")

    def install(self) -> Install:
        """The vendor's script; a version that the job names is not chosen but checked."""
        check = "" if self.version == CURRENT else _CHECK.format(version=self.version)
        return Install(
            agent=self.name,
            version=self.version,
            method=Script(_SCRIPT + check),
            clis=("cursor-agent",),
            programs=("bash", "curl", "git", "ps"),
        )

    def hosts(self, env: Mapping[str, str]) -> list[str]:
        """Cursor's own."""
        return list(HOSTS)

    def launch(self, run: AgentRun, instruction: str, env: Mapping[str, str]) -> Launch:
        """Start it on the instruction. Raises InputInvalid without a key, VariableMissing."""
        if not env.get(KEY):
            raise InputInvalid(f"agent {self.name!r} needs the variable {KEY}, of the job's agent or of the runner")
        argv = [cli_path("cursor-agent"), "--print", "--output-format=stream-json"]
        files: list[ConfigFile] = []
        if run.is_closed:
            # `--force` would allow what the permissions deny, so that only the folder is trusted.
            argv.append("--trust")
            files.append(ConfigFile(f"{HOME}/cli-config.json", _permissions()))
        else:
            argv.append("--force")
        argv += self.flags()
        model = (self.model_name or "").rpartition("/")[2]
        if model:
            argv += ["--model", model]
        if run.mcp_servers:
            argv.append("--approve-mcps")
            files.append(ConfigFile(f"{HOME}/mcp.json", _mcp_config(run.mcp_servers, env), is_secret=True))
        link = f'mkdir -p "$HOME/.cursor" && ln -sfn {SKILLS} "$HOME/.cursor/skills"'
        return Launch(
            argv=(*argv, "--", instruction),
            files=tuple(files),
            prepare=link if run.skills else "",
            uploads=tuple((skill, f"{SKILLS}/{skill.name}") for skill in run.skills),
        )


def _permissions() -> str:
    """All of the sandbox is allowed, nothing of the web."""
    allowed = ["Shell(*)", "Read(**)", "Write(**)", "Mcp(*:*)"]
    config = {
        "version": 1,
        "editor": {"vimMode": False},
        "permissions": {"allow": allowed, "deny": ["WebFetch(*)"]},
    }
    return json.dumps(config, indent=2) + "\n"


def _mcp_config(servers: tuple[McpServer, ...], env: Mapping[str, str]) -> str:
    entries: dict[str, dict[str, Any]] = {}
    for server in servers:
        if server.transport == "stdio":
            entries[server.name] = {"command": server.command, "args": list(server.args)}
        else:
            headers = resolve_all(server.headers, {**os.environ, **env})
            entries[server.name] = {"url": server.url, **({"headers": headers} if headers else {})}
    return json.dumps({"mcpServers": entries}, ensure_ascii=False, indent=2) + "\n"
