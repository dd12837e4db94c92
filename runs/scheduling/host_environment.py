"""Variables of this machine that tasks and jobs refer to as ${NAME}: all there, and given on purpose."""

import os
import sys
from collections.abc import Iterator

from runs.errors import InputInvalid, JobInvalid, TaskInvalid
from runs.formats.job import DEFAULT_AGENT, JobConfig
from runs.formats.task_directory import load_task
from runs.formats.template import missing_variables, references
from runs.sandboxes.compose.reader import host_variables as compose_variables
from runs.scheduling.expand import select_tasks


def confirm_host_variables(config: JobConfig, *, assume_yes: bool) -> None:
    """Raise JobInvalid when a variable is missing; otherwise ask before tasks get any, unless `assume_yes`.

    What the job itself refers to was asked for by its author: only its absence is told.
    """
    missing = missing_host_variables(config)
    if missing:
        raise JobInvalid(f"these variables are needed and not set: {', '.join(missing)}")
    names = sorted({name for value in _task_values(config) for name in references(value) if name in os.environ})
    if not names or assume_yes:
        return
    sys.stdout.write(f"The tasks ask for these variables of this machine: {', '.join(names)}\n")
    answer = input("Give them? (Y/n) ").strip().lower()
    if answer not in ("", "y", "yes"):
        raise InputInvalid("nothing was run")


def missing_host_variables(config: JobConfig) -> list[str]:
    """The variables that the job or its tasks refer to without a default and that are not set, sorted."""
    of_job = [*config.environment.env.values(), *config.verifier.env.values()]
    for agent in config.agents:
        of_job += agent.env.values()
    return missing_variables([*_task_values(config), *of_job], os.environ)


def _task_values(config: JobConfig) -> Iterator[str]:
    """What the tasks' own env tables say, without the names that the job sets itself. Broken tasks are passed over."""
    tasks = [*config.tasks, *(task for dataset in config.datasets for task in select_tasks(dataset))]
    with_solution = any((agent.name or DEFAULT_AGENT) == DEFAULT_AGENT for agent in config.agents)
    for source in tasks:
        try:
            task = load_task(source.path, verification=False, lenient_names=True)
        except TaskInvalid:
            continue
        tables = [(task.config.environment.env, config.environment.env)]
        verifiers = (task.config.verifier, *(step.config.verifier for step in task.steps))
        tables += [(section.env, config.verifier.env) for section in verifiers]
        if with_solution:
            tables.append((task.config.solution.env, {}))
        for table, given in tables:
            yield from (value for name, value in table.items() if name not in given)
        # In a compose file a variable that is not set is empty.
        yield from (f"${{{name}:-}}" for name in compose_variables(task))
