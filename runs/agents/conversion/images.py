"""Images that logs hold as base64: taken out into files beside the trajectory, so that no step carries megabytes."""

import base64
import binascii
import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, get_args

from runs.files import write_atomically
from runs.formats.trajectory import ContentPart, ImageSource

MediaType = Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
FOLDER: Final = "images"
MAX_IMAGE_BYTES: Final = 20 * 1024 * 1024
MAX_IMAGES: Final = 2000


class ImageStore:
    """Writes images into `images/` of a log folder, each once, named by its content; None keeps them nowhere.

    The parts it gives have the same path either way, so that a trajectory doesn't depend on it.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: set[str] = set()

    def part(self, media_type: Any, data: Any) -> ContentPart | None:
        """The image as a part of a message; None where it is none that trajectories can have."""
        if media_type not in get_args(MediaType) or not isinstance(data, str) or len(data) > MAX_IMAGE_BYTES * 4 // 3:
            return None
        try:
            image = base64.b64decode(data, validate=False)
        except (binascii.Error, ValueError):
            return None
        name = f"{hashlib.sha256(image).hexdigest()[:32]}.{media_type.removeprefix('image/')}"
        if name not in self._known:
            if len(self._known) >= MAX_IMAGES:
                return None
            self._known.add(name)
            if self._folder:
                # What an agent left in the place of the folder or of the file stays: no image is worth a trajectory.
                with suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
                    _write(self._folder / FOLDER / name, image)
        return ContentPart(type="image", source=ImageSource(media_type=media_type, path=f"{FOLDER}/{name}"))


def _write(target: Path, image: bytes) -> None:
    target.parent.mkdir(exist_ok=True)
    if not target.parent.is_symlink():
        write_atomically(target, image)
