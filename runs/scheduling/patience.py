"""Calls of the database that outlast it: while it is locked or away the files are the truth, and the call waits."""

import asyncio
from collections.abc import Callable

from asgiref.sync import sync_to_async
from django.db import InterfaceError, OperationalError, connection

# Long enough for a backup, a restart or a fail-over; a runner that waits holds no lock.
PATIENCE_SEC = 600.0
FIRST_PAUSE_SEC = 0.25
LONGEST_PAUSE_SEC = 5.0


async def in_database[**P, T](function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a function of the database, called again for ten minutes as long as there is no getting through.

    The function must be one that can be repeated after it was rolled back.
    """
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + PATIENCE_SEC, FIRST_PAUSE_SEC
    while True:
        try:
            return await sync_to_async(function)(*args, **kwargs)
        except (OperationalError, InterfaceError) as error:
            if not _may_pass(error) or loop.time() > deadline:
                raise
        # A connection that broke is never used again; the next call opens a new one.
        await sync_to_async(_disconnect)()
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SEC)


def _disconnect() -> None:
    """Close the connection of this thread."""
    connection.close()


def _may_pass(error: OperationalError | InterfaceError) -> bool:
    """SQLite calls nearly every error operational; PostgreSQL only what befalls a connection or a server."""
    return connection.vendor != "sqlite" or any(words in str(error) for words in ("locked", "unable to open"))
