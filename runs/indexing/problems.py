"""What could not be read: a path and a sentence, the same in a report, in the database and on standard error."""

from pathlib import Path
from typing import NamedTuple

from runs.indexing.cleaning import clean_name, clip

MAX_PROBLEMS = 100


class Problem(NamedTuple):
    """One thing that was passed over, and why; indexing went on."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{clean_name(str(self.path))}: {clip(self.reason, 500)}"


def as_rows(problems: list[Problem], root: Path) -> list[dict[str, str]]:
    """Problems as the JSON of a row, with paths relative to `root`; of very many, the first hundred."""
    return [
        {"path": clean_name(str(_relative(problem.path, root))), "reason": clip(problem.reason, 500)}
        for problem in problems[:MAX_PROBLEMS]
    ]


def _relative(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path
