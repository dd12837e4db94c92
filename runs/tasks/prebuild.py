"""`piertask prebuild`: the images of a dataset pulled or built before a job needs them. No sandbox is started."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runs.errors import PierError
from runs.formats.task_directory import Task, load_task, verifier_is_separate
from runs.sandboxes.base import Image
from runs.sandboxes.docker import LABEL
from runs.sandboxes.docker_images import resolve_image
from runs.sandboxes.engine import Engine
from runs.trial.sandbox import build_log_writer, verifier_context


@dataclass(frozen=True, slots=True)
class Prebuilt:
    """What became of one task. `images` are the references that are ready; `failure` says why there are not all."""

    task: Path
    log: Path
    images: tuple[str, ...] = ()
    failure: str | None = None


async def prebuild(
    tasks: Sequence[Path],
    logs: Path,
    *,
    n_concurrent: int,
    force_build: bool,
    lenient_names: bool,
    on_done: Callable[[Prebuilt], None],
) -> list[Prebuilt]:
    """Make the images of all tasks ready, some at a time, each with a log of its own in the folder `logs`.

    A task that cannot be read or built is in the answer and stops no other. Raises EngineUnavailable.
    """
    engine = Engine.connect()
    logs.mkdir(parents=True, exist_ok=True)
    places = asyncio.Semaphore(n_concurrent)

    async def one(number: int, path: Path) -> Prebuilt:
        # Tasks of several datasets may share a folder's name.
        log = logs / f"{number:04d}-{path.name[:100]}.log"
        async with places:
            done = await _prebuilt(engine, path, log, force_build=force_build, lenient_names=lenient_names)
        on_done(done)
        return done

    try:
        return list(await asyncio.gather(*(one(number, path) for number, path in enumerate(tasks, start=1))))
    finally:
        engine.close()


async def _prebuilt(engine: Engine, path: Path, log: Path, *, force_build: bool, lenient_names: bool) -> Prebuilt:
    log.unlink(missing_ok=True)
    write, ready = build_log_writer(log), []
    try:
        task = load_task(path, lenient_names=lenient_names)
        for image in images_of(task, force_build=force_build):
            resolved = await resolve_image(engine, image, labels={LABEL: "1"}, log=write)
            ready.append(resolved.reference)
    except (PierError, OSError) as error:
        write("stderr", f"{error}\n".encode(errors="replace"))
        return Prebuilt(path, log, tuple(ready), str(error))
    write("stdout", f"ready: {', '.join(ready)}\n".encode())
    return Prebuilt(path, log, tuple(ready))


def images_of(task: Task, *, force_build: bool) -> list[Image]:
    """The agent's image, and those of separate verifiers that have their own."""
    context = task.environment_dir if task.environment_dir.is_dir() else None
    images = [Image(task.config.environment.docker_image, context, force_build)]
    for step in task.steps or (None,):
        if verifier_is_separate(task, step):
            own = [step.config.verifier.environment] if step else []
            reference = next((part.docker_image for part in (*own, task.config.verifier.environment) if part), None)
            folder = verifier_context(task, step)
            if reference or folder:
                images.append(Image(reference, folder or context, force_build))
    return list(dict.fromkeys(images))
