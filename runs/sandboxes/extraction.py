"""The one extractor of archives from a sandbox: bounded, never outside its target, refused members listed."""

import errno
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, cast

from runs.checkpoints import Checkpoint, checkpoint
from runs.errors import SandboxFailed

COPY_CHUNK = 256 * 1024

# What a file system answers to a name that it cannot hold, or that an earlier member has taken.
NAME_ERRORS = {errno.ENAMETOOLONG, errno.EINVAL, errno.EISDIR, errno.ENOTDIR, errno.EILSEQ, errno.EEXIST}


class SourceMissing(SandboxFailed):
    """The path to download does not exist in the sandbox."""


class ExtractionLimitReached(SandboxFailed):
    """An archive from the sandbox is larger than the limits of a trial allow."""


@dataclass(frozen=True, slots=True)
class ExtractionLimits:
    """How much one download may bring: bytes of content, members, and folders below one another."""

    size_bytes: int = 2 * 1024**3
    members: int = 100_000
    depth: int = 64


@dataclass(frozen=True, slots=True)
class Refused:
    """A member that was left out, and why."""

    name: str
    reason: str


@dataclass(slots=True)
class Extraction:
    """What came out of an archive. `is_directory` tells what the source was."""

    is_directory: bool = False
    n_files: int = 0
    size_bytes: int = 0
    refused: list[Refused] = field(default_factory=list)


class ChunkReader:
    """A read-only file over an iterable of chunks, so that tarfile can read an archive while it arrives."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks: Iterator[bytes] = iter(chunks)
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; fewer only at the end."""
        parts = [self._rest]
        have = len(self._rest)
        while size < 0 or have < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            parts.append(chunk)
            have += len(chunk)
        data = b"".join(parts)
        if size < 0:
            size = len(data)
        self._rest = data[size:]
        return data[:size]


def extract(
    chunks: Iterable[bytes], target: Path, *, limits: ExtractionLimits | None = None, exclude: Sequence[str] = ()
) -> Extraction:
    """Unpack an archive whose members lie below one top-level name to `target`, without that name.

    `exclude` are patterns as tar's --exclude takes them: of a path below the top, or of any name in it.

    A directory's contents go into `target`; a single file becomes `target` itself. Only files and directories are
    written: links, devices and pipes are refused, as are names that would leave `target`. Of the modes only the
    owner's execute bit is kept, and owners are not set. Raises ExtractionLimitReached; what was written until then
    stays.
    """
    limits = limits or ExtractionLimits()
    done = Extraction()
    n_members = 0
    stream = cast("IO[bytes]", ChunkReader(chunks))
    try:
        with tarfile.open(fileobj=stream, mode="r|", errorlevel=1, ignore_zeros=False) as archive:
            for member in archive:
                n_members += 1
                if n_members > limits.members:
                    raise ExtractionLimitReached(f"more than {limits.members} files to copy from the sandbox")
                if not _is_excluded(member.name, exclude):
                    _extract_member(archive, member, target, limits, done)
    except tarfile.TarError as error:
        raise SandboxFailed(f"the archive from the sandbox is damaged: {error}") from error
    return done


def _is_excluded(name: str, patterns: Sequence[str]) -> bool:
    """Whether a member or one of its parents matches a pattern."""
    parts = [part for part in name.split("/") if part not in ("", ".")][1:]
    paths = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    return any(fnmatch(text, pattern) for pattern in patterns for text in (*parts, *paths))


def _extract_member(
    archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path, limits: ExtractionLimits, done: Extraction
) -> None:
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    reason = _reason_to_refuse(member, parts, limits)
    if reason:
        done.refused.append(Refused(member.name, reason))
        return
    if done.size_bytes + member.size > limits.size_bytes:
        raise ExtractionLimitReached(f"more than {limits.size_bytes} bytes to copy from the sandbox")
    if len(parts) <= 1:
        done.is_directory = member.isdir()
    path = target.joinpath(*parts[1:])
    try:
        if member.isdir():
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_file(archive, member, path)
    except OSError as error:
        if error.errno not in NAME_ERRORS:
            raise
        done.refused.append(Refused(member.name, f"this name cannot be stored here ({error.strerror})"))
        return
    checkpoint(Checkpoint.MEMBER_EXTRACTED)
    done.n_files += 1
    done.size_bytes += member.size


def _reason_to_refuse(member: tarfile.TarInfo, parts: list[str], limits: ExtractionLimits) -> str | None:
    if member.name.startswith("/") or ".." in parts:
        return "its name leaves the directory"
    if "\x00" in member.name:
        return "its name has a NUL character"
    if len(parts) > limits.depth:
        return f"it lies more than {limits.depth} folders deep"
    if member.issym() or member.islnk():
        return f"it is a link to {member.linkname}"
    if member.isdir() or member.isreg():
        return None
    return "it is neither a file nor a directory"


def _write_file(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = archive.extractfile(member)
    if source is None:  # tarfile gives None only for members that are not files, refused above
        raise SandboxFailed(f"{member.name} has no content in the archive")
    # A file of the same name was written by an earlier member: replaced, never opened, so no link is followed.
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        while chunk := source.read(COPY_CHUNK):
            file.write(chunk)
    if member.mode & 0o100:
        path.chmod(path.stat().st_mode | 0o100)
