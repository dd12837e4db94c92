"""No isolation: commands run on this machine, in a view of its files where /app, /logs, /tests… are a temp folder's.

For developing tasks and for fast tests. The view is a private mount namespace (Linux only); the Dockerfile is not run:
the other files of the environment folder are copied to the working directory.
"""

import asyncio
import os
import secrets
import shutil
import signal
import socket
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import IO

from runs.agents.install import PREFIX
from runs.checkpoints import Checkpoint, checkpoint
from runs.errors import InputInvalid, SandboxFailed, TaskInvalid
from runs.formats.network import NetworkPolicy
from runs.owner import is_alive, this_owner
from runs.sandboxes.archive import archive_of
from runs.sandboxes.base import LOG_FOLDERS, SOLUTION, TESTS, ExecResult, OnOutput, Sandbox, SandboxSpec, Stream
from runs.sandboxes.egress.listener import BACKLOG, Handler, Listener
from runs.sandboxes.extraction import Extraction, ExtractionLimits, SourceMissing, extract
from runs.sandboxes.host_installs import installed_folder, trust_variables
from runs.sandboxes.trees import Change, FileEntry, changes_between, file_entry

DEFAULT_WORKDIR = "/app"
NOT_COPIED = ("Dockerfile", "docker-compose.y*ml", ".dockerignore")
READ_BYTES = 64 * 1024
# A sandbox's folder is `pier-host-OWNER-RANDOM`, so that its owner is known from the moment it exists.
FOLDER = "pier-host-"
# Every process of the sandbox carries the first, with the folder's name; those of one exec also the second.
SANDBOX_MARK = "PIER_SANDBOX"
EXEC_MARK = "PIER_EXEC"

# $0 the sandbox's folder, $1 the working directory, $2 the command, $3 and $4 the agent's folder, or nothing, and how
# it is mounted (ro, rw). The mounts die with the process's namespace.
VIEW = r"""
set -e
view="$0/view"; own="$0/files"
mount -t tmpfs -o mode=755 pier-site "$view"
for path in /*; do
  name="${path#/}"
  if [ -e "$own/$name" ] || { [ -n "$3" ] && [ "$name" = opt ]; }; then continue
  elif [ -L "$path" ]; then ln -s "$(readlink "$path")" "$view/$name"
  elif [ -d "$path" ]; then mkdir "$view/$name"; mount --rbind "$path" "$view/$name"
  fi
done
for path in "$own"/*; do
  name="${path##*/}"; mkdir -p "$view/$name"; mount --bind "$path" "$view/$name"
done
if [ -n "$3" ]; then
  mkdir -p "$view/opt/pier"
  for path in /opt/*; do
    name="${path##*/}"
    if [ -e "$own/opt" ] || [ "$name" = pier ] || [ ! -d "$path" ]; then continue; fi
    mkdir "$view/opt/$name"; mount --rbind "$path" "$view/opt/$name"
  done
  mount --bind "$3" "$view/opt/pier"
  [ "$4" = rw ] || mount -o remount,bind,ro "$view/opt/pier" 2>/dev/null || true
fi
exec chroot "$view" /bin/sh -c '
  cd "$0" && if command -v bash >/dev/null 2>&1; then exec bash -c "$1"; else exec sh -c "$1"; fi
' "$1" "$2"
"""


def check_host_support() -> None:
    """Raise InputInvalid where the host sandbox cannot work."""
    if sys.platform != "linux" or not shutil.which("unshare"):
        raise InputInvalid("the host sandbox needs Linux and `unshare` (package util-linux): use `-e docker` here")


