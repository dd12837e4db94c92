"""Tar archives on their way into a sandbox."""

import io
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

# Larger archives go through a temporary file instead of memory.
IN_MEMORY_BYTES = 4 * 1024 * 1024


def archive_of(source: Path, target: str) -> IO[bytes]:
    """A tar, to be unpacked at the root, that puts `source` (a file, or a directory's contents) at `target`.

    Everything belongs to root, shell scripts may be executed, symbolic links stay links. The caller closes it.
    """
    name = target.strip("/")
    archive = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 - the caller closes it
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(source.resolve() if source.is_file() else source, arcname=name, filter=_owned_by_root)
    archive.seek(0)
    return archive


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    if member.isfile() and member.name.endswith(".sh"):
        member.mode |= 0o111
    return member


def archive_of_folders(paths: Sequence[str]) -> IO[bytes]:
    """A tar, to be unpacked at the root, with empty folders that anybody may write to."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in paths:
            member = tarfile.TarInfo(path.strip("/"))
            member.type, member.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(member)
    archive.seek(0)
    return archive
