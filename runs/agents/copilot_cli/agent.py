"""GitHub's Copilot CLI as an agent of a job: what is installed, how it is started, what it may reach."""

import json
import os
from collections.abc import Mapping
from typing import Any, Final

from runs.agents.arguments import AgentArgumentInvalid, Argument
from runs.agents.base import AgentRun
from runs.agents.copilot_cli.converter import AGENT, SESSIONS, STDOUT, CopilotCliConverter
from runs.agents.hosts import host_entry
from runs.agents.install import PLAIN, PREFIX, Install, Method, Npm, Script, cli_path
from runs.agents.installed import ConfigFile, InstalledAgent, Launch
from runs.formats.task import McpServer
from runs.formats.template import resolve_all
from runs.sandboxes.base import AGENT_LOGS

# The CLI's state. It stays outside the log folder, which is kept; only the sessions lead there.
HOME: Final = "/tmp/copilot-cli"  # noqa: S108 - in the sandbox; what is secret is of mode 600 and gone after the run
LOGS: Final = f"{AGENT_LOGS}/copilot/{SESSIONS}"
MCP_FILE: Final = f"{HOME}/pier-mcp.json"
# The CLI unpacks itself at its first start (190 MB): once for all trials, where it is installed.
UNPACKED: Final = f"{PREFIX}/copilot-cli"

TOKENS: Final = ("COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN")
PROVIDER_SECRETS: Final = (
    "COPILOT_PROVIDER_API_KEY",
    "COPILOT_PROVIDER_BEARER_TOKEN",
    "COPILOT_PROVIDER_API_KEY_COMMAND",
    "COPILOT_PROVIDER_HEADERS",
)
PROVIDER_SETTINGS: Final = (
    "COPILOT_PROVIDER_BASE_URL",
    "COPILOT_PROVIDER_TYPE",
    "COPILOT_PROVIDER_WIRE_API",
    "COPILOT_PROVIDER_TRANSPORT",
    "COPILOT_PROVIDER_AZURE_API_VERSION",
    "COPILOT_PROVIDER_MODEL_ID",
    "COPILOT_PROVIDER_WIRE_MODEL",
    "COPILOT_PROVIDER_MAX_PROMPT_TOKENS",
    "COPILOT_PROVIDER_MAX_OUTPUT_TOKENS",
)
HOST_NAMES: Final = ("COPILOT_GH_HOST", "GH_HOST")
# The CLI blots the values of these out of what tools give; a key as short as a word would spoil other text with it.
MIN_BLOTTED_CHARS: Final = 16
WEB_TOOLS: Final = ("web_fetch", "web_search")
PUBLIC_HOST: Final = "github.com"
_VENDOR_SCRIPT: Final = """set -eu
curl -fsSL https://gh.io/copilot-install -o "$TMPDIR/copilot-install.sh"
VERSION={version} PREFIX="$HOME/.local" bash "$TMPDIR/copilot-install.sh" </dev/null
"""

ARGUMENTS: Final = (
    Argument(
        "reasoning_effort",
        "choice",
        "How long the model reasons before it answers; which values it takes is the model's.",
        choices=("none", "minimal", "low", "medium", "high", "xhigh", "max"),
        flag="--effort",
    ),
    Argument(
        "mode",
        "choice",
        "The mode to begin in: `plan` changes nothing, `autopilot` goes on until the agent says that it is done.",
        choices=("interactive", "plan", "autopilot"),
        flag="--mode",
    ),
    Argument(
        "context_tier",
        "choice",
        "The size of the model's context, where GitHub prices two.",
        choices=("default", "long_context"),
        flag="--context",
    ),
    Argument(
        "max_autopilot_continues",
        "integer",
        "How often `autopilot` tells the agent to go on.",
        flag="--max-autopilot-continues",
        least=0,
    ),
    Argument("max_ai_credits", "number", "Stop at this many of GitHub's AI credits.", flag="--max-ai-credits", least=0),
    Argument("agent", "text", "A custom agent of the repository or of the user to work as.", flag="--agent"),
    Argument("available_tools", "texts", "The only tools that the model is offered.", flag="--available-tools"),
    Argument("excluded_tools", "texts", "Tools that the model is not offered."),
    Argument(
        "command_model_name",
        "text",
        "The model as the provider calls it, where that differs from the job's model_name without its prefix.",
    ),
    Argument("extra_args", "words", "Further arguments for the command line, after all others."),
    Argument(
        "install_method",
        "choice",
        "From the npm registry, or by the vendor's own script (gh.io, then GitHub).",
        default="package",
        choices=("package", "script"),
    ),
)


