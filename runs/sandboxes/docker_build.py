"""Building an image from a Dockerfile: with the classic builder, and with BuildKit where that one refuses it."""

import json
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import docker.errors
import requests
from docker.utils.build import exclude_paths

from runs.errors import SandboxFailed
from runs.sandboxes.archive import IN_MEMORY_BYTES
from runs.sandboxes.base import Image, OnOutput
from runs.sandboxes.buildkit import trace_text
from runs.sandboxes.engine import Engine, explain

LOG_TAIL_LINES = 12
# What the classic builder says of `RUN --mount`, of here-documents and of flags that only BuildKit has.
NEEDS_BUILDKIT = re.compile(r"requires BuildKit|unknown instruction|unknown flag", re.IGNORECASE)

# Text for the log, and what went wrong.
Event = tuple[str, str | None]
Build = Callable[[Engine, Image, str, dict[str, str]], Iterator[Event]]


def build_image(engine: Engine, image: Image, tag: str, labels: dict[str, str], log: OnOutput) -> None:
    """Build the context under `tag`. Blocks. Raises SandboxFailed with the last lines of the build's output."""
    try:
        _run(_classic, engine, image, tag, labels, log)
    except SandboxFailed as error:
        if not NEEDS_BUILDKIT.search(str(error)):
            raise
        log("stdout", b"The classic builder refuses this Dockerfile; trying BuildKit.\n")
        _run(_buildkit, engine, image, tag, labels, log)


def sent_files(context: Path) -> list[str]:
    """The names of what a build sends to the engine, sorted, by the rules of .dockerignore that the SDK applies."""
    path = context / ".dockerignore"
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    patterns = [line for line in map(str.strip, lines) if line and not line.startswith("#")]
    return sorted(exclude_paths(str(context), patterns, dockerfile="Dockerfile"))


def _run(build: Build, engine: Engine, image: Image, tag: str, labels: dict[str, str], log: OnOutput) -> None:
    tail: list[str] = []
    failure = None
    try:
        # An error is the last event; the stream is read to its end, so that its connection can be used again.
        for text, error_text in build(engine, image, tag, labels):
            failure = failure or error_text
            log("stdout", text.encode(errors="replace"))
            tail = [*tail, *text.splitlines()][-LOG_TAIL_LINES:]
    except (docker.errors.APIError, requests.RequestException) as error:
        raise SandboxFailed(f"the image of {image.context} could not be built: {explain(error)}") from error
    if failure:
        lines = "\n".join(line for line in tail if line.strip())
        raise SandboxFailed(f"the image of {image.context} could not be built: {failure}\n{lines}")


def _classic(engine: Engine, image: Image, tag: str, labels: dict[str, str]) -> Iterator[Event]:
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
        yield event.get("stream") or "", event.get("error")


def _buildkit(engine: Engine, image: Image, tag: str, labels: dict[str, str]) -> Iterator[Event]:
    """The SDK has no call for BuildKit, so its parts are used: the tar, the request, the stream of events."""
    if image.context is None:
        return
    api = cast("Any", engine.api)
    parameters = {"t": tag, "version": "2", "rm": True, "nocache": image.force_build, "labels": json.dumps(labels)}
    with _archive(image.context) as archive:
        response = api._post(  # noqa: SLF001 - see above
            api._url("/build"),  # noqa: SLF001
            data=archive,
            params=parameters,
            headers={"Content-Type": "application/x-tar"},
            stream=True,
            timeout=None,
        )
        api._raise_for_status(response)  # noqa: SLF001
        for event in api._stream_helper(response, decode=True):  # noqa: SLF001
            is_trace = event.get("id") == "moby.buildkit.trace"
            yield trace_text(str(event.get("aux") or "")) if is_trace else "", event.get("error")


def _archive(context: Path) -> IO[bytes]:
    """The context as a tar. BuildKit takes one only if its very first block is a plain header, not one of PAX."""
    archive = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 - the caller closes it
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in dict.fromkeys(["Dockerfile", *sent_files(context)]):
            member = tar.gettarinfo(context / name, arcname=name)
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            if member.isreg():
                with (context / name).open("rb") as file:
                    tar.addfile(member, file)
            elif member.isdir() or member.issym():
                tar.addfile(member)
    archive.seek(0)
    return archive
