"""A job as its directory has it: what was asked for, which trials it has, and how far each of them is.

What was planned is in lock.json, so that a dataset that has grown since changes nothing. A directory without the names
of trials in its lock (of pier or harbor, or of a runner that died at its very start) is expanded again, and its trials
find their places by task and agent.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from runs.agents.registry import create_agent
from runs.errors import FileUnreadable, InputInvalid, JobInvalid
from runs.formats.job import AgentConfig, JobConfig, RetryConfig, TaskSource, job_config_from
from runs.formats.lock import JobLock, TrialLock, read_lock
from runs.formats.reading import read_json
from runs.formats.result import REGRADED_FROM, TrialResult
from runs.formats.template import MASK
from runs.indexing.scan import purpose_of, trials_in
from runs.indexing.values import Json, count, mapping, moment, text
from runs.models import Purpose
from runs.scheduling.expand import expand, planned, refuse_unsupported
from runs.scheduling.history import History, has_failed, history_of
from runs.scheduling.retries import wants_retry
from runs.trial.plan import MAX_TASK_PART, TrialPlan


@dataclass(frozen=True, slots=True)
class SavedTrial:
    """One trial of the job. `plan` is that of its next execution; `lock` what it was made of, if that is known."""

    plan: TrialPlan
    history: History
    lock: TrialLock | None
    will_be_retried: bool
    """Whether the job's own rules would have tried it again, had it not been stopped between two executions."""

    @property
    def result(self) -> TrialResult | None:
        """Its final result; None for a trial that has not ended."""
        return None if self.will_be_retried else self.history.result

    def again(self) -> "SavedTrial":
        """The same, measured afresh: retries are counted from its next execution."""
        return replace(self, plan=replace(self.plan, first_execution=self.plan.execution))


@dataclass(frozen=True, slots=True)
class SavedJob:
    """A job directory, read. `lock` is None where lock.json does not name the trials."""

    directory: Path
    config: JobConfig
    job_id: UUID
    started_at: datetime | None
    is_finished: bool
    n_retries: int
    lock: JobLock | None
    trials: Sequence[SavedTrial]


def read_saved(directory: Path) -> SavedJob:
    """Read a job directory; nothing is written. Raises InputInvalid when it cannot be run on, with the reason."""
    directory = directory.resolve()
    if purpose_of(directory) is Purpose.CRITIQUE:
        raise InputInvalid(
            f"{directory}: its trials are critiques: `piercritique` with the same settings goes on with them"
        )
    config = _config(directory)
    result = _result(directory)
    if origin := text(mapping(result.get("pier_site")).get(REGRADED_FROM), 255):
        raise InputInvalid(f"{directory}: its trials were regraded, and no agent ran in them: regrade {origin} again")
    job_id = _uuid(result.get("id"))
    lock = read_lock(directory, JobLock)
    names_trials = lock is not None and bool(lock.trials) and all(one.pier_site.trial_name for one in lock.trials)
    found = _from_lock if lock and names_trials else _from_folders
    entries = list(found(config, lock or JobLock(), directory, job_id))
    return SavedJob(
        directory=directory,
        config=config,
        job_id=job_id,
        started_at=moment(result.get("started_at")),
        is_finished=moment(result.get("finished_at")) is not None,
        n_retries=count(mapping(result.get("stats")).get("n_retries")) or 0,
        lock=lock if names_trials else None,
        trials=[_saved(plan, entry, config.retry) for plan, entry in entries],
    )


def _saved(plan: TrialPlan, lock: TrialLock | None, retry: RetryConfig) -> SavedTrial:
    history = history_of(plan.directory)
    result = history.result
    # Only Pier Site notes which execution a result is of; of others' nothing is known about tries before it.
    stopped = has_failed(result) and result is not None and result.execution is not None
    retried = stopped and result is not None and wants_retry(result, retry, execution=history.n_failed)
    again = replace(
        plan, execution=history.next_execution, first_execution=max(1, history.next_execution - history.n_failed)
    )
    return SavedTrial(again, history, lock, retried)


