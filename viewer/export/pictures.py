"""Pictures of a trial as data URLs, within caps: what a page holds when it has no server to ask for them."""

import base64
import os
from dataclasses import dataclass, field

from django.urls import Resolver404, resolve

from runs.models import Trial
from viewer.files import FileMissing, open_file, picture_type

MAX_PICTURE_BYTES = 2 * 1024 * 1024
MAX_PICTURES_BYTES = 24 * 1024 * 1024


@dataclass(slots=True)
class Pictures:
    """Counts what it has given: past MAX_PICTURES_BYTES there are no more."""

    trial: Trial
    given_bytes: int = 0
    given: dict[str, str | None] = field(default_factory=dict)

    def data_url(self, address: str) -> str | None:
        """The picture that an address of the site shows, as a data URL; None for anything but one of this trial."""
        if address not in self.given:
            self.given[address] = self._read(address)
        return self.given[address]

    def _read(self, address: str) -> str | None:
        path = self._path(address)
        if path is None:
            return None
        try:
            with open_file(self.trial, path) as file:
                size = os.fstat(file.fileno()).st_size
                if size > MAX_PICTURE_BYTES or self.given_bytes + size > MAX_PICTURES_BYTES:
                    return None
                content = file.read(MAX_PICTURE_BYTES)
        except FileMissing:
            return None
        kind = picture_type(content)
        if kind is None:
            return None
        self.given_bytes += len(content)
        return f"data:{kind};base64,{base64.b64encode(content).decode()}"

    def _path(self, address: str) -> str | None:
        """The path inside the trial directory that the site's own address names."""
        try:
            found = resolve(address.partition("?")[0])
        except Resolver404:
            return None
        path = found.kwargs.get("path")
        return path if found.kwargs.get("pk") == self.trial.pk and isinstance(path, str) else None
