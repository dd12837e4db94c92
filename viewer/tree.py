"""Artifacts as a tree: consecutive rows of one page, in the order of their paths, with a row for each folder."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from runs.models import Artifact

# Deeper folders are drawn no further in: a table has no more room than this.
MAX_DEPTH = 8
# Of one path so many folders have rows of their own: a path may have hundreds.
MAX_FOLDERS = 20


@dataclass(frozen=True, slots=True)
class TreeRow:
    """An artifact, or with None a folder, by its name; `depth` is in how many folders it is, at most MAX_DEPTH."""

    name: str
    depth: int
    artifact: Artifact | None = None


def tree_of(artifacts: Iterable[Artifact]) -> Iterator[TreeRow]:
    """The artifacts with their folders; a folder that is an artifact itself has one row."""
    inside: tuple[str, ...] = ()
    for artifact in artifacts:
        parts = tuple(artifact.path.rstrip("/").split("/", MAX_FOLDERS))
        folders, name = parts[:-1], parts[-1]
        n_same = next((n for n, (one, other) in enumerate(zip(inside, folders, strict=False)) if one != other), None)
        n_same = min(len(inside), len(folders)) if n_same is None else n_same
        for depth, folder in enumerate(folders[n_same:], n_same):
            yield TreeRow(folder, min(depth, MAX_DEPTH))
        yield TreeRow(name, min(len(folders), MAX_DEPTH), artifact)
        inside = parts if artifact.kind == Artifact.Kind.DIRECTORY else folders
