"""`pierjob regrade`: a new job whose trials are finished ones, judged again by the tests of today. No agent runs.

Sources are found by their files, so that jobs that are not in the database can be regraded too; they are only read.
"""

import asyncio
import shutil
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from pier_site.accounts.models import Project
from runs.errors import FileUnreadable, InputInvalid, PierError
from runs.formats.job import AgentConfig, JobConfig, RetryConfig, TaskSource, TrialConfig, job_config_from
from runs.formats.reading import read_json
from runs.formats.result import REGRADED_FROM, TrialResult
from runs.formats.reward import headline
from runs.indexing.scan import Kind, kind_of, trials_in
from runs.jobs.naming import find_job_or_trial
from runs.models import Job
from runs.scheduling.holding import held
from runs.scheduling.job_directory import JobDirectory, claim_directory
from runs.scheduling.local import Announce, JobRun
from runs.scheduling.locking import write_job_lock
from runs.scheduling.rows import create_rows
from runs.trial.live import OpenIndex
from runs.trial.plan import TrialPlan, new_trial_name
from runs.trial.record import OnPhase
from runs.trial.regrade import run_regrade
from runs.trial.regrade_source import Source, TaskOf, read_source
from runs.trial.sandbox import sandbox_opener

MAX_NAME_CHARS = 200


@dataclass(frozen=True, slots=True)
class Refusal:
    """A trial that cannot be judged again, and why."""

    trial: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Regrade:
    """What is to be judged again. `config` is the new job, whose trials are the sources in this order."""

    config: JobConfig
    sources: Sequence[Source]
    refused: Sequence[Refusal]
    origins: Sequence[str]


@dataclass(frozen=True, slots=True)
class Wishes:
    """Where the new job goes, how it is named (default: after the first source), how many trials at once."""

    jobs_dir: Path = Path("jobs")
    job_name: str | None = None
    n_concurrent: int = 4
    tasks: Path | None = None
    quiet: bool = False


@dataclass(slots=True)
class Change:
    """A trial's reward then and now, by its headline."""

    trial: str
    regraded: str
    before: float | None
    after: float | None
    exception: str = ""

    @property
    def has_changed(self) -> bool:
        """Whether the verdict is another one; where there is none, that is not known."""
        return not self.exception and self.before != self.after


@dataclass(slots=True)
class Outcome:
    """A regrade that was run."""

    run: JobRun
    changes: list[Change] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether every trial was judged to the end."""
        return not self.run.was_cancelled and not any(change.exception for change in self.changes)


def plan_regrade(names: Sequence[str], wishes: Wishes) -> Regrade:
    """Look at jobs and trials, given by name or directory. Raises InputInvalid where none of them can be regraded."""
    folders = list(dict.fromkeys(folder for name in names for folder in _trials_of(name)))
    sources: list[Source] = []
    refused: list[Refusal] = []
    task_of = TaskOf(wishes.tasks)
    for folder in folders:
        try:
            sources.append(read_source(folder, task_of))
        except (PierError, OSError) as error:
            refused.append(Refusal(folder, str(error)))
    if not sources:
        told = "; ".join(f"{one.trial.name}: {one.reason}" for one in refused[:3])
        raise InputInvalid(f"no trial can be regraded: {told or 'there is none'}")
    origins = list(dict.fromkeys(source.directory.root.parent.name for source in sources))
    return Regrade(_config(sources, wishes, origins), sources, refused, origins)


def _trials_of(name: str) -> list[Path]:
    """The trial directories that a name or a directory means."""
    path = Path(name.replace("\0", "")).expanduser()
    if not path.is_dir():
        found = find_job_or_trial(name)
        path = Path(found.directory) if isinstance(found, Job) else Path(found.job.directory, found.name)
    kind = kind_of(path)
    if kind is Kind.TRIAL:
        return [path.resolve()]
    if kind is not Kind.JOB:
        raise InputInvalid(f"{path} is neither a job directory nor that of a trial")
    return trials_in(path.resolve())


def _config(sources: Sequence[Source], wishes: Wishes, origins: Sequence[str]) -> JobConfig:
    """The new job's settings: what the trials have in common. Raises InputInvalid where that is too little."""
    first = sources[0].config
    for source in sources:
        name = source.directory.root.name
        if source.config.environment != first.environment:
            raise InputInvalid(f"{name} ran in another kind of sandbox than the first trial: regrade them apart")
        if source.config.verifier != first.verifier:
            raise InputInvalid(f"{name} has other settings of the verifier than the first trial: regrade them apart")
    base = _job_of(sources[0])
    tasks = {
        source.task.path: TaskSource(path=source.task.path, source=source.config.task.source) for source in sources
    }
    agents = list({source.config.agent.model_dump_json(): source.config.agent for source in sources}.values())
    return JobConfig(
        job_name=wishes.job_name or f"{origins[0][:MAX_NAME_CHARS]}__regrade",
        jobs_dir=wishes.jobs_dir,
        n_concurrent_trials=wishes.n_concurrent,
        n_attempts=base.n_attempts,
        lenient_names=first.lenient_names,
        quiet=wishes.quiet,
        retry=RetryConfig(),
        environment=first.environment,
        verifier=first.verifier.model_copy(update={"disable": False}),
        metrics=base.metrics,
        agents=agents,
        tasks=list(tasks.values()),
        timeout_multiplier=first.timeout_multiplier,
        verifier_timeout_multiplier=first.verifier_timeout_multiplier,
        environment_build_timeout_multiplier=first.environment_build_timeout_multiplier,
    )


