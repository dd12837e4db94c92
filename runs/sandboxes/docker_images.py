"""The image of a Docker sandbox: used as it is, pulled, or built once for each content of its build context."""

import hashlib
import re
from pathlib import Path
from typing import Any, Literal

import docker.errors
import requests

from runs.errors import SandboxFailed, TaskInvalid
from runs.sandboxes.base import Image, OnOutput, ResolvedImage
from runs.sandboxes.docker_build import build_image, sent_files
from runs.sandboxes.engine import Engine, explain

REPOSITORY = "pier-site/task"
FROM_LINE = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)", re.IGNORECASE | re.MULTILINE)

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
    async with engine.build_lock(reference):
        found = await engine.call(_found, engine, reference, "prebuilt")
        if found is None:
            await engine.call(_pull, engine, reference, log)
            found = await engine.call(_inspected, engine, reference, "prebuilt")
    return found


async def _built(engine: Engine, image: Image, labels: dict[str, str], log: OnOutput) -> ResolvedImage:
    if image.context is None or not (image.context / "Dockerfile").is_file():
        raise TaskInvalid(image.context or Path("environment"), "there is neither a Dockerfile nor a docker_image")
    tag = f"{REPOSITORY}:{await engine.call(_content_digest, engine, image.context)}"
    async with engine.build_lock(tag):
        found = None if image.force_build else await engine.call(_found, engine, tag, "built")
        if found is None:
            await engine.call(build_image, engine, image, tag, labels, log)
            found = await engine.call(_inspected, engine, tag, "built")
    return found


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


def _pull(engine: Engine, reference: str, log: OnOutput) -> None:
    log("stdout", f"Pulling {reference}\n".encode())
    try:
        for event in engine.api.pull(reference, stream=True, decode=True):
            if "error" in event:
                raise SandboxFailed(f"the image {reference} could not be pulled: {event['error']}")
    except (docker.errors.APIError, requests.RequestException) as error:
        raise SandboxFailed(
            f"the image {reference} is not on this engine and could not be pulled ({explain(error)}); "
            "where the task has a Dockerfile, --force-build builds it instead"
        ) from error


def _content_digest(engine: Engine, context: Path) -> str:
    """Digest of a build context and of the base images its Dockerfile names: the same digest, the same build.

    What .dockerignore leaves out of the build is left out here too.
    """
    digest = hashlib.sha256()
    for name in sent_files(context):
        path = context / name
        if path.is_symlink():
            digest.update(f"{name}\0link\0{path.readlink()}\0".encode())
        elif path.is_file():
            executable = path.stat().st_mode & 0o111
            with path.open("rb") as file:
                digest.update(f"{name}\0{executable}\0".encode() + hashlib.file_digest(file, "sha256").digest())
    for base in FROM_LINE.findall((context / "Dockerfile").read_text(errors="replace")):
        found = _found(engine, base, "prebuilt")
        # What is not here yet is pulled by the build.
        digest.update((found.id if found else base).encode())
    return digest.hexdigest()[:24]
