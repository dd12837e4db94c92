"""The image of a Docker sandbox: used as it is, pulled, or built once for each content of its build context."""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Literal, cast

import docker.errors
from django.conf import settings
from docker.auth import get_config_header, resolve_repository_name
from docker.utils import parse_repository_tag

from runs.errors import SandboxFailed, TaskInvalid
from runs.sandboxes.base import Image, OnOutput, ResolvedImage
from runs.sandboxes.certificates import authorities
from runs.sandboxes.docker_build import Build, build_image, sent_files
from runs.sandboxes.docker_trust import trusting
from runs.sandboxes.dockerfile_stages import images_of_stages
from runs.sandboxes.engine import Engine
from runs.sandboxes.engine_stream import post
from runs.sandboxes.last_use import note_use
from runs.sandboxes.single_flight import only_process

REPOSITORY = "pier-site/task"
# Images that builds left behind without a name of their own.
STAGES = "pier-site/stage"
OWN_LABEL = "pier-site=1"

Origin = Literal["prebuilt", "built"]


async def resolve_image(engine: Engine, image: Image, *, labels: dict[str, str], log: OnOutput) -> ResolvedImage:
    """An image that is on the engine and fits its platform, pulled or built when it is not there yet.

    A prebuilt reference wins over a Dockerfile unless `force_build` is set, as in Pier and Harbor. Raises
    SandboxFailed when it cannot be had, TaskInvalid when there is neither.
    """
    if image.reference and not (image.force_build and image.context):
        resolved = await _ready(engine, image.reference, log)
        advice = ": --force-build builds it here" if image.context else ""
    else:
        resolved = await _built(engine, image, labels, log)
        advice = ": its base image is made for that platform"
    if resolved.platform != (platform := await engine.call(engine.platform)):
        raise SandboxFailed(
            f"the image {resolved.reference} is made for {resolved.platform}, and this engine runs {platform}{advice}"
        )
    return resolved


async def _ready(engine: Engine, reference: str, log: OnOutput) -> ResolvedImage:
    async def pull(log: OnOutput) -> ResolvedImage:
        await _pull(engine, reference, log)
        return await engine.call(_inspected, engine, reference, "prebuilt")

    found = await engine.call(_found, engine, reference, "prebuilt")
    return found if found else await engine.flights.do(f"pull {reference}", pull, log)


async def _built(engine: Engine, image: Image, labels: dict[str, str], log: OnOutput) -> ResolvedImage:
    if image.context is None or not (image.context / image.dockerfile).is_file():
        raise TaskInvalid(image.context or Path("environment"), "there is neither a Dockerfile nor a docker_image")
    bases = await _trusting_bases(engine, image, log)
    digest = await engine.call(_content_digest, engine, image, bases)
    tag = f"{REPOSITORY}:{digest}"

    async def build(log: OnOutput) -> ResolvedImage:
        async with only_process(Path(settings.CACHE_DIR, "locks"), digest):
            found = await engine.call(_found, engine, tag, "built")
            if found and not image.force_build:
                return found
            build = Build(image, tag, labels, bases)
            try:
                await build_image(engine, build, log)
            finally:
                await asyncio.shield(engine.call(name_leftovers, engine, build.steps, replaced=found and found.id))
            return await engine.call(_inspected, engine, tag, "built")

    found = None if image.force_build else await engine.call(_found, engine, tag, "built")
    built = found if found else await engine.flights.do(tag, build, log)
    note_use(tag)
    return built


async def _trusting_bases(engine: Engine, image: Image, log: OnOutput) -> dict[int, str]:
    """What to start from instead of the images that lines of the Dockerfile name, for TLS behind a private authority.

    What cannot be had stays as it is: the build will say so.
    """
    if image.context is None or authorities() is None:
        return {}
    text = (image.context / image.dockerfile).read_text(errors="surrogateescape")
    bases: dict[int, str] = {}
    for line, reference in images_of_stages(text, image.build_args).items():
        with suppress(SandboxFailed):
            base = await _ready(engine, reference, log)
            trusted = await trusting(engine, base.id, log)
            if trusted != base.id:
                bases[line] = trusted
    return bases


