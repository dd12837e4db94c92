"""OpenAI's Codex CLI: how it is installed, configured and started, and what it must reach."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from runs.agents.arguments import AgentArgumentInvalid, Argument
from runs.agents.base import AgentRun
from runs.agents.codex.config import (
    BUILT_IN_PROVIDER,
    MAX_CONFIG_BYTES,
    config_text,
    key_variables,
    own_config,
    provider_of,
    whole_config,
)
from runs.agents.codex.converter import STDOUT, CodexConverter
from runs.agents.hosts import host_entry, hosts_in
from runs.agents.install import PLAIN, Install, Method, Npm, Script, cli_path
from runs.agents.installed import ConfigFile, InstalledAgent, Launch
from runs.agents.providers import Provider, runner_variables
from runs.errors import FileUnreadable
from runs.formats.reading import JsonInvalid, parse_json, read_text
from runs.sandboxes.base import AGENT_LOGS

# Not below /logs, for the sign-in lies there, nor below /tmp, where the CLI lays no helpers of its own on the PATH.
HOMES: Final = "/var/tmp"  # noqa: S108 - the folder's name is the run's own
SESSIONS: Final = f"{AGENT_LOGS}/sessions"
API_HOST: Final = "api.openai.com"
OPENAI: Final = Provider(("OPENAI_API_KEY", "CODEX_API_KEY"), (API_HOST,), ("OPENAI_BASE_URL",))
# A subscription is served elsewhere than the API, and its sign-in has to be renewed.
SUBSCRIPTION_HOSTS: Final = ("chatgpt.com", "auth.openai.com")
_VENDOR_SCRIPT: Final = """set -eu
unset CODEX_HOME CODEX_INSTALL_DIR
curl -fsSL https://chatgpt.com/codex/install.sh -o "$TMPDIR/codex-install.sh"
CODEX_RELEASE={version} CODEX_NON_INTERACTIVE=1 sh "$TMPDIR/codex-install.sh"
"""


class Codex(InstalledAgent):
    """`codex exec` with its own sandbox and questions off: the trial's sandbox is the one that holds."""

    name = "codex"
    title = "Codex CLI (OpenAI)"
    tested_version = "0.169.0"
    stdout_log = STDOUT
    converter_type = CodexConverter
    variables = OPENAI.variables
    arguments = (
        Argument(
            "reasoning_effort",
            "choice",
            "How long the model reasons before it answers; which values it takes is the model's.",
            default="high",
            choices=("none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"),
        ),
        Argument(
            "reasoning_summary",
            "choice",
            "The readable summary of the reasoning to ask for; without it most models give none.",
            choices=("auto", "concise", "detailed", "none"),
        ),
        Argument(
            "command_model_name",
            "text",
            "The model as the provider calls it, where that differs from the job's model_name without its prefix.",
        ),
        Argument("config_toml", "text", "Settings in TOML that go over those this agent makes for config.toml."),
        Argument("config_toml_file", "text", "A file of the runner with such settings; config_toml goes over it."),
        Argument(
            "install_method",
            "choice",
            "From the npm registry, or by the vendor's own script (chatgpt.com, then GitHub).",
            default="package",
            choices=("package", "script"),
        ),
    )

    def __init__(self, *, model_name: str | None, kwargs: Mapping[str, Any]) -> None:
        super().__init__(model_name=model_name, kwargs=kwargs)
        if not PLAIN.fullmatch(self.version):
            raise AgentArgumentInvalid(self.name, "version", f"{self.version[:80]!r} is no version")
        self._own = own_config(self.name, self.values["config_toml"], self.values["config_toml_file"])

    def install(self) -> Install:
        """The CLI, which brings its own ripgrep along."""
        method: Method = Npm((f"@openai/codex@{self.version}",))
        if self.values["install_method"] == "script":
            method = Script(_VENDOR_SCRIPT.format(version=self.version))
        return Install(
            agent=self.name,
            version=self.version,
            method=method,
            clis=("codex",),
            programs=("curl",) if isinstance(method, Script) else (),
        )

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """The job's variables, and the runner's where neither they nor the job's TOML lead to another address."""
        is_led_elsewhere = isinstance(self._own.get("openai_base_url"), str)
        wanted = set() if is_led_elsewhere else runner_variables([OPENAI], env)
        return {name: value for name, value in super().environment(env).items() if name in env or name in wanted}

    def hosts(self, env: Mapping[str, str]) -> list[str]:
        """Hosts of all URLs in the job's TOML; those of OpenAI only where its built-in provider has no other URL."""
        env = self.environment(env)
        found = hosts_in(self._own)
        if provider_of(self._own) == BUILT_IN_PROVIDER and not isinstance(self._own.get("openai_base_url"), str):
            own = host_entry(env.get("OPENAI_BASE_URL"))
            login = self._login(env)
            if own:
                found.append(own)
            elif login and _is_subscription(login):
                found += SUBSCRIPTION_HOSTS
            else:
                found.append(API_HOST)
        return list(dict.fromkeys(found))

    def launch(self, run: AgentRun, instruction: str, env: Mapping[str, str]) -> Launch:
        """Start it on the instruction, which it reads as its input.

        A key goes in by the environment, a sign-in as a file that is removed again.
        """
        home = _home(run)
        config = whole_config(
            self._own,
            env=env,
            mcp_servers=run.mcp_servers,
            is_closed=run.is_closed,
            secrets=key_variables(self._own),
        )
        files = [ConfigFile(f"{home}/config.toml", config_text(config), is_secret=True)]
        login = self._login(env)
        # A key in the environment would go before a sign-in.
        key = (env.get("CODEX_API_KEY") or env.get("OPENAI_API_KEY") or "") if login is None else ""
        if login is not None:
            files.append(ConfigFile(f"{home}/auth.json", login, is_secret=True))
        return Launch(
            argv=(*self._argv(), "-"),
            env={"CODEX_HOME": home, "CODEX_API_KEY": key},
            files=tuple(files),
            # The sessions are the log: they grow where they are followed.
            prepare=f"mkdir -p {home}/skills {SESSIONS} && ln -sfn {SESSIONS} {home}/sessions",
            uploads=tuple((skill, f"{home}/skills/{skill.name}") for skill in run.skills),
            stdin=instruction.encode(),
        )

    async def after(self, run: AgentRun) -> None:
        """Leave nothing but the log."""
        await run.sandbox.exec(f"rm -rf {_home(run)}", user=run.user)

    def _argv(self) -> list[str]:
        argv = [cli_path("codex"), "exec", "--dangerously-bypass-approvals-and-sandbox", "--skip-git-repo-check"]
        argv.append("--json")
        model = self.values["command_model_name"] or (self.model_name or "").rpartition("/")[2]
        if model:
            argv += ["--model", model]
        for argument in ("reasoning_effort", "reasoning_summary"):
            if self.values[argument]:
                argv += ["-c", f"model_{argument}={json.dumps(self.values[argument])}"]
        return argv

    def _login(self, env: Mapping[str, str]) -> str | None:
        """The sign-in that CODEX_AUTH_JSON_PATH names, or with CODEX_FORCE_AUTH_JSON that of the runner's user."""
        place = env.get("CODEX_AUTH_JSON_PATH") or os.environ.get("CODEX_AUTH_JSON_PATH")
        forced = env.get("CODEX_FORCE_AUTH_JSON") or os.environ.get("CODEX_FORCE_AUTH_JSON") or ""
        if not place and forced.strip().lower() in ("1", "true", "yes", "on"):
            place = "~/.codex/auth.json"
        if not place:
            return None
        try:
            return read_text(Path(place).expanduser(), MAX_CONFIG_BYTES)
        except FileUnreadable as error:
            raise AgentArgumentInvalid(self.name, "CODEX_AUTH_JSON_PATH", str(error)) from None


def _home(run: AgentRun) -> str:
    """The CLI's own folder: its settings, sign-in and databases. No two runs share one, on no machine."""
    return f"{HOMES}/pier-codex-{hashlib.sha256(str(run.logs.absolute()).encode()).hexdigest()[:16]}"


def _is_subscription(login: str) -> bool:
    try:
        parsed = parse_json(login)
    except JsonInvalid:
        return False
    return isinstance(parsed, dict) and bool(parsed.get("tokens")) and not parsed.get("OPENAI_API_KEY")
