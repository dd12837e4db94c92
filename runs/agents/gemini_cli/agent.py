"""Gemini CLI as an agent of a job: what is installed, how it is started, what it may reach."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from runs.agents.arguments import Argument
from runs.agents.base import AgentRun
from runs.agents.gemini_cli.converter import AGENT, LOG_FOLDER, STDOUT_LOG, GeminiCliConverter
from runs.agents.hosts import host_entry, hosts_in
from runs.agents.install import PLAIN, Install, Npm, cli_path
from runs.agents.installed import ConfigFile, InstalledAgent, Launch
from runs.errors import InputInvalid
from runs.formats.reading import read_text
from runs.formats.task import McpServer
from runs.sandboxes.base import AGENT_LOGS

# The CLI's home. Settings and credentials stay outside the log folder, which is kept; only its `tmp` leads there.
HOME: Final = "/tmp/gemini-cli"  # noqa: S108 - in the sandbox; what is secret is of mode 600 and gone after the run
FOLDER: Final = f"{HOME}/.gemini"
# Where the CLI keeps its sessions.
TEMPORARY: Final = "tmp"
LOGS: Final = f"{AGENT_LOGS}/{LOG_FOLDER}"
CREDENTIALS_FILE: Final = f"{HOME}/application-credentials.json"
MAX_CREDENTIALS_BYTES: Final = 1024 * 1024

KEYS: Final = ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_APPLICATION_CREDENTIALS")
BASE_URLS: Final = ("GOOGLE_GEMINI_BASE_URL", "GEMINI_API_BASE", "GOOGLE_VERTEX_BASE_URL")
VERTEX: Final = (
    "GOOGLE_API_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_CLOUD_LOCATION",
    "GOOGLE_GENAI_USE_VERTEXAI",
    "GOOGLE_VERTEX_BASE_URL",
)
WEB_TOOLS: Final = ("google_web_search", "web_fetch")
QUIET: Final[dict[str, dict[str, Any]]] = {
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
    "skills": {"enabled": True},
}
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_LOCATION: Final = re.compile(r"[a-z0-9-]{1,40}")
# Before Gemini 3 models take a budget of tokens, no level.
_WITHOUT_LEVELS: Final = re.compile(r"gemini-(1|2)(\.|-|$)")

ARGUMENTS: Final = (
    Argument(
        "reasoning_effort",
        "choice",
        "The model's thinking level, with readable summaries of its thoughts asked for; from Gemini 3 on. "
        "Only Flash models know `minimal`.",
        choices=("minimal", "low", "medium", "high"),
    ),
    Argument(
        "sandbox",
        "boolean",
        "Run tools in the CLI's own sandbox inside the task's; needs one that the CLI finds there.",
        default=False,
        flag="--sandbox",
    ),
    Argument(
        "settings",
        "object",
        "Settings of the CLI (settings.json), merged over those that are made here.",
    ),
)


class GeminiCli(InstalledAgent):
    """Google's CLI, directly, behind a gateway with the Gemini API (GOOGLE_GEMINI_BASE_URL), or on Vertex AI."""

    name = AGENT
    title = "Gemini CLI"
    tested_version = "0.61.0"
    arguments = ARGUMENTS
    variables = (
        "GEMINI_API_KEY",
        "GOOGLE_GEMINI_BASE_URL",
        "GEMINI_API_BASE",
        "GEMINI_CLI_CUSTOM_HEADERS",
        *VERTEX,
    )
    stdout_log = STDOUT_LOG
    converter_type = GeminiCliConverter

    def __init__(self, *, model_name: str | None, kwargs: Mapping[str, Any]) -> None:
        super().__init__(model_name=model_name, kwargs=kwargs)
        effort, model = self.values["reasoning_effort"], self._model() or ""
        if effort is None:
            return
        if not model:
            raise self._refused("needs a model_name")
        if _WITHOUT_LEVELS.match(model):
            raise self._refused(f"{model} has no thinking levels")
        if effort == "minimal" and "flash" not in model:
            raise self._refused(f"{model} has no level `minimal`, only Flash models have")

    def _refused(self, complaint: str) -> InputInvalid:
        return InputInvalid(f"agent {self.name!r}, argument 'reasoning_effort': {complaint}")

    def _model(self) -> str | None:
        """The model as the API calls it: without the provider that names in job files begin with."""
        return self.model_name.rpartition("/")[2] if self.model_name else None

    def install(self) -> Install:
        """The npm package. Raises InputInvalid."""
        if not PLAIN.fullmatch(self.version):
            raise InputInvalid(f"agent {self.name!r}, argument 'version': {self.version!r} is no version")
        method = Npm((f"@google/gemini-cli@{self.version}",))
        return Install(self.name, self.version, method, clis=("gemini",), programs=("bash", "git", "ps", "rg"))

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """The runner's variables and the job's on top.

        A job with a key or a gateway of its own gets none of the runner's, nor the runner's choice of Vertex AI.
        """
        found = super().environment(env)
        withheld = {*KEYS, *VERTEX} if any(env.get(name) for name in (*KEYS, *BASE_URLS)) else set()
        return {name: value for name, value in found.items() if name in env or name not in withheld}

    def hosts(self, env: Mapping[str, str]) -> list[str]:
        """The API's host: of the base URLs that are given, of Vertex AI's location, else Google's."""
        known = self.environment(env)
        if _uses_vertex(known):
            found = _vertex_hosts(known, self.name)
        else:
            given = (known.get("GOOGLE_GEMINI_BASE_URL"), known.get("GEMINI_API_BASE"))
            found = [entry for url in given if (entry := host_entry(url))]
            if not host_entry(given[0]):
                found.insert(0, "generativelanguage.googleapis.com")
        return list(dict.fromkeys([*found, *hosts_in(self.values["settings"])]))

    def launch(self, run: AgentRun, instruction: str, env: Mapping[str, str]) -> Launch:
        """Without questions, events on stdout; the instruction goes in by stdin, exact and of any length."""
        argv = [cli_path("gemini"), "--yolo", "--output-format=stream-json", *self.flags()]
        model = self._model()
        if model:
            argv.append(f"--model={model}")
        settings = self._settings(env, run.mcp_servers, is_closed=run.is_closed)
        text = json.dumps(settings, ensure_ascii=False, indent=2) + "\n"
        files = [ConfigFile(f"{FOLDER}/settings.json", text, is_secret=True)]
        variables = {"GEMINI_CLI_HOME": HOME, "GEMINI_CLI_TRUST_WORKSPACE": "true"}
        credentials = self._credentials(run.env, env)
        if credentials:
            files.append(ConfigFile(CREDENTIALS_FILE, credentials, is_secret=True))
            variables["GOOGLE_APPLICATION_CREDENTIALS"] = CREDENTIALS_FILE
        return Launch(
            argv=tuple(argv),
            env=variables,
            files=tuple(files),
            prepare=f"mkdir -p {LOGS} {FOLDER}/skills && ln -sfn {LOGS} {FOLDER}/{TEMPORARY}",
            uploads=tuple((skill, f"{FOLDER}/skills/{skill.name}") for skill in run.skills),
            stdin=instruction.encode(),
        )

    def _credentials(self, job_env: Mapping[str, str], env: Mapping[str, str]) -> str | None:
        """The text of the runner's credentials file. One that the job names is a file of the sandbox."""
        name = "GOOGLE_APPLICATION_CREDENTIALS"
        place = os.environ.get(name)
        if not place or job_env.get(name) or env.get(name) != place:
            return None
        return read_text(Path(place), MAX_CREDENTIALS_BYTES)

    def _settings(self, env: Mapping[str, str], servers: tuple[McpServer, ...], *, is_closed: bool) -> dict[str, Any]:
        # Without a chosen type the CLI takes a base URL for a gateway of another kind and refuses to start.
        auth = "vertex-ai" if _uses_vertex(env) else "gemini-api-key"
        settings: dict[str, Any] = {**QUIET, "security": {"auth": {"selectedType": auth}}}
        if is_closed:
            settings["tools"] = {"exclude": list(WEB_TOOLS)}
        if self.values["reasoning_effort"]:
            settings["modelConfigs"] = {"customOverrides": [self._thinking()]}
        if servers:
            settings["mcpServers"] = {server.name: _mcp_entry(server) for server in servers}
        return _merged(settings, self.values["settings"] or {})

    def _thinking(self) -> dict[str, Any]:
        level = self.values["reasoning_effort"].upper()
        thinking = {"includeThoughts": True, "thinkingLevel": level}
        return {
            "match": {"model": self._model()},
            "modelConfig": {"generateContentConfig": {"thinkingConfig": thinking}},
        }


