"""When an image that was made here was last started from: the engine doesn't say, and `pierjob prune` asks.

One empty file an image; its time of change is the answer.
"""

import os
from contextlib import suppress
from pathlib import Path

from django.conf import settings


def note_use(tag: str) -> None:
    """The image of this name is used now. Never fails: at worst an image goes early and is made again."""
    path = file_of(tag)
    with suppress(OSError):
        try:
            os.utime(path)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def last_use(tag: str) -> float:
    """When it was, in seconds since 1970; 0.0 where nothing is known."""
    with suppress(OSError):
        return file_of(tag).stat().st_mtime
    return 0.0


def forget(tag: str) -> None:
    """The image is gone."""
    file_of(tag).unlink(missing_ok=True)


def file_of(tag: str) -> Path:
    """The file whose time of change is the image's last use."""
    return Path(settings.CACHE_DIR, "last-use", tag.replace("/", "_").replace(":", "_"))
