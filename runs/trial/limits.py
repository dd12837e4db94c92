"""The limits of a sandbox that an agent may run into, and how they are told apart from its own failures."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from runs.errors import (
    AgentOutOfMemoryError,
    AgentTimeoutError,
    GuardReached,
    NonZeroAgentExitCodeError,
    ProviderFailed,
    SandboxFailed,
    StorageLimitExceededError,
)
from runs.sandboxes.base import Sandbox

# Soon at first, so that what writes fast is caught; and never for more than a twentieth of the engine's time.
FIRST_CHECK_SEC = 2.0
CHECK_SEC = 15.0
CHECK_SHARE = 20
MB = 1024 * 1024
# How an agent may end without that what it had done by then becomes worthless.
VERIFIED_ALL_THE_SAME = (
    AgentTimeoutError,
    AgentOutOfMemoryError,
    StorageLimitExceededError,
    GuardReached,
    ProviderFailed,
    NonZeroAgentExitCodeError,
)


@asynccontextmanager
async def agent_limits(sandbox: Sandbox, warn: Callable[[str], None]) -> AsyncIterator[None]:
    """Name the limit that stopped the agent, where it was one.

    Raises AgentOutOfMemoryError in place of NonZeroAgentExitCodeError when the kernel killed for want of memory
    meanwhile, and StorageLimitExceededError, with the body cancelled, when more than storage_mb is written.
    """
    kills = sandbox.n_memory_kills
    limit = sandbox.spec.resources.memory_mb
    try:
        async with storage_limit(sandbox, sandbox.spec.resources.storage_mb):
            yield
    except NonZeroAgentExitCodeError as error:
        if sandbox.n_memory_kills == kills:
            raise
        raise AgentOutOfMemoryError(f"the agent ran out of memory (memory_mb = {limit}): {error}") from error
    if sandbox.n_memory_kills != kills:
        warn(f"processes were killed for want of memory while the agent worked (memory_mb = {limit})")


@asynccontextmanager
async def storage_limit(sandbox: Sandbox, storage_mb: int | None) -> AsyncIterator[None]:
    """Cancel the body once the sandbox holds more than `storage_mb` and raise StorageLimitExceededError."""
    if storage_mb is None:
        yield
        return
    timer = asyncio.timeout(None)
    watcher = asyncio.create_task(_watch(sandbox, storage_mb, timer))
    try:
        async with timer:
            yield
    except TimeoutError:
        if not timer.expired():
            raise
        raise StorageLimitExceededError(
            f"the agent wrote more than the task allows (storage_mb = {storage_mb}) and was stopped"
        ) from None
    finally:
        watcher.cancel()


async def _watch(sandbox: Sandbox, storage_mb: int, timer: asyncio.Timeout) -> None:
    loop = asyncio.get_running_loop()
    delay = FIRST_CHECK_SEC
    while True:
        await asyncio.sleep(delay)
        began = loop.time()
        try:
            written = await sandbox.written_bytes()
        except SandboxFailed:
            # The agent's own connection tells whether the sandbox is lost.
            written = 0
        if written is None:
            return
        if written > storage_mb * MB:
            timer.reschedule(began)
            return
        delay = max(min(delay * 2, CHECK_SEC), CHECK_SHARE * (loop.time() - began))
