"""Models of task.toml: every key of Harbor 0.25 and Pier 0.3.1 in every spelling that is still in circulation.

A key that nobody knows is a warning, unless misreading it could open the network or change who runs where.
The files around task.toml are `task_directory`'s business.
"""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from runs.errors import TaskInvalid
from runs.formats.network import check_spellings, clean_host
from runs.formats.reading import TomlInvalid, parse_toml
from runs.formats.task_keys import danger_of
from runs.formats.template import holds_literal_secret
from runs.formats.validation import PositiveNumber, Seconds, first_problem, unknown_keys

NetworkSpelling = Literal["public", "no-network", "allowlist"]
VerifierMode = Literal["shared", "separate"]

_NAME_PART: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_PACKAGE_NAME: Final = re.compile(rf"{_NAME_PART}/{_NAME_PART}")
_SIZE: Final = re.compile(r"\s*([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*([KMG])\s*", re.IGNORECASE)
_SIZE_IN_MB: Final = {"K": 1 / 1024, "M": 1, "G": 1024}
_SERVICE: Final = r"^[a-zA-Z0-9._-]+$"
_CANARY: Final = re.compile(r"[ \t]*(?:<!--.*canary.*-->|#.*canary).*", re.IGNORECASE)
_UNPORTABLE: Final = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]|[ .]$')
_DEVICE_NAMES: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)


class _Section(BaseModel):
    """A table of task.toml. Unknown keys were judged before the model sees them."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    legacy_keys: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _accept_legacy_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not cls.legacy_keys:
            return data
        both = [(old, new) for old, new in cls.legacy_keys.items() if old in data and new in data]
        for old, new in both:
            if _legacy_value(old, data[old]) != data[new]:
                raise ValueError(f"{old!r} and {new!r} say different things: keep {new!r}")
        values = {cls.legacy_keys.get(key, key): _legacy_value(key, value) for key, value in data.items()}
        return values | {new: data[new] for _, new in both}


class Author(_Section):
    """Who wrote a task."""

    name: str
    email: str | None = None


class PackageInfo(_Section):
    """`[task]`: the task's name as `org/name` and what a catalogue shows of it."""

    name: str | None = None
    version: str | None = Field(default=None, min_length=1)
    description: str = ""
    authors: list[Author] = []
    keywords: list[str] = []

    @model_validator(mode="after")
    def _name_is_a_package_name(self, info: ValidationInfo) -> Self:
        if info.context and info.context.get("lenient_names"):
            return self
        if self.name is None:
            raise ValueError("'name' is required, as \"organisation/name\"")
        if not _PACKAGE_NAME.fullmatch(self.name) or ".." in self.name:
            raise ValueError(f'name {self.name!r} is not of the form "organisation/name"')
        return self

    @property
    def package_name(self) -> str | None:
        """The name where it is a proper one: under lenient names it may be anything."""
        proper = self.name is not None and _PACKAGE_NAME.fullmatch(self.name) and ".." not in self.name
        return self.name if proper else None


class HealthcheckConfig(_Section):
    """When a started sandbox is ready: a command that must succeed."""

    command: str
    interval_sec: Seconds = 5.0
    timeout_sec: Seconds = 30.0
    start_period_sec: Seconds = 0.0
    start_interval_sec: Seconds = 5.0
    retries: int = Field(default=3, ge=0)


class McpServer(_Section):
    """`[[environment.mcp_servers]]`: a tool server that the agent is told of."""

    name: str = Field(min_length=1)
    transport: Literal["sse", "streamable-http", "stdio"] = "sse"
    url: str | None = None
    command: str | None = None
    args: list[str] = []
    headers: dict[str, str] = {}

    @field_validator("transport", mode="before")
    @classmethod
    def _http_is_streamable(cls, value: Any) -> Any:
        return "streamable-http" if value == "http" else value

    @model_validator(mode="after")
    def _fits_its_transport(self) -> Self:
        needed = "command" if self.transport == "stdio" else "url"
        if not getattr(self, needed):
            raise ValueError(f"MCP server {self.name!r} with transport {self.transport!r} needs {needed!r}")
        if self.headers and self.transport == "stdio":
            raise ValueError(f"MCP server {self.name!r}: headers need an HTTP transport")
        for header, value in self.headers.items():
            if holds_literal_secret(header, value):
                raise ValueError(f"MCP server {self.name!r}: header {header!r} must take its secret from ${{NAME}}")
        return self


