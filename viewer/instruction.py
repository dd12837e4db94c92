"""What the task asked for, for trials that have no trajectory to say it: the task directory's instruction.md."""

import os
import stat
from pathlib import Path

from runs.models import Trial

MAX_BYTES = 64 * 1024


def instruction_of(trial: Trial) -> str:
    """The instruction, or an empty string: the path comes from a job's files, so little is trusted of it.

    It must be absolute, hold a task.toml, and have instruction.md as a regular file that is no symlink.
    """
    directory = Path(trial.task_path)
    if "\0" in trial.task_path or not directory.is_absolute():
        return ""
    try:
        if not (directory / "task.toml").is_file():
            return ""
        descriptor = os.open(directory / "instruction.md", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return ""
        return file.read(MAX_BYTES).decode("utf-8", errors="replace")
