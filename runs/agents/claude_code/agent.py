"""Claude Code as an agent of a job: what is installed, how it is started, what it may reach."""

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any, Final

from runs.agents.arguments import Argument
from runs.agents.base import AgentRun
from runs.agents.claude_code.converter import AGENT, STDOUT_LOG, ClaudeCodeConverter
from runs.agents.hosts import host_entry
from runs.agents.install import PLAIN, Install, Npm, Script, cli_path
from runs.agents.installed import ConfigFile, InstalledAgent, Launch
from runs.errors import InputInvalid
from runs.formats.task import McpServer
from runs.sandboxes.base import AGENT_LOGS

CONFIG_FOLDER: Final = f"{AGENT_LOGS}/sessions"
# Outside the log folder, which is kept: headers of MCP servers are credentials.
MCP_FILE: Final = "/tmp/claude-code-mcp.json"  # noqa: S108 - in the sandbox, of mode 600 and gone after the run
CREDENTIALS: Final = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
AWS: Final = (
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "ANTHROPIC_BEDROCK_BASE_URL",
    "ANTHROPIC_SMALL_FAST_MODEL_AWS_REGION",
)
# A gateway knows only the model that it was asked for: every alias and every sub-agent has to mean it.
MODEL_ALIASES: Final = (
    "ANTHROPIC_DEFAULT_FABLE_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "CLAUDE_CODE_SUBAGENT_MODEL",
)
DEFAULT_REGION: Final = "us-east-1"
WEB_TOOLS: Final = ("WebSearch", "WebFetch")
QUIET: Final = {
    # Root may bypass permissions only where the CLI is told that it is in a sandbox.
    "IS_SANDBOX": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    # Older versions only: a command that takes long goes on in the background instead of being killed.
    "FORCE_AUTO_BACKGROUND_TASKS": "1",
    "ENABLE_BACKGROUND_TASKS": "1",
}
_NEVER: Final = frozenset({"", "0", "false", "no", "off"})
_REGION: Final = re.compile(r"[a-z0-9-]{1,40}")

ARGUMENTS: Final = (
    Argument(
        "reasoning_effort",
        "choice",
        "How hard the model thinks.",
        choices=("low", "medium", "high", "xhigh", "max"),
        flag="--effort",
        variable="CLAUDE_CODE_EFFORT_LEVEL",
    ),
    Argument(
        "thinking",
        "choice",
        "Whether the model thinks before it answers; enabled means adaptive.",
        choices=("enabled", "adaptive", "disabled"),
        flag="--thinking",
    ),
    Argument(
        "thinking_display",
        "choice",
        "How the API returns what was thought.",
        choices=("summarized", "omitted", "highlights"),
        flag="--thinking-display",
    ),
    Argument(
        "max_thinking_tokens",
        "integer",
        "The most tokens of thinking in a call, for models without adaptive thinking.",
        flag="--max-thinking-tokens",
        variable="MAX_THINKING_TOKENS",
        least=0,
    ),
    Argument(
        "max_turns",
        "integer",
        "End with an error after this many turns of the agent.",
        flag="--max-turns",
        variable="CLAUDE_CODE_MAX_TURNS",
        least=1,
    ),
    Argument(
        "max_budget_usd",
        "number",
        "End with an error once calls cost more than this by the CLI's own prices.",
        flag="--max-budget-usd",
        variable="CLAUDE_CODE_MAX_BUDGET_USD",
        least=0,
    ),
    Argument(
        "fallback_model",
        "texts",
        "Models to go on with, in order, while the main one is busy or missing.",
        flag="--fallback-model",
        variable="CLAUDE_CODE_FALLBACK_MODEL",
    ),
    Argument(
        "append_system_prompt",
        "text",
        "Text after the CLI's own system prompt.",
        flag="--append-system-prompt",
        variable="CLAUDE_CODE_APPEND_SYSTEM_PROMPT",
    ),
    Argument(
        "allowed_tools",
        "texts",
        "Tools that are never asked about; WebSearch and WebFetch named here stay on in a closed network.",
        flag="--allowedTools",
        variable="CLAUDE_CODE_ALLOWED_TOOLS",
    ),
    Argument(
        "disallowed_tools",
        "texts",
        "Tools that the agent does not have. In a closed network WebSearch and WebFetch are added.",
        default=["EnterPlanMode"],
        variable="CLAUDE_CODE_DISALLOWED_TOOLS",
    ),
    Argument(
        "autocompact",
        "text",
        "The context's size in tokens (at least 100000) at which it is summarised, or `auto`.",
        flag="--autocompact",
    ),
    Argument("memory_dir", "text", "A folder in the sandbox whose files become the CLI's memory of the project."),
    Argument(
        "install_method",
        "choice",
        "`package` takes the npm package, `script` the vendor's installer from claude.ai.",
        default="package",
        choices=("package", "script"),
    ),
)