def _uses_vertex(env: Mapping[str, str]) -> bool:
    """Whether Vertex AI is meant: said so, or there are only credentials that nothing else takes."""
    chosen = env.get("GOOGLE_GENAI_USE_VERTEXAI")
    if chosen is not None:
        return chosen.strip().lower() in _TRUE
    return not env.get("GEMINI_API_KEY") and any(env.get(name) for name in KEYS[1:])


def _vertex_hosts(env: Mapping[str, str], agent: str) -> list[str]:
    entry = host_entry(env.get("GOOGLE_VERTEX_BASE_URL"))
    location = env.get("GOOGLE_CLOUD_LOCATION") or "global"
    if not _LOCATION.fullmatch(location):
        raise InputInvalid(f"agent {agent!r}: GOOGLE_CLOUD_LOCATION {location!r} is no location of Google Cloud")
    if entry is None and (location == "global" or env.get("GOOGLE_API_KEY")):
        entry = "aiplatform.googleapis.com"
    elif entry is None and location in ("us", "eu"):
        entry = f"aiplatform.{location}.rep.googleapis.com"
    hosts = [entry or f"{location}-aiplatform.googleapis.com"]
    # A key goes with each request; other credentials are changed into tokens first.
    return hosts if env.get("GOOGLE_API_KEY") else [*hosts, "oauth2.googleapis.com"]


def _mcp_entry(server: McpServer) -> dict[str, Any]:
    if server.transport == "stdio":
        return {"command": server.command, "args": list(server.args)}
    key = "httpUrl" if server.transport == "streamable-http" else "url"
    return {key: server.url, **({"headers": dict(server.headers)} if server.headers else {})}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` in `base`, objects key by key."""
    merged = dict(base)
    for key, value in over.items():
        known = merged.get(key)
        merged[key] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged
