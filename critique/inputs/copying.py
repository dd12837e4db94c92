"""Copies a folder into what a critic reads: links and special files left out, secrets masked, every file readable.

A file that is given as it is becomes a hard link where that can be. Nothing is followed, and the source never changes.
"""

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Final

from critique.inputs.contents import NotGiven, masked_content
from critique.inputs.masking import Masker
from runs.errors import FileUnreadable
from runs.indexing.cleaning import clean_name, clip

COPY_BYTES: Final = 1024 * 1024
MAX_NAMED: Final = 5
MAX_NAME_CHARS: Final = 200
FOLDER_MODE: Final = 0o755
FILE_MODE: Final = 0o644

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO must not wait for a writer.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LAST: Final = "artifacts"


@dataclass(frozen=True, slots=True)
class CopyLimits:
    """How much of a folder is copied. A file that is larger than `file_bytes` is left out, the others stay."""

    size_bytes: int = 2 * 1024**3
    file_bytes: int = 512 * 1024**2
    members: int = 100_000
    depth: int = 64


@dataclass(slots=True)
class Copied:
    """What was copied; what was not is counted by reason, and the first few are named."""

    n_files: int = 0
    n_members: int = 0
    size_bytes: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    named: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, name: PurePosixPath, reason: str) -> None:
        """Note that something was not copied."""
        self.left_out[reason] += 1
        names = self.named.setdefault(reason, [])
        if len(names) < MAX_NAMED:
            names.append(clip(clean_name(str(name)), MAX_NAME_CHARS))

    def notes(self, place: str) -> list[str]:
        """A sentence for each reason."""
        notes = []
        for reason, count in self.left_out.items():
            names, n_more = self.named[reason], count - len(self.named[reason])
            more = f" and {n_more:,} more" if n_more else ""
            notes.append(f"{place}: {', '.join(names)}{more} left out, because {reason}")
        return notes


def copy_folder(
    source: Path,
    target: Path,
    masker: Masker,
    *,
    is_record: bool = False,
    leave_out: Callable[[str], bool] = lambda _name: False,
    limits: CopyLimits | None = None,
) -> Copied:
    """Copy what is below `source` to `target`, which is made.

    `leave_out` is asked about names at the top; `is_record` as in `masked_content`. Raises FileUnreadable where
    `source` is no folder, or a link to one.
    """
    try:
        top = os.open(source, _FOLDER)
    except OSError as error:
        raise FileUnreadable(source, "is not a folder") from error
    copier = _Copier(target, masker, is_record, limits or CopyLimits())
    make_folder(target)
    try:
        for root, names, files, descriptor in os.fwalk(".", dir_fd=top, follow_symlinks=False):
            place = PurePosixPath(root)
            is_top = not place.parts
            names[:] = [name for name in names if not (is_top and leave_out(name))]
            copier.folders(place, names, descriptor)
            for name in sorted(files):
                if not (is_top and leave_out(name)):
                    copier.file(place / name, descriptor)
    finally:
        os.close(top)
    return copier.done


def write_masked(source: Path, target: Path, masker: Masker) -> bool:
    """Copy a single file, which must be a regular one; whether it was there."""
    done = Copied()
    try:
        folder = os.open(source.parent, _FOLDER & ~os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        _Copier(target.parent, masker, False, CopyLimits(), done).file(PurePosixPath(source.name), folder, target)
    finally:
        os.close(folder)
    return done.n_files == 1


def make_folder(path: Path) -> None:
    """A new folder that everybody may read, whatever the umask."""
    path.mkdir(parents=True)
    path.chmod(FOLDER_MODE)


def write_file(target: Path, pieces: Iterable[bytes], *, mode: int = FILE_MODE) -> int:
    """Write a new file that everybody may read, whatever the umask; returns its size."""
    with target.open("xb") as file:
        n_bytes = sum(file.write(piece) for piece in pieces)
    target.chmod(mode)
    return n_bytes


@dataclass(slots=True)
class _Copier:
    """Puts files and folders, named by open folders and paths below the source, to their places below `target`."""

    target: Path
    masker: Masker
    is_record: bool
    limits: CopyLimits
    done: Copied = field(default_factory=Copied)

    def folders(self, place: PurePosixPath, names: list[str], descriptor: int) -> None:
        """Make the folders that are gone into, and take the others out of `names`."""
        inside = [name for name in sorted(names) if self._enter(place / name, descriptor)]
        # What a task declared to be kept comes last: it is large more often than it is needed.
        names[:] = sorted(inside, key=lambda name: not place.parts and name == _LAST)

    def _enter(self, name: PurePosixPath, descriptor: int) -> bool:
        if not _is_folder(name.name, descriptor):
            self.done.leave_out(name, "links are not followed")
        elif len(name.parts) > self.limits.depth:
            self.done.leave_out(name, f"they lie more than {self.limits.depth} folders deep")
        elif self._has_room(name, 0):
            self.done.n_members += 1
            make_folder(self.target / name)
            return True
        return False

    def file(self, name: PurePosixPath, descriptor: int, target: Path | None = None) -> None:
        """Give the file, if it is one and there is room for it."""
        try:
            file = os.fdopen(os.open(name.name, _FILE, dir_fd=descriptor), "rb")
        except OSError:
            self.done.leave_out(name, "they are links, or cannot be opened")
            return
        with file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                self.done.leave_out(name, "they are neither files nor folders")
            elif status.st_size > self.limits.file_bytes:
                self.done.leave_out(name, f"each has more than {self.limits.file_bytes:,} bytes")
            elif self._has_room(name, status.st_size):
                self._give(name, file, status, descriptor, target or self.target / name)

    def _has_room(self, name: PurePosixPath, size_bytes: int) -> bool:
        if self.done.n_members >= self.limits.members:
            self.done.leave_out(name, f"there are more than {self.limits.members:,} files")
            return False
        if self.done.size_bytes + size_bytes > self.limits.size_bytes:
            self.done.leave_out(name, f"there are more than {self.limits.size_bytes:,} bytes")
            return False
        return True

    def _give(
        self, name: PurePosixPath, file: IO[bytes], status: os.stat_result, descriptor: int, target: Path
    ) -> None:
        """Link the file, or write it."""
        self.done.n_members += 1
        try:
            masked = masked_content(name, file, self.masker, is_record=self.is_record)
        except NotGiven as error:
            self.done.leave_out(name, str(error))
            return
        if masked is None and _link(name.name, descriptor, target, status):
            self.done.size_bytes += status.st_size
        else:
            file.seek(0)
            pieces = iter(lambda: file.read(COPY_BYTES), b"") if masked is None else masked
            is_program = status.st_mode & 0o100
            self.done.size_bytes += write_file(target, pieces, mode=FOLDER_MODE if is_program else FILE_MODE)
        self.done.n_files += 1


def _is_folder(name: str, descriptor: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _link(name: str, descriptor: int, target: Path, status: os.stat_result) -> bool:
    """Whether the file is now at `target` as a hard link; only one that everybody may read as it is."""
    if status.st_mode & 0o444 != 0o444 or status.st_mode & 0o7000:
        return False
    try:
        os.link(name, target, src_dir_fd=descriptor, follow_symlinks=False)
    except OSError:
        return False
    linked = target.lstat()
    if (linked.st_dev, linked.st_ino) == (status.st_dev, status.st_ino):
        return True
    target.unlink()
    return False
