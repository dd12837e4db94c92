"""The input of critics, laid out once for all who look at the same thing, and removed when the last of them is done."""

import asyncio
import shutil
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from critique.inputs.staging import Staged, Subject, stage_input
from critique.running.items import Item

# Hidden, so that nobody takes it for a critique.
FOLDER = ".input"

type SubjectOf = Callable[[Item], Subject]
"""What an item looks at; asked when its turn comes, so that a summary finds the results of the others."""


class Inputs:
    """Staged folders below a run's directory, one for each subject."""

    def __init__(self, directory: Path, items: Iterable[Item], subject_of: SubjectOf) -> None:
        self._root = directory / FOLDER
        self.subject_of = subject_of
        self._n_left = Counter(_key(item) for item in items)
        self._n_users: Counter[str] = Counter()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._staged: dict[str, Staged] = {}
        self._n_folders = 0

    @asynccontextmanager
    async def of(self, item: Item) -> AsyncIterator[Staged]:
        """The input of an item, there for as long as the body runs."""
        key = _key(item)
        self._n_users[key] += 1
        try:
            async with self._locks[key]:
                if key not in self._staged:
                    self._n_folders += 1
                    folder = self._root / str(self._n_folders)
                    folder.mkdir(parents=True)
                    self._staged[key] = await asyncio.to_thread(stage_input, self.subject_of(item), folder)
            yield self._staged[key]
        finally:
            self._n_users[key] -= 1
            self._n_left[key] -= 1
            # A critic that is tried again may come back to what was removed: it is laid out anew then.
            if self._n_left[key] <= 0 and not self._n_users[key] and key in self._staged:
                await asyncio.shield(asyncio.to_thread(_remove, self._staged.pop(key).folder))

    def remove(self) -> None:
        """Remove all that is there, also what an earlier runner left that died."""
        _remove(self._root)


def _key(item: Item) -> str:
    return "\0".join(map(str, (item.subject, item.source, item.task, item.parent, item.is_summary)))


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
