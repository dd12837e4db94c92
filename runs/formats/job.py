"""Job files and what is derived from them: `JobConfig`, as written by people, and `TrialConfig`, one planned trial.

Reading, layering and dumping only; expanding a job into trials is scheduling's business.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self
from uuid import UUID

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from runs.errors import FileUnreadable, JobInvalid
from runs.formats.dumping import dump_model
from runs.formats.job_sections import (
    DEFAULT_AGENT,
    AgentConfig,
    DatasetConfig,
    EnvironmentConfig,
    JobSection,
    MetricConfig,
    Mount,
    RetryConfig,
    TaskSource,
    VerifierConfig,
)
from runs.formats.reading import JsonInvalid, parse_json, read_text
from runs.formats.task import ArtifactConfig, Artifacts
from runs.formats.validation import PositiveNumber, first_problem, unknown_keys
from runs.formats.yaml_text import YamlInvalid, parse_yaml

__all__ = [
    "DEFAULT_AGENT",
    "AgentConfig",
    "ArtifactConfig",
    "DatasetConfig",
    "EnvironmentConfig",
    "JobConfig",
    "MetricConfig",
    "Mount",
    "RetryConfig",
    "TaskSource",
    "TrialConfig",
    "VerifierConfig",
    "dump_config",
    "job_config_from",
    "load_job_config",
]

MAX_JOB_FILE_BYTES: Final = 16 * 1024 * 1024
_SUFFIXES: Final = (".yaml", ".yml", ".json")
# The keys of the table that Harbor had until early 2026, and where they went.
_ORCHESTRATOR_KEYS: Final = ("n_concurrent_trials", "quiet", "retry")


def _now_as_name() -> str:
    return datetime.now().astimezone().strftime("%Y-%m-%d__%H-%M-%S")


class _Multipliers(JobSection):
    """Factors on the time limits; a missing one falls back to `timeout_multiplier`."""

    timeout_multiplier: PositiveNumber = 1.0
    agent_timeout_multiplier: PositiveNumber | None = None
    verifier_timeout_multiplier: PositiveNumber | None = None
    agent_setup_timeout_multiplier: PositiveNumber | None = None
    environment_build_timeout_multiplier: PositiveNumber | None = None


class JobConfig(_Multipliers):
    """A whole job: which tasks, with which agents, how often and where. The default name is the local time."""

    job_name: str = Field(default_factory=_now_as_name, min_length=1)
    jobs_dir: Path = Path("jobs")
    n_attempts: int = Field(default=1, ge=1)
    install_only: bool = False
    lenient_names: bool = False
    final_state: bool = True
    debug: bool = False
    n_concurrent_trials: int = Field(default=4, ge=1)
    quiet: bool = False
    retry: RetryConfig = RetryConfig()
    environment: EnvironmentConfig = EnvironmentConfig()
    verifier: VerifierConfig = VerifierConfig()
    metrics: list[MetricConfig] = []
    agents: list[AgentConfig] = Field(default=[AgentConfig(name=DEFAULT_AGENT)], min_length=1)
    datasets: list[DatasetConfig] = []
    tasks: list[TaskSource] = []
    artifacts: Artifacts = []
    extra_instructions: list[str] = []
    extra_instruction_paths: list[Path] = []

    _warnings: tuple[str, ...] = PrivateAttr(default=())

    @field_validator("job_name")
    @classmethod
    def _name_is_a_directory_name(cls, name: str) -> str:
        if name in (".", "..") or "/" in name or not name.isprintable() or len(name.encode()) > 255:
            raise ValueError(f"{name[:60]!r} can't be the name of a directory")
        return name

    @model_validator(mode="before")
    @classmethod
    def _no_agents_means_the_default(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("agents") == []:
            return {key: value for key, value in data.items() if key != "agents"}
        return data

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the loader wants people to know: old spellings, and where relative paths were found."""
        return self._warnings

    @property
    def path(self) -> Path:
        """The job directory."""
        return self.jobs_dir / self.job_name

    def noting(self, warnings: Iterable[str]) -> Self:
        """The same job with more to tell."""
        copy = self.model_copy()
        copy._warnings = (*self._warnings, *warnings)  # noqa: SLF001 - its own class
        return copy


