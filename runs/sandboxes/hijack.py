"""A two-way stream to a process that the engine runs: POST …/exec/ID/start, upgraded to a raw connection.

The docker SDK can open this connection too, but hands out the socket below its own read buffer, so output that
arrives together with the answer's headers is lost; and reading it would hold a thread for as long as an agent runs.
"""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from docker import APIClient
from docker.utils import parse_host

from runs.errors import SandboxFailed
from runs.sandboxes.base import Stream

FRAME_HEADER_BYTES = 8  # stream number, three zeros, length as big-endian 32 bit
STREAMS: dict[int, Stream] = {1: "stdout", 2: "stderr"}
READ_BYTES = 64 * 1024


async def open_exec(api: APIClient, exec_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Start a prepared exec and return its connection, positioned at the first byte of output. Raises SandboxFailed."""
    try:
        async with asyncio.timeout(api.timeout):
            return await _open(api, exec_id)
    except TimeoutError as error:
        raise SandboxFailed(f"the engine did not start a command within {api.timeout} s") from error
    except (OSError, asyncio.IncompleteReadError) as error:
        raise SandboxFailed(f"the engine could not start a command: the connection broke ({error})") from error


async def _open(api: APIClient, exec_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await connect(api)
    body = json.dumps({"Detach": False, "Tty": False}).encode()
    head = (
        f"POST /v{api.api_version}/exec/{exec_id}/start HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n"
        f"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status = answer.split(" ", 2)[1]
    if status not in ("101", "200"):
        message = (await reader.read(4096)).decode(errors="replace")
        writer.close()
        raise SandboxFailed(f"the engine could not start a command ({status}): {message.strip()}")
    return reader, writer


async def connect(api: APIClient) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the engine of its own. Raises OSError, SandboxFailed."""
    host = os.environ.get("DOCKER_HOST") or None
    address = str(parse_host(host))
    if address.startswith("http+unix://"):
        return await asyncio.open_unix_connection(address.removeprefix("http+unix://"))
    url = urlsplit(api.base_url)
    if url.scheme not in ("http", "https") or url.hostname is None:
        raise SandboxFailed(f"DOCKER_HOST={host}: only unix:// and tcp:// addresses can be used")
    context = None
    if url.scheme == "https":
        context = ssl.create_default_context(cafile=api.verify if isinstance(api.verify, str) else None)
        if isinstance(api.cert, tuple):
            context.load_cert_chain(*api.cert)
    return await asyncio.open_connection(url.hostname, url.port, ssl=context)


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[tuple[Stream, bytes]]:
    """The output of the process as it comes, in pieces; ends when the process has closed both its streams."""
    while True:
        try:
            header = await reader.readexactly(FRAME_HEADER_BYTES)
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise SandboxFailed("the connection to the engine broke in the middle of a command's output") from error
            return
        stream = STREAMS.get(header[0], "stdout")
        left = int.from_bytes(header[4:])
        while left:
            data = await reader.read(min(left, READ_BYTES))
            if not data:
                raise SandboxFailed("the connection to the engine broke in the middle of a command's output")
            left -= len(data)
            yield stream, data
