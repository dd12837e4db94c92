"""A small container that shares a sandbox's network and carries connections to the runner, over the engine alone.

For runners that may not enter the namespace: users in the group docker, Docker Desktop, engines on other machines.
"""

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

import docker.errors

from runs.errors import SandboxFailed
from runs.sandboxes.egress import multiplex
from runs.sandboxes.egress.carry import Connection
from runs.sandboxes.egress.listener import BACKLOG, BUFFER_BYTES, Handed, Handler, Listener
from runs.sandboxes.engine import Engine
from runs.sandboxes.hijack import frames, open_exec

DEFAULT_IMAGE: Final = "python:3.11-slim-bookworm"
START_SEC: Final = 20.0
MEMORY: Final = "96m"
KEEP_ALIVE: Final = ["/bin/sh", "-c", "while :; do sleep 86400; done"]


def relay_image() -> str:
    """An image with `python3` and `sh`; PIER_RELAY_IMAGE names another one than the default."""
    return os.environ.get("PIER_RELAY_IMAGE") or DEFAULT_IMAGE


class RelayContainer:
    """The container; it holds nothing but a Python that runs `multiplex.py`, once for each served port."""

    def __init__(self, engine: Engine, container_id: str) -> None:
        self._engine = engine
        self._id = container_id

    @classmethod
    async def start(cls, engine: Engine, sandbox_id: str, labels: Mapping[str, str]) -> "RelayContainer":
        """Start one beside a running sandbox. Raises SandboxFailed."""
        creation = asyncio.ensure_future(engine.call(_create, engine, sandbox_id, labels))
        try:
            made = cls(engine, await asyncio.shield(creation))
        except asyncio.CancelledError:
            with suppress(SandboxFailed):
                await cls(engine, await creation).remove()
            raise
        try:
            await engine.call(engine.api.start, made._id)
        except BaseException:
            await asyncio.shield(made.remove())
            raise
        return made

    async def listen(self, port: int, handler: Handler) -> "RelayedPort":
        """Serve a port of the loopback that the relay shares with the sandbox. Raises SandboxFailed."""
        program = Path(multiplex.__file__).read_text(encoding="utf-8")
        prepared = await self._engine.call(
            self._engine.api.exec_create, self._id, ["python3", "-I", "-c", program, str(port)], stdin=True, user="root"
        )
        return await RelayedPort.open(*await open_exec(self._engine.api, prepared["Id"]), port=port, handler=handler)

    async def remove(self) -> None:
        """Kill and remove it."""
        await self._engine.call(_remove, self._engine, self._id)


def _create(engine: Engine, sandbox_id: str, labels: Mapping[str, str]) -> str:
    api = engine.api
    config = api.create_host_config(
        network_mode=f"container:{sandbox_id}",
        init=True,
        cap_drop=["ALL"],
        cap_add=["NET_BIND_SERVICE"],
        security_opt=["no-new-privileges"],
        read_only=True,
        mem_limit=MEMORY,
        pids_limit=64,
    )
    image = relay_image()
    try:
        made = api.create_container(image, entrypoint=KEEP_ALIVE, labels=dict(labels), host_config=config)
    except docker.errors.ImageNotFound as error:
        raise SandboxFailed(
            f"the image {image}, which carries the sandbox's connections, is not in the engine: "
            f"run `docker pull {image}`, or name another one with Python in PIER_RELAY_IMAGE"
        ) from error
    return cast("str", made["Id"])


def _remove(engine: Engine, container_id: str) -> None:
    with suppress(docker.errors.NotFound):
        engine.api.remove_container(container_id, force=True, v=True)


class RelayedPort:
    """A served port whose connections come over the engine; here each is a pair of sockets, one end a Listener's."""

    def __init__(self, listener: Listener, writer: asyncio.StreamWriter) -> None:
        self._listener = listener
        self._writer = writer
        self._ended = False
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(
        cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, port: int, handler: Handler
    ) -> "RelayedPort":
        """Raises SandboxFailed where the relay cannot listen."""
        handed = Handed(BACKLOG)
        served = cls(Listener(handed, handler), writer)
        said = asyncio.StreamReader()
        ends = multiplex.Multiplexer(said, writer, lambda: _hand_over(handed))
        complaint = bytearray()
        is_up = asyncio.Event()
        served._tasks = [
            asyncio.create_task(served._feed(reader, said, complaint, is_up)),
            asyncio.create_task(ends.run()),
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SEC):
                await is_up.wait()
        if served._ended or not is_up.is_set():
            await served.close()
            words = bytes(complaint[-300:]).decode(errors="replace").strip()
            raise SandboxFailed(
                f"port {port} cannot be served inside the sandbox: {words or 'its relay does not start'}"
            )
        return served

    async def _feed(
        self, reader: asyncio.StreamReader, said: asyncio.StreamReader, complaint: bytearray, is_up: asyncio.Event
    ) -> None:
        try:
            async for stream, data in frames(reader):
                if stream == "stdout":
                    said.feed_data(data)
                    is_up.set()
                else:
                    complaint += data[: max(0, 4000 - len(complaint))]
        except (OSError, SandboxFailed):
            # The engine's connection is gone: nothing is served any more, which `failure` tells.
            pass
        finally:
            self._ended = True
            said.feed_eof()
            is_up.set()

    @property
    def failure(self) -> str | None:
        """Why nobody listens any more, or None while all is well."""
        return "its relay ended" if self._ended else self._listener.failure

    async def close(self) -> None:
        """Stop serving and drop every connection."""
        self._writer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._listener.close()


async def _hand_over(handed: Handed) -> Connection:
    """A connection whose other end is handed to a listener."""
    ours, theirs = socket.socketpair()
    try:
        await handed.put(theirs)
    except BaseException:
        ours.close()
        theirs.close()
        raise
    return await asyncio.open_connection(sock=ours, limit=BUFFER_BYTES)