def _job_of(source: Source) -> JobConfig:
    """The job that the trial belongs to, as far as its file can be read."""
    job = source.directory.root.parent
    try:
        data = read_json(job / "config.json", lenient=True, within=job)
        return job_config_from(data) if isinstance(data, dict) else JobConfig()
    except (FileUnreadable, InputInvalid):
        return JobConfig()


def without_agents(config: JobConfig) -> JobConfig:
    """The job as far as it asks for variables of this machine: no agent runs, so none of theirs is needed."""
    return config.model_copy(update={"agents": [AgentConfig(name="nop")]})


def run_regrade_job(wanted: Regrade, project: Project, announce: Announce) -> Outcome:
    """Judge all of them and write the new job's directory and rows. Raises InputInvalid, with nothing written."""
    open_sandbox, close = sandbox_opener(wanted.config.environment)
    try:
        config, job_id = claim_directory(wanted.config), uuid4()
        names = [new_trial_name(source.task.path) for source in wanted.sources]
        plans = [
            TrialPlan(_trial_config(source, config, name).model_copy(update={"job_id": job_id}), attempt)
            for name, (source, attempt) in zip(names, _numbered(wanted.sources), strict=True)
        ]
        job: Job | None = None
        try:
            job, trial_ids = create_rows(project, config, job_id, plans)
            files = JobDirectory(config, job_id, len(plans))
            files.result.pier_site[REGRADED_FROM] = ", ".join(wanted.origins)
            files.write(is_last=True)
            write_job_lock(config, plans)
            for refusal in wanted.refused:
                files.log(f"not regraded: {refusal.trial}: {refusal.reason}")
        except BaseException:
            shutil.rmtree(config.path, ignore_errors=True)
            if job:
                job.delete()
            raise
        with held(config.path):
            run = RegradeRun(job, config, files, plans, trial_ids, open_sandbox, announce(config, plans))
            run.sources = dict(zip(names, wanted.sources, strict=True))
            asyncio.run(run.run(config.n_concurrent_trials))
    finally:
        close()
    return Outcome(run, [_change(run.sources[result.trial_name], result, config) for result in run.results])


class RegradeRun(JobRun):
    """A job under way whose trials have a source instead of an agent."""

    sources: dict[str, Source]

    def life_of(self, plan: TrialPlan, on_phase: OnPhase, open_index: OpenIndex) -> Coroutine[Any, Any, TrialResult]:
        """Judge the trial's source."""
        return run_regrade(plan, self.sources[plan.name], self.open_sandbox, on_phase)


def _trial_config(source: Source, job: JobConfig, name: str) -> TrialConfig:
    task = TaskSource(path=source.task.path, source=source.config.task.source)
    changes = {
        "task": task,
        "trial_name": name,
        "trials_dir": job.path,
        "verifier": job.verifier,
        "install_only": False,
    }
    return source.config.model_copy(update=changes)


def _numbered(sources: Sequence[Source]) -> Iterator[tuple[Source, int]]:
    """With the attempt that each was; several jobs' attempts at one task by one agent are counted on."""
    taken: set[tuple[Path, str, int]] = set()
    for source in sources:
        attempt = max(1, source.result.attempt or 1)
        while (key := (source.task.path, source.config.agent.model_dump_json(), attempt)) in taken:
            attempt += 1
        taken.add(key)
        yield source, attempt


def _change(source: Source, result: TrialResult, config: JobConfig) -> Change:
    key = config.verifier.headline_reward
    # An exception that stands for the agent's end was there before.
    is_new = result.exception_info and result.exception_info != source.agent_exception
    return Change(
        trial=source.directory.root.name,
        regraded=result.trial_name,
        before=headline(source.result.rewards, key),
        after=headline(result.rewards, key),
        exception=result.exception_info.exception_type if is_new and result.exception_info else "",
    )


def lines_of(outcome: Outcome, wanted: Regrade) -> Iterator[str]:
    """One line for each trial whose reward changed or that failed, then the sums."""
    for change in outcome.changes:
        if change.has_changed or change.exception:
            failed = f", {change.exception}" if change.exception else ""
            yield f"{change.trial}: {_told(change.before)} → {_told(change.after)}{failed} ({change.regraded})"
    n_failed = sum(bool(change.exception) for change in outcome.changes)
    n_changed = sum(change.has_changed for change in outcome.changes)
    failed = f", {n_failed} without a verdict" if n_failed else ""
    n_regraded = len(outcome.changes) - n_failed
    yield f"{n_regraded} regraded, {n_changed} with another reward{failed}, {len(wanted.refused)} not regraded"


def _told(reward: float | None) -> str:
    return "no reward" if reward is None else f"{reward:g}"
