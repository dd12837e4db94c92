"""Parts of a sandbox's file tree as the runner looks at them: what changed, and the contents of single files.

Everything is read from tar streams with limits and kept in memory; nothing is written or followed.
"""

import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal, cast

from runs.sandboxes.extraction import ChunkReader

MAX_FILE_BYTES = 1024 * 1024
MAX_MEMBERS = 100_000
LINK_MODE = 0o120000

Receive = Callable[[bytes], bool]
"""Takes the next piece of a stream; False asks for no more."""


@dataclass(frozen=True, slots=True)
class Change:
    """One path, absolute, that differs from the image. Folders are listed too, and cannot be told from files."""

    path: str
    kind: Literal["modified", "added", "deleted"]


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file or symbolic link: git's mode of it, and its content or target; None when it is larger than the limit."""

    mode: int
    data: bytes | None


def entries_in(
    chunks: Iterable[bytes], parent: str, wanted: Callable[[str], bool], *, max_members: int = MAX_MEMBERS
) -> Iterator[tuple[str, FileEntry]]:
    """The wanted files and links of a tar whose names lie below `parent`. A damaged or too long tar ends the list."""
    stream = cast("IO[bytes]", ChunkReader(chunks))
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for count, member in enumerate(archive):
                if count >= max_members:
                    return
                path = str(PurePosixPath(parent, member.name))
                if wanted(path) and (entry := _entry(archive, member)):
                    yield path, entry
    except (tarfile.TarError, UnicodeError, ValueError):
        return


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo) -> FileEntry | None:
    if member.issym():
        return FileEntry(LINK_MODE, member.linkname.encode("utf-8", "surrogateescape"))
    if not member.isreg():
        return None
    mode = 0o100755 if member.mode & 0o100 else 0o100644
    if member.size > MAX_FILE_BYTES:
        return FileEntry(mode, None)
    source = archive.extractfile(member)
    return FileEntry(mode, source.read() if source else b"")


def file_entry(path: Path) -> FileEntry | None:
    """A file or link of this machine, never followed; None for anything else."""
    if path.is_symlink():
        return FileEntry(LINK_MODE, str(path.readlink()).encode("utf-8", "surrogateescape"))
    if not path.is_file():
        return None
    status = path.stat()
    mode = 0o100755 if status.st_mode & 0o100 else 0o100644
    return FileEntry(mode, path.read_bytes() if status.st_size <= MAX_FILE_BYTES else None)


def files_below(folder: Path) -> dict[str, Path]:
    """The files and links below a folder by their relative names, at most as many as a tar may have."""
    found: dict[str, Path] = {}
    for root, names, files in folder.walk():
        links = [name for name in names if (root / name).is_symlink()]
        for name in (*files, *links):
            found[(root / name).relative_to(folder).as_posix()] = root / name
            if len(found) >= MAX_MEMBERS:
                return found
    return found


def changes_between(before: Path | None, after: Path, target: str) -> list[Change]:
    """What differs between two folders of this machine; the paths say where `after` lies in its sandbox."""
    old = files_below(before) if before and before.is_dir() else {}
    new = files_below(after)
    changes = [Change(f"{target}/{name}", "deleted") for name in old.keys() - new.keys()]
    changes += [Change(f"{target}/{name}", "added") for name in new.keys() - old.keys()]
    both = old.keys() & new.keys()
    changes += [
        Change(f"{target}/{name}", "modified") for name in both if file_entry(old[name]) != file_entry(new[name])
    ]
    return sorted(changes, key=lambda change: change.path)