class TrialConfig(_Multipliers):
    """One planned trial, as its directory's config.json holds it."""

    task: TaskSource
    trial_name: str = ""
    trials_dir: Path = Path("trials")
    agent: AgentConfig = AgentConfig(name=DEFAULT_AGENT)
    environment: EnvironmentConfig = EnvironmentConfig()
    verifier: VerifierConfig = VerifierConfig()
    artifacts: Artifacts = []
    install_only: bool = False
    lenient_names: bool = False
    final_state: bool = True
    extra_instructions: list[str] = []
    extra_instruction_paths: list[Path] = []
    job_id: UUID | None = None


def load_job_config(*paths: Path) -> JobConfig:
    """The job that the files say, later ones layered over earlier ones: tables merge, lists and values replace.

    Paths of tasks, datasets, skills and instructions that exist beside their file are taken from there, others stay
    relative to the working directory. Raises `JobInvalid`, naming the file and the key.
    """
    merged: dict[str, Any] = {}
    warnings: list[str] = []
    for path in paths:
        data = _read(path)
        _refuse_unknown_keys(data, str(path))
        warnings += [
            f"{path}: {warning}" for warning in (*_hoist_orchestrator(data), *_settle_paths(data, path.parent))
        ]
        merged = _layered(merged, data)
    return job_config_from(merged, place=", ".join(map(str, paths)) or "the job").noting(warnings)


def job_config_from(data: dict[str, Any], *, place: str = "the job") -> JobConfig:
    """The job that parsed values say; `place` is only named in errors. Raises `JobInvalid`."""
    _refuse_unknown_keys(data, place)
    data = dict(data)
    warnings = _hoist_orchestrator(data)
    try:
        return JobConfig.model_validate(data).noting(warnings)
    except ValidationError as error:
        raise JobInvalid(f"{place}: {first_problem(error)}") from None
    except UnicodeEncodeError:  # pydantic's comparison with the words of a Literal trips over one
        raise JobInvalid(f"{place}: a text holds a lone surrogate") from None


def dump_config(config: JobConfig | TrialConfig) -> str:
    """The text of a config.json, in the shape of Pier's; secrets are references or `****`."""
    return dump_model(config, indent=4)


def _read(path: Path) -> dict[str, Any]:
    if path.suffix not in _SUFFIXES:
        raise JobInvalid(f"{path}: a job file ends in {', '.join(_SUFFIXES)}")
    try:
        text = read_text(path, MAX_JOB_FILE_BYTES)
        data = parse_json(text) if path.suffix == ".json" else parse_yaml(text)
    except (JsonInvalid, YamlInvalid) as error:
        raise JobInvalid(f"{path}: {error}") from None
    except FileUnreadable as error:
        raise JobInvalid(str(error)) from None
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise JobInvalid(f"{path}: a job file is a table of keys and values")
    return data


def _refuse_unknown_keys(data: dict[str, Any], place: str) -> None:
    known = {key: value for key, value in data.items() if key != "orchestrator"}
    unknown = next(unknown_keys(JobConfig, known), None)
    if unknown:
        raise JobInvalid(f"{place}: {unknown.sentence()}")


def _hoist_orchestrator(data: dict[str, Any]) -> list[str]:
    """Move the keys of the older `orchestrator` table to the top level, where keys given there win."""
    block = data.pop("orchestrator", None)
    if not isinstance(block, dict):
        return []
    for key in _ORCHESTRATOR_KEYS:
        if key in block:
            data.setdefault(key, block[key])
    lost = sorted(key for key in block if key not in (*_ORCHESTRATOR_KEYS, "type") and block[key] not in (None, {}))
    ignored = f"; {', '.join(map(str, lost))} in it is ignored" if lost else ""
    return [f"the 'orchestrator' table is out of date: its keys are read at the top level{ignored}"]


def _settle_paths(data: dict[str, Any], directory: Path) -> list[str]:
    """Point relative paths that exist beside the file there, and say so."""
    notes: list[str] = []

    def settled(value: Any) -> Any:
        if not isinstance(value, str) or "\0" in value or Path(value).is_absolute():
            return value
        beside = directory / value
        if directory == Path() or not _exists(beside):
            return value
        notes.append(f"{value!r} is read beside the file: {beside}")
        return str(beside)

    for key in ("tasks", "datasets"):
        for entry in _tables_in(data.get(key)):
            if "path" in entry:
                entry["path"] = settled(entry["path"])
    for owner, key in [
        (data, "extra_instruction_paths"),
        *((agent, "skills") for agent in _tables_in(data.get("agents"))),
    ]:
        if isinstance(owner.get(key), list):
            owner[key] = [settled(value) for value in owner[key]]
    return notes


def _tables_in(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _layered(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        merged[key] = _layered(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
