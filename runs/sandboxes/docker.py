"""Sandboxes as containers of a Docker engine, through the docker SDK; nothing is bind-mounted."""

import asyncio
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import docker.errors
from docker.types import Mount

from runs.errors import SandboxFailed
from runs.formats.network import NetworkMode, NetworkPolicy
from runs.owner import this_owner
from runs.sandboxes.archive import archive_of, archive_of_folders
from runs.sandboxes.base import LOG_FOLDERS, ExecResult, OnOutput, Sandbox, SandboxSpec
from runs.sandboxes.docker_images import resolve_image
from runs.sandboxes.engine import Engine
from runs.sandboxes.extraction import Extraction, ExtractionLimits, SourceMissing, extract
from runs.sandboxes.hijack import frames, open_exec

LABEL = "pier-site"
PIDS_LIMIT = 4096
# Not in every Linux, and not needed: with it a container can forge packets on networks it is attached to.
DROPPED_CAPABILITIES = ["NET_RAW"]

# PID 1's child: waits for ever without a shell builtin that small images lack.
KEEP_ALIVE = ["/bin/sh", "-c", "while :; do sleep 86400; done"]
IN_BASH = 'if command -v bash >/dev/null 2>&1; then exec bash -c "$0"; else exec sh -c "$0"; fi'

# Every process of one exec carries this variable, daemons and double forks too, unless it clears its environment.
EXEC_MARK = "PIER_EXEC"
KILL_MARKED = """
for try in 1 2 3 4 5; do
  found=
  for environ in /proc/[0-9]*/environ; do
    pid=${environ#/proc/}; pid=${pid%/environ}
    if tr '\\0' '\\n' < $environ 2>/dev/null | grep -qx "PIER_EXEC=$0"; then found=1; kill -9 $pid 2>/dev/null; fi
  done
  [ -z "$found" ] && exit 0
done
"""


