"""One service of a trial as a container: created as its compose file says, and waited for."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import docker.errors
from docker.types import LogConfig

from runs.errors import SandboxFailed
from runs.formats.network import CLOSED, OPEN, NetworkMode
from runs.sandboxes.base import OnOutput, SandboxSpec, first_bytes
from runs.sandboxes.compose.images import image_of
from runs.sandboxes.compose.model import MAIN, Check, Condition, Service
from runs.sandboxes.compose.networks import ServiceNetwork, TrialNetworks
from runs.sandboxes.compose.volumes import TrialVolumes
from runs.sandboxes.docker import DROPPED_CAPABILITIES, LABEL, DockerSandbox
from runs.sandboxes.docker_images import resolve_image
from runs.sandboxes.engine import Engine

LOG_CONFIG: Final = {"max-size": "8m", "max-file": "1"}
LOG_LINES: Final = 20_000
MAX_LOG_BYTES: Final = 1024 * 1024
TOLD_LINES: Final = 6
MAX_TOLD_CHARS: Final = 300
# A check is tried more often than its interval while a service starts: success counts at once, failure on time.
MAX_PAUSE_SEC: Final = 0.5
POLL_SEC: Final = 0.1
NANOSECONDS: Final = 1e9


class ServiceContainer(DockerSandbox):
    """A container beside `main`. Commands in it get nothing of the agent's environment and no way out by a proxy."""

    def __init__(
        self, spec: SandboxSpec, engine: Engine, service: Service, networks: TrialNetworks, volumes: TrialVolumes
    ) -> None:
        super().__init__(spec, engine)
        self.service = service
        self.volumes = volumes
        self.networks = networks
        policy = OPEN if spec.network.mode is NetworkMode.OPEN else CLOSED
        self.network = ServiceNetwork(engine, policy, None, networks, service)
        self.check = service.check

    async def start(self, *, log: OnOutput) -> None:
        """Make it ready to be started, start it, and see that its network is as closed as asked."""
        image = image_of(self.service, self.spec.image)
        try:
            self.image = await resolve_image(self.engine, image, labels={LABEL: "1"}, log=log)
        except SandboxFailed as error:
            raise SandboxFailed(f"service {self.service.name!r}: {error}") from error
        self.check = self.check or await image_check(self.engine, self.image.id)
        ready = await self.ready_image(self.image, log)
        await self.volumes.prepare(self.service, ready)
        await self._make(ready)
        await self.volumes.lay_files(self.service, self._container())
        await self.engine.call(self._start)
        try:
            await self._settle()
        except SandboxFailed:
            # What ended at once is judged by who waits for it.
            if (await self.state())["Running"]:
                raise

    def _start(self) -> None:
        try:
            self.api.start(self._container())
        except docker.errors.APIError as error:
            raise SandboxFailed(f"service {self.service.name!r} could not be started: {error.explanation}") from error

    def _adapt(self, host_options: dict[str, Any], options: dict[str, Any]) -> None:
        adapt(self.service, host_options, options, self.networks, self.volumes)

    async def state(self) -> dict[str, Any]:
        """What the engine says of the container: Running, ExitCode and so on."""
        inspected: dict[str, Any] = await self.engine.call(self.api.inspect_container, self._container())
        return dict(inspected["State"])

    async def wait_until(self, condition: Condition) -> None:
        """Wait for what another service needs of this one. Raises SandboxFailed when it will not come."""
        if condition == "service_completed_successfully":
            while True:
                state = await self.state()
                if not state["Running"]:
                    break
                await asyncio.sleep(POLL_SEC)
            if state["ExitCode"]:
                raise await self.failure(f"ended with exit code {state['ExitCode']}")
            return
        if condition == "service_started":
            return
        if not (self.check and self.check.argv):
            raise SandboxFailed(f"service {self.service.name!r} is waited for as healthy, and has no health check")
        await self.wait_until_up()

    async def wait_until_up(self) -> None:
        """Wait until the service is healthy, if it has a check, and see that it runs. Raises SandboxFailed."""
        if self.check and self.check.argv:
            try:
                await wait_until_healthy(self, self.check)
            except NeverHealthy as error:
                raise await self.failure(str(error)) from None
        state = await self.state()
        if not state["Running"]:
            raise await self.failure(f"ended with exit code {state['ExitCode']}")

    async def failure(self, what: str) -> SandboxFailed:
        """The error that names the service and ends with the last it said."""
        lines = (await self.log()).decode(errors="replace").strip().splitlines()[-TOLD_LINES:]
        said = (
            "\n".join(["; the last it said:", *(line[:MAX_TOLD_CHARS] for line in lines)])
            if lines
            else ", and it said nothing"
        )
        return SandboxFailed(f"service {self.service.name!r} {what}{said}")

    async def log(self) -> bytes:
        """The end of what the service wrote, within limits."""
        if self.container_id is None:
            return b""
        try:
            return await self.engine.call(self._log, self.container_id)
        except SandboxFailed:
            return b""

    def _log(self, container_id: str) -> bytes:
        kept = bytearray()
        for piece in self.api.logs(container_id, stream=True, follow=False, tail=LOG_LINES):
            kept += piece
            if len(kept) > 2 * MAX_LOG_BYTES:
                del kept[:-MAX_LOG_BYTES]
        return bytes(kept[-MAX_LOG_BYTES:])

    async def keep_log(self, folder: Path) -> None:
        """Write the log to FOLDER/NAME.log, if the service wrote anything. That it cannot be kept stops nothing."""
        if log := await self.log():
            with suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{self.service.name}.log").write_bytes(log)


