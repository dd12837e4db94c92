"""Files of a running container by a descriptor of its root directory: the engine takes 40 ms for each archive.

For root on the engine's machine. No link is followed, no device opened, and little is carried: the rest is `NotPlain`.
"""

import io
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import IO, Final

import docker

from runs.sandboxes.egress.namespace import NamespaceClosedToUs, descriptor_of
from runs.sandboxes.extraction import SourceMissing

# What is larger goes through the engine, whose process is another: this one runs up to a hundred trials.
MAX_MEMBERS: Final = 200
MAX_BYTES: Final = 1024 * 1024
NEW_FOLDER_MODE: Final = 0o755
FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
TYPES: Final = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}


class NotPlain(Exception):
    """Only the engine can do it: there is a link, a mount or a refusal in the way, or it is too much."""


class ContainerRoot:
    """The root directory of one container as its own processes see it, from one of its starts to the next."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # A number that was closed is soon another file's: nothing may begin with it then.
        self._lock = Lock()

    @classmethod
    def of(cls, api: docker.APIClient, container_id: str) -> "ContainerRoot | None":
        """The root of a running container, or None where this process may not have it. One call, 2 ms."""
        if os.geteuid():  # what is laid there must be root's
            return None
        pid = int(api.inspect_container(container_id)["State"]["Pid"])
        try:
            root = cls(descriptor_of(pid, container_id, "root", os.O_PATH | os.O_DIRECTORY))
        except NamespaceClosedToUs:
            return None
        with suppress(OSError):
            # Where the container's root is another user of the machine, files written here would be nobody's.
            if Path(f"/proc/{pid}/uid_map").read_text() == Path("/proc/self/uid_map").read_text():
                return root
        root.close()
        return None

    def close(self) -> None:
        """Let the container's file system go; safe to call twice."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor >= 0:
                os.close(descriptor)

    def put(self, archive: IO[bytes]) -> None:
        """Unpack a tar of ours at the root. Raises NotPlain, and then a part may be there already."""
        with _plain_only(), tarfile.open(fileobj=archive, mode="r") as tar:
            for member in tar:
                *parents, name = _parts(member.name)
                with self._folder(parents, make=True) as folder:
                    _lay(tar, member, folder, name)

    def tar_of(self, source: str) -> bytes:
        """A file or a directory as a tar below its own name, as the engine gives it. Raises SourceMissing, NotPlain."""
        *parents, name = _parts(source)
        archive = io.BytesIO()
        with _plain_only(), ExitStack() as opened:
            try:
                folder = opened.enter_context(self._folder(parents))
                status = os.lstat(name, dir_fd=folder)
            except FileNotFoundError as error:
                raise SourceMissing(f"{source} does not exist in the sandbox") from error
            if stat.S_ISLNK(status.st_mode):
                raise NotPlain(source)
            with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
                _add(tar, folder, name, name, _Budget())
        return archive.getvalue()

    def empty(self, folders: Sequence[str]) -> None:
        """Leave each folder there, empty and writable by anybody; a link in its place goes. Raises NotPlain."""
        for path in folders:
            *parents, name = _parts(path)
            with _plain_only(), self._folder(parents, make=True) as parent:
                with suppress(FileNotFoundError):
                    if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                        os.unlink(name, dir_fd=parent)
                _make(name, parent)
                with _opened(name, parent) as folder:
                    _remove_contents(folder)
                    os.fchmod(folder, 0o777)

    @contextmanager
    def _folder(self, parts: Sequence[str], *, make: bool = False) -> Iterator[int]:
        """A descriptor of a folder; nothing on the way is a link."""
        with self._lock:
            if self._descriptor < 0:
                raise NotPlain("the container has ended")
            descriptor = os.open(".", FOLDER_FLAGS, dir_fd=self._descriptor)
        try:
            for part in parts:
                is_new = make and _make(part, descriptor)
                inner = os.open(part, FOLDER_FLAGS, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
                if is_new:
                    os.fchmod(descriptor, NEW_FOLDER_MODE)
            yield descriptor
        finally:
            os.close(descriptor)


class _Budget:
    """What may still be carried."""

    def __init__(self) -> None:
        self.members, self.bytes = MAX_MEMBERS, MAX_BYTES

    def take(self, size: int) -> None:
        self.members -= 1
        self.bytes -= size
        if self.members < 0 or self.bytes < 0:
            raise NotPlain("too much")


@contextmanager
def _plain_only() -> Iterator[None]:
    """Whatever the file system refuses is the engine's to do, or to explain."""
    try:
        yield
    except (OSError, tarfile.TarError) as error:
        raise NotPlain(str(error)) from error


@contextmanager
def _opened(name: str, folder: int) -> Iterator[int]:
    descriptor = os.open(name, FOLDER_FLAGS, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _make(name: str, folder: int) -> bool:
    """Whether the folder had to be made. Its mode is the caller's to set: the runner's umask has no say in it."""
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder)
        return True
    return False


def _parts(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise NotPlain(path)
    return parts


def _lay(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: int, name: str) -> None:
    """Put one member into a folder; what is there under its name is replaced, unless both are folders."""
    if member.isdir():
        _make(name, folder)
        with _opened(name, folder) as made:
            os.fchmod(made, member.mode)
        return
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
    if member.issym():
        os.symlink(member.linkname, name, dir_fd=folder)
        return
    content = tar.extractfile(member) if member.isreg() else None
    if content is None:
        raise NotPlain(member.name)
    made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    with os.fdopen(made, "wb") as file:
        shutil.copyfileobj(content, file)
        file.flush()
        os.fchmod(made, member.mode)
        os.utime(made, (member.mtime, member.mtime))


def _add(tar: tarfile.TarFile, folder: int, name: str, shown: str, budget: _Budget) -> None:
    """Add what stands under a name in a folder, and what is below it."""
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        # Looked at and then read by the same descriptor: nothing can be put in its place in between.
        status = os.fstat(descriptor)
        kind = TYPES.get(stat.S_IFMT(status.st_mode))
        if kind is None:  # a socket: the engine leaves it out too
            return
        is_file = kind == tarfile.REGTYPE
        if is_file and status.st_nlink > 1:
            raise NotPlain("a hard link")
        budget.take(status.st_size if is_file else 0)
        member = _member(shown, status, kind)
        if kind == tarfile.SYMTYPE:
            member.linkname = os.readlink("", dir_fd=descriptor)
        if is_file:
            with Path(f"/proc/self/fd/{descriptor}").open("rb") as content:
                tar.addfile(member, content)
            return
        tar.addfile(member)
        if kind == tarfile.DIRTYPE:
            with _opened(".", descriptor) as inner:
                for below in sorted(_names(inner, budget)):
                    _add(tar, inner, below, f"{shown}/{below}", budget)
    finally:
        os.close(descriptor)


def _member(shown: str, status: os.stat_result, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(shown)
    member.type, member.mode, member.mtime = kind, stat.S_IMODE(status.st_mode), int(status.st_mtime)
    member.uid, member.gid = status.st_uid, status.st_gid
    member.size = status.st_size if kind == tarfile.REGTYPE else 0
    return member


def _names(folder: int, budget: _Budget) -> list[str]:
    """The names in a folder, as long as they can be carried."""
    names: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            names.append(entry.name)
            if len(names) > budget.members:
                raise NotPlain("too much")
    return names


def _remove_contents(folder: int) -> None:
    """Empty a folder that holds little."""
    _count(folder, _Budget())
    for name in _names(folder, _Budget()):
        if stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
            shutil.rmtree(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)


def _count(folder: int, budget: _Budget) -> None:
    for name in _names(folder, budget):
        budget.take(0)
        if stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
            with _opened(name, folder) as inner:
                _count(inner, budget)