def name_leftovers(engine: Engine, steps: Iterable[str], replaced: str | None = None) -> None:
    """Give the nameless images of a build a name, so that they are known as ours and go with `pierjob prune`. Blocks.

    They are the steps before one that failed, earlier stages, and the image whose name a new one took. As cache they
    are worth keeping. Only what carries our label is touched: a build prints what it likes.
    """
    wanted = {*steps, *([replaced.removeprefix("sha256:")[:12]] if replaced else [])}
    for item in engine.api.images(filters={"dangling": True, "label": OWN_LABEL}):
        identity = str(item["Id"]).removeprefix("sha256:")[:12]
        if identity in wanted:
            with suppress(docker.errors.APIError):
                engine.api.tag(item["Id"], STAGES, identity)


def is_present(engine: Engine, reference: str) -> bool:
    """Whether the engine has the image already; blocks for one call."""
    return _found(engine, reference, "prebuilt") is not None


def _found(engine: Engine, reference: str, origin: Origin) -> ResolvedImage | None:
    try:
        return _inspected(engine, reference, origin)
    except docker.errors.ImageNotFound:
        return None


def _inspected(engine: Engine, reference: str, origin: Origin) -> ResolvedImage:
    inspected: dict[str, Any] = engine.api.inspect_image(reference)  # type: ignore[no-untyped-call]  # stub lacks types
    return ResolvedImage(
        reference=reference,
        id=inspected["Id"],
        digest=next(iter(inspected.get("RepoDigests") or ()), None) if origin == "prebuilt" else None,
        platform=f"{inspected['Os']}/{inspected['Architecture']}",
        origin=origin,
        workdir=(inspected.get("Config") or {}).get("WorkingDir") or "/",
    )


async def _pull(engine: Engine, reference: str, log: OnOutput) -> None:
    log("stdout", f"Pulling {reference}\n".encode())
    name, tag = parse_repository_tag(reference)
    parameters = {"fromImage": name, "tag": tag or "latest"}
    headers: dict[str, str] = {}
    registry, _ = resolve_repository_name(name)
    header: bytes | None = get_config_header(engine.api, registry)
    if header:
        headers["X-Registry-Auth"] = header.decode()
    problem: object = None
    try:
        async with aclosing(post(engine.api, "/images/create", parameters, headers=headers)) as events:
            async for event in events:
                problem = problem or event.get("error")
    except SandboxFailed as error:
        problem = error
    if problem:
        raise SandboxFailed(
            f"the image {reference} is not on this engine and could not be pulled ({problem}); "
            "where the task has a Dockerfile, --force-build builds it instead"
        )


def _content_digest(engine: Engine, image: Image, bases: Mapping[int, str]) -> str:
    """Digest of a build context and of the base images its Dockerfile names: the same digest, the same build.

    What .dockerignore leaves out of the build is left out here too.
    """
    digest = hashlib.sha256()
    context = cast("Path", image.context)
    for name in sent_files(context, image.dockerfile):
        path = context / name
        if path.is_symlink():
            digest.update(f"{name}\0link\0{path.readlink()}\0".encode(errors="surrogateescape"))
        elif path.is_file():
            executable = path.stat().st_mode & 0o111
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
            digest.update(f"{name}\0{executable}\0".encode(errors="surrogateescape") + content)
    text = (context / image.dockerfile).read_text(errors="surrogateescape")
    for line, base in images_of_stages(text, image.build_args).items():
        found = _found(engine, base, "prebuilt")
        # What is not here yet is pulled by the build.
        digest.update((bases.get(line) or (found.id if found else base)).encode())
    if image.dockerfile != "Dockerfile" or image.build_args:
        digest.update(repr((image.dockerfile, image.build_args)).encode())
    return digest.hexdigest()[:24]
