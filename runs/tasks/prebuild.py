"""`piertask prebuild`: the images of a dataset, and agents on them, made before a job needs them. No task is run."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runs.agents.install import Install
from runs.agents.registry import create_agent
from runs.errors import InputInvalid, PierError
from runs.formats.job import AgentConfig, JobConfig, load_job_config
from runs.formats.task_directory import Task, load_task, verifier_is_separate
from runs.sandboxes.base import Image, SandboxSpec
from runs.sandboxes.certificates import authorities
from runs.sandboxes.compose.images import images_of_file
from runs.sandboxes.compose.reader import read_compose
from runs.sandboxes.docker import LABEL, DockerSandbox
from runs.sandboxes.docker_images import resolve_image
from runs.sandboxes.docker_layers import layered
from runs.sandboxes.engine import Engine
from runs.scheduling.expand import select_tasks, source_of
from runs.trial.sandbox import build_log_writer, verifier_context


@dataclass(frozen=True, slots=True)
class Prebuilt:
    """What became of one task. `images` are the references that are ready; `failure` says why there are not all.

    `agents` are those that are installed on the image in which they work.
    """

    task: Path
    log: Path
    images: tuple[str, ...] = ()
    failure: str | None = None
    agents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be made ready: tasks, agents to install on their images, and how task names are read."""

    tasks: tuple[Path, ...]
    installs: tuple[Install, ...]
    lenient_names: bool


def wanted(
    path: Path | None, configs: Sequence[Path], agents: Sequence[str], *, version: str | None, lenient_names: bool
) -> Wanted:
    """What a path, job files and names of agents ask for; a path replaces the files' tasks, a name their agents.

    Raises InputInvalid for what does not exist, and when no task is named.
    """
    job = load_job_config(*configs) if configs else JobConfig()
    tasks, datasets = source_of(path) if path else (job.tasks, job.datasets)
    sources = [*tasks, *(task for dataset in datasets for task in select_tasks(dataset))]
    if not sources:
        raise InputInvalid("there is no task to prepare: give a dataset, or a job file that names tasks with -c")
    chosen = [AgentConfig(name=name) for name in agents] or list(job.agents)
    if version is not None:
        if len(agents) != 1:
            raise InputInvalid("--agent-version goes with exactly one -a")
        chosen = [AgentConfig(name=agents[0], kwargs={"version": version})]
    installs = [create_agent(agent).install() for agent in chosen]
    return Wanted(
        tuple(task.path.resolve() for task in sources),
        tuple({install.digest(): install for install in installs if install}.values()),
        lenient_names or job.lenient_names,
    )


async def prebuild(
    tasks: Sequence[Path],
    logs: Path,
    *,
    n_concurrent: int,
    force_build: bool,
    lenient_names: bool,
    on_done: Callable[[Prebuilt], None],
    installs: Sequence[Install] = (),
) -> list[Prebuilt]:
    """Make the images of all tasks ready, some at a time, each with a log of its own in the folder `logs`.

    Every agent of `installs` is installed on the image in which it will work.

    A task that cannot be read or built is in the answer and stops no other. Raises EngineUnavailable, and InputInvalid
    for a setting with which none can be built.
    """
    authorities()
    engine = Engine.connect()
    logs.mkdir(parents=True, exist_ok=True)
    places = asyncio.Semaphore(n_concurrent)

    async def one(number: int, path: Path) -> Prebuilt:
        # Tasks of several datasets may share a folder's name.
        log = logs / f"{number:04d}-{path.name[:100]}.log"
        async with places:
            done = await _prebuilt(
                engine, path, log, installs=installs, force_build=force_build, lenient_names=lenient_names
            )
        on_done(done)
        return done

    try:
        return list(await asyncio.gather(*(one(number, path) for number, path in enumerate(tasks, start=1))))
    finally:
        engine.close()


async def _prebuilt(
    engine: Engine, path: Path, log: Path, *, installs: Sequence[Install], force_build: bool, lenient_names: bool
) -> Prebuilt:
    log.unlink(missing_ok=True)
    write, ready, agents = build_log_writer(log), [], []

    def builder(spec: SandboxSpec) -> DockerSandbox:
        return DockerSandbox(spec, engine)

    try:
        task = load_task(path, lenient_names=lenient_names)
        for number, image in enumerate(images_of(task, force_build=force_build)):
            resolved = await resolve_image(engine, image, labels={LABEL: "1"}, log=write)
            # Agents work in the first image; services and verifiers may have others.
            for install in (*installs, None) if number == 0 else (None,):
                await layered(engine, resolved, install, open_builder=builder, log=write)
                agents += [f"{install.agent} {install.version}"] if install else []
            ready.append(resolved.reference)
    except (PierError, OSError) as error:
        write("stderr", f"{error}\n".encode(errors="replace"))
        return Prebuilt(path, log, tuple(ready), str(error), tuple(agents))
    write("stdout", f"ready: {', '.join([*ready, *agents])}\n".encode())
    return Prebuilt(path, log, tuple(ready), agents=tuple(agents))


def images_of(task: Task, *, force_build: bool) -> list[Image]:
    """The agent's image, those of services beside it, and those of separate verifiers that have their own."""
    context = task.environment_dir if task.environment_dir.is_dir() else None
    images = [Image(task.config.environment.docker_image, context, force_build)]
    if compose := read_compose(task):
        images = images_of_file(compose, images[0])
    for step in task.steps or (None,):
        if verifier_is_separate(task, step):
            own = [step.config.verifier.environment] if step else []
            reference = next((part.docker_image for part in (*own, task.config.verifier.environment) if part), None)
            folder = verifier_context(task, step)
            if reference or folder:
                images.append(Image(reference, folder or context, force_build))
    return list(dict.fromkeys(images))