class HostSandbox(Sandbox):
    """A folder of this machine dressed as a sandbox. It protects from nothing; users and limits are not applied."""

    kind = "host"

    def __init__(self, spec: SandboxSpec, *, being_installed: Path | None = None) -> None:
        self.spec = spec
        self._being_installed = being_installed
        self._agent: Path | None = being_installed
        self._root: Path | None = None
        self._listeners: list[Listener] = []

    @property
    def root(self) -> Path:
        """The folder with the sandbox's own top-level directories. Raises SandboxFailed before start and after stop."""
        if self._root is None:
            raise SandboxFailed(f"the sandbox {self.spec.name} is not running")
        return self._root

    async def start(self, *, log: OnOutput) -> None:
        """Make the folders and copy the environment's files to the working directory."""
        check_host_support()
        if self.spec.compose:
            raise TaskInvalid(self.spec.compose.path, "the task has several containers, and the host sandbox has none")
        self._root = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{this_owner()}-"))
        checkpoint(Checkpoint.SANDBOX_CREATED)
        (self._root / "view").mkdir()
        workdir = self._inside(self.spec.workdir or DEFAULT_WORKDIR)
        for directory in (workdir, *map(self._inside, (*LOG_FOLDERS, TESTS, SOLUTION))):
            directory.mkdir(parents=True)
        context = self.spec.image.context
        if self.spec.install:
            self._agent = await installed_folder(self.spec.install, open_builder=_builder, log=log)
        log("stdout", b"No isolation: commands run on this machine; the Dockerfile is not run.\n")
        log("stdout", f"The network is that of this machine; `{self.spec.network.mode}` is not enforced.\n".encode())
        if context and context.is_dir():
            shutil.copytree(
                context, workdir, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True
            )

    def _inside(self, path: str) -> Path:
        """Where an absolute path of the sandbox lies on this machine; only the sandbox's own folders have a place."""
        parts = PurePosixPath(path).parts
        if len(parts) < 2 or parts[0] != "/" or ".." in parts:
            raise SandboxFailed(f"{path} is not an absolute path below a folder of the host sandbox")
        if not (self.root / "files" / parts[1]).exists() and Path("/", parts[1]).exists():
            raise SandboxFailed(f"/{parts[1]} belongs to this machine: the host sandbox does not write there")
        return self.root.joinpath("files", *parts[1:])

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
        """Run a command in a process group of its own. `user` is not applied."""
        mark = secrets.token_hex(8)
        namespaces = ["--mount"] if os.geteuid() == 0 else ["--mount", "--map-root-user"]
        process = await asyncio.create_subprocess_exec(
            "unshare", *namespaces, "--", "/bin/sh", "-c", VIEW,
            str(self.root), cwd or self.spec.workdir or DEFAULT_WORKDIR, command,
            str(self._agent or ""), "rw" if self._being_installed else "ro",
            env={**_base_environment(), **self.spec.env, **(env or {}), SANDBOX_MARK: self.root.name, EXEC_MARK: mark},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        checkpoint(Checkpoint.COMMAND_RUNNING)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_feed(process.stdin, stdin))
                group.create_task(_read(process.stdout, "stdout", on_output, process))
                group.create_task(_read(process.stderr, "stderr", on_output, process))
        except asyncio.CancelledError:
            kill_marked(f"{EXEC_MARK}={mark}")
            with suppress(ProcessLookupError):
                process.kill()
            raise
        return ExecResult(await process.wait())

    async def upload(self, source: Path, target: str) -> None:
        """Copy, through the same kind of archive as the other sandboxes."""
        folder = self.root / "files"
        if self._being_installed and PurePosixPath(target).is_relative_to(PREFIX):
            folder, target = self._being_installed, str(PurePosixPath(target).relative_to(PREFIX))
        else:
            self._inside(target)
        with archive_of(source, target) as archive, tarfile.open(fileobj=archive) as tar:
            tar.extractall(folder, filter="tar")

    async def download(
        self, source: str, target: Path, *, limits: ExtractionLimits | None = None, exclude: Sequence[str] = ()
    ) -> Extraction:
        """Copy out through the one extractor."""
        path = self._inside(source)
        if not path.exists():
            raise SourceMissing(f"{source} does not exist in the sandbox")
        with archive_of(path, path.name) as archive:
            return extract(_chunks(archive), target, limits=limits, exclude=exclude)

    async def working_directory(self) -> str:
        """The spec's, or /app."""
        return self.spec.workdir or DEFAULT_WORKDIR

    async def changes(self) -> list[Change] | None:
        """What differs in the working directory from the environment's files."""
        workdir = await self.working_directory()
        found = changes_between(self.spec.image.context, self._inside(workdir), workdir)
        names = [(change, change.path.rpartition("/")[2]) for change in found]
        return [change for change, name in names if not any(fnmatch(name, pattern) for pattern in NOT_COPIED)]

    async def originals(self, paths: Sequence[str]) -> dict[str, FileEntry]:
        """From the environment's files."""
        workdir, context = await self.working_directory(), self.spec.image.context
        places = {path: context / path.removeprefix(f"{workdir}/") for path in paths if context}
        return {path: entry for path, place in places.items() if (entry := file_entry(place))}

    async def files(self, paths: Sequence[str]) -> dict[str, FileEntry]:
        """From the sandbox's own folders."""
        return {path: entry for path in paths if (entry := file_entry(self._inside(path)))}

    async def set_network(self, policy: NetworkPolicy) -> None:
        """Nothing is enforced: the network of the machine is the network of the sandbox."""

    async def serve_inside(self, port: int, handler: Handler) -> int:
        """Serve on the machine's own loopback, at a free port: other sandboxes may want the same one."""
        listening = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self._listeners.append(Listener(listening, handler))
        return int(listening.getsockname()[1])

    async def end_processes(self) -> None:
        """Kill what carries the sandbox's mark."""
        kill_marked(f"{SANDBOX_MARK}={self.root.name}")

    async def stop(self) -> None:
        """Kill what is left and remove the folder."""
        while self._listeners:
            await self._listeners.pop().close()
        if self._root is not None:
            _remove(self._root)
            self._root = None


