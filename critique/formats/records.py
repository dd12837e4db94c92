"""The files of a critique run that are not a trial's: Pier's, under its names and with its keys, and critique.json.

Reading is strict, for what this project writes; what pier wrote is read by `critique.indexing`, leniently. Pure.
"""

from pathlib import Path
from typing import Any, Final, Literal
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError, computed_field

from critique.formats.config import CritiqueRunConfig
from critique.formats.contract import EXTRA_FOLDER, MARKDOWN_FILE, RESULT_FILE
from runs.errors import FileUnreadable
from runs.formats.dumping import dump_model
from runs.formats.job import AgentConfig
from runs.formats.reading import read_json
from runs.formats.result import AgentContext, AgentInfo, ExceptionInfo, JobResult, TaskId, Timing, UtcDatetime
from runs.formats.validation import first_problem
from runs.sandboxes.base import ARTIFACTS

RUN_CONFIG: Final = "config.json"
# The rubric's text, or the prompt's template: what `prompt_path` of Pier's keys names.
PROMPT_FILE: Final = "prompt.md"
ITEM_CONFIG: Final = "critique-config.json"
METADATA: Final = "critique-metadata.json"
LOG: Final = "critique.log"
RECORD: Final = "critique.json"
MANIFEST: Final = "manifest.json"
# The TaskStep by which the second stage of a critic goes, in which it corrects its output.
REPAIR: Final = "repair"
MAX_RECORD_BYTES: Final = 16 * 1024 * 1024


class _Document(BaseModel):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class CritiqueRecord(_Document):
    """critique.json: which critic looked at what, what it was given, and what came of it.

    `critic` counts from 1 in the order of the run's critics. `problems` are those of the contract that the first
    output had; `partial` is what could be read of an output that stayed invalid. `digests` are `critique.digests`'.
    """

    schema_version: Literal[1] = 1
    run_name: str
    name: str
    subject: Literal["trial", "task", "run"] = "trial"
    source_dir: Path
    source_name: str
    critic: int = Field(default=1, ge=1)
    critic_label: str = ""
    sample: int = Field(default=1, ge=1)
    seed: int | None = None
    rubric: str | None = None
    parent: str | None = None
    question: str | None = None
    outcome: Literal["valid", "repaired", "invalid", "failed"]
    failure: str = ""
    problems: list[str] = []
    partial: dict[str, Any] | None = None
    notes: list[str] = []
    digests: dict[str, Any] = {}

    @property
    def is_valid(self) -> bool:
        """Whether there is a result that keeps the contract."""
        return self.outcome in ("valid", "repaired")


class RunConfigFile(CritiqueRunConfig):
    """config.json of a run: its own keys, and the ones that Pier's model has for them."""

    model_config = ConfigDict(extra="ignore")

    critic_index: int = Field(default=0, exclude=True)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def source_job_dir(self) -> Path:
        """The directory that is looked at."""
        return self.source_dir

    @computed_field  # type: ignore[prop-decorator]
    @property
    def agent(self) -> AgentConfig:
        """The one critic that Pier's runs have."""
        return self.critics[self.critic_index]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def trial_names(self) -> list[str] | None:
        return self.selection.trial_names or None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def limit(self) -> int | None:
        return self.selection.limit

    @computed_field  # type: ignore[prop-decorator]
    @property
    def sample_seed(self) -> int | None:
        return self.selection.sample_seed

    @computed_field  # type: ignore[prop-decorator]
    @property
    def filter_passing(self) -> bool | None:
        return None if self.selection.verdict is None else self.selection.verdict == "passing"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def source_agent_names(self) -> list[str] | None:
        return self.selection.source_agents or None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def source_model_names(self) -> list[str] | None:
        return self.selection.source_models or None


def config_file(config: CritiqueRunConfig, *, critic: int = 1) -> RunConfigFile:
    """The run's configuration as files have it; of Pier's keys, `agent` is the critic of this number."""
    said = dict(config)
    return RunConfigFile.model_construct(
        **{**said, "prompt_path": config.prompt_path or config.path / PROMPT_FILE, "critic_index": critic - 1}
    )


def read_run_config(path: Path) -> CritiqueRunConfig:
    """The configuration of a run that was begun here. Raises FileUnreadable."""
    data = read_json(path, within=path.parent)
    try:
        known = {key: value for key, value in dict(data).items() if key in CritiqueRunConfig.model_fields}
        config = CritiqueRunConfig.model_validate(known)
    except (ValidationError, TypeError, ValueError) as error:
        told = first_problem(error) if isinstance(error, ValidationError) else "is no object"
        raise FileUnreadable(path, f"is not the configuration of a critique run of Pier Site ({told})") from None
    return config.model_copy(update={"prompt_path": None}) if config.rubric else config


class CritiqueMetadata(_Document):
    """critique-metadata.json: Pier's short form of a critique's result.json."""

    id: UUID = Field(default_factory=uuid4)
    source_trial_name: str
    critique_trial_name: str
    task_name: str
    task_id: TaskId
    task_checksum: str
    source_trial_uri: str
    critique_trial_uri: str
    agent_info: AgentInfo | None = None
    agent_result: AgentContext | None = None
    exception_info: ExceptionInfo | None = None
    started_at: UtcDatetime | None = None
    finished_at: UtcDatetime | None = None
    environment_setup: Timing | None = None
    agent_setup: Timing | None = None
    agent_execution: Timing | None = None


class CritiqueRunResult(JobResult):
    """result.json of a run: a job's, with Pier's keys of a critique run beside it."""

    run_name: str
    source_job_dir: Path
    critique_dir: Path
    config: RunConfigFile
    failed_items: list[str] = []
    n_items: int = 0
    n_failed: int = 0


class ManifestEntry(_Document):
    """One line of artifacts/manifest.json."""

    source: str
    destination: str
    type: Literal["file", "directory"]
    status: Literal["ok", "missing", "empty"]
    service: str = "main"


def manifest_of(artifacts: Path) -> list[ManifestEntry]:
    """Pier's three lines on what a critic left in its folder of artifacts."""
    lines = [
        ManifestEntry(
            source=f"{ARTIFACTS}/{name}",
            destination=f"artifacts/{name}",
            type="file",
            status="ok" if _is_file(artifacts / name) else "missing",
        )
        for name in (RESULT_FILE, MARKDOWN_FILE)
    ]
    folder = artifacts / EXTRA_FOLDER
    there = folder.is_dir() and not folder.is_symlink()
    status: Literal["ok", "missing", "empty"] = "missing" if not there else "ok" if any(folder.iterdir()) else "empty"
    extra = ManifestEntry(
        source=f"{ARTIFACTS}/{EXTRA_FOLDER}", destination=f"artifacts/{EXTRA_FOLDER}", type="directory", status=status
    )
    return [*lines, extra]


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def dump_record(document: BaseModel) -> str:
    """The text of one of these files; secrets are references or `****`."""
    return dump_model(document, indent=4)


def read_record(path: Path) -> CritiqueRecord:
    """A critique.json. Raises FileUnreadable."""
    data = read_json(path, max_bytes=MAX_RECORD_BYTES, lenient=True, within=path.parent)
    try:
        return CritiqueRecord.model_validate(data)
    except ValidationError as error:
        raise FileUnreadable(path, f"is not a critique's record ({first_problem(error)})") from None
