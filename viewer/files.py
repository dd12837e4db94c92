"""Files of a trial directory, read as if its author were hostile: no symlink is followed, nothing is read whole."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from runs.errors import PierError
from runs.models import Trial

MAX_DEPTH = 64
HEAD_BYTES = 192 * 1024
TAIL_BYTES = 64 * 1024
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO must not wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# The beginnings of what browsers draw without running anything; SVG is a document and not among them.
_PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


class FileMissing(PierError):
    """There is no such regular file in the trial directory, or it may not be read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a listing; `path` is relative to the trial directory."""

    path: str
    size_bytes: int

    @property
    def can_be_named(self) -> bool:
        """Whether an address can name it: a name that is not UTF-8 has none."""
        return self.path.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in self.path)


@dataclass(frozen=True, slots=True)
class TextFile:
    """The head of a text file, and its tail when it is longer than both."""

    path: str
    size_bytes: int
    head: str
    tail: str = ""
    missing_bytes: int = 0


def trial_directory(trial: Trial) -> Path:
    """Where the trial's files are; nothing says that it exists."""
    return Path(trial.job.directory) / trial.name


@contextmanager
def _directory(root: Path, parts: tuple[str, ...]) -> Iterator[int]:
    """A descriptor of `root/parts…`; each part is opened from the one before and may not be a symlink."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _parts(trial: Trial, relative: str) -> tuple[str, ...]:
    parts = (trial.name, *(part for part in relative.split("/") if part))
    if len(parts) > MAX_DEPTH or any(part in (".", "..") or "\0" in part or "/" in part for part in parts):
        raise FileMissing(f"{relative!r} is not a path inside the trial directory.")
    return parts


def open_file(trial: Trial, relative: str) -> BinaryIO:
    """The regular file `relative` of the trial directory, opened to be read.

    Raises:
        FileMissing: it isn't there, it is no regular file, or a symlink is on the way.
    """
    *folders, name = _parts(trial, relative)
    try:
        with _directory(Path(trial.job.directory), tuple(folders)) as folder:
            descriptor = os.open(name, _FILE, dir_fd=folder)
    except (OSError, UnicodeError) as error:
        raise FileMissing(f"There is no file {relative!r} in the trial directory.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileMissing(f"{relative!r} is not a regular file.")
    return os.fdopen(descriptor, "rb")


def read_text(trial: Trial, relative: str, *, head: int = HEAD_BYTES, tail: int = TAIL_BYTES) -> TextFile | None:
    """The file's text within bounds, undecodable bytes replaced; None when there is no such file."""
    try:
        file = open_file(trial, relative)
    except FileMissing:
        return None
    with file:
        size = os.fstat(file.fileno()).st_size
        first = file.read(head)
        if size <= head:
            return TextFile(relative, size, _decoded(first))
        file.seek(max(head, size - tail))
        last = file.read(tail)
    return TextFile(relative, size, _decoded(first), _decoded(last), max(0, size - len(first) - len(last)))


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


def looks_binary(file: TextFile) -> bool:
    """Whether the head is not text: it has NULs, or many bytes that decode to nothing."""
    sample = file.head[:4096]
    return "\0" in sample or sample.count("\ufffd") * 10 > len(sample)


def picture_type(content: bytes) -> str | None:
    """The media type of a picture by its first bytes, or None."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _PICTURES.items() if content.startswith(start)), None)


def is_picture(trial: Trial, path: str) -> bool:
    """Whether the file at `path` is a picture by its first bytes."""
    try:
        with open_file(trial, path) as file:
            return picture_type(file.read(16)) is not None
    except (FileMissing, OSError):
        return False


def list_files(trial: Trial, relative: str = "", *, depth: int = 2, limit: int = 200) -> list[Entry]:
    """Regular files under a folder of the trial directory, by name, `depth` folders down, at most `limit`."""
    found: list[Entry] = []
    _walk(trial, relative, depth, limit, found)
    return found


def _walk(trial: Trial, relative: str, depth: int, limit: int, found: list[Entry]) -> None:
    try:
        with _directory(Path(trial.job.directory), _parts(trial, relative)) as folder, os.scandir(folder) as entries:
            # Names are bounded before they are sorted: a folder may hold millions.
            names = sorted(
                (entry for entry, _ in zip(entries, range(limit * 5), strict=False)), key=lambda entry: entry.name
            )
            listed = [(entry.name, entry.stat(follow_symlinks=False)) for entry in names]
    except (OSError, FileMissing):
        return
    for name, status in listed:
        if len(found) >= limit:
            return
        path = f"{relative}/{name}" if relative else name
        if stat.S_ISREG(status.st_mode):
            found.append(Entry(path, status.st_size))
        elif stat.S_ISDIR(status.st_mode) and depth > 1:
            _walk(trial, path, depth - 1, limit, found)
