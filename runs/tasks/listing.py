"""The tasks of a dataset, one line each, in the order in which a job would run them."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runs.errors import TaskInvalid
from runs.formats.job import DatasetConfig
from runs.formats.network import NetworkMode, NetworkPolicy, resolve_network
from runs.formats.task_directory import Task, load_task
from runs.scheduling.expand import select_tasks
from runs.tasks.report import Paint, printable


@dataclass(frozen=True, slots=True)
class ListedTask:
    """One task as a list shows it. Of a task that cannot be loaded only the path and the reason are known.

    `network` is that of the agent; `image` is a reference, or `Dockerfile` or the compose file's name. Timeouts of
    tasks with steps are those of all steps together, None where there is no limit.
    """

    path: str
    name: str
    valid: bool
    reason: str | None = None
    n_steps: int = 0
    network: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    image: str | None = None
    agent_timeout_sec: float | None = None
    verifier_timeout_sec: float | None = None
    cpus: float | None = None
    memory_mb: int | None = None
    storage_mb: int | None = None
    gpus: int = 0


def list_tasks(dataset: DatasetConfig, *, lenient_names: bool = False) -> list[ListedTask]:
    """The tasks that a job with this dataset would run. Raises InputInvalid as a job would."""
    return [listed(source.path, lenient_names=lenient_names) for source in select_tasks(dataset)]


def listed(path: Path, *, lenient_names: bool = False) -> ListedTask:
    """What is to be said of one task."""
    try:
        task = load_task(path, lenient_names=lenient_names)
    except TaskInvalid as error:
        return ListedTask(str(path), path.name, valid=False, reason=str(error))
    environment = task.config.environment
    network = _agent_network(task)
    return ListedTask(
        path=str(path),
        name=task.name,
        valid=True,
        n_steps=len(task.steps),
        network=network.mode.value,
        allowed_hosts=network.allowed_hosts,
        image=environment.docker_image or (task.compose_file.name if task.compose_file else "Dockerfile"),
        agent_timeout_sec=_agent_timeout(task),
        verifier_timeout_sec=_verifier_timeout(task),
        cpus=environment.cpus,
        memory_mb=environment.memory_mb,
        storage_mb=environment.storage_mb,
        gpus=environment.gpus,
    )


def list_json(tasks: Iterable[ListedTask]) -> str:
    """The list for programs."""
    return json.dumps([asdict(task) for task in tasks], indent=2)


def list_lines(tasks: list[ListedTask], paint: Paint) -> list[str]:
    """The list for people: aligned columns, then the reasons of what cannot be run."""
    rows: list[tuple[str, ...]] = [("TASK", "STEPS", "NETWORK", "IMAGE", "AGENT", "VERIFIER", "CPUS", "MEMORY")]
    rows += [_row(task) for task in tasks]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    invalid = [task for task in tasks if not task.valid]
    lines += [f"{paint('error', 'invalid')} {printable(task.reason or '')}" for task in invalid]
    count = f"{len(tasks)} task{'' if len(tasks) == 1 else 's'}"
    return [*lines, f"{count}, {len(invalid)} invalid" if invalid else count]


def _row(task: ListedTask) -> tuple[str, ...]:
    if not task.valid:
        return (printable(task.name), "", "invalid", "", "", "", "", "")
    cells: tuple[Any, ...] = (
        printable(task.name),
        task.n_steps or 1,
        task.network,
        printable(task.image or ""),
        _seconds(task.agent_timeout_sec),
        _seconds(task.verifier_timeout_sec),
        f"{task.cpus:g}" if task.cpus else "-",
        f"{task.memory_mb} MiB" if task.memory_mb else "-",
    )
    return tuple(map(str, cells))


def _seconds(value: float | None) -> str:
    return "no limit" if value is None else f"{value:g} s"


def _agent_network(task: Task) -> NetworkPolicy:
    """The agent's network; of several steps the one that reaches furthest."""
    policies = [resolve_network(task.config, "agent", step.config if step else None) for step in task.steps or (None,)]
    order = (NetworkMode.CLOSED, NetworkMode.ALLOWLIST, NetworkMode.OPEN)
    return max(policies, key=lambda policy: order.index(policy.mode))


def _agent_timeout(task: Task) -> float | None:
    common = task.config.agent.timeout_sec
    if not task.steps:
        return common
    limits = [common if (own := step.config.agent.timeout_sec) is None else own for step in task.steps]
    return None if None in limits else sum(limit for limit in limits if limit is not None)


def _verifier_timeout(task: Task) -> float:
    common = task.config.verifier.timeout_sec
    if not task.steps:
        return common
    sections = [step.config.verifier for step in task.steps]
    return sum(own.timeout_sec if "timeout_sec" in own.model_fields_set else common for own in sections)
