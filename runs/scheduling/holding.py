"""Holds a job directory, so that no two processes of this machine run one job, whatever database they have."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EAGAIN
from pathlib import Path

from runs.errors import InputInvalid


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold the directory, until the end or this process's death. Raises InputInvalid when another runner holds it.

    Where the file system has no locks, nothing is held: the rows in the database are still fenced.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (EAGAIN, EACCES):
                raise InputInvalid(f"{directory}: another process is running this job; nothing was done") from None
        yield
    finally:
        os.close(descriptor)
