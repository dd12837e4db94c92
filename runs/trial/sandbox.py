"""Which sandbox a trial gets: its specification from task and job, its opening by type, its health check."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from runs.agents.base import Agent
from runs.agents.hosts import host_entry
from runs.agents.install import Install
from runs.errors import (
    EnvironmentStartTimeoutError,
    HealthcheckError,
    InputInvalid,
    JobInvalid,
    SandboxFailed,
    TaskInvalid,
)
from runs.formats.job import EnvironmentConfig
from runs.formats.network import NetworkPolicy, resolve_network
from runs.formats.task import EnvironmentSection, HealthcheckConfig
from runs.formats.task_directory import Task, TaskStep, verifier_environment
from runs.formats.template import resolve_all
from runs.imports import import_class
from runs.sandboxes.base import Image, OnOutput, Resources, Sandbox, SandboxSpec, first_bytes
from runs.sandboxes.compose.images import image_of
from runs.sandboxes.compose.reader import read_compose
from runs.sandboxes.egress.variables import hosts_of_env
from runs.trial.directory import TrialDirectory
from runs.trial.limits import CHECK_SEC
from runs.trial.mounts import ready_mounts
from runs.trial.plan import TrialPlan

OpenSandbox = Callable[[SandboxSpec], Sandbox]
TRIAL_LABEL = "pier-site.trial"
JOB_LABEL = "pier-site.job"


def agent_spec(plan: TrialPlan, task: Task, agent: Agent | None = None) -> SandboxSpec:
    """The sandbox in which the agent works. Raises TaskInvalid for what cannot be honoured: nothing is ignored.

    Without an `agent` it is the task's alone: nothing is installed, and no host is added for one.
    """
    section = task.config.environment
    refuse_unsupported_task(task, section)
    step = task.steps[0] if task.steps else None
    network = agent_network(plan, task, step, agent)
    install = agent.install() if agent else None
    spec = _spec(plan, plan.name, section, context=task.environment_dir, network=network, install=install)
    return with_services(spec, plan, task)


def verifier_spec(plan: TrialPlan, task: Task, step: TaskStep | None) -> SandboxSpec:
    """The sandbox of a separate verifier: its own image, or one built from tests/, or the agent's."""
    section = verifier_environment(task, step)
    refuse_unsupported_task(task, section)
    own = [step.config.verifier.environment] if step else []
    image = next((part.docker_image for part in (*own, task.config.verifier.environment) if part), None)
    context = verifier_context(task, step) or task.environment_dir
    name = f"{plan.name}__verifier__{step.name if step else 'trial'}"
    is_as_agents = image is None and context == task.environment_dir
    if is_as_agents:
        image = task.config.environment.docker_image
    section = section.model_copy(update={"docker_image": image})
    spec = _spec(plan, name, section, context=context, network=verifier_network(plan, task, step))
    return with_services(spec, plan, task) if is_as_agents else spec


def verifier_context(task: Task, step: TaskStep | None) -> Path | None:
    """The folder whose Dockerfile makes the separate verifier's image, with the tests in it; None if there is none."""
    folders = [step.directory / "tests"] if step else []
    return next((folder for folder in (*folders, task.tests_dir) if (folder / "Dockerfile").is_file()), None)


def _spec(
    plan: TrialPlan,
    name: str,
    section: EnvironmentSection,
    *,
    context: Path,
    network: NetworkPolicy,
    install: Install | None = None,
) -> SandboxSpec:
    job = plan.config.environment
    return SandboxSpec(
        name=name,
        image=Image(section.docker_image, context if context.is_dir() else None, job.force_build),
        network=network,
        env=resolve_all({**section.env, **job.env}, os.environ),
        workdir=section.workdir,
        resources=Resources(
            cpus=job.override_cpus or section.cpus,
            memory_mb=job.override_memory_mb or section.memory_mb,
            storage_mb=job.override_storage_mb or section.storage_mb,
            gpus=section.gpus if job.override_gpus is None else job.override_gpus,
        ),
        mounts=tuple(ready_mounts(job.mounts)),
        labels={TRIAL_LABEL: plan.name, JOB_LABEL: plan.job_id},
        network_log=TrialDirectory(plan.directory).network_log,
        install=install,
    )