def adapt(
    service: Service,
    host_options: dict[str, Any],
    options: dict[str, Any],
    networks: TrialNetworks,
    volumes: TrialVolumes,
) -> None:
    """Say to the engine what the compose file says. The task's own limits and the job's mounts stay as they are."""
    networks.adapt(service, host_options, options)
    host_options["mounts"] = [*host_options["mounts"], *volumes.mounts_of(service)]
    host_options["cap_drop"] = [*DROPPED_CAPABILITIES, *service.dropped]
    host_options["extra_hosts"] = {**host_options["extra_hosts"], **dict(service.extra_hosts)}
    host_options["tmpfs"] = dict(service.tmpfs)
    host_options["read_only"] = service.is_read_only
    host_options["init"] = service.has_init or service.name == MAIN
    if service.shm_bytes:
        host_options["shm_size"] = service.shm_bytes
    if service.cpus:
        host_options.setdefault("nano_cpus", int(service.cpus * 1e9))
    if service.memory_bytes and "mem_limit" not in host_options:
        host_options["mem_limit"] = host_options["memswap_limit"] = service.memory_bytes
    if service.hostname:
        options["hostname"] = service.hostname
    options["user"] = service.user
    options["healthcheck"] = {"test": ["NONE"]}
    if service.name != MAIN or service.command is not None or service.entrypoint is not None:
        options["entrypoint"] = list(service.entrypoint) if service.entrypoint is not None else None
        options["command"] = list(service.command) if service.command is not None else None
    if service.name != MAIN:
        host_options["log_config"] = LogConfig(type=LogConfig.types.JSON, config=dict(LOG_CONFIG))
        host_options["extra_hosts"] = dict(service.extra_hosts)
        options["environment"] = dict(service.env)
        options["working_dir"] = service.workdir


class NeverHealthy(SandboxFailed):
    """A health check did not succeed in the time that it gives itself."""


async def wait_until_healthy(sandbox: DockerSandbox, check: Check) -> None:
    """Return when the check succeeds, or when the container has ended. Raises NeverHealthy.

    The engine's own checks are off: they begin an interval late, and go on for as long as the agent works.
    """
    loop = asyncio.get_running_loop()
    given_up_at = loop.time() + check.start_period_sec + check.interval_sec * check.retries
    while True:
        output = bytearray()
        if await _is_healthy(sandbox, check, output):
            return
        if not await sandbox.is_running():
            return
        if loop.time() >= given_up_at:
            words = bytes(output[-300:]).decode(errors="replace").strip()
            raise NeverHealthy(f"never became healthy: {' '.join(check.argv)[:200]}: {words}")
        await asyncio.sleep(min(check.interval_sec, MAX_PAUSE_SEC))


async def _is_healthy(sandbox: DockerSandbox, check: Check, output: bytearray) -> bool:
    try:
        async with asyncio.timeout(max(check.timeout_sec, POLL_SEC)):
            result = await sandbox.run(list(check.argv), on_output=first_bytes(output))
    except TimeoutError:
        output += f"no answer within {check.timeout_sec:g} s".encode()
        return False
    except SandboxFailed as error:
        output += str(error).encode()
        return False
    return result.exit_code == 0


async def image_check(engine: Engine, image: str) -> Check | None:
    """The health check that an image has."""
    inspected: dict[str, Any] = await engine.call(engine.api.inspect_image, image)
    said = (inspected.get("Config") or {}).get("Healthcheck") or {}
    test = [str(word) for word in said.get("Test") or ()]
    argv = {"CMD": test[1:], "CMD-SHELL": ["/bin/sh", "-c", *test[1:2]]}.get(test[0] if test else "", [])
    if not argv:
        return None
    durations = {
        field: nanoseconds / NANOSECONDS
        for field, key in (
            ("interval_sec", "Interval"),
            ("timeout_sec", "Timeout"),
            ("start_period_sec", "StartPeriod"),
        )
        if (nanoseconds := int(said.get(key) or 0))
    }
    return Check(tuple(argv), retries=int(said.get("Retries") or 3), **durations)
