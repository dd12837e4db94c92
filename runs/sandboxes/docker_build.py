"""Building an image from a Dockerfile: with the classic builder, and with BuildKit where that one refuses it."""

import asyncio
import io
import json
import re
import tarfile
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, cast

from docker.utils.build import PatternMatcher, exclude_paths

from runs.errors import SandboxFailed
from runs.sandboxes.archive import IN_MEMORY_BYTES
from runs.sandboxes.base import Image, OnOutput
from runs.sandboxes.buildkit import trace_text
from runs.sandboxes.dockerfile_stages import dockerfile_to_send, with_original_lines
from runs.sandboxes.dockerfile_syntax import refuse_heredocs
from runs.sandboxes.engine import Engine
from runs.sandboxes.engine_stream import Event, post

LOG_TAIL_LINES = 12
DOCKERIGNORE = ".dockerignore"
# The two empty blocks that end a tar. Python fills it up to 10 KiB, which nobody needs.
END_BYTES = 2 * tarfile.BLOCKSIZE
# What is built; .dockerignore keeps it out of COPY, as the docker command does with a Dockerfile from elsewhere.
OWN_DOCKERFILE = ".dockerfile.pier-site"
# The classic builder's word for the image that a step left.
STEP_IMAGE = re.compile(r" ---> ([0-9a-f]{12})\n")
# What the classic builder says of `RUN --mount`, of here-documents and of flags that only BuildKit has.
NEEDS_BUILDKIT = re.compile(r"requires BuildKit|unknown instruction|unknown flag", re.IGNORECASE)

Builder = Literal["classic", "buildkit"]


@dataclass(slots=True)
class Build:
    """One build. `bases` are images to start from instead of those that the lines of the Dockerfile name.

    `steps` are the ids, cut to 12 digits, that the engine told of the images it made or took from its cache.
    """

    image: Image
    tag: str
    labels: Mapping[str, str]
    bases: Mapping[int, str] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)


async def build_image(engine: Engine, build: Build, log: OnOutput) -> None:
    """Build the context under the tag. Raises SandboxFailed with the last lines of the build's output.

    Whoever stops waiting ends the build in the engine too.
    """
    if build.image.context:
        version: dict[str, str] = await engine.call(engine.api.version)
        refuse_heredocs(build.image.context / build.image.dockerfile, version["Version"])
    try:
        await _run("classic", engine, build, log)
    except SandboxFailed as error:
        if not NEEDS_BUILDKIT.search(str(error)):
            raise
        log("stdout", b"The classic builder refuses this Dockerfile; trying BuildKit.\n")
        await _run("buildkit", engine, build, log)


def sent_files(context: Path, dockerfile: str = "Dockerfile") -> list[str]:
    """The names of what a build sends to the engine, sorted, by the rules of .dockerignore that the SDK applies."""
    return sorted(exclude_paths(str(context), _ignored(context), dockerfile=dockerfile))


def _ignored(context: Path) -> list[str]:
    path = context / DOCKERIGNORE
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    return [line for line in map(str.strip, lines) if line and not line.startswith("#")]


async def _run(builder: Builder, engine: Engine, build: Build, log: OnOutput) -> None:
    tail: list[str] = []
    failure = None
    if build.image.context is None:
        return
    text = (build.image.context / build.image.dockerfile).read_text(errors="surrogateescape")
    sent = dockerfile_to_send(text, build.bases)
    with await asyncio.to_thread(_archive, build.image, sent) as archive:
        # An error is the last event.
        async with aclosing(_events(builder, engine, build, archive)) as events:
            async for event in events:
                failure = failure or cast("str | None", event.get("error"))
                text = _text(event)
                build.steps += STEP_IMAGE.findall(text)
                log("stdout", text.encode(errors="replace"))
                tail = [*tail, *text.splitlines()][-LOG_TAIL_LINES:]
    if failure:
        lines = "\n".join(line for line in tail if line.strip())
        failure = with_original_lines(failure, sent)
        raise SandboxFailed(f"the image of {build.image.context} could not be built: {failure}\n{lines}")


async def _events(builder: Builder, engine: Engine, build: Build, archive: IO[bytes]) -> AsyncGenerator[Event]:
    parameters = {
        "t": build.tag,
        "version": "2" if builder == "buildkit" else "1",
        "dockerfile": OWN_DOCKERFILE,
        "rm": "1",
        "forcerm": "1",
        "nocache": str(int(build.image.force_build)),
        "labels": json.dumps(dict(build.labels)),
        "buildargs": json.dumps({**_proxies(engine), **dict(build.image.build_args)}),
    }
    headers = {"Content-Type": "application/x-tar"}
    cast("Any", engine.api)._set_auth_headers(headers)  # noqa: SLF001 - the SDK knows the registries' logins
    try:
        async with aclosing(post(engine.api, "/build", parameters, headers=headers, body=archive)) as events:
            async for event in events:
                yield event
    except SandboxFailed as error:
        raise SandboxFailed(f"the image of {build.image.context} could not be built: {error}") from error


def _proxies(engine: Engine) -> dict[str, str]:
    """The proxy that the engine's client is configured to use in builds, as the docker command does it."""
    proxies = cast("Any", engine.api)._proxy_configs  # noqa: SLF001 - the SDK has read them, and has no other way out
    return dict(proxies.get_environment()) if proxies else {}


def _text(event: Event) -> str:
    if event.get("id") == "moby.buildkit.trace":
        return trace_text(str(event.get("aux") or ""))
    return str(event.get("stream") or "")


def _archive(image: Image, dockerfile: str) -> IO[bytes]:
    """The context as a tar, with the Dockerfile to use beside the task's own, and ignored like this one.

    BuildKit takes a tar only if its very first block is a plain header, not one of PAX.
    """
    context = cast("Path", image.context)
    ignored = _ignored(context)
    is_ignored = cast("Callable[[str], bool]", PatternMatcher(ignored).matches)
    archive = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 - the caller closes it
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        _add_text(tar, OWN_DOCKERFILE, dockerfile)
        hidden = [OWN_DOCKERFILE] if (context / DOCKERIGNORE).is_file() else [OWN_DOCKERFILE, DOCKERIGNORE]
        _add_text(tar, DOCKERIGNORE, "\n".join([*ignored, *hidden, ""]))
        for name in sent_files(context, image.dockerfile):
            if name == DOCKERIGNORE or (name == image.dockerfile and is_ignored(name)):
                continue
            member = tar.gettarinfo(context / name, arcname=name)
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            if member.isreg():
                with (context / name).open("rb") as file:
                    tar.addfile(member, file)
            elif member.isdir() or member.issym():
                tar.addfile(member)
        end = tar.offset + END_BYTES
    # The engine reads to the end of the archive and no further; while there is more that it was promised, it does not
    # notice that the connection was closed, and an abandoned build goes on.
    archive.truncate(end)
    archive.seek(0)
    return archive


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode(errors="surrogateescape")
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
