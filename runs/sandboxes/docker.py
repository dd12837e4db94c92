"""Sandboxes as containers of a Docker engine, through the docker SDK; nothing is bind-mounted."""

import asyncio
import re
import secrets
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

import docker.errors
from docker.types import DeviceRequest, Mount

from runs.checkpoints import Checkpoint, checkpoint
from runs.errors import SandboxFailed
from runs.formats.network import NetworkPolicy
from runs.owner import this_owner
from runs.sandboxes.archive import archive_of, archive_of_folders
from runs.sandboxes.base import LOG_FOLDERS, ExecResult, OnOutput, ResolvedImage, Sandbox, SandboxSpec
from runs.sandboxes.docker_files import container_changes, files_at, image_files, save_tree
from runs.sandboxes.docker_images import resolve_image
from runs.sandboxes.docker_layers import layered
from runs.sandboxes.docker_limits import memory_kills, stays_running, written_bytes
from runs.sandboxes.docker_root import ContainerRoot, NotPlain
from runs.sandboxes.egress.container import ContainerNetwork
from runs.sandboxes.egress.listener import Handler
from runs.sandboxes.egress.mounts import refuse_ways_out
from runs.sandboxes.engine import Engine
from runs.sandboxes.extraction import Extraction, ExtractionLimits, SourceMissing, extract
from runs.sandboxes.hijack import frames, open_exec
from runs.sandboxes.trees import Change, FileEntry, Receive

LABEL = "pier-site"
PIDS_LIMIT = 4096
KILLED = 128 + signal.SIGKILL
# For ending the processes of one command, also when the engine hangs.
KILL_SEC = 15.0
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


def engine_name(name: str) -> str:
    """A name for something in the engine that nothing else there has."""
    return re.sub(r"[^a-zA-Z0-9_.-]", "-", f"pier-{name}-{secrets.token_hex(3)}")


def labels_of(spec: SandboxSpec) -> dict[str, str]:
    """The labels by which what belongs to a sandbox is found again when its owner has died."""
    return {LABEL: "1", f"{LABEL}.owner": this_owner(), **spec.labels}