def _config(directory: Path) -> JobConfig:
    path = directory / "config.json"
    if not path.exists():
        raise InputInvalid(f"{directory}: there is no config.json, so nothing was begun: run the job anew")
    data = read_json(path, lenient=True, within=directory)
    if not isinstance(data, dict):
        raise FileUnreadable(path, "is not a job's configuration")
    masked = list(_fill_masked(data))
    if masked:
        raise JobInvalid(
            f"{path}: secrets are not kept, and of {', '.join(masked)} only {MASK} is left: set variables of these "
            "names, here or with --env-file, or put ${NAME} there"
        )
    config = job_config_from(data, place=str(path))
    refuse_unsupported(config)
    for agent in config.agents:
        create_agent(agent)
    return config.model_copy(update={"job_name": directory.name, "jobs_dir": directory.parent})


def _fill_masked(value: Any, place: str = "") -> Iterator[str]:
    """Put references to variables of their names where secrets were masked; yields the places that stay masked."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        where = f"{place}.{key}" if place else str(key)
        if not isinstance(item, str):
            yield from _fill_masked(item, where)
        elif MASK in item and key in os.environ and place.rpartition(".")[2] == "env":
            value[key] = f"${{{key}}}"
        elif MASK in item:
            yield where


def _result(directory: Path) -> Json:
    try:
        return mapping(read_json(directory / "result.json", lenient=True, within=directory))
    except FileUnreadable:
        return {}


def _uuid(value: object) -> UUID:
    try:
        return UUID(text(value, 64))
    except ValueError:
        return uuid4()


def _from_lock(
    config: JobConfig, lock: JobLock, directory: Path, job_id: UUID
) -> Iterator[tuple[TrialPlan, TrialLock | None]]:
    """Of one attempt at a task, the agents come in the order of the job's."""
    n_seen: Counter[tuple[str | None, int | None]] = Counter()
    names: set[str] = set()
    for entry in lock.with_contents():
        notes = entry.pier_site
        name, attempt = notes.trial_name, notes.attempt or 1
        if name in (".", "..") or "/" in name or "\0" in name or name in names:
            raise InputInvalid(f"{directory}/lock.json: {name[:60]!r} cannot be the name of a trial")
        names.add(name)
        agent = config.agents[n_seen[entry.task.path, attempt] % len(config.agents)]
        n_seen[entry.task.path, attempt] += 1
        task = TaskSource(path=Path(entry.task.path or entry.task.name), source=entry.task.source)
        yield planned(config, task, agent, attempt, directory=directory / name, job_id=job_id), entry


def _from_folders(
    config: JobConfig, lock: JobLock, directory: Path, job_id: UUID
) -> Iterator[tuple[TrialPlan, TrialLock | None]]:
    plans = expand(config, directory, job_id)
    digests = {entry.task.path: entry.task for entry in lock.trials}
    for folder in trials_in(directory):
        said = mapping(_config_of_trial(folder))
        place = next((n for n, plan in enumerate(plans) if _is_of(plan, folder, said, directory)), None)
        if place is None:
            raise InputInvalid(f"{folder}: config.json of its job asks for no such trial: move the folder away")
        plans[place] = _named(plans[place], folder.name)
    for plan in plans:
        task = digests.get(str(plan.task_path))
        yield plan, TrialLock(task=task) if task else None


def _is_of(plan: TrialPlan, folder: Path, said: Json, directory: Path) -> bool:
    """Whether the folder can be that of this plan, which no other folder has yet."""
    if (directory / plan.name).exists():
        return False
    path = text(mapping(said.get("task")).get("path"), 4096)
    if not path:
        return folder.name.rpartition("__")[0] == plan.task_path.name[:MAX_TASK_PART].rstrip("_-")
    agent = mapping(said.get("agent"))
    keys = ("name", "import_path", "model_name")
    return Path(path).resolve() == plan.task_path and all(
        agent.get(key) == _value(plan.config.agent, key) for key in keys
    )


def _value(agent: AgentConfig, key: str) -> object:
    return getattr(agent, key)


def _config_of_trial(folder: Path) -> Any:
    try:
        return read_json(folder / "config.json", lenient=True, within=folder)
    except FileUnreadable:
        return None


def _named(plan: TrialPlan, name: str) -> TrialPlan:
    return replace(plan, config=plan.config.model_copy(update={"trial_name": name}))
