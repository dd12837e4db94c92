"""Doing a costly thing once: in this process for all who want it at the moment, and one process after the other."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runs.sandboxes.base import OnOutput, Stream

# A lock of another process is asked for again; nothing tells when it becomes free.
FIRST_PAUSE_SEC, LONGEST_PAUSE_SEC = 0.02, 0.5

type Work[T] = Callable[[OnOutput], Awaitable[T]]


@dataclass(slots=True)
class _Flight:
    task: asyncio.Task[Any]
    logs: dict[object, OnOutput] = field(default_factory=dict)


class SingleFlight:
    """The work under way, by its key. For one event loop.

    Whoever wants work that is under way waits for it, gets its output from then on, and its failure too: fifty trials
    don't try fifty times what cannot be done. It is cancelled when the last one who waits for it has gone.
    """

    def __init__(self) -> None:
        self._flights: dict[str, _Flight] = {}

    async def do[T](self, key: str, work: Work[T], log: OnOutput) -> T:
        """The result of `work` under this key. Raises what it raises."""
        flight, me = self._flights.get(key) or self._start(key, work), object()
        flight.logs[me] = log
        try:
            result: T = await asyncio.shield(flight.task)
            return result
        finally:
            del flight.logs[me]
            if not flight.logs and not flight.task.done():
                await self._cancel(key, flight)

    def _start[T](self, key: str, work: Work[T]) -> _Flight:
        def tell(stream: Stream, data: bytes) -> None:
            for log in list(flight.logs.values()):
                log(stream, data)

        async def run() -> T:
            try:
                return await work(tell)
            finally:
                if self._flights.get(key) is flight:
                    del self._flights[key]

        flight = self._flights[key] = _Flight(asyncio.create_task(run()))
        return flight

    async def _cancel(self, key: str, flight: _Flight) -> None:
        """Whoever comes from now on starts anew. What the work has to clean up is waited for."""
        if self._flights.get(key) is flight:
            del self._flights[key]
        flight.task.cancel()
        await asyncio.wait({flight.task})
        if not flight.task.cancelled():
            flight.task.exception()  # asked for, or asyncio would complain that nobody did


@asynccontextmanager
async def only_process(folder: Path, name: str) -> AsyncIterator[None]:
    """Hold the lock of that name among all processes that keep their locks in this folder. It dies with its holder."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    pause = FIRST_PAUSE_SEC
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SEC)
        yield
    finally:
        os.close(descriptor)