class DockerSandbox(Sandbox):
    """One container: `init` as PID 1, limits, labels of its owner, and no way for its files to reach the host."""

    kind = "docker"

    def __init__(self, spec: SandboxSpec, engine: Engine) -> None:
        self.spec = spec
        self.engine = engine
        self.api = engine.api
        self.container_id: str | None = None
        self.started_from = ""
        self.root: ContainerRoot | None = None
        self.network = ContainerNetwork(engine, spec.network, spec.network_log)

    async def start(self, *, log: OnOutput) -> None:
        """Resolve the image, create the container, start it, and see that its network is as closed as asked."""
        refuse_ways_out(self.spec.mounts, self.spec.network)
        self.image = await resolve_image(self.engine, self.spec.image, labels={LABEL: "1"}, log=log)
        await self._make(await self.ready_image(self.image, log))
        await self.engine.call(self.api.start, self.container_id)
        await self._settle()
        await self.engine.call(self._put, archive_of_folders(LOG_FOLDERS))

    async def ready_image(self, image: ResolvedImage, log: OnOutput) -> str:
        """The id of the image to start: what this machine trusts and what the agent needs are laid on the task's."""

        def builder(spec: SandboxSpec) -> DockerSandbox:
            return DockerSandbox(spec, self.engine)

        return await layered(self.engine, image, self.spec.install, open_builder=builder, log=log)

    async def _make(self, image: str) -> None:
        """Create the container on the networks that it starts with."""
        self.started_from = image
        name = engine_name(self.spec.name)
        # Shielded: a container whose creation was cancelled half-way would have no one to remove it.
        creation = asyncio.ensure_future(self.engine.call(self._create, name, image, labels_of(self.spec)))
        try:
            self.container_id = await asyncio.shield(creation)
        except asyncio.CancelledError:
            with suppress(SandboxFailed):
                self.container_id = await creation
            raise
        await self.network.attach(self.container_id)

    async def _settle(self) -> None:
        """After each start of the container: its processes, and so its network and its view of the files, are new."""
        container = self._container()
        await self.network.up(container)
        self.root = await self.engine.call(ContainerRoot.of, self.api, container)

    async def _unsettle(self) -> None:
        root, self.root = self.root, None
        if root:
            root.close()
        await self.network.down()

    def _create(self, name: str, image: str, labels: dict[str, str]) -> str:
        resources = self.spec.resources
        limits: dict[str, Any] = {"pids_limit": PIDS_LIMIT}
        if resources.cpus:
            limits["nano_cpus"] = int(resources.cpus * 1e9)
        if resources.memory_mb:
            # The same limit for memory and memory with swap: otherwise swap doubles it.
            limits["mem_limit"] = limits["memswap_limit"] = f"{resources.memory_mb}m"
        if resources.gpus:
            limits["device_requests"] = [DeviceRequest(count=resources.gpus, capabilities=[["gpu"]])]
        mounts = [
            Mount(type=mount.kind, source=mount.source, target=mount.target, read_only=mount.read_only)
            for mount in self.spec.mounts
        ]
        host_options: dict[str, Any] = {
            "mounts": mounts,
            "init": True,
            "network_mode": self.network.engine_mode,
            "cap_drop": DROPPED_CAPABILITIES,
            "extra_hosts": {name[:63]: "127.0.0.1"},
            **limits,
        }
        options: dict[str, Any] = {
            "entrypoint": KEEP_ALIVE,
            "name": name,
            "hostname": name[:63],
            "environment": dict(self.spec.env),
            "working_dir": self.spec.workdir,
            "labels": labels,
        }
        self._adapt(host_options, options)
        host_config = self.api.create_host_config(**host_options)
        container = self.api.create_container(image, host_config=host_config, **options)
        checkpoint(Checkpoint.SANDBOX_CREATED)
        return cast("str", container["Id"])

    def _adapt(self, host_options: dict[str, Any], options: dict[str, Any]) -> None:
        """Change what the engine is asked for; `host_options` are those of its HostConfig."""

    def _container(self) -> str:
        if self.container_id is None:
            raise SandboxFailed(f"the sandbox {self.spec.name} is not running")
        return self.container_id

    def _root(self) -> ContainerRoot:
        """The way to the container's files past the engine. Raises NotPlain where there is none."""
        self._container()
        if root := self.root:
            return root
        raise NotPlain(f"the files of {self.spec.name} are not this process's to open")

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
        argv = ["/bin/sh", "-c", IN_BASH, command]
        return await self.run(argv, env=env, user=user, cwd=cwd, stdin=stdin, on_output=on_output)

    async def run(
        self,
        argv: list[str],
        *,
        env: Mapping[str, str] | None = None,
        user: str | int | None = None,
        cwd: str | None = None,
        stdin: bytes = b"",
        on_output: OnOutput | None = None,
    ) -> ExecResult:
        """`exec` for a program with its arguments; no shell is needed."""
        mark = secrets.token_hex(8)
        env = {**self.network.variables, **(env or {}), EXEC_MARK: mark}
        exec_id = await self._prepare_exec(argv, env=env, user=user, cwd=cwd, stdin=True)
        reader, writer = await open_exec(self.api, exec_id)
        checkpoint(Checkpoint.COMMAND_RUNNING)
        try:
            if stdin:
                writer.write(stdin)
            writer.write_eof()
            async for stream, data in frames(reader):
                if on_output:
                    on_output(stream, data)
        except asyncio.CancelledError:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._kill_marked(mark)), KILL_SEC)
            raise
        except OSError as error:
            raise SandboxFailed(f"the connection to the engine broke: {error}") from error
        finally:
            writer.close()
        exit_code = await self._exit_code(exec_id)
        self.network.check()
        if exit_code:
            await self._look_into(exit_code)
        return ExecResult(exit_code)

    async def _look_into(self, exit_code: int) -> None:
        """After a command that ended with an error. Raises SandboxFailed if its container ended under it."""
        container, kills = self._container(), self.n_memory_kills
        if self.spec.resources.memory_mb:
            self.n_memory_kills = await self.engine.call(memory_kills, self.api, container)
        was_killed = exit_code == KILLED and self.n_memory_kills == kills
        if was_killed and not await self.engine.call(stays_running, self.api, container):
            raise SandboxFailed(f"the container of {self.spec.name} was stopped from outside while a command ran")

    async def is_running(self) -> bool:
        """Whether the container's own process is there."""
        inspected: dict[str, Any] = await self.engine.call(self.api.inspect_container, self._container())
        return bool(inspected["State"]["Running"])

    async def written_bytes(self) -> int | None:
        """The size of the container's writable layer."""
        return await self.engine.call(written_bytes, self.api, self._container())

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
            await self.engine.call(self._put, archive)

    def _put(self, archive: IO[bytes]) -> None:
        try:
            self._root().put(archive)
        except NotPlain:
            archive.seek(0)
            self.api.put_archive(self._container(), "/", cast("bytes", archive))

    async def empty(self, *folders: str) -> None:
        """Without a command in the sandbox, where that is possible: what an agent left there could answer for it."""
        try:
            await self.engine.call(self._root().empty, folders)
        except NotPlain:
            await super().empty(*folders)

    async def download(
        self, source: str, target: Path, *, limits: ExtractionLimits | None = None, exclude: Sequence[str] = ()
    ) -> Extraction:
        """Read one tar."""
        return await self.engine.call(self._download, source, target, limits, exclude)

    def _download(
        self, source: str, target: Path, limits: ExtractionLimits | None, exclude: Sequence[str]
    ) -> Extraction:
        with suppress(NotPlain):
            return extract([self._root().tar_of(source)], target, limits=limits, exclude=exclude)
        try:
            chunks, _ = self.api.get_archive(self._container(), source)
        except docker.errors.NotFound as error:
            raise SourceMissing(f"{source} does not exist in the sandbox") from error
        try:
            return extract(chunks, target, limits=limits, exclude=exclude)
        finally:
            chunks.close()

    async def working_directory(self) -> str:
        """The image's, if the spec has none; no call."""
        return self.spec.workdir or (self.image.workdir if self.image else "/")

    async def save(self, source: str, receive: Receive) -> None:
        """Read by the engine, where it is more than a little."""
        await self.engine.call(self._save, source, receive)

    def _save(self, source: str, receive: Receive) -> None:
        try:
            receive(self._root().tar_of(source))
        except NotPlain:
            save_tree(self.api, self._container(), source, receive)

    async def changes(self) -> list[Change] | None:
        """What the engine says, without volumes and mounts."""
        return await self.engine.call(container_changes, self.api, self._container())

    async def originals(self, paths: Sequence[str]) -> dict[str, FileEntry]:
        """Read from the image."""
        if self.image is None:
            return {}
        name, labels = f"pier-image-{secrets.token_hex(6)}", {LABEL: "1", f"{LABEL}.owner": this_owner()}
        return await self.engine.call(image_files, self.api, self.started_from, paths, name=name, labels=labels)

    async def files(self, paths: Sequence[str]) -> dict[str, FileEntry]:
        """Read by the engine."""
        return await self.engine.call(files_at, self.api, self._container(), paths)

    async def set_network(self, policy: NetworkPolicy) -> None:
        """Take the container off its network or put it on the default one, and serve the allowlist if there is one."""
        refuse_ways_out(self.spec.mounts, policy)
        await self.network.change(self._container(), policy)

    async def serve_inside(self, port: int, handler: Handler) -> int:
        """Serve in the container's network namespace."""
        await self.network.serve(self.container_id, port, handler)
        return port

    async def end_processes(self) -> None:
        """Restart the container: the kernel ends every process of its PID namespace, and the files stay."""
        self.network.check()
        await self._unsettle()
        await self.engine.call(self.api.restart, self._container(), timeout=0)
        await self._settle()

    async def stop(self) -> None:
        """Kill and remove the container with its anonymous volumes."""
        try:
            await self._unsettle()
        finally:
            if self.container_id is not None:
                await self.engine.call(self._remove, self.container_id)
                self.container_id = None

    def _remove(self, container_id: str) -> None:
        with suppress(docker.errors.NotFound):
            self.api.remove_container(container_id, force=True, v=True)
