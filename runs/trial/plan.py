"""One trial as it was planned: everything that its life needs to know, and nothing that it finds out."""

import secrets
import string
from dataclasses import dataclass
from pathlib import Path

from runs.formats.job import TrialConfig

NAME_CHARACTERS = string.ascii_letters + string.digits
MAX_TASK_PART = 32


@dataclass(frozen=True, slots=True)
class Multipliers:
    """Factors of the timeouts, by phase."""

    agent: float
    verifier: float
    agent_setup: float
    environment_build: float


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """The k-th attempt (`attempt`, from 1) at a task by one agent of a job, and which try at it this is.

    `first_execution` is the one that the job's retries are counted from: what was interrupted is no failure.
    """

    config: TrialConfig
    attempt: int
    execution: int = 1
    first_execution: int = 1

    @property
    def n_tries(self) -> int:
        """How many tries this is, as the job's retry rules count."""
        return self.execution - self.first_execution + 1

    @property
    def name(self) -> str:
        return self.config.trial_name

    @property
    def job_id(self) -> str:
        return str(self.config.job_id)

    @property
    def task_path(self) -> Path:
        return self.config.task.path

    @property
    def directory(self) -> Path:
        return self.config.trials_dir / self.config.trial_name

    @property
    def multipliers(self) -> Multipliers:
        """The job's factors, each falling back to the general one."""
        config = self.config

        def factor(value: float | None) -> float:
            return config.timeout_multiplier if value is None else value

        return Multipliers(
            agent=factor(config.agent_timeout_multiplier),
            verifier=factor(config.verifier_timeout_multiplier),
            agent_setup=factor(config.agent_setup_timeout_multiplier),
            environment_build=factor(config.environment_build_timeout_multiplier),
        )


def new_trial_name(task_path: Path) -> str:
    """Pier's trial name: up to 32 characters of the task's folder name, two underscores, seven random characters."""
    task = task_path.name[:MAX_TASK_PART].rstrip("_-")
    return f"{task}__{''.join(secrets.choice(NAME_CHARACTERS) for _ in range(7))}"