class DockerSandbox(Sandbox):
    """One container: `init` as PID 1, limits, labels of its owner, and no way for its files to reach the host."""

    kind = "docker"

    def __init__(self, spec: SandboxSpec, engine: Engine) -> None:
        self.spec = spec
        self.engine = engine
        self.api = engine.api
        self.container_id: str | None = None

    async def start(self, *, log: OnOutput) -> None:
        """Resolve the image, create the container, start it."""
        mode = network_mode(self.spec.network)
        labels = {LABEL: "1", f"{LABEL}.owner": this_owner(), **self.spec.labels}
        image = await resolve_image(self.engine, self.spec.image, labels={LABEL: "1"}, log=log)
        name = re.sub(r"[^a-zA-Z0-9_.-]", "-", f"pier-{self.spec.name}-{secrets.token_hex(3)}")
        # Shielded: a container whose creation was cancelled half-way would have no one to remove it.
        creation = asyncio.ensure_future(self.engine.call(self._create, name, image, mode, labels))
        try:
            self.container_id = await asyncio.shield(creation)
        except asyncio.CancelledError:
            with suppress(SandboxFailed):
                self.container_id = await creation
            raise
        await self.engine.call(self.api.put_archive, self.container_id, "/", archive_of_folders(LOG_FOLDERS))
        await self.engine.call(self.api.start, self.container_id)

    def _create(self, name: str, image: str, mode: str, labels: dict[str, str]) -> str:
        resources = self.spec.resources
        limits: dict[str, Any] = {"pids_limit": PIDS_LIMIT}
        if resources.cpus:
            limits["nano_cpus"] = int(resources.cpus * 1e9)
        if resources.memory_mb:
            # The same limit for memory and memory with swap: otherwise swap doubles it.
            limits["mem_limit"] = limits["memswap_limit"] = f"{resources.memory_mb}m"
        mounts = [
            Mount(type=mount.kind, source=mount.source, target=mount.target, read_only=mount.read_only)
            for mount in self.spec.mounts
        ]
        if mode == "none" and any(mount.source.endswith("docker.sock") for mount in self.spec.mounts):
            raise SandboxFailed("the network is closed, and the engine's socket as a mount would open it: refused")
        host_config = self.api.create_host_config(
            mounts=mounts,
            init=True,
            network_mode=mode,
            cap_drop=DROPPED_CAPABILITIES,
            extra_hosts={name[:63]: "127.0.0.1"},
            **limits,
        )
        container = self.api.create_container(
            image,
            entrypoint=KEEP_ALIVE,
            name=name,
            hostname=name[:63],
            environment=dict(self.spec.env),
            working_dir=self.spec.workdir,
            labels=labels,
            host_config=host_config,
        )
        return cast("str", container["Id"])

    def _container(self) -> str:
        if self.container_id is None:
            raise SandboxFailed(f"the sandbox {self.spec.name} is not running")
        return self.container_id

    async def exec(
        self,
        command: str,
        *,
        env: Mapping[str, str] | None = None,
        user: str | int | None = None,
        cwd: str | None = None,
        stdin: bytes = b"",
        on_output: OnOutput | None = None,
    ) -> ExecResult:
        """Run a command over a raw connection to the engine; no thread is held while it runs."""
        mark = secrets.token_hex(8)
        exec_id = await self._prepare_exec(
            ["/bin/sh", "-c", IN_BASH, command], env={**(env or {}), EXEC_MARK: mark}, user=user, cwd=cwd, stdin=True
        )
        reader, writer = await open_exec(self.api, exec_id)
        try:
            if stdin:
                writer.write(stdin)
            writer.write_eof()
            async for stream, data in frames(reader):
                if on_output:
                    on_output(stream, data)
        except asyncio.CancelledError:
            await asyncio.shield(self._kill_marked(mark))
            raise
        except OSError as error:
            raise SandboxFailed(f"the connection to the engine broke: {error}") from error
        finally:
            writer.close()
        return ExecResult(await self._exit_code(exec_id))

    async def _prepare_exec(
        self, argv: list[str], *, env: Mapping[str, str], user: str | int | None, cwd: str | None, stdin: bool
    ) -> str:
        prepared = await self.engine.call(
            self.api.exec_create,
            self._container(),
            argv,
            stdin=stdin,
            environment=dict(env),
            user="" if user is None else str(user),
            workdir=cwd,
        )
        return cast("str", prepared["Id"])

    async def _exit_code(self, exec_id: str) -> int:
        """The engine may say for a moment that a process runs whose streams have ended."""
        delay = 0.005
        while True:
            state = await self.engine.call(self.api.exec_inspect, exec_id)
            if not state["Running"] and state["ExitCode"] is not None:
                break
            await asyncio.sleep(delay)
            delay = min(delay * 2, 0.5)
        if state["Pid"] == 0:
            raise SandboxFailed(
                f"the engine could not start a command in {self.spec.name} (its shell or folder is missing)"
            )
        return cast("int", state["ExitCode"])

    async def _kill_marked(self, mark: str) -> None:
        with suppress(SandboxFailed, OSError):
            exec_id = await self._prepare_exec(
                ["/bin/sh", "-c", KILL_MARKED, mark], env={}, user="root", cwd="/", stdin=False
            )
            reader, writer = await open_exec(self.api, exec_id)
            async for _ in frames(reader):
                pass
            writer.close()

    async def upload(self, source: Path, target: str) -> None:
        """Send one tar."""
        with await self.engine.call(archive_of, source, target) as archive:
            await self.engine.call(self.api.put_archive, self._container(), "/", cast("bytes", archive))

    async def download(
        self, source: str, target: Path, *, limits: ExtractionLimits | None = None, exclude: Sequence[str] = ()
    ) -> Extraction:
        """Read one tar."""
        return await self.engine.call(self._download, source, target, limits, exclude)

    def _download(
        self, source: str, target: Path, limits: ExtractionLimits | None, exclude: Sequence[str]
    ) -> Extraction:
        try:
            chunks, _ = self.api.get_archive(self._container(), source)
        except docker.errors.NotFound as error:
            raise SourceMissing(f"{source} does not exist in the sandbox") from error
        try:
            return extract(chunks, target, limits=limits, exclude=exclude)
        finally:
            chunks.close()

    async def set_network(self, policy: NetworkPolicy) -> None:
        """Take the container off its network or put it on the default one."""
        mode, now = network_mode(policy), network_mode(self.spec.network)
        if mode == now:
            return
        for name, change in (
            (now, self.api.disconnect_container_from_network),
            (mode, self.api.connect_container_to_network),
        ):
            await self.engine.call(change, self._container(), name)
        self.spec = replace(self.spec, network=policy)

    async def end_processes(self) -> None:
        """Restart the container: the kernel ends every process of its PID namespace, and the files stay."""
        await self.engine.call(self.api.restart, self._container(), timeout=0)

    async def stop(self) -> None:
        """Kill and remove the container with its anonymous volumes."""
        if self.container_id is None:
            return
        with suppress(docker.errors.NotFound):
            await self.engine.call(self._remove, self.container_id)
        self.container_id = None

    def _remove(self, container_id: str) -> None:
        with suppress(docker.errors.NotFound):
            self.api.remove_container(container_id, force=True, v=True)


def network_mode(policy: NetworkPolicy) -> str:
    """The engine's network for a policy. Raises SandboxFailed for an allowlist: it is refused, never widened."""
    match policy.mode:
        case NetworkMode.CLOSED:
            return "none"
        case NetworkMode.OPEN:
            return "bridge"
        case NetworkMode.ALLOWLIST:
            raise SandboxFailed("this task asks for an allowlist of hosts, which the Docker sandbox cannot enforce yet")
