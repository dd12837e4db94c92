"""The directory of a critique run: its own files, in Pier's shape beside ours, and making room for a run begun anew."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from django.db import transaction

from critique.formats.config import CritiqueRunConfig
from critique.formats.records import PROMPT_FILE, RUN_CONFIG, CritiqueRunResult, config_file, dump_record
from critique.models import CritiqueRun
from critique.running.planning import Plan, job_config_of
from critique.running.selection import Refusal
from runs.errors import InputInvalid
from runs.files import write_atomically
from runs.formats.result import JobStats, TrialResult
from runs.indexing.job import directory_of
from runs.models import Job, Trial
from runs.scheduling.job_directory import Earlier, JobDirectory


class RunDirectory(JobDirectory):
    """Writes the run's files while its critics work."""

    def __init__(
        self, config: CritiqueRunConfig, run_id: UUID, n_critiques: int, refused: Sequence[Refusal], earlier: Earlier
    ) -> None:
        super().__init__(job_config_of(config), run_id, n_critiques, earlier)
        failed = [f"{refusal.name}: {refusal.reason}" for refusal in refused]
        self.run_result = CritiqueRunResult(
            **dict(self.result),
            run_name=config.run_name,
            source_job_dir=config.source_dir,
            critique_dir=config.path,
            config=config_file(config),
            failed_items=failed,
        )
        self.result = self.run_result
        self._count()
        self.write(is_last=True)

    def add(self, result: TrialResult) -> None:
        """Take a critic's result into the statistics."""
        super().add(result)
        self._count()

    def stats(self, *, n_running: int, n_retries: int) -> JobStats:
        """Those of a job without rewards: critics have none."""
        return super().stats(n_running=n_running, n_retries=n_retries).model_copy(update={"evals": {}})

    def _count(self) -> None:
        n_refused = len(self.run_result.failed_items)
        self.run_result.n_items = len(self.results) + n_refused
        self.run_result.n_failed = sum(result.exception_info is not None for result in self.results) + n_refused


def write_settings(plan: Plan) -> None:
    """Write config.json, and the text that critics go by: the rubric's, or the prompt's template."""
    config = plan.config
    text = plan.rubric.text if plan.rubric else config.prompt or ""
    write_atomically(config.path / PROMPT_FILE, text)
    write_atomically(config.path / RUN_CONFIG, dump_record(config_file(config)))


def make_directory(directory: Path) -> None:
    """Make the run's directory where there is none. Raises InputInvalid."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputInvalid(f"{directory}: the run's directory cannot be made ({error.strerror})") from error


def move_aside(directory: Path) -> Path:
    """Give the run of a directory another name, in files and rows, so that one can be begun anew; nothing is lost.

    Raises InputInvalid while somebody runs it.
    """
    known = directory_of(directory)
    if Trial.objects.live().filter(job__directory=known).exists():
        raise InputInvalid(f"{directory}: it is being run: cancel it first, or wait for its end")
    target = directory.with_name(f"{directory.name}__until-{datetime.now(UTC):%Y-%m-%d__%H-%M-%S-%f}")
    with transaction.atomic():
        rows = {"directory": str(Path(known).with_name(target.name)), "name": target.name[:255]}
        Job.objects.filter(directory=known).update(**rows)
        CritiqueRun.objects.filter(directory=known).update(**rows)
        directory.rename(target)
    return target
