"""Reads the JSON files of one directory and remembers what it could not read, so that indexing can go on."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from runs.errors import FileUnreadable
from runs.formats.reading import MAX_JSON_BYTES, read_json
from runs.indexing.problems import Problem
from runs.indexing.stamps import Stamps, stamp_of
from runs.indexing.values import Json


@dataclass(slots=True)
class Reader:
    """Reads below `root` and never outside of it.

    A broken file that changed less than `patience_sec` ago is taken for one that is being written: it is `torn`,
    to be read again soon, and no problem yet. `stamps` are those of every file that was read.
    """

    root: Path
    patience_sec: float = 0.0
    problems: list[Problem] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    stamps: Stamps = field(default_factory=dict)

    def json(self, name: str, *, max_bytes: int = MAX_JSON_BYTES) -> object:
        """The JSON value in `root/name` (also gzipped), or None where there is none or it can't be read."""
        path = self.root / name
        stamp = stamp_of(path)
        if stamp is None:
            return None
        # Taken before the file is opened: what changes while it is read is read again.
        self.stamps[name] = stamp
        try:
            value: object = read_json(path, max_bytes=max_bytes, lenient=True, within=self.root)
        except FileUnreadable as error:
            self._note(name, path, error.reason)
            return None
        return value

    def mapping(self, name: str, *, max_bytes: int = MAX_JSON_BYTES) -> Json:
        """The JSON object in `root/name`, or an empty one; another kind of value is a problem."""
        value = self.json(name, max_bytes=max_bytes)
        if isinstance(value, dict):
            return value
        if value is not None:
            self.problem(name, "holds no JSON object")
        return {}

    def problem(self, name: str, reason: str) -> None:
        """Remember that something about `root/name` was passed over."""
        self.problems.append(Problem(self.root / name, reason))

    def _note(self, name: str, path: Path, reason: str) -> None:
        if is_young(path, self.patience_sec):
            self.torn.append(name)
        else:
            self.problem(name, reason)


def is_young(path: Path, age_sec: float) -> bool:
    """Whether `path` changed less than `age_sec` ago."""
    try:
        return time.time() - path.lstat().st_mtime < age_sec
    except OSError:
        return False
