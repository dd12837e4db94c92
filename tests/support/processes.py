"""What the processes of this machine were started with: where a secret must never be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

EVERY_SEC = 0.05


def argvs_of_this_machine() -> set[bytes]:
    """The argv of every process; of those in containers too, where the engine is on this machine."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.add(path.read_bytes())
        except OSError:  # it has ended
            continue
    return found


@asynccontextmanager
async def watched_argvs() -> AsyncIterator[set[bytes]]:
    """All that is seen while the block runs."""
    seen: set[bytes] = set()

    async def watch() -> None:
        while True:
            seen.update(argvs_of_this_machine())
            await asyncio.sleep(EVERY_SEC)

    watching = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        watching.cancel()