def _builder(spec: SandboxSpec, folder: Path) -> HostSandbox:
    return HostSandbox(spec, being_installed=folder)


def _remove(root: Path) -> None:
    kill_marked(f"{SANDBOX_MARK}={root.name}")
    shutil.rmtree(root, ignore_errors=True)


def remove_leftover_folders() -> list[Path]:
    """Remove the folders of runners that died on this machine, and kill what still runs in them; returns the folders.

    Those of other users are left alone: their names prove nothing.
    """
    removed = []
    for root in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        owner = root.name.removeprefix(FOLDER).rpartition("-")[0]
        with suppress(OSError):
            if not is_alive(owner) and root.lstat().st_uid == os.geteuid():
                _remove(root)
                removed.append(root)
    return removed


def _base_environment() -> dict[str, str]:
    """What a program needs to run; nothing else of the runner's environment, which may hold keys."""
    return {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ} | {
        "HOME": "/tmp",  # noqa: S108 - a folder that exists in every view
        **trust_variables(),
    }


def kill_marked(mark: str) -> None:
    """Kill all processes whose environment holds `mark`, until none is left."""
    needle = mark.encode()
    found = True
    while found:
        found = False
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if needle in path.read_bytes().split(b"\0"):
                    found = True
                    os.kill(int(path.parent.name), signal.SIGKILL)


async def _feed(writer: asyncio.StreamWriter | None, data: bytes) -> None:
    if writer is None:
        return
    with suppress(BrokenPipeError, ConnectionResetError):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _read(
    reader: asyncio.StreamReader | None, stream: Stream, on_output: OnOutput | None, process: asyncio.subprocess.Process
) -> None:
    """Pass output on until the pipe closes, or until the process has ended and a daemon only keeps the pipe open."""
    if reader is None:
        return
    ended = asyncio.ensure_future(process.wait())
    while True:
        data = asyncio.ensure_future(reader.read(READ_BYTES))
        done, _ = await asyncio.wait({data, ended}, return_when=asyncio.FIRST_COMPLETED)
        if data not in done:
            await asyncio.wait({data}, timeout=1.0)
            if not data.done():
                data.cancel()
                return
        if not (chunk := data.result()):
            ended.cancel()
            return
        if on_output:
            on_output(stream, chunk)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(READ_BYTES):
        yield chunk