def with_services(spec: SandboxSpec, plan: TrialPlan, task: Task) -> SandboxSpec:
    """The spec with what the task's compose file says of `main` and beside it. Raises TaskInvalid."""
    compose = read_compose(task)
    if compose is None:
        return spec
    main, job = compose.main, plan.config.environment
    return replace(
        spec,
        image=image_of(main, spec.image),
        env={**spec.env, **{name: value for name, value in main.env.items() if name not in job.env}},
        workdir=spec.workdir or main.workdir,
        compose=compose,
        service_logs=TrialDirectory(plan.directory).service_logs / spec.name.removeprefix(plan.name).lstrip("_"),
    )


def agent_network(plan: TrialPlan, task: Task, step: TaskStep | None, agent: Agent | None = None) -> NetworkPolicy:
    """What the agent may reach: the task's word, hosts that the job adds or names as its model's, and its own."""
    config = plan.config
    env = resolve_all(config.agent.env, os.environ)
    return resolve_network(task.config, "agent", step.config if step else None).with_hosts(
        [
            *config.environment.extra_allowed_hosts,
            *config.agent.extra_allowed_hosts,
            *hosts_of_env(env),
            *(agent.hosts(env) if agent else ()),
            # A task's own servers lie in its sandbox or among its hosts; a job's are the job's word.
            *(entry for server in config.agent.mcp_servers if (entry := host_entry(server.url))),
        ]
    )


def verifier_network(plan: TrialPlan, task: Task, step: TaskStep | None) -> NetworkPolicy:
    """What the verifier may reach: the task's word, and the hosts that the job adds for it."""
    config = plan.config
    return resolve_network(task.config, "verifier", step.config if step else None).with_hosts(
        [*config.environment.extra_allowed_hosts, *config.verifier.extra_allowed_hosts]
    )


def dump_network(plan: TrialPlan, task: Task, agent: Agent | None) -> str:
    """The text of network.json: what each phase of a trial, or of each of its TaskSteps, may reach."""
    stages: dict[str, TaskStep | None] = {step.name: step for step in task.steps} or {"": None}
    policies = {
        name: {"agent": agent_network(plan, task, step, agent), "verifier": verifier_network(plan, task, step)}
        for name, step in stages.items()
    }
    said = {
        name: {
            phase: {"mode": policy.mode.value, "allowed_hosts": policy.allowed_hosts} for phase, policy in of.items()
        }
        for name, of in policies.items()
    }
    return json.dumps(said.get("", {"steps": said}), indent=2) + "\n"


def refuse_unsupported_task(task: Task, section: EnvironmentSection) -> None:
    """Raise TaskInvalid for what a task needs and no sandbox here has."""
    read_compose(task)
    wants = None
    if section.os != "linux":
        wants = f"the operating system {section.os}"
    elif section.tpu:
        wants = "TPUs"
    if wants:
        raise TaskInvalid(task.path, f"the task asks for {wants}, which this version cannot give")


def not_enforced(task: Task, kind: str) -> list[str]:
    """What a task asks for that the sandbox takes note of and does not enforce: said in every result."""
    section = task.config.environment
    if kind == "host":
        return ["the host sandbox has no isolation: network, users and limits of the task are not enforced"]
    if section.storage_mb is None:
        return []
    return [f"storage_mb = {section.storage_mb} is looked after every {CHECK_SEC:g} s, while the agent works"]


