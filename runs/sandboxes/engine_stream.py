"""Calls of the engine that tell how far they are: a build, a pull. Over a connection of their own, without a thread.

Whoever stops waiting closes the connection, and the engine stops the work; the SDK can do neither.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import IO, Any
from urllib.parse import urlencode

from docker import APIClient

from runs.errors import SandboxFailed
from runs.sandboxes.hijack import connect

SENT_BYTES = 256 * 1024
# A line of progress, a header, an error's text: more is no answer of an engine.
MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024

Event = dict[str, Any]


async def post(
    api: APIClient,
    path: str,
    parameters: Mapping[str, str],
    *,
    headers: Mapping[str, str] | None = None,
    body: IO[bytes] | None = None,
) -> AsyncGenerator[Event]:
    """The events of the answer, as the engine sends them. Raises SandboxFailed with the engine's words."""
    try:
        reader, writer = await connect(api)
    except OSError as error:
        raise SandboxFailed(f"no connection to the Docker engine: {error}") from error
    try:
        await _send(writer, f"/v{api.api_version}{path}?{urlencode(parameters)}", headers or {}, body)
        status, answer = await _head(reader)
        chunks = _chunks(reader, answer)
        async with aclosing(chunks):
            if status >= 400:
                raise SandboxFailed(await _error_text(chunks))
            async for event in _events(chunks):
                yield event
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise SandboxFailed(f"the connection to the Docker engine broke: {error}") from error
    finally:
        writer.close()


async def _send(writer: asyncio.StreamWriter, target: str, headers: Mapping[str, str], body: IO[bytes] | None) -> None:
    size_bytes = body.seek(0, 2) if body else 0
    lines = {"Host": "docker", "Connection": "close", "Content-Length": str(size_bytes), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"POST {target} HTTP/1.1\r\n{head}\r\n".encode())
    if body:
        body.seek(0)
        try:
            while chunk := body.read(SENT_BYTES):
                writer.write(chunk)
                await writer.drain()
        except (BrokenPipeError, ConnectionResetError):
            return  # the engine has answered already: it says why
    await writer.drain()


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines[1:] if ":" in line)
    return int(lines[0].split(" ", 2)[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _chunks(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> AsyncGenerator[bytes]:
    """The body, in the parts in which it comes."""
    if headers.get("transfer-encoding", "").lower() != "chunked":
        left = int(headers.get("content-length", MAX_LINE_BYTES))
        while left and (data := await reader.read(min(left, SENT_BYTES))):
            left -= len(data)
            yield data
        return
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        while size:
            data = await reader.read(min(size, SENT_BYTES))
            if not data:
                raise ConnectionResetError("it ended in the middle of an answer")
            size -= len(data)
            yield data
        await reader.readexactly(2)


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[Event]:
    """One JSON object a line."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            raise ValueError("an endless line of progress")
        for line in filter(None, map(bytes.strip, lines)):
            yield _object(line)
    if rest.strip():
        yield _object(rest)


def _object(line: bytes) -> Event:
    event = json.loads(line)
    return event if isinstance(event, dict) else {}


async def _error_text(chunks: AsyncIterator[bytes]) -> str:
    text = b""
    async for chunk in chunks:
        text = (text + chunk)[:MAX_ERROR_BYTES]
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.decode(errors="replace").strip() or "the Docker engine refused"
