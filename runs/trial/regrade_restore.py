"""Puts what an agent left into a fresh sandbox: the working directory, single files elsewhere, its logs."""

import asyncio
import errno
import os
import shlex
import shutil
import stat
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, cast

import zstandard

from runs.errors import SandboxFailed
from runs.sandboxes.base import AGENT_LOGS, ARTIFACTS, TESTS, Sandbox
from runs.sandboxes.compose.model import MAIN
from runs.sandboxes.docker import DockerSandbox
from runs.sandboxes.trees import LINK_MODE, FileEntry
from runs.trial.artifacts import MANIFEST, Collected
from runs.trial.directory import Folders
from runs.trial.final_state import workspace_chunks
from runs.trial.regrade_patch import FileChange, PatchInvalid

# Emptied before the tests come in.
IN_SANDBOX = f"{TESTS}/.workspace.tar"
# What opening a link, a socket, or a file that has just gone ends with.
NOT_FILES = (errno.ELOOP, errno.ENXIO, errno.ENOENT)


async def restore_workspace(sandbox: Sandbox, workspace: Path, workdir: str, *, n_bytes: int | None = None) -> None:
    """Leave in the working directory what the file holds, and nothing else; `n_bytes` is the size of the tar in it.

    It is unpacked inside the sandbox: a link that leads outside leads to the sandbox's own files. Raises SandboxFailed.
    """
    await sandbox.empty(workdir)
    parent = str(PurePosixPath(workdir).parent)
    with tempfile.NamedTemporaryFile(prefix="pier-workspace-", suffix=".tar") as archive:
        size = await asyncio.to_thread(_decompress, workspace, archive)
        if n_bytes not in (None, size):
            raise SandboxFailed(f"{workspace} is damaged: it holds {size} bytes, and its result names {n_bytes}")
        if isinstance(sandbox, DockerSandbox):
            await sandbox.engine.call(
                sandbox.api.put_archive, sandbox.container_id or "", parent, cast("bytes", archive)
            )
            return
        await sandbox.upload(Path(archive.name), IN_SANDBOX)
        command = f"tar -C {shlex.quote(parent)} -xopf {IN_SANDBOX}; code=$?; rm -f {IN_SANDBOX}; exit $code"
        if (await sandbox.exec(command, user="root", cwd="/")).exit_code:
            raise SandboxFailed(f"{workdir} could not be restored: `tar` did not take {workspace}")


def _decompress(workspace: Path, target: IO[bytes]) -> int:
    try:
        size = sum(target.write(chunk) for chunk in workspace_chunks(workspace))
    except zstandard.ZstdError as error:
        raise SandboxFailed(f"{workspace} is damaged: {error}") from None
    target.flush()
    target.seek(0)
    return size


async def restore_outside(sandbox: Sandbox, changes: Sequence[FileChange]) -> None:
    """Repeat changes of single files. Raises SandboxFailed where the image has other files than the agent had."""
    older = list(dict.fromkeys(change.path for change in changes if not change.is_new))
    now: dict[str, FileEntry | None] = dict(await sandbox.files(older)) if older else {}
    try:
        for change in changes:
            now[change.path] = change.applied_to(now.get(change.path))
    except PatchInvalid as error:
        raise SandboxFailed(str(error)) from None
    commands: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for path in dict.fromkeys(change.path for change in changes):
            entry = now[path]
            if entry is None or entry.data is None:
                commands.append(f"rm -rf -- {shlex.quote(path)}")
            elif entry.mode == LINK_MODE:
                target = shlex.quote(os.fsdecode(entry.data))
                place, parent = shlex.quote(path), shlex.quote(str(PurePosixPath(path).parent))
                commands.append(f"mkdir -p -- {parent} && rm -rf -- {place} && ln -s -- {target} {place}")
            else:
                await _upload(sandbox, entry, Path(folder, "file"), path)
    if commands and (await sandbox.exec("\n".join(["set -e", *commands]), user="root", cwd="/")).exit_code:
        raise SandboxFailed("files outside of the working directory could not be restored")


async def _upload(sandbox: Sandbox, entry: FileEntry, file: Path, path: str) -> None:
    file.write_bytes(entry.data or b"")
    file.chmod(0o755 if entry.mode == 0o100755 else 0o644)
    await sandbox.upload(file, path)


async def restore_logs(
    sandbox: Sandbox, source: Folders, scratch: Path, *, collected: Sequence[Collected], leave_out: Collection[str]
) -> None:
    """Fill /logs/agent and /logs/artifacts from a trial's folders.

    `leave_out` names logs that the runner's side wrote. `scratch` is a folder that is made and removed.
    """
    declared = {line.destination.removeprefix("artifacts/") for line in collected if line.source != ARTIFACTS}
    try:
        for folder, target, names in (
            (source.agent, AGENT_LOGS, leave_out),
            (source.artifacts, ARTIFACTS, {MANIFEST, *declared}),
        ):
            place = scratch / PurePosixPath(target).name
            await asyncio.to_thread(copy_files, folder, place, leave_out=names)
            place.chmod(0o777)
            await sandbox.upload(place, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


async def restore_declared(sandbox: Sandbox, collected: Sequence[Collected], source: Folders, workdir: str) -> None:
    """Put artifacts back that were collected from outside the working directory."""
    inside = f"{workdir.rstrip('/')}/"
    for line in collected:
        is_log = PurePosixPath(line.source).is_relative_to("/logs")
        is_outside = line.source.startswith("/") and not f"{line.source}/".startswith(inside) and not is_log
        if is_outside and line.status == "ok" and line.service == MAIN:
            await sandbox.upload(source.root / line.destination, line.source)


def copy_files(source: Path, target: Path, *, leave_out: Collection[str] = ()) -> None:
    """Copy the files below a folder; links and special files are passed over, and nothing is followed.

    `leave_out` are paths below it, of files or folders. The target exists afterwards, also where the source does not.
    """
    target.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        return
    for root, names, files in os.walk(source):
        relative = Path(root).relative_to(source)
        names[:] = [
            name
            for name in names
            if (relative / name).as_posix() not in leave_out and not Path(root, name).is_symlink()
        ]
        for name in names:
            (target / relative / name).mkdir(exist_ok=True)
        for name in files:
            if (relative / name).as_posix() not in leave_out:
                _copy(Path(root, name), target / relative / name)


def _copy(source: Path, target: Path) -> None:
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in NOT_FILES:
            return
        raise
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode):
            with target.open("wb") as copy:
                shutil.copyfileobj(file, copy)
            target.chmod(stat.S_IMODE(status.st_mode) & 0o777 | 0o600)
