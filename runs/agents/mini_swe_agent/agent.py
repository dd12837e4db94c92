"""mini-swe-agent as an agent of a job: its locked set of packages, how it is started, what it may reach."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from runs.agents.arguments import AgentArgumentInvalid, Argument
from runs.agents.base import AgentRun
from runs.agents.hosts import hosts_in
from runs.agents.install import PLAIN, PREFIX, PYPI_PINNED, Install, Uv, cli_path
from runs.agents.installed import ConfigFile, InstalledAgent, Launch
from runs.agents.mini_swe_agent.config import (
    called_model,
    config_text,
    merged,
    model_class,
    own_config,
    whole_config,
)
from runs.agents.mini_swe_agent.converter import DOCUMENT, STDOUT, MiniSweAgentConverter
from runs.agents.mini_swe_agent.providers import OPENROUTER_CLASSES, PROVIDERS, provider_name
from runs.agents.providers import Provider, runner_variables
from runs.errors import FileUnreadable
from runs.formats.reading import read_text
from runs.sandboxes.base import AGENT_LOGS

# In the sandbox, of mode 600, and gone after the run: the job's settings may hold keys.
CONFIG: Final = "/tmp/mini-swe-agent-trial.yaml"  # noqa: S108
REGISTRY: Final = "/tmp/mini-swe-agent-prices.json"  # noqa: S108
REGISTRY_VARIABLE: Final = "LITELLM_MODEL_REGISTRY_PATH"
MAX_REGISTRY_BYTES: Final = 16 * 1024 * 1024
SKILLS: Final = f"{PREFIX}/skills"
QUIET: Final = {
    "MSWEA_CONFIGURED": "true",
    # A model without a price must not end the run.
    "MSWEA_COST_TRACKING": "ignore_errors",
    "LITELLM_LOCAL_MODEL_COST_MAP": "true",
}
# Installed without a lock, for versions that have none: the Responses API of LiteLLM needs it.
MCP: Final = "mcp==2.3.0"
VERTEX: Final = ("google-auth==2.62.2", "google-cloud-aiplatform==2.7.0")

ARGUMENTS: Final = (
    Argument(
        "reasoning_effort",
        "choice",
        "How hard the model thinks. Without it Gemini thinks as it likes, and returns no readable thoughts.",
        choices=("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    ),
    Argument(
        "model_class",
        "text",
        "mini-swe-agent's adapter; without it litellm_response for openai/…, openrouter for openrouter/…,"
        " else LiteLLM's own choice.",
    ),
    Argument("model_kwargs", "object", "Arguments of each call, as LiteLLM takes them.", default={}),
    Argument("set_cache_control", "choice", "Where to mark the prompt for a cache.", choices=("default_end",)),
    Argument(
        "cost_limit",
        "number",
        "End once calls cost more than this in USD, by LiteLLM's prices. 0, the default, is no limit.",
        least=0,
    ),
    Argument("config_yaml", "text", "Settings in YAML that go over those of mini.yaml."),
    Argument("config_file", "text", "A file of the runner with such settings; config_yaml goes over it."),
    Argument(
        "extra_python_packages",
        "texts",
        "Packages that are installed beside it, each with its exact version (name==1.2.3).",
        default=[],
    ),
)


class MiniSweAgent(InstalledAgent):
    """The agent of plain shell commands. It speaks to models through LiteLLM."""

    name = "mini-swe-agent"
    title = "mini-SWE-agent"
    tested_version = "2.4.6"
    stdout_log = STDOUT
    converter_type = MiniSweAgentConverter
    arguments = ARGUMENTS
    variables = (
        *dict.fromkeys(name for provider in PROVIDERS.values() for name in provider.variables),
        REGISTRY_VARIABLE,
    )

    def __init__(self, *, model_name: str | None, kwargs: Mapping[str, Any]) -> None:
        super().__init__(model_name=model_name, kwargs=kwargs)
        self._own = own_config(self.name, self.values)
        for package in self.values["extra_python_packages"]:
            if not PYPI_PINNED.fullmatch(package):
                complaint = f"{package!r} does not name a package and its exact version, as name==1.2.3"
                raise AgentArgumentInvalid(self.name, "extra_python_packages", complaint)

    def install(self) -> Install:
        """The locked set of the version, then what the job adds to it; a version without a lock as its index has it."""
        version = self.version
        if not PLAIN.fullmatch(version):
            raise AgentArgumentInvalid(self.name, "version", f"{version!r} is no version")
        is_vertex = provider_name(self.model_name or "") == "vertex_ai"
        lock = locked_requirements(f"{version}-vertex" if is_vertex else version)
        packages = (f"mini-swe-agent=={version}", MCP, *(VERTEX if is_vertex else ()))
        extra: tuple[str, ...] = tuple(self.values["extra_python_packages"])
        if lock is None:
            return Install(self.name, version, Uv((*packages, *extra)), clis=("mini-swe-agent",))
        # A lock with hashes takes nothing without one, so these come after it.
        python = f"{PREFIX}/tools/{self.name}/bin/python"
        quoted = " ".join(f"'{package}'" for package in extra)
        commands = (f"{PREFIX}/.build/uv/uv pip install --python {python} {quoted}",) if extra else ()
        return Install(self.name, version, Uv(packages, lock), clis=("mini-swe-agent",), commands=commands)

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """The job's variables, and the runner's of the model's provider alone, unless the job leads elsewhere."""
        provider = self._provider()
        is_led_elsewhere = bool(hosts_in([self._own, self.values["model_kwargs"]]))
        used = [provider] if provider and not is_led_elsewhere else []
        wanted = {REGISTRY_VARIABLE, *runner_variables(used, env)}
        found = super().environment(env)
        return {name: value for name, value in found.items() if name in env or name in wanted}

    def hosts(self, env: Mapping[str, str]) -> list[str]:
        """The hosts of URLs in the job's settings, else of the provider's variables, else the provider's own."""
        self._model()
        own = hosts_in([self._own, self.values["model_kwargs"]])
        provider = self._provider()
        if self._class() in OPENROUTER_CLASSES:
            # These adapters go there whatever anybody says.
            return list(dict.fromkeys([*PROVIDERS["openrouter"].hosts, *own]))
        return own or (provider.hosts_of(self.environment(env)) if provider else [])

    def launch(self, run: AgentRun, instruction: str, env: Mapping[str, str]) -> Launch:
        """Start it with one config file, which holds the task too: an argument has a greatest length."""
        model = self._model()
        config = whole_config(self.values, self._own, model)
        config = merged(config, {"run": {"task": instruction + _described(run)}})
        files = [ConfigFile(CONFIG, config_text(config), is_secret=True)]
        variables = {**QUIET, **self._both_spellings(env), **self._google_credentials(env)}
        registry = self._registry(env)
        if registry is not None:
            files.append(ConfigFile(REGISTRY, registry, is_secret=True))
            variables[REGISTRY_VARIABLE] = REGISTRY
        argv = (
            cli_path(self.name),
            "--yolo",
            f"--model={called_model(model, self._class())}",
            f"--output={AGENT_LOGS}/{DOCUMENT}",
            "-c",
            "mini.yaml",
            "-c",
            CONFIG,
            "--exit-immediately",
        )
        return Launch(
            argv=argv,
            env={name: value for name, value in variables.items() if name not in env or name == REGISTRY_VARIABLE},
            files=tuple(files),
            uploads=tuple((skill, f"{SKILLS}/{skill.name}") for skill in run.skills),
        )

    def _model(self) -> str:
        if not self.model_name:
            raise AgentArgumentInvalid(self.name, "model_name", "it has to name a model, as provider/model")
        return self.model_name

    def _class(self) -> str | None:
        return model_class(self.values, self._own, self.model_name or "")

    def _provider(self) -> Provider | None:
        return PROVIDERS.get(provider_name(self.model_name or ""))

    def _both_spellings(self, env: Mapping[str, str]) -> dict[str, str]:
        """LiteLLM reads one variable for a base URL here and the other there."""
        provider = self._provider()
        url = provider.base_url(env) if provider else None
        return dict.fromkeys(provider.base_urls, url) if provider and url else {}

    def _google_credentials(self, env: Mapping[str, str]) -> dict[str, str]:
        """The file of this machine that GOOGLE_APPLICATION_CREDENTIALS names, as a variable that LiteLLM reads."""
        place = env.get("GOOGLE_APPLICATION_CREDENTIALS")
        if not place or not Path(place).is_file():
            return {}
        try:
            return {"VERTEXAI_CREDENTIALS": read_text(Path(place), MAX_REGISTRY_BYTES)}
        except FileUnreadable as error:
            raise AgentArgumentInvalid(self.name, "GOOGLE_APPLICATION_CREDENTIALS", str(error)) from None

    def _registry(self, env: Mapping[str, str]) -> str | None:
        """The price table that the job names, if it is a file of this machine; else it is the sandbox's own."""
        place = self.values["pricing"] or env.get(REGISTRY_VARIABLE)
        if not place or not Path(place).is_file():
            return None
        try:
            return read_text(Path(place), MAX_REGISTRY_BYTES)
        except FileUnreadable as error:
            raise AgentArgumentInvalid(self.name, REGISTRY_VARIABLE, str(error)) from None


@cache
def locked_requirements(name: str) -> str | None:
    """The locked packages of a version, with hashes; None where there is no lock."""
    path = Path(__file__).with_name("requirements") / f"{name}.txt"
    return path.read_text() if PLAIN.fullmatch(name) and path.is_file() else None


def _described(run: AgentRun) -> str:
    """What the agent has no setting for it is told: MCP servers and skills."""
    lines: list[str] = []
    if run.mcp_servers:
        lines.append("MCP servers that you can reach from the shell:")
        for server in run.mcp_servers:
            where = " ".join(filter(None, (server.command, *server.args))) if server.command else server.url
            lines.append(f"- {server.name} ({server.transport}): {where}")
    if run.skills:
        lines.append("Folders of skills, instructions in their SKILL.md:")
        lines += [f"- {SKILLS}/{skill.name}" for skill in run.skills]
    return "\n\n" + "\n".join(lines) + "\n" if lines else ""
