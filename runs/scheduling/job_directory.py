"""The job's own files: its directory with a free name, config.json, result.json as trials end, job.log."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from runs.errors import InputInvalid
from runs.files import write_atomically
from runs.formats.job import JobConfig, dump_config
from runs.formats.result import JobResult, JobStats, TrialResult, dump_json, job_stats
from runs.formats.reward import headline
from runs.statistics.pass_at_k import mean_pass_at_k
from runs.trial.record import now
from runs.version import VERSION

# result.json of a job is for readers of files; while trials end in quick succession it is not written for each.
WRITE_INTERVAL_SEC = 1.0


def claim_directory(config: JobConfig) -> JobConfig:
    """Make the job's directory and return the job under the name it got: a name that is taken gets the time appended.

    Raises InputInvalid where no directory can be made.
    """
    try:
        config.jobs_dir.mkdir(parents=True, exist_ok=True)
        for name in (config.job_name, f"{config.job_name}__{datetime.now().astimezone():%Y-%m-%d__%H-%M-%S-%f}"):
            try:
                (config.jobs_dir / name).mkdir()
            except FileExistsError:
                continue
            return config.model_copy(update={"job_name": name, "jobs_dir": config.jobs_dir.resolve()})
    except OSError as error:
        raise InputInvalid(f"{config.path}: the job directory cannot be made ({error.strerror})") from error
    raise InputInvalid(f"{config.path}: a job of this name was started at this very moment")


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a job that goes on has already: its start, the results that stay, how often trials were tried again."""

    started_at: datetime | None = None
    results: Sequence[TrialResult] = ()
    n_retries: int = 0


FRESH: Final = Earlier()


class JobDirectory:
    """Writes the job's files while its trials run."""

    def __init__(self, config: JobConfig, job_id: UUID, n_trials: int, earlier: Earlier = FRESH) -> None:
        self.path: Path = config.path
        self.result = JobResult(
            id=job_id,
            started_at=earlier.started_at or now(),
            updated_at=now(),
            n_total_trials=n_trials,
            pier_site={"version": VERSION},
        )
        self._config = config
        self._results: list[TrialResult] = [_without_config(result) for result in earlier.results]
        self._n_earlier_retries = earlier.n_retries
        self._written = 0.0
        if earlier is FRESH:
            write_atomically(self.path / "config.json", dump_config(config))
        self.write()

    def add(self, result: TrialResult) -> None:
        """Take a trial's result into the statistics; its configuration, the bulk of it, is not kept."""
        self._results.append(_without_config(result))
        outcome = f"rewards {result.rewards}" if result.rewards else "no reward"
        failure = f", {result.exception_info.exception_type}" if result.exception_info else ""
        self.log(f"{result.trial_name}: {outcome}{failure}")

    def log(self, message: str) -> None:
        """Add a line to job.log."""
        with (self.path / "job.log").open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"{now():%Y-%m-%dT%H:%M:%SZ} {message}\n")

    def write(self, *, n_running: int = 0, n_retries: int = 0, finished: bool = False, is_last: bool = False) -> None:
        """Write result.json; skipped when it was written a moment ago, except for the last time."""
        if not is_last and time.monotonic() - self._written < WRITE_INTERVAL_SEC:
            return
        self._written = time.monotonic()
        result = self.result
        result.updated_at = now()
        if finished:
            result.finished_at = result.updated_at
        result.stats = self.stats(n_running=n_running, n_retries=n_retries)
        if finished:
            for key, stats in result.stats.evals.items():
                stats.pass_at_k = mean_pass_at_k(self._attempts(key))
        write_atomically(self.path / "result.json", dump_json(result))

    def stats(self, *, n_running: int, n_retries: int) -> JobStats:
        """The figures of result.json as of now."""
        return job_stats(
            self._scored,
            metrics=self._config.metrics,
            n_running=n_running,
            n_retries=self._n_earlier_retries + n_retries,
            n_pending=self.result.n_total_trials - len(self._results) - n_running,
        )

    @property
    def _scored(self) -> list[TrialResult]:
        """The results with those rewards only that the job calls scores."""
        keys = self._config.verifier.score_keys
        return self._results if keys is None else [_with_rewards(result, keys) for result in self._results]

    def _attempts(self, eval_key: str) -> dict[str, list[float]]:
        """Headline rewards by task, of one agent, model and dataset; a missing reward is a failure, as in Pier."""
        attempts: dict[str, list[float]] = defaultdict(list)
        for result in self._results:
            if result.eval_key == eval_key:
                attempts[result.task_name].append(
                    headline(result.rewards, self._config.verifier.headline_reward) or 0.0
                )
        return attempts

    @property
    def is_complete(self) -> bool:
        """Whether every trial has a result."""
        return len(self._results) >= self.result.n_total_trials

    @property
    def results(self) -> Sequence[TrialResult]:
        """The results so far, without their configurations."""
        return self._results


def _without_config(result: TrialResult) -> TrialResult:
    return result.model_copy(update={"config": {}})


def _with_rewards(result: TrialResult, keys: Sequence[str]) -> TrialResult:
    if result.verifier_result is None or result.rewards is None:
        return result
    kept = {key: value for key, value in result.rewards.items() if key in keys}
    return result.model_copy(
        update={"verifier_result": result.verifier_result.model_copy(update={"rewards": kept or None})}
    )
