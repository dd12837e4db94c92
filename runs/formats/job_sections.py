"""The parts of a job file: agents, sandbox, verifier, datasets, tasks, retries, metrics.

Names and defaults are Pier's; every unknown key is an error. How parts become trials is scheduling's business.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from runs.formats.network import clean_job_host
from runs.formats.task import McpServer
from runs.formats.template import redact, redact_tree
from runs.formats.validation import PositiveNumber, Seconds

ResourcePolicy = Literal["auto", "limit", "request", "guarantee", "ignore"]

# Ends that a second execution would not change.
NOT_RETRIED: Final = (
    "AgentTimeoutError",
    "RewardFileEmptyError",
    "RewardFileNotFoundError",
    "VerifierOutputParseError",
    "VerifierTimeoutError",
)
DEFAULT_AGENT: Final = "oracle"
# How files name the host sandbox: peers refuse a `type` that they don't know, with the whole job or trial.
HOST_IMPORT_PATH: Final = "runs.sandboxes.host:HostSandbox"


def _pairs_as_mapping(value: Any) -> Any:
    """The older spelling of an environment, a list of `KEY=VALUE`, as a mapping."""
    if isinstance(value, list) and all(isinstance(entry, str) and "=" in entry for entry in value):
        return dict(entry.split("=", 1) for entry in value)
    return value


Env = Annotated[dict[str, str], BeforeValidator(_pairs_as_mapping)]
Hosts = list[str]


class JobSection(BaseModel):
    """A part of a job file. Dumping one never writes a literal secret."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    legacy_keys: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _accept_legacy_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        for old, new in cls.legacy_keys.items():
            if data.get(old) is not None and data.get(new) and data[old] != data[new]:
                raise ValueError(f"{old!r} and {new!r} say different things: keep {new!r}")
        kept = {key: value for key, value in data.items() if key not in cls.legacy_keys}
        older = {new: data[old] for old, new in cls.legacy_keys.items() if data.get(old) is not None}
        return kept | older

    @field_serializer("env", check_fields=False)
    def _env_without_secrets(self, env: dict[str, str]) -> dict[str, str]:
        return redact(env)

    @field_serializer("kwargs", "mcp_servers", check_fields=False)
    def _arguments_without_secrets(self, value: Any) -> Any:
        plain = [server.model_dump() for server in value] if isinstance(value, list) else value
        return redact_tree(plain)

    @field_validator("extra_allowed_hosts", check_fields=False)
    @classmethod
    def _hosts_are_hosts(cls, hosts: list[str]) -> list[str]:
        return list(dict.fromkeys(clean_job_host(host) for host in hosts))


class RetryConfig(JobSection):
    """When a trial that ended with an exception is executed again; exclusions win, by class name."""

    max_retries: int = Field(default=0, ge=0)
    include_exceptions: list[str] | None = None
    exclude_exceptions: list[str] | None = list(NOT_RETRIED)
    wait_multiplier: PositiveNumber = 1.0
    min_wait_sec: Seconds = 1.0
    max_wait_sec: Seconds = 60.0

    def allows(self, exception_type: str) -> bool:
        """Whether an execution that ended with this exception may be repeated."""
        if exception_type in (self.exclude_exceptions or ()):
            return False
        return self.include_exceptions is None or exception_type in self.include_exceptions


class AgentConfig(JobSection):
    """An agent with its model: by `name`, or by `import_path` as `module:Class`; neither means the oracle."""

    name: str | None = None
    import_path: str | None = None
    model_name: str | None = None
    override_timeout_sec: Seconds | None = None
    override_setup_timeout_sec: Seconds | None = None
    max_timeout_sec: Seconds | None = None
    kwargs: dict[str, Any] = {}
    env: Env = {}
    base_url: str | None = None
    n_concurrent: int | None = Field(default=None, ge=1)
    skills: list[Path] = []
    mcp_servers: list[McpServer] = []
    extra_allowed_hosts: Hosts = []

    @model_validator(mode="after")
    def _is_named_once(self) -> Self:
        if self.import_path is not None:
            module, _, name = self.import_path.partition(":")
            if not module or not name:
                raise ValueError(f"import_path {self.import_path!r} is not of the form 'module:Class'")
        return self

    @property
    def label(self) -> str:
        """The name to group by: the agent's, else its import path, else the oracle's."""
        return self.name or self.import_path or DEFAULT_AGENT