class TpuConfig(_Section):
    """`[environment.tpu]`: a slice of accelerators."""

    type: str
    topology: str = Field(pattern=r"^[1-9][0-9]*(x[1-9][0-9]*){1,3}$")


class ArtifactConfig(_Section):
    """A path in the sandbox that is kept after the trial; `destination` is relative to the trial's artifacts."""

    source: str = Field(min_length=1)
    destination: str | None = None
    exclude: list[str] = []
    service: str = Field(default="main", pattern=_SERVICE)

    @model_validator(mode="after")
    def _stays_in_its_place(self) -> Self:
        source = PurePosixPath(self.source)
        if ".." in source.parts:
            raise ValueError(f"artifact source {self.source!r} may not contain '..'")
        if self.service != "main" and not source.is_absolute():
            raise ValueError(f"artifact source {self.source!r} of service {self.service!r} must be an absolute path")
        if self.destination is not None:
            target = PurePosixPath(self.destination)
            if target.is_absolute() or ".." in target.parts or not target.parts:
                raise ValueError(f"artifact destination {self.destination!r} must be a path inside artifacts/")
            if target.parts == ("manifest.json",):
                raise ValueError("artifact destination 'manifest.json' is taken by the list of artifacts")
        return self


def _legacy_value(key: str, value: Any) -> Any:
    """A size as `2G` in MiB; anything else is left for the model to judge."""
    if key in ("memory", "storage"):
        size = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if not size:
            raise ValueError(
                f"{key} = {str(value)[:40]!r} is not a size like '512M' or '2G'; better write {key}_mb = 2048"
            )
        return int(float(size[1]) * _SIZE_IN_MB[size[2].upper()])
    return value


