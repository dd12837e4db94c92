"""config.json of a critique run: which critics look at what, by which rubric or prompt. Pier's keys, and more. Pure."""

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from runs.formats.job import AgentConfig, EnvironmentConfig, RetryConfig

CRITIQUES_FOLDER: Final = ".critiques"


class ChecksConfig(BaseModel):
    """Whether, and within what, suggested checks are run once a critique is there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = False
    timeout_sec: float = Field(default=120.0, gt=0.0, le=3600.0, description="The most that one check may take.")
    max_per_critique: int = Field(default=10, ge=1, le=200)


class SelectionConfig(BaseModel):
    """Which trials of a job: names keep their order, the others narrow. Pier's filters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trial_names: list[str] = []
    source_agents: list[str] = []
    source_models: list[str] = []
    verdict: Literal["passing", "failing"] | None = None
    limit: int | None = Field(default=None, ge=1)
    sample_seed: int | None = None


class CritiqueRunConfig(BaseModel):
    """One critique run: critics × subjects × samples."""

    model_config = ConfigDict(extra="forbid")

    run_name: str = Field(min_length=1, max_length=200)
    subject: Literal["trial", "task", "run"] = "trial"
    source_dir: Path = Field(description="The job directory; of subject `task`, a task directory or a folder of them.")
    critiques_dir: Path = Field(description="<job directory>/.critiques, or <jobs_dir>/.critiques for tasks.")
    rubric: str | None = Field(default=None, description="NAME@VERSION; none where a prompt is given.")
    rubric_digest: str | None = None
    prompt_path: Path | None = None
    prompt: str | None = Field(default=None, description="The template's text; none where a rubric is given.")
    question: str | None = Field(default=None, description="Of a follow-up.")
    parent: str | None = Field(default=None, description="The critique that is asked about: RUN/NAME.")
    critics: list[AgentConfig] = Field(min_length=1)
    n_samples: int = Field(default=1, ge=1, le=100)
    seed: int | None = Field(default=None, description="Told to critics that take one; recorded in any case.")
    selection: SelectionConfig = SelectionConfig()
    checks: ChecksConfig = ChecksConfig()
    summarise: bool = Field(default=False, description="One critic more, over all results, once they are there.")
    environment: EnvironmentConfig = EnvironmentConfig()
    retry: RetryConfig = RetryConfig()
    n_concurrent: int = Field(default=4, ge=1)
    timeout_sec: float | None = Field(default=None, gt=0.0, description="Of one critic; none: the task's agent's.")
    timeout_multiplier: float = Field(default=1.0, gt=0.0)
    agent_timeout_multiplier: float | None = Field(default=None, gt=0.0)
    agent_setup_timeout_multiplier: float | None = Field(default=None, gt=0.0)
    environment_build_timeout_multiplier: float | None = Field(default=None, gt=0.0)
    overwrite: bool = False
    quiet: bool = False

    @property
    def path(self) -> Path:
        """The run's directory."""
        return self.critiques_dir / self.run_name
