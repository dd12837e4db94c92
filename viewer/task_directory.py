"""Files of the task directory that pages show where the trial's own files don't say it: instruction.md, task.toml."""

import os
import stat
from pathlib import Path

from runs.models import Trial

MAX_BYTES = 64 * 1024


def instruction_of(trial: Trial) -> str:
    """What the task asked for, for trials that have no trajectory to say it."""
    return task_file(trial, "instruction.md")


def task_file(trial: Trial, name: str, *, max_bytes: int = MAX_BYTES) -> str:
    """The beginning of a file of the task directory, or an empty string: the path comes from a job's files.

    So little is trusted of it: it must be absolute, hold a task.toml, and have the file as a regular one, no symlink.
    """
    directory = Path(trial.task_path)
    if "\0" in trial.task_path or not directory.is_absolute():
        return ""
    try:
        if not (directory / "task.toml").is_file():
            return ""
        descriptor = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return ""
        return file.read(max_bytes).decode("utf-8", errors="replace")
