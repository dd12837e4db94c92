"""The Docker engine as the runner uses it: one client, calls in threads, failures as SandboxFailed."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
import requests
from docker.errors import DockerException

from runs.errors import InputInvalid, SandboxFailed

# Calls of the engine are short (start is the longest, about 0.2 s); builds and pulls stream.
CALL_TIMEOUT_SEC = 60
THREADS = 16


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
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="docker")
        self._build_locks: dict[str, asyncio.Lock] = {}

    @classmethod
    def connect(cls) -> "Engine":
        """Connect as the environment says (DOCKER_HOST…). Raises EngineUnavailable."""
        try:
            client = docker.from_env(timeout=CALL_TIMEOUT_SEC, max_pool_size=THREADS)
            client.api.ping()
        except (DockerException, requests.RequestException) as error:
            raise EngineUnavailable(_first_words(error)) from error
        return cls(client.api)

    async def call[T](self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a blocking call of the SDK in a thread. Raises SandboxFailed for all that goes wrong in it."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, lambda: function(*args, **kwargs))
        except (DockerException, requests.RequestException) as error:
            raise SandboxFailed(f"the Docker engine failed: {explain(error)}") from error

    def build_lock(self, tag: str) -> asyncio.Lock:
        """One lock an image: fifty trials that want the same image build it once."""
        return self._build_locks.setdefault(tag, asyncio.Lock())

    def close(self) -> None:
        """Let the threads go; calls under way end on their own."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.api.close()


def explain(error: Exception) -> str:
    """What the engine said, without the SDK's wrapping."""
    explanation = getattr(error, "explanation", None)
    return str(explanation or error)


def _first_words(error: Exception) -> str:
    text = str(error)
    if "No such file" in text:
        return "there is no such socket"
    if "Permission denied" in text:
        return "permission denied"
    if "Connection refused" in text:
        return "connection refused"
    return text[:200]