def without_effect(task: Task) -> list[str]:
    """What a task brings along that no agent of this version takes."""
    compose = read_compose(task)
    notes = [f"{compose.path.name}: {warning}" for warning in compose.warnings] if compose else []
    folders = (task.path, *(step.directory for step in task.steps))
    return notes + [
        f"{folder.name}/trajectory.json has no effect: no agent here continues a given trajectory"
        for folder in folders
        if (folder / "trajectory.json").is_file()
    ]


def loose_files(task: Task) -> Path | None:
    """The environment folder, where its files are to be laid into the working directory of a ready image.

    As in Harbor: there is a docker_image, nothing to build, and other files.
    """
    folder = task.environment_dir
    is_ready = task.config.environment.docker_image and folder.is_dir() and not (folder / "Dockerfile").is_file()
    return folder if is_ready and not task.compose_file and any(folder.iterdir()) else None


def sandbox_opener(environment: EnvironmentConfig) -> tuple[OpenSandbox, Callable[[], None]]:
    """How the sandboxes of a job are made, checked to work, and what to call when the job is over.

    Raises InputInvalid for what every trial would fail of.
    """
    from runs.sandboxes.certificates import authorities

    authorities()
    if environment.import_path:
        kind = import_class(environment.import_path, Sandbox)
        return (lambda spec: kind(spec, **environment.kwargs)), lambda: None
    if environment.kwargs:
        raise JobInvalid(f"the environment {environment.type!r} has no arguments: take `kwargs` out of the job")
    if environment.type == "host":
        from runs.sandboxes.host import HostSandbox, check_host_support

        check_host_support()
        return HostSandbox, lambda: None
    if environment.type == "docker":
        from runs.sandboxes.compose.group import docker_sandbox
        from runs.sandboxes.engine import Engine

        engine = Engine.connect()
        return (lambda spec: docker_sandbox(spec, engine)), engine.close
    raise InputInvalid(f"the environment {environment.type!r} cannot be used: this version has docker and host")


@asynccontextmanager
async def opened(sandbox: Sandbox, on_stop_failure: Callable[[str], None]) -> AsyncIterator[Sandbox]:
    """The sandbox, removed at the end whatever happens; a removal that fails is told, not raised."""
    try:
        yield sandbox
    finally:
        try:
            await asyncio.shield(sandbox.stop())
        except SandboxFailed as error:
            on_stop_failure(f"the sandbox could not be removed: {error}")


@asynccontextmanager
async def waiting_told(sandbox: Sandbox) -> AsyncIterator[None]:
    """Add to EnvironmentStartTimeoutError what a sandbox of several containers still waited for."""
    try:
        yield
    except EnvironmentStartTimeoutError as error:
        if not sandbox.waiting_for:
            raise
        raise EnvironmentStartTimeoutError(f"{error}; it waited for {sandbox.waiting_for}") from None


async def wait_until_healthy(
    sandbox: Sandbox, check: HealthcheckConfig, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Run a health check until it succeeds, as Docker does. Raises HealthcheckError after `retries` failures in a row.

    Failures within `start_period_sec` are free.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    failures = 0
    while True:
        output = bytearray()
        try:
            async with asyncio.timeout(check.timeout_sec):
                result = await sandbox.exec(check.command, on_output=first_bytes(output))
            if result.exit_code == 0:
                return
        except TimeoutError:
            output += f"no answer within {check.timeout_sec:g} s".encode()
        if loop.time() - started < check.start_period_sec:
            await sleep(check.start_interval_sec)
            continue
        failures += 1
        if failures >= max(1, check.retries):
            words = bytes(output[-500:]).decode(errors="replace").strip()
            raise HealthcheckError(f"the health check `{check.command}` failed {failures} times in a row: {words}")
        await sleep(check.interval_sec)


def build_log_writer(path: Path) -> OnOutput:
    """Appends a sandbox's build output to build.log."""

    def write(_: str, data: bytes) -> None:
        with path.open("ab") as file:
            file.write(data)

    return write
