"""The engine's streaming answers, from a socket that plays engine; and a build that is really ended when abandoned."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from docker import DockerClient

from runs.errors import SandboxFailed
from runs.sandboxes.base import Image
from runs.sandboxes.docker_images import resolve_image
from runs.sandboxes.engine import Engine
from runs.sandboxes.engine_stream import post
from tests.support.tasks import BASE_IMAGE

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@asynccontextmanager
async def playing_engine(answer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """The SDK's client of an engine that gives this one answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    path = tmp_path / "engine.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    server = await asyncio.start_unix_server(serve, path)
    try:
        yield SimpleNamespace(api_version="1.41")
    finally:
        server.close()
        await server.wait_closed()


async def events_of(answer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    async with playing_engine(answer, tmp_path, monkeypatch) as api:
        return [event async for event in post(api, "/build", {})]


async def test_events_are_read_across_the_borders_of_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [b'{"stream":"a', b'"}\r\n{"stream":', b'"b"}', b"\r\n"]
    answer = CHUNKED + b"".join(map(chunk, parts)) + b"0\r\n\r\n"
    assert await events_of(answer, tmp_path, monkeypatch) == [{"stream": "a"}, {"stream": "b"}]


async def test_an_answer_of_known_length_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"Id":"sha256:1"}'
    answer = b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    assert await events_of(answer, tmp_path, monkeypatch) == [{"Id": "sha256:1"}]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 500 X\r\nContent-Length: 20\r\n\r\n" + json.dumps({"message": "no luck"}).encode(), "no luck"),
        (b"HTTP/1.1 404 X\r\nContent-Length: 5\r\n\r\nplain", "plain"),
        (CHUNKED + chunk(b'{"stream":"a"}\n') + b"5\r\n{", "connection to the Docker engine broke"),
        (CHUNKED + b"zzz\r\n", "connection to the Docker engine broke"),
        (CHUNKED + chunk(b"{broken\n"), "connection to the Docker engine broke"),
        (b"HTTP/1.1 200 OK\r\n", "connection to the Docker engine broke"),
        (b"", "connection to the Docker engine broke"),
    ],
)
async def test_what_goes_wrong_is_the_sandboxes_failure_in_the_engines_words(
    answer: bytes, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SandboxFailed, match=words):
        await events_of(answer, tmp_path, monkeypatch)


async def test_an_engine_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'none.sock'}")
    with pytest.raises(SandboxFailed, match="no connection to the Docker engine"):
        await anext(post(SimpleNamespace(api_version="1.41"), "/build", {}))  # type: ignore[arg-type]  # what it uses


@pytest.mark.docker
async def test_a_build_that_nobody_waits_for_any_more_ends_in_the_engine(
    tmp_path: Path, docker_engine: DockerClient
) -> None:
    mark = f"abandoned-{uuid4().hex}"
    (tmp_path / "Dockerfile").write_text(f"FROM {BASE_IMAGE}\nRUN echo begun-$((40+2)); sleep 600; echo {mark}\n")
    engine = Engine.connect()
    begun = asyncio.Event()

    def on_output(_: str, data: bytes) -> None:
        if b"begun-42" in data:
            begun.set()

    def running() -> int:
        return sum(mark in item["Command"] for item in docker_engine.api.containers(all=True))

    image = Image(context=tmp_path)
    try:
        builds = [
            asyncio.create_task(resolve_image(engine, image, labels={"pier-site": "1"}, log=on_output))
            for _ in range(3)
        ]
        async with asyncio.timeout(60):
            await begun.wait()
        assert running() == 1
        for build in builds:
            build.cancel()
        async with asyncio.timeout(20):
            await asyncio.wait(builds)
        ends_at = time.monotonic() + 20
        while running() and time.monotonic() < ends_at:  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(0.1)
        assert running() == 0
        # Nothing of the engine's calls is held any more.
        assert engine._slots._value == 16
    finally:
        engine.close()
