"""The image of a Docker sandbox: used as it is, pulled, or built once for each content of its build context."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import docker.errors
import requests

from runs.errors import SandboxFailed, TaskInvalid
from runs.sandboxes.base import Image, OnOutput
from runs.sandboxes.engine import Engine, explain

REPOSITORY = "pier-site/task"
FROM_LINE = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)", re.IGNORECASE | re.MULTILINE)
LOG_TAIL_LINES = 12


async def resolve_image(engine: Engine, image: Image, *, labels: dict[str, str], log: OnOutput) -> str:
    """The name or id of an image that is on the engine, pulled or built when it is not there yet.

    A prebuilt reference wins over a Dockerfile unless `force_build` is set, as in Pier and Harbor. Raises
    SandboxFailed when it cannot be had, TaskInvalid when there is neither.
    """
    if image.reference and not (image.force_build and image.context):
        await _ensure_pulled(engine, image.reference, log)
        return image.reference
    if image.context is None or not (image.context / "Dockerfile").is_file():
        raise TaskInvalid(image.context or Path("environment"), "there is neither a Dockerfile nor a docker_image")
    tag = f"{REPOSITORY}:{await engine.call(_content_digest, engine, image.context)}"
    async with engine.build_lock(tag):
        if image.force_build or not await engine.call(_exists, engine, tag):
            await engine.call(_build, engine, image, tag, labels, log)
    return tag


async def _ensure_pulled(engine: Engine, reference: str, log: OnOutput) -> None:
    async with engine.build_lock(reference):
        if not await engine.call(_exists, engine, reference):
            await engine.call(_pull, engine, reference, log)


def _image_id(engine: Engine, reference: str) -> str:
    return cast("str", engine.api.inspect_image(reference)["Id"])  # type: ignore[no-untyped-call]  # stub lacks types


def _exists(engine: Engine, reference: str) -> bool:
    try:
        _image_id(engine, reference)
    except docker.errors.ImageNotFound:
        return False
    return True


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
    """Digest of a build context and of the base images its Dockerfile names: the same digest, the same build."""
    digest = hashlib.sha256()
    for path in sorted(context.rglob("*")):
        name = path.relative_to(context).as_posix()
        if path.is_symlink():
            digest.update(f"{name}\0link\0{path.readlink()}\0".encode())
        elif path.is_file():
            executable = path.stat().st_mode & 0o111
            digest.update(f"{name}\0{executable}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    for base in FROM_LINE.findall((context / "Dockerfile").read_text(errors="replace")):
        try:
            digest.update(_image_id(engine, base).encode())
        except docker.errors.APIError:  # not here yet: the build pulls it
            digest.update(base.encode())
    return digest.hexdigest()[:24]


def _build(engine: Engine, image: Image, tag: str, labels: dict[str, str], log: OnOutput) -> None:
    tail: list[str] = []
    try:
        events: Iterator[dict[str, Any]] = engine.api.build(
            path=str(image.context),
            tag=tag,
            rm=True,
            forcerm=True,
            nocache=image.force_build,
            decode=True,
            labels=labels,
        )
        for event in events:
            text = event.get("stream") or event.get("error") or ""
            log("stdout", text.encode())
            tail = [*tail, *text.splitlines()][-LOG_TAIL_LINES:]
            if "error" in event:
                lines = "\n".join(line for line in tail if line.strip())
                raise SandboxFailed(f"the image of {image.context} could not be built: {event['error']}\n{lines}")
    except docker.errors.APIError as error:
        raise SandboxFailed(f"the image of {image.context} could not be built: {explain(error)}") from error
