"""`pierrun --dry-run`: what a job would do, checked as far as it can be without starting anything."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from rich.console import Console
from rich.table import Table
from rich.text import Text

from runs.agents.registry import agent_name, create_agent
from runs.errors import InputInvalid, PierError, TaskInvalid
from runs.formats.job import AgentConfig, EnvironmentConfig, JobConfig
from runs.formats.network import NetworkMode, NetworkPolicy, resolve_network
from runs.formats.task_directory import Task, TaskStep, load_task
from runs.progress import printable
from runs.scheduling.expand import expand, refuse_unsupported
from runs.scheduling.host_environment import missing_host_variables
from runs.trial.mounts import ready_mounts
from runs.trial.plan import TrialPlan
from runs.trial.sandbox import agent_network, refuse_unsupported_task, verifier_network

if TYPE_CHECKING:
    from runs.sandboxes.engine import Engine


def print_plan(config: JobConfig) -> int:
    """Print the trials and what would stop them. Exit code 0 if the job could run, 1 if something would be refused."""
    plans = expand(config, config.path, uuid4(), check_agents=False)
    table = Table(box=None, pad_edge=False)
    for column in ("trial", "attempt", "agent", "image", "agent's network", "verifier's network"):
        table.add_column(column)
    problems: dict[str, None] = {}
    engine = _engine(config.environment, problems)
    rows: dict[Path, tuple[Task | None, str]] = {}
    for plan in plans:
        if plan.task_path not in rows:
            task = _loaded(plan, problems)
            rows[plan.task_path] = task, _image(task, config.environment, engine)
        table.add_row(*(Text(printable(cell)) for cell in _row(plan, *rows[plan.task_path])))
    if engine:
        engine.close()
    problems |= dict.fromkeys(_problems_of_job(config))
    console = Console()
    console.print(f"{len(plans)} trials would be written to {config.path}", highlight=False)
    console.print(table)
    for problem in problems:
        console.print(Text(printable(f"refused: {problem}"), "red"))
    return int(bool(problems))


def _loaded(plan: TrialPlan, problems: dict[str, None]) -> Task | None:
    """The plan's task; what would stop it is added to `problems`."""
    try:
        task = load_task(
            plan.task_path,
            verification=not plan.config.verifier.disable,
            lenient_names=plan.config.lenient_names,
        )
        _refuse(plan, task)
    except TaskInvalid as error:
        problems[str(error)] = None
        return None
    return task


def _refuse(plan: TrialPlan, task: Task) -> None:
    """Raise TaskInvalid for what would end each trial of the task before it starts."""
    refuse_unsupported_task(task, task.config.environment)
    if task.compose_file and plan.config.environment.type == "host":
        raise TaskInvalid(task.compose_file, "the task has several containers, and the host sandbox has none")


def _row(plan: TrialPlan, task: Task | None, image: str) -> tuple[str, ...]:
    model = f" · {plan.config.agent.model_name}" if plan.config.agent.model_name else ""
    agent = f"{agent_name(plan.config.agent)}{model}"
    name = plan.task_path.name
    if task is None:
        return (name, str(plan.attempt), agent, image, "–", "–")
    stages = [_networks(plan, task, step) for step in task.steps or (None,)]
    networks = ("; ".join(dict.fromkeys(map(_words, of_phase))) for of_phase in zip(*stages, strict=True))
    return (name, str(plan.attempt), agent, image, *networks)


def _networks(plan: TrialPlan, task: Task, step: TaskStep | None) -> tuple[NetworkPolicy, NetworkPolicy]:
    """What agent and verifier may reach; without the job's hosts where a variable is missing or the agent cannot be
    made, which is a problem told elsewhere.
    """
    try:
        agent = create_agent(plan.config.agent)
        return agent_network(plan, task, step, agent), verifier_network(plan, task, step)
    except InputInvalid:
        own = step.config if step else None
        return resolve_network(task.config, "agent", own), resolve_network(task.config, "verifier", own)


def _engine(environment: EnvironmentConfig, problems: dict[str, None]) -> "Engine | None":
    """The Docker engine where the job needs one; that none answers is added to `problems`."""
    if environment.type != "docker":
        return None
    from runs.sandboxes.engine import Engine, EngineUnavailable

    try:
        return Engine.connect()
    except EngineUnavailable as error:
        problems[str(error)] = None
        return None


def _image(task: Task | None, environment: EnvironmentConfig, engine: "Engine | None") -> str:
    """Where the sandbox's files come from; of a ready image, whether it is on the engine already."""
    if task is None:
        return "–"
    if environment.type == "host":
        return "none: no isolation"
    services = f", and the services of {task.compose_file.name}" if task.compose_file else ""
    return f"{_main_image(task, environment, engine)}{services}"


def _main_image(task: Task, environment: EnvironmentConfig, engine: "Engine | None") -> str:
    ready = task.config.environment.docker_image
    if (task.environment_dir / "Dockerfile").is_file() and (environment.force_build or not ready):
        return "built from environment/Dockerfile"
    if not ready or engine is None:
        return ready or "none"
    from runs.sandboxes.docker_images import is_present

    return f"{ready} ({'here' if is_present(engine, ready) else 'to be pulled'})"


def _words(policy: NetworkPolicy) -> str:
    if policy.mode is NetworkMode.ALLOWLIST:
        return f"only {', '.join(policy.allowed_hosts) or 'nothing'}"
    return policy.mode.value


def _problems_of_job(config: JobConfig) -> Iterator[str]:
    """What would stop the whole job."""
    try:
        refuse_unsupported(config)
    except PierError as error:
        yield str(error)
    for agent in config.agents:
        if problem := _problem_of_agent(agent):
            yield problem
    try:
        ready_mounts(config.environment.mounts)
    except InputInvalid as error:
        yield str(error)
    if missing := missing_host_variables(config):
        yield f"these variables are needed and not set: {', '.join(missing)}"
    parent = next(folder for folder in (config.jobs_dir, *config.jobs_dir.resolve().parents) if folder.exists())
    if not os.access(parent, os.W_OK):
        yield f"{config.jobs_dir}: nothing may be written there"


def _problem_of_agent(agent: AgentConfig) -> str | None:
    try:
        create_agent(agent)
    except InputInvalid as error:
        return str(error)
    return None
