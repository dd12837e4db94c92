"""Accepts connections from inside a sandbox and hands them to a handler, without letting one sandbox slow the others.

All trials of a runner share its event loop: what a sandbox can make it do is bounded here, whoever handles it.
"""

import asyncio
import resource
import socket
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

# More wait in the kernel's queue, inside the sandbox's own namespace.
MAX_CONNECTIONS: Final = 128
BACKLOG: Final = 128
# A flood of short connections is let in at this rate, after a first burst.
BURST: Final = 100
CONNECTIONS_PER_SEC: Final = 100.0
BUFFER_BYTES: Final = 32 * 1024
OPEN_FILES: Final = 65_536


class Served(Protocol):
    """A port that is being served, in whatever way."""

    @property
    def failure(self) -> str | None:
        """Why nobody listens any more, or None while all is well."""

    async def close(self) -> None:
        """Stop listening and drop every connection."""


class Pace:
    """Lets through a burst, and then so many a second: what is more waits in the kernel, or is dropped there."""

    def __init__(self, burst: int, per_sec: float) -> None:
        self._burst, self._per_sec = float(burst), per_sec
        self._credit = self._burst
        self._credited_at = asyncio.get_running_loop().time()

    async def keep(self) -> None:
        """Wait for the turn of the next one."""
        now = asyncio.get_running_loop().time()
        self._credit = min(self._burst, self._credit + (now - self._credited_at) * self._per_sec)
        self._credited_at = now
        self._credit -= 1
        if self._credit < 0:
            await asyncio.sleep(-self._credit / self._per_sec)


def ending_of(task: asyncio.Task[None]) -> str | None:
    """Why a task that should never end has ended, or None while it goes on."""
    if not task.done():
        return None
    error = None if task.cancelled() else task.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if error else "it was closed"


Handed = asyncio.Queue[socket.socket]
"""Connections that someone else has accepted."""


class Listener:
    """One served port. It ends when it is closed; if it ends otherwise `failure` says why."""

    def __init__(self, source: socket.socket | Handed, handler: Handler) -> None:
        if isinstance(source, socket.socket):
            source.setblocking(False)
        self._source = source
        self._handler = handler
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._pace = Pace(BURST, CONNECTIONS_PER_SEC)
        self._task = asyncio.create_task(self._serve())

    @property
    def failure(self) -> str | None:
        """Why nobody listens any more, or None while all is well."""
        return ending_of(self._task)

    async def close(self) -> None:
        """Stop listening and drop every connection; when this returns nothing of the sandbox's network is held."""
        self._task.cancel()
        await asyncio.wait({self._task})
        if isinstance(self._source, socket.socket):
            self._source.close()
            return
        while not self._source.empty():
            self._source.get_nowait().close()

    async def _accept(self) -> socket.socket:
        if isinstance(self._source, socket.socket):
            return (await asyncio.get_running_loop().sock_accept(self._source))[0]
        return await self._source.get()

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as connections:
            while True:
                await self._slots.acquire()
                await self._pace.keep()
                try:
                    connection = await self._accept()
                except OSError:
                    # The client has gone again, or the runner has no file descriptor left for the moment.
                    self._slots.release()
                    await asyncio.sleep(0.1)
                    continue
                connections.create_task(self._connected(connection))

    async def _connected(self, connection: socket.socket) -> None:
        try:
            reader, writer = await asyncio.open_connection(sock=connection, limit=BUFFER_BYTES)
            try:
                await self._handler(reader, writer)
            finally:
                await closed(writer)
        except OSError:
            # The other side is gone; what its connection meant is the handler's to note.
            connection.close()
        finally:
            self._slots.release()


def raise_file_limit() -> None:
    """Let this process have as many open files as it may: many sandboxes may use all of their connections at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection: what was written is sent if the other side takes it within a second, and then it is gone.

    In a task that is being cancelled it is gone at once.
    """
    task = asyncio.current_task()
    if task and task.cancelling():
        writer.transport.abort()
        return
    writer.close()
    try:
        async with asyncio.timeout(1.0):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()
    except asyncio.CancelledError:
        writer.transport.abort()
        raise