class CopilotCli(InstalledAgent):
    """The CLI with GitHub's models (a token), or with a provider of one's own (COPILOT_PROVIDER_BASE_URL)."""

    name = AGENT
    title = "GitHub Copilot CLI"
    tested_version = "1.0.102"
    stdout_log = STDOUT
    converter_type = CopilotCliConverter
    variables = (*TOKENS, *PROVIDER_SECRETS, *PROVIDER_SETTINGS, *HOST_NAMES, "COPILOT_MODEL")
    arguments = ARGUMENTS

    def __init__(self, *, model_name: str | None, kwargs: Mapping[str, Any]) -> None:
        super().__init__(model_name=model_name, kwargs=kwargs)
        if not PLAIN.fullmatch(self.version):
            raise AgentArgumentInvalid(self.name, "version", f"{self.version[:80]!r} is no version")

    def install(self) -> Install:
        """The CLI, unpacked; it brings its own ripgrep along."""
        method: Method = Npm((f"@github/copilot@{self.version}",))
        programs: tuple[str, ...] = ("bash", "git", "ps")
        if self.values["install_method"] == "script":
            method = Script(_VENDOR_SCRIPT.format(version=f"v{self.version}"))
            programs = (*programs, "curl")
        unpack = f"COPILOT_PKG_CACHE_HOME={UNPACKED} COPILOT_AUTO_UPDATE=false COPILOT_OFFLINE=true"
        return Install(
            agent=self.name,
            version=self.version,
            method=method,
            clis=("copilot",),
            programs=programs,
            commands=(f"{unpack} {cli_path('copilot')} --version", f"chmod -R a+rX {UNPACKED}"),
        )

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """The runner's variables and the job's on top.

        With a provider of one's own the runner's GitHub tokens stay out; a job with a credential, or with the address
        of a provider, gets none of the runner's that would go before it, or there.
        """
        found = super().environment(env)
        withheld: set[str] = set()
        for credentials in (TOKENS, PROVIDER_SECRETS[:3]):
            if any(env.get(name) for name in credentials):
                withheld.update(credentials)
        if env.get("COPILOT_PROVIDER_BASE_URL"):
            withheld.update(PROVIDER_SECRETS)
        if found.get("COPILOT_PROVIDER_BASE_URL"):
            withheld.update(TOKENS)
        elif any(env.get(name) for name in TOKENS):
            withheld.update((*PROVIDER_SECRETS, *PROVIDER_SETTINGS))
        return {name: value for name, value in found.items() if name in env or name not in withheld}

    def hosts(self, env: Mapping[str, str]) -> list[str]:
        """The provider's host alone; without one those that GitHub documents for the CLI."""
        known = self.environment(env)
        provider = host_entry(known.get("COPILOT_PROVIDER_BASE_URL"))
        found = [provider] if provider else _github_hosts(known)
        telemetry = host_entry(known.get("OTEL_EXPORTER_OTLP_ENDPOINT"))
        return list(dict.fromkeys([*found, *([telemetry] if telemetry else [])]))

    def launch(self, run: AgentRun, instruction: str, env: Mapping[str, str]) -> Launch:
        """Start it on the instruction, which it reads as its input; events go to stdout and into the session's log."""
        variables = {
            "COPILOT_HOME": HOME,
            "COPILOT_PKG_CACHE_HOME": UNPACKED,
            "COPILOT_AUTO_UPDATE": "false",
        }
        if env.get("COPILOT_PROVIDER_BASE_URL") and "COPILOT_OFFLINE" not in env:
            variables["COPILOT_OFFLINE"] = "true"
        argv = [cli_path("copilot"), *self._argv(env, is_closed=run.is_closed)]
        files = []
        if run.mcp_servers:
            files.append(ConfigFile(MCP_FILE, _mcp_config(run.mcp_servers, env), is_secret=True))
            argv += ["--additional-mcp-config", f"@{MCP_FILE}"]
        return Launch(
            argv=(*argv, *(self.values["extra_args"] or ())),
            env=variables,
            files=tuple(files),
            prepare=f"mkdir -p {LOGS} {HOME}/skills && ln -sfn {LOGS} {HOME}/{SESSIONS}",
            uploads=tuple((skill, f"{HOME}/skills/{skill.name}") for skill in run.skills),
            stdin=instruction.encode(),
        )

    def _argv(self, env: Mapping[str, str], *, is_closed: bool) -> list[str]:
        argv = ["--yolo", "--output-format=json", "--no-color", "--no-ask-user", "--disable-client-telemetry"]
        model = self.values["command_model_name"] or (self.model_name or "").rpartition("/")[2]
        if model:
            argv += ["--model", model]
        argv += self.flags()
        excluded = [*(self.values["excluded_tools"] or ())]
        if is_closed:
            # The MCP server that is built in has a web search of GitHub's.
            argv.append("--disable-builtin-mcps")
            excluded += [tool for tool in WEB_TOOLS if tool not in excluded]
        if excluded:
            argv += ["--excluded-tools", ",".join(excluded)]
        secrets = [name for name in (*TOKENS, *PROVIDER_SECRETS) if len(env.get(name, "")) >= MIN_BLOTTED_CHARS]
        if secrets:
            argv += ["--secret-env-vars", ",".join(secrets)]
        return argv


def _github_hosts(env: Mapping[str, str]) -> list[str]:
    given = next((env[name] for name in HOST_NAMES if env.get(name)), PUBLIC_HOST)
    host = host_entry(given)
    if host is None or host == PUBLIC_HOST:
        return ["api.github.com", "*.githubcopilot.com", "copilot-proxy.githubusercontent.com"]
    return [host, f"*.{host}"]


def _mcp_config(servers: tuple[McpServer, ...], env: Mapping[str, str]) -> str:
    """As `--additional-mcp-config` takes it. Raises VariableMissing."""
    entries: dict[str, dict[str, Any]] = {}
    for server in servers:
        if server.transport == "stdio":
            entry: dict[str, Any] = {"type": "local", "command": server.command, "args": list(server.args)}
        else:
            kind = "http" if server.transport == "streamable-http" else "sse"
            headers = resolve_all(server.headers, {**os.environ, **env})
            entry = {"type": kind, "url": server.url, **({"headers": headers} if headers else {})}
        entries[server.name] = {**entry, "tools": ["*"]}
    return json.dumps({"mcpServers": entries}, ensure_ascii=False, indent=2) + "\n"
