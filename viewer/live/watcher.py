"""One thread a web process that notices writes to trials somebody follows, and wakes those who do. It sends nothing.

The runner is another process and knows nothing of this one: the database is what both have. SQLite says for a few
microseconds whether anybody wrote; other databases are asked for the trials themselves, by key, a few times a second.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from django.db import DatabaseError, connection

from runs.models import Trial

SQLITE_PERIOD_SEC: Final = 0.05
OTHER_PERIOD_SEC: Final = 0.25
# What a write to a trial that a reader would see changes at least one of.
_COLUMNS: Final = ("revision", "execution", "status", "phase", "reward", "cancel_requested_at", "exception_type")


@dataclass(slots=True, eq=False)
class Waiter:
    """One who follows a trial. `woken` is set in the loop that it belongs to."""

    trial_id: int
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def wake(self) -> None:
        """Set `woken`, from any thread."""
        with suppress(RuntimeError):  # its loop may have ended, and it with it
            self.loop.call_soon_threadsafe(self.woken.set)


class Watcher:
    """Looks while somebody waits; its thread ends when nobody does."""

    def __init__(self) -> None:
        self._waiters: set[Waiter] = set()
        # Of a signal handler's use, too, which may come while its own thread holds it.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    @contextmanager
    def waiting_for(self, trial_id: int) -> Iterator[Waiter]:
        """A waiter that is woken soon after each write to the trial. To be called in an event loop."""
        waiter = Waiter(trial_id)
        with self._lock:
            self._waiters.add(waiter)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="trial-watcher", daemon=True)
                self._thread.start()
        try:
            yield waiter
        finally:
            with self._lock:
                self._waiters.discard(waiter)

    @property
    def is_closed(self) -> bool:
        """Whether the server is going: streams end then, and readers come back to the next one."""
        return self._is_closed

    def close(self) -> None:
        """End all streams of this process."""
        self._is_closed = True
        with self._lock:
            waiters = list(self._waiters)
        for waiter in waiters:
            waiter.wake()

    def _run(self) -> None:
        period = SQLITE_PERIOD_SEC if connection.vendor == "sqlite" else OTHER_PERIOD_SEC
        version: object = None
        known: dict[int, tuple[object, ...]] = {}
        pause = threading.Event()
        while waiters := self._those_left():
            wanted = {waiter.trial_id for waiter in waiters}
            try:
                now = _data_version()
                if now is None or now != version or wanted - known.keys():
                    version = now
                    seen = _state_of(wanted)
                    for waiter in waiters:
                        # At first sight too: something may have been written since the reader's own look.
                        if seen.get(waiter.trial_id) != known.get(waiter.trial_id):
                            waiter.wake()
                    known = {trial_id: seen.get(trial_id, ()) for trial_id in wanted}
            except DatabaseError:
                connection.close()  # locked or away for a moment: look again
            pause.wait(period)
        connection.close()

    def _those_left(self) -> list[Waiter]:
        with self._lock:
            if not self._waiters:
                self._thread = None
            return list(self._waiters)


def _data_version() -> object:
    """A number that changes when another connection writes, None where the database has no such thing."""
    if connection.vendor != "sqlite":
        return None
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA data_version")
        row = cursor.fetchone()
    return row[0] if row else None


def _state_of(trial_ids: set[int]) -> dict[int, tuple[object, ...]]:
    rows = Trial.objects.filter(pk__in=trial_ids).values_list("pk", *_COLUMNS)
    return {row[0]: row[1:] for row in rows}


watcher: Final = Watcher()
