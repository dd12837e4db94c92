"""Writing files so that a reader sees the old content or the new, never a part."""

import errno
import os
import re
import tempfile
from pathlib import Path

from runs.checkpoints import Checkpoint, checkpoint

# The files that are written so, and how `mkstemp` names a temporary beside one of them.
TEMPORARY = re.compile(r"\.((config|lock|result|manifest|trajectory)\.json|workspace\.tar\.zst)\.[a-z0-9_]{8}")


def is_disk_full(error: BaseException) -> bool:
    """Whether the error says that there is no space left, on the device or in the quota."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace `path` with `content` (text as UTF-8): a temporary file beside it, flushed, then renamed over it."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
            checkpoint(Checkpoint.FILE_HALF_WRITTEN)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_temporaries(folder: Path) -> list[Path]:
    """Remove what writers that died half-way left in this folder (not below it); returns what was removed."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if TEMPORARY.fullmatch(path.name) and not path.is_dir()]
    for path in found:
        path.unlink(missing_ok=True)
    return found
