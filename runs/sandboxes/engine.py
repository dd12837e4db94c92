"""The Docker engine as the runner uses it: one client, calls in threads, failures as SandboxFailed."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import docker
import requests
from docker.errors import DockerException

from runs.errors import InputInvalid, SandboxFailed
from runs.sandboxes.single_flight import SingleFlight

# Calls of the engine are short (start is the longest, about 0.2 s); builds and pulls stream.
CALL_TIMEOUT_SEC = 60
CONNECT_TIMEOUT_SEC = 10
THREADS = 16
MAX_EXPLANATION = 1000


class EngineUnavailable(InputInvalid):
    """No Docker engine answers."""

    def __init__(self, reason: object) -> None:
        address = os.environ.get("DOCKER_HOST", "the default socket")
        super().__init__(
            f"no Docker engine answers at {address} ({reason}): start it (as root: `dockerd &` or "
            "`systemctl start docker`), set DOCKER_HOST, or run without isolation with `-e host`"
        )


class Engine:
    """A connection to the engine, shared by all sandboxes of a runner."""

    def __init__(self, api: docker.APIClient) -> None:
        self.api = api
        self._slots = asyncio.Semaphore(THREADS)
        self.flights = SingleFlight()
        """Pulls and builds under way: fifty trials that want the same image make it once."""
        self._platform = ""

    @classmethod
    def connect(cls, *, call_timeout_sec: int = CALL_TIMEOUT_SEC) -> "Engine":
        """Connect as the environment says (DOCKER_HOST…). Raises EngineUnavailable, soon also when an engine hangs."""
        try:
            client = docker.from_env(timeout=CONNECT_TIMEOUT_SEC, max_pool_size=THREADS)
            client.api.ping()
            client.api.timeout = call_timeout_sec
        except (DockerException, requests.RequestException) as error:
            raise EngineUnavailable(_first_words(error)) from error
        return cls(client.api)

    async def call[T](self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a blocking call of the SDK in a thread. Raises SandboxFailed for all that goes wrong in it."""
        await self._slots.acquire()
        try:
            return await in_daemon_thread(lambda: function(*args, **kwargs), self._slots.release)
        except (DockerException, requests.RequestException) as error:
            raise SandboxFailed(f"the Docker engine failed: {explain(error)}") from error

    def platform(self) -> str:
        """What the engine runs, as `linux/amd64`. Blocks for one call, once."""
        if not self._platform:
            version = self.api.version()
            self._platform = f"{version['Os']}/{version['Arch']}"
        return self._platform

    def close(self) -> None:
        """Calls under way end on their own; nobody waits for them."""
        self.api.close()


async def in_daemon_thread[T](work: Callable[[], T], at_end: Callable[[], object]) -> T:
    """Run `work` in a thread of its own and call `at_end` in the loop when it has ended, waited for or not.

    The interpreter waits at its exit for the threads of an executor: a hanging engine, or a build that never ends,
    would keep a runner alive whose trials were all stopped at their deadlines.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()
    threading.Thread(target=_run, args=(work, loop, outcome, at_end), name="docker", daemon=True).start()
    try:
        return await outcome
    finally:
        # An error whose traceback leads back to itself would hold connections open until the garbage is collected.
        del outcome


def _run[T](
    work: Callable[[], T], loop: asyncio.AbstractEventLoop, outcome: asyncio.Future[T], at_end: Callable[[], object]
) -> None:
    finished: Future[T] = Future()
    try:
        finished.set_result(work())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where it is awaited
        finished.set_exception(error)
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(_settle, finished, outcome, at_end)
    del finished, outcome  # as above


def _settle[T](finished: Future[T], outcome: asyncio.Future[T], at_end: Callable[[], object]) -> None:
    at_end()
    if outcome.cancelled():
        return
    if error := finished.exception():
        outcome.set_exception(error)
    else:
        outcome.set_result(finished.result())


def explain(error: Exception) -> str:
    """What the engine said, without the SDK's wrapping."""
    explanation = str(getattr(error, "explanation", None) or error)
    # It may quote what a sandbox made up: a path of five thousand folders is one word.
    return explanation if len(explanation) <= MAX_EXPLANATION else f"{explanation[:MAX_EXPLANATION]}…"


def _first_words(error: Exception) -> str:
    text = str(error)
    if "No such file" in text:
        return "there is no such socket"
    if "Permission denied" in text:
        return "permission denied"
    if "Connection refused" in text:
        return "connection refused"
    return text[:200]
