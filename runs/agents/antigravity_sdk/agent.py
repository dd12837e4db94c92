"""The Antigravity SDK as an agent of a job: what is installed, how it is started, what it may reach."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from runs.agents.antigravity_sdk.converter import AGENT, EVENTS_LOG, STDOUT_LOG, AntigravitySdkConverter
from runs.agents.arguments import AgentArgumentInvalid, Argument
from runs.agents.base import AgentRun
from runs.agents.hosts import host_entry
from runs.agents.install import PREFIX, Install, Uv
from runs.agents.installed import ConfigFile, InstalledAgent, Launch
from runs.errors import InputInvalid
from runs.formats.task import McpServer
from runs.sandboxes.base import AGENT_LOGS

VERSION: Final = "0.1.9"
HERE: Final = Path(__file__).parent
SCRIPT: Final = f"{AGENT}/run.py"
PYTHON: Final = f"{PREFIX}/tools/{AGENT}/bin/python"
FOLDER: Final = "/tmp/antigravity-sdk"  # noqa: S108 - in the sandbox, outside the log folder, which is kept
OPTIONS_FILE: Final = f"{FOLDER}/options.json"
SKILLS: Final = f"{FOLDER}/skills"
# Nobody is there to be asked.
DISABLED: Final = ("ask_question",)
WEB_TOOLS: Final = ("search_web", "read_url_content")

ARGUMENTS: Final = (
    Argument(
        "reasoning_effort",
        "choice",
        "The model's thinking level.",
        default="medium",
        choices=("minimal", "low", "medium", "high", "extra_high"),
    ),
    Argument("load_skills", "boolean", "Let the agent have the skills that the task or the job brings.", default=True),
    Argument("skill_paths", "texts", "Folders of the sandbox that have skills, beside those."),
)


@cache
def _script() -> str:
    return (HERE / "run.py").read_text()


@cache
def _requirements() -> str:
    return (HERE / "requirements" / f"{VERSION}.txt").read_text()


class AntigravitySdk(InstalledAgent):
    """Google's agent harness through its Python SDK, with Gemini models."""

    name = AGENT
    title = "Antigravity SDK"
    tested_version = VERSION
    arguments = ARGUMENTS
    variables = ("GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL")
    stdout_log = STDOUT_LOG
    converter_type = AntigravitySdkConverter

    def __init__(self, *, model_name: str | None, kwargs: Mapping[str, Any]) -> None:
        super().__init__(model_name=model_name, kwargs=kwargs)
        if self.version != VERSION:
            raise AgentArgumentInvalid(self.name, "version", f"only {VERSION} is known here")

    def _model(self) -> str:
        provider, _, model = (self.model_name or "").rpartition("/")
        if provider not in ("google", "gemini") or not model:
            raise InputInvalid(f"agent {self.name!r} needs a model_name such as 'google/gemini-3.1-pro-preview'")
        return model

    def install(self) -> Install:
        """The SDK with all it needs at fixed digests, and the script that runs it."""
        method = Uv((f"google-antigravity=={VERSION}",), requirements=_requirements())
        return Install(self.name, VERSION, method, clis=(), programs=("bash", "git"), files={SCRIPT: _script()})

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """The runner's variables and the job's on top. The runner's key never goes to a gateway that the job names."""
        found = super().environment(env)
        if env.get("GOOGLE_GEMINI_BASE_URL") and "GEMINI_API_KEY" not in env:
            found.pop("GEMINI_API_KEY", None)
        return found

    def hosts(self, env: Mapping[str, str]) -> list[str]:
        """The API's host: of the base URL, else Google's."""
        entry = host_entry(self.environment(env).get("GOOGLE_GEMINI_BASE_URL"))
        return [entry or "generativelanguage.googleapis.com"]

    def launch(self, run: AgentRun, instruction: str, env: Mapping[str, str]) -> Launch:
        """The script with its options in a file; the instruction goes in by stdin."""
        options = {
            "model": self._model(),
            "reasoning_effort": self.values["reasoning_effort"],
            "disabled_tools": [*DISABLED, *(WEB_TOOLS if run.is_closed else ())],
            "mcp_servers": [self._mcp_entry(server) for server in run.mcp_servers],
            "skills_paths": [*self._skills(run), *(self.values["skill_paths"] or ())],
            "state_folder": FOLDER,
            "events": f"{AGENT_LOGS}/{EVENTS_LOG}",
        }
        text = json.dumps(options, ensure_ascii=False, indent=2) + "\n"
        return Launch(
            argv=(PYTHON, "-I", "-u", f"{PREFIX}/{SCRIPT}", OPTIONS_FILE),
            files=(ConfigFile(OPTIONS_FILE, text, is_secret=True),),
            prepare=f"mkdir -p {SKILLS}",
            uploads=tuple((skill, f"{SKILLS}/{skill.name}") for skill in run.skills if self._skills(run)),
            stdin=instruction.encode(),
        )

    def _skills(self, run: AgentRun) -> list[str]:
        return [SKILLS] if run.skills and self.values["load_skills"] else []

    def _mcp_entry(self, server: McpServer) -> dict[str, Any]:
        if server.transport == "sse":
            raise InputInvalid(f"agent {self.name!r}: MCP server {server.name!r} is of transport sse, which it lacks")
        kept = {"name", "transport", "url", "command", "args", "headers"}
        return server.model_dump(mode="json", include=kept)