class Mount(JobSection):
    """One mount in the long form of compose files; the short form `source:target[:ro]` is read too."""

    type: Literal["bind", "volume", "image"] = "bind"
    source: str | None = None
    target: str
    read_only: bool = False
    bind: dict[str, Any] | None = None
    volume: dict[str, Any] | None = None
    image: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        if not isinstance(data, str):
            return data
        source, *rest = data.split(":")
        if len(rest) not in (1, 2) or (len(rest) == 2 and rest[1] not in ("ro", "rw")):
            raise ValueError(f"mount {data!r} is not of the form 'source:target' or 'source:target:ro'")
        kind = "bind" if source.startswith(("/", ".", "~", "$")) else "volume"
        return {"type": kind, "source": source, "target": rest[0], "read_only": rest[1:] == ["ro"]}

    @model_serializer(mode="wrap")
    def _without_nulls(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Peers take an absent option, but refuse null."""
        return {key: value for key, value in dump(self).items() if value is not None}


class EnvironmentConfig(JobSection):
    """The kind of sandbox and what the job changes in it. `env` and `kwargs` go to the sandbox."""

    legacy_keys: ClassVar[dict[str, str]] = {"mounts_json": "mounts"}

    type: Literal["docker", "modal", "host"] | None = "docker"
    import_path: str | None = None
    force_build: bool = False
    delete: bool = True
    cpu_enforcement_policy: ResourcePolicy = "auto"
    memory_enforcement_policy: ResourcePolicy = "auto"
    override_cpus: PositiveNumber | None = None
    override_memory_mb: int | None = Field(default=None, gt=0)
    override_storage_mb: int | None = Field(default=None, gt=0)
    override_gpus: int | None = Field(default=None, ge=0)
    suppress_override_warnings: bool = False
    mounts: list[Mount] | None = None
    env: Env = {}
    kwargs: dict[str, Any] = {}
    extra_allowed_hosts: Hosts = []

    @model_validator(mode="before")
    @classmethod
    def _host_by_its_class(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("import_path") == HOST_IMPORT_PATH:
            return data | {"type": "host", "import_path": None}
        return data

    @model_serializer(mode="wrap")
    def _host_for_peers(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = dump(self)
        return written | {"type": None, "import_path": HOST_IMPORT_PATH} if self.type == "host" else written

    @field_validator("mounts", mode="before")
    @classmethod
    def _mounts_as_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            try:
                return json.loads(value)
            except (ValueError, RecursionError):
                raise ValueError("mounts is a text, but not one in JSON") from None
        return value


class VerifierConfig(JobSection):
    """What the job changes in verification, and how it reads rewards (Pier Site's own keys).

    `reward_order` says which of two reward files counts; `missing_reward` whether none is an error or 0;
    `headline_reward` which key stands for a trial (None: `reward`, else the only one); `score_keys` which keys are
    scores, of which statistics are made (None: all).
    """

    override_timeout_sec: Seconds | None = None
    max_timeout_sec: Seconds | None = None
    env: Env = {}
    disable: bool = False
    extra_allowed_hosts: Hosts = []
    reward_order: Literal["txt-first", "json-first"] = "txt-first"
    missing_reward: Literal["error", "zero"] = "error"
    headline_reward: str | None = None
    score_keys: list[str] | None = None


class MetricConfig(JobSection):
    """How the rewards of a job are drawn together."""

    type: Literal["sum", "min", "max", "mean"] = "mean"
    kwargs: dict[str, Any] = {}


class _Registered(JobSection):
    """A section that Pier and Harbor also use for what lies in a registry or a git repository."""

    elsewhere: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _lies_on_disk(cls, data: Any) -> Any:
        """Peers write these keys as null or false for what lies on disk; a value asks for what isn't done here."""
        if not isinstance(data, Mapping):
            return data
        for key in cls.elsewhere:
            if data.get(key) not in (None, False):
                raise ValueError(f"{key!r} asks for a download: fetch the tasks first and give their 'path'")
        return {key: value for key, value in data.items() if key not in cls.elsewhere}


class DatasetConfig(_Registered):
    """A directory of tasks, and which of them: globs on directory names, then a seeded shuffle, then the first n."""

    elsewhere: ClassVar[tuple[str, ...]] = (
        *("name", "version", "ref", "repo", "registry", "registry_url", "registry_path"),
        *("overwrite", "download_dir"),
    )

    path: Path
    task_names: list[str] | None = None
    exclude_task_names: list[str] | None = None
    n_tasks: int | None = Field(default=None, ge=0)
    sample_seed: int | None = None


class TaskSource(_Registered):
    """One task directory; `source` is the dataset it counts to in results."""

    elsewhere: ClassVar[tuple[str, ...]] = ("name", "ref", "git_url", "git_commit_id", "overwrite", "download_dir")

    path: Path
    source: str | None = None
