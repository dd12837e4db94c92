"""A job configuration expanded into trials: which tasks, by which agents, how often, in Pier's order."""

import random
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from uuid import UUID

from runs.agents.registry import create_agent
from runs.errors import InputInvalid, JobInvalid, TaskInvalid
from runs.formats.job import AgentConfig, DatasetConfig, JobConfig, TaskSource, TrialConfig
from runs.formats.task_directory import find_tasks, is_task_directory, load_task
from runs.trial.plan import TrialPlan, new_trial_name

EXAMPLES_SHOWN = 5
UNSUPPORTED_OF_AGENT = ("base_url", "n_concurrent")


def expand(config: JobConfig, job_directory: Path, job_id: UUID, *, check_agents: bool = True) -> list[TrialPlan]:
    """All trials of a job: for each attempt, for each task, for each agent (innermost), explicit tasks first.

    A task that cannot be loaded is planned too, and becomes a failed trial, unless nothing at all can be loaded. Raises
    InputInvalid for missing paths, empty selections and agents that don't exist.
    """
    if check_agents:
        for agent in config.agents:
            create_agent(agent)
    tasks = [*_explicit(config), *(task for dataset in config.datasets for task in select_tasks(dataset))]
    if not tasks:
        raise JobInvalid("the job names no task: give -p TASK_OR_DATASET, or tasks or datasets in the job file")
    _refuse_if_none_loads(tasks, config)
    return [
        planned(config, task, agent, attempt, directory=job_directory / new_trial_name(task.path), job_id=job_id)
        for attempt in range(1, config.n_attempts + 1)
        for task in tasks
        for agent in config.agents
    ]


def planned(
    config: JobConfig, task: TaskSource, agent: AgentConfig, attempt: int, *, directory: Path, job_id: UUID
) -> TrialPlan:
    """The plan of one trial of a job; `directory` is the trial's own."""
    shared = {name: getattr(config, name) for name in TrialConfig.model_fields if name in JobConfig.model_fields}
    trial = TrialConfig(
        **shared, task=task, trial_name=directory.name, trials_dir=directory.parent, agent=agent, job_id=job_id
    )
    return TrialPlan(trial, attempt)


def source_of(path: Path) -> tuple[list[TaskSource], list[DatasetConfig]]:
    """What `-p PATH` means: one task, or else a folder of tasks."""
    if not path.exists():
        raise InputInvalid(f"{path}: there is no such file or directory")
    if is_task_directory(path):
        return [TaskSource(path=path)], []
    return [], [DatasetConfig(path=path)]


def select_tasks(dataset: DatasetConfig) -> list[TaskSource]:
    """The tasks of a dataset: sorted, filtered by the name patterns, shuffled if there is a seed, cut to `n_tasks`.

    Sorting first makes the same seed give the same subset on every file system, and the same one as Harbor's.
    """
    directory = dataset.path.resolve()
    paths = find_tasks(directory)
    if dataset.task_names:
        names = [path.name for path in paths]
        paths = [path for path in paths if any(fnmatch(path.name, pattern) for pattern in dataset.task_names)]
        if not paths:
            raise InputInvalid(
                f"no task of {dataset.path} matches {', '.join(dataset.task_names)}; "
                f"there are {', '.join(names[:EXAMPLES_SHOWN])}{'…' if len(names) > EXAMPLES_SHOWN else ''}"
            )
    for pattern in dataset.exclude_task_names or ():
        paths = [path for path in paths if not fnmatch(path.name, pattern)]
    if dataset.sample_seed is not None:
        random.Random(dataset.sample_seed).shuffle(paths)  # noqa: S311 - a reproducible sample, no secret
    return [TaskSource(path=path, source=directory.name) for path in paths[: dataset.n_tasks]]


def _explicit(config: JobConfig) -> list[TaskSource]:
    for task in config.tasks:
        if not task.path.exists():
            raise InputInvalid(f"{task.path}: there is no such task directory")
    return [task.model_copy(update={"path": task.path.resolve()}) for task in config.tasks]


def _refuse_if_none_loads(tasks: Sequence[TaskSource], config: JobConfig) -> None:
    """Raise the first task's error when there is no task that could run."""
    first: TaskInvalid | None = None
    for task in tasks:
        try:
            load_task(task.path, verification=not config.verifier.disable, lenient_names=config.lenient_names)
        except TaskInvalid as error:
            first = first or error
        else:
            return
    if first:
        raise first


def refuse_unsupported(config: JobConfig) -> None:
    """Raise JobInvalid for settings that are understood but not honoured here: nothing is silently ignored."""
    refused = [f"agents[].{key}" for agent in config.agents for key in UNSUPPORTED_OF_AGENT if getattr(agent, key)]
    if config.environment.type == "host" and config.environment.mounts:
        refused.append("environment.mounts on the host")
    if not config.environment.delete:
        refused.append("environment.delete: false")
    policies = (config.environment.cpu_enforcement_policy, config.environment.memory_enforcement_policy)
    if not {"auto", "limit"}.issuperset(policies):
        refused.append("environment.*_enforcement_policy other than auto and limit")
    if refused:
        names = ", ".join(dict.fromkeys(refused))
        raise JobInvalid(f"this version cannot honour {names}: take it out of the job to run without it")