class ClaudeCode(InstalledAgent):
    """Anthropic's CLI, directly, behind a gateway with the Anthropic API (ANTHROPIC_BASE_URL), or on Bedrock."""

    name = AGENT
    title = "Claude Code"
    tested_version = "2.1.329"
    arguments = ARGUMENTS
    variables = (
        *CREDENTIALS,
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_CUSTOM_HEADERS",
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
        "CLAUDE_CODE_USE_BEDROCK",
        *AWS,
    )
    stdout_log = STDOUT_LOG
    converter_type = ClaudeCodeConverter

    def install(self) -> Install:
        """The npm package, which brings its binary along, or the vendor's script. Raises InputInvalid."""
        version = self.version
        if not PLAIN.fullmatch(version):
            raise InputInvalid(f"agent {self.name!r}, argument 'version': {version!r} is no version")
        if self.values["install_method"] == "script":
            script = f"bash -c 'set -o pipefail; curl -fsSL https://claude.ai/install.sh | bash -s -- {version}'"
            return Install(self.name, version, Script(script), clis=("claude",), programs=("bash", "curl", "ps"))
        # Its own script puts the binary of this platform in the place of a stub.
        method = Npm((f"@anthropic-ai/claude-code@{version}",), runs_scripts=True)
        return Install(self.name, version, method, clis=("claude",), programs=("bash", "git", "ps"))

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """The runner's variables and the job's on top.

        A job with a credential or a gateway of its own gets none of the runner's: they'd go to its gateway. The
        runner's AWS keys stay out unless Bedrock is used.
        """
        found = super().environment(env)
        withheld: set[str] = set()
        if any(env.get(name) for name in (*CREDENTIALS, "ANTHROPIC_BASE_URL")):
            withheld.update(CREDENTIALS)
        if not _uses_bedrock(found):
            withheld.update(AWS)
        return {name: value for name, value in found.items() if name in env or name not in withheld}

    def hosts(self, env: Mapping[str, str]) -> list[str]:
        """The API's host: of the base URL, of Bedrock's region, else Anthropic's."""
        known = self.environment(env)
        if _uses_bedrock(known):
            entry = host_entry(known.get("ANTHROPIC_BEDROCK_BASE_URL"))
            region = known.get("AWS_REGION", DEFAULT_REGION)
            if not _REGION.fullmatch(region):
                raise InputInvalid(f"agent {self.name!r}: AWS_REGION {region!r} is no region of AWS")
            # The second one tells which model an inference profile means.
            return [entry or f"bedrock-runtime.{region}.amazonaws.com", f"bedrock.{region}.amazonaws.com"]
        entry = host_entry(known.get("ANTHROPIC_BASE_URL"))
        return [entry or "api.anthropic.com"]

    def launch(self, run: AgentRun, instruction: str, env: Mapping[str, str]) -> Launch:
        """Print mode without questions; the instruction goes in by stdin, exact and of any length."""
        argv = [cli_path("claude"), "--verbose", "--output-format=stream-json", "--permission-mode=bypassPermissions"]
        argv += self.flags()
        disallowed = self._disallowed_tools(is_closed=run.is_closed)
        if disallowed:
            argv += ["--disallowedTools", ",".join(disallowed)]
        if run.mcp_servers:
            argv += ["--mcp-config", MCP_FILE]
        return Launch(
            argv=(*argv, "--print"),
            env={**self._environment_of_its_own(env), "CLAUDE_CONFIG_DIR": CONFIG_FOLDER},
            files=(ConfigFile(MCP_FILE, _mcp_config(run.mcp_servers), is_secret=True),) if run.mcp_servers else (),
            prepare=self._prepare_script(has_skills=bool(run.skills)),
            uploads=tuple((skill, f"{CONFIG_FOLDER}/skills/{skill.name}") for skill in run.skills),
            stdin=instruction.encode(),
        )

    def _disallowed_tools(self, *, is_closed: bool) -> list[str]:
        wanted: list[str] = list(self.values["disallowed_tools"] or ())
        if is_closed:
            allowed = self.values["allowed_tools"] or ()
            wanted += [tool for tool in WEB_TOOLS if tool not in allowed]
        return list(dict.fromkeys(wanted))

    def _environment_of_its_own(self, env: Mapping[str, str]) -> dict[str, str]:
        """What the CLI is told by variables; those that the job gives itself stay as they are."""
        variables = dict(QUIET)
        model = self.model_name
        if _uses_bedrock(env):
            variables |= {"CLAUDE_CODE_USE_BEDROCK": "1", "AWS_REGION": DEFAULT_REGION}
        if model and env.get("ANTHROPIC_BASE_URL"):
            variables |= dict.fromkeys(("ANTHROPIC_MODEL", *MODEL_ALIASES), model)
        elif model:
            variables["ANTHROPIC_MODEL"] = model if model.startswith("arn:") else model.partition("/")[2] or model
        return {name: value for name, value in variables.items() if name not in env}

    def _prepare_script(self, *, has_skills: bool) -> str:
        lines = [f"mkdir -p {CONFIG_FOLDER}/skills" if has_skills else f"mkdir -p {CONFIG_FOLDER}"]
        if self.values["memory_dir"]:
            # The CLI names a project's folder after its path, everything but letters and digits as dashes.
            lines += [
                f'memory={CONFIG_FOLDER}/projects/$(pwd -P | sed "s/[^A-Za-z0-9]/-/g")/memory',
                'mkdir -p "$memory"',
                f'cp -R {shlex.quote(self.values["memory_dir"])}/. "$memory/"',
            ]
        return " && ".join(lines)


def _uses_bedrock(env: Mapping[str, str]) -> bool:
    chosen = env.get("CLAUDE_CODE_USE_BEDROCK")
    if chosen is not None:
        return chosen.strip().lower() not in _NEVER
    return bool(env.get("AWS_BEARER_TOKEN_BEDROCK"))


def _mcp_config(servers: tuple[McpServer, ...]) -> str:
    """As `--mcp-config` takes it. The CLI itself puts variables in the place of `${NAME}`."""
    entries: dict[str, dict[str, Any]] = {}
    for server in servers:
        if server.transport == "stdio":
            entries[server.name] = {"type": "stdio", "command": server.command, "args": list(server.args)}
        else:
            kind = "http" if server.transport == "streamable-http" else "sse"
            entries[server.name] = {"type": kind, "url": server.url}
            if server.headers:
                entries[server.name]["headers"] = dict(server.headers)
    return json.dumps({"mcpServers": entries}, ensure_ascii=False, indent=2) + "\n"