def _artifact(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


Artifacts = list[Annotated[ArtifactConfig, BeforeValidator(_artifact)]]


class _NetworkSection(_Section):
    """A table that can say what its phase may reach."""

    network_mode: NetworkSpelling | None = None
    allowed_hosts: list[str] | None = None

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts_are_hosts(cls, hosts: list[str] | None) -> list[str] | None:
        return None if hosts is None else list(dict.fromkeys(clean_host(host) for host in hosts))

    @model_validator(mode="after")
    def _network_is_said_once(self) -> Self:
        check_spellings(self.network_mode, self.allowed_hosts, allow_internet=getattr(self, "allow_internet", None))
        return self


class EnvironmentSection(_NetworkSection):
    """`[environment]` and `[verifier.environment]`: the sandbox a task wants; sizes are MiB, cpus may be a fraction."""

    legacy_keys: ClassVar[dict[str, str]] = {"memory": "memory_mb", "storage": "storage_mb"}

    build_timeout_sec: Seconds = 600.0
    docker_image: str | None = None
    os: Literal["linux", "windows"] = "linux"
    cpus: PositiveNumber | None = None
    memory_mb: int | None = Field(default=None, gt=0)
    storage_mb: int | None = Field(default=None, gt=0)
    gpus: int = Field(default=0, ge=0)
    gpu_types: list[str] | None = None
    tpu: TpuConfig | None = None
    allow_internet: bool | None = None
    mcp_servers: list[McpServer] = []
    env: dict[str, str] = {}
    skills_dir: str | None = None
    healthcheck: HealthcheckConfig | None = None
    workdir: str | None = None

    @field_validator("os", mode="before")
    @classmethod
    def _os_in_any_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value


class AgentSection(_NetworkSection):
    """`[agent]`: how long and as whom the agent works. No timeout means no limit."""

    timeout_sec: Seconds | None = None
    user: str | int | None = None


class CollectHook(_Section):
    """`[[verifier.collect]]`: a command run after the agent, before its sandbox goes."""

    command: str = Field(min_length=1)
    service: str = Field(default="main", pattern=_SERVICE)
    timeout_sec: Seconds = 60.0
    user: str | int | None = None


class VerifierSection(_NetworkSection):
    """`[verifier]`: how the work is judged, in the agent's sandbox or in one of its own."""

    timeout_sec: Seconds = 600.0
    env: dict[str, str] = {}
    user: str | int | None = None
    environment_mode: VerifierMode | None = None
    environment: EnvironmentSection | None = None
    collect: list[CollectHook] = []

    @model_validator(mode="after")
    def _shared_has_no_environment(self) -> Self:
        if self.environment_mode == "shared" and self.environment is not None:
            raise ValueError("environment_mode = 'shared' contradicts [verifier.environment]: remove one of them")
        return self

    @property
    def mode(self) -> VerifierMode | None:
        """The mode this table asks for, or None where it leaves it to the table above."""
        return self.environment_mode or ("separate" if self.environment is not None else None)


class SolutionSection(_Section):
    """`[solution]`: the environment of the oracle's script."""

    env: dict[str, str] = {}


class TaskStepConfig(_Section):
    """`[[steps]]`: one instruction of a multi-step task, in the folder `steps/<name>`.

    `min_reward` is the least value of `reward`, or of each named reward, that lets the next step begin.
    """

    name: str
    agent: AgentSection = AgentSection()
    verifier: VerifierSection = VerifierSection()
    min_reward: float | dict[str, float] | None = None
    healthcheck: HealthcheckConfig | None = None
    artifacts: Artifacts = []

    @field_validator("name")
    @classmethod
    def _name_is_a_directory_name(cls, name: str) -> str:
        portable = name not in ("", ".", "..") and not _UNPORTABLE.search(name) and not _DEVICE_NAMES.fullmatch(name)
        if not portable or len(name.encode(errors="surrogatepass")) > 255:
            raise ValueError(f"step name {name!r} can't be a directory name on every system")
        return name


class TaskConfig(_Section):
    """A whole task.toml."""

    legacy_keys: ClassVar[dict[str, str]] = {"version": "schema_version"}

    schema_version: str = "1.4"
    task: PackageInfo | None = None
    metadata: dict[str, Any] = {}
    source: str | None = None
    multi_step_reward_strategy: Literal["mean", "final"] | None = None
    artifacts: Artifacts = []
    agent: AgentSection = AgentSection()
    verifier: VerifierSection = VerifierSection()
    environment: EnvironmentSection = EnvironmentSection()
    solution: SolutionSection = SolutionSection()
    steps: list[TaskStepConfig] | None = None

    @field_validator("steps")
    @classmethod
    def _step_names_differ(cls, steps: list[TaskStepConfig] | None) -> list[TaskStepConfig] | None:
        seen: set[str] = set()
        for step in steps or []:
            folded = unicodedata.normalize("NFC", step.name).casefold()
            if folded in seen:
                raise ValueError(f"two steps are named {step.name!r}")
            seen.add(folded)
        return steps


@dataclass(frozen=True, slots=True)
class TaskToml:
    """A parsed task.toml: what it says, and what in it was not understood but is harmless."""

    config: TaskConfig
    warnings: list[str]


def parse_task_toml(text: str, *, path: Path, lenient_names: bool = False) -> TaskToml:
    """Parse a task.toml; `path` is only named in errors.

    With `lenient_names` a missing or unqualified `[task].name` is accepted. Raises `TaskInvalid`.
    """
    try:
        data = parse_toml(text)
    except TomlInvalid as error:
        raise TaskInvalid(path, str(error)) from None
    warnings = []
    for unknown in unknown_keys(TaskConfig, data):
        danger = danger_of(unknown)
        if danger:
            raise TaskInvalid(path, f"{unknown.sentence()}; it is refused, not ignored, because {danger}")
        warnings.append(unknown.sentence())
    try:
        config = TaskConfig.model_validate(data, context={"lenient_names": lenient_names})
    except ValidationError as error:
        raise TaskInvalid(path, first_problem(error)) from None
    if lenient_names and config.task and not config.task.package_name:
        warnings.append('[task].name is not of the form "organisation/name": the folder\'s name is used')
    return TaskToml(config, warnings)


def strip_canary(instruction: str) -> str:
    """The instruction without its leading canary comments and the blank lines after them."""
    lines = instruction.splitlines(keepends=True)
    start = 0
    while start < len(lines) and _CANARY.fullmatch(lines[start].rstrip("\r\n")):
        start += 1
    while 0 < start < len(lines) and not lines[start].strip():
        start += 1
    return "".join(lines[start:])
