"""Skills that a job brings for its agents: folders with a SKILL.md each."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

MANIFEST: Final = "SKILL.md"


def skills_in(folders: Iterable[Path]) -> tuple[Path, ...]:
    """The folders that are skills, and of the others the skills that lie in them; each name once, the first counts."""
    found: dict[str, Path] = {}
    for folder in folders:
        inner = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
        for skill in [folder] if (folder / MANIFEST).is_file() else inner:
            found.setdefault(skill.resolve().name, skill)
    return tuple(found.values())
