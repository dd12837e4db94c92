"""Skills that a job or its tasks bring for agents: folders with a SKILL.md each."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from runs.agents.base import AgentRun
from runs.errors import TaskInvalid
from runs.sandboxes.extraction import SourceMissing

MANIFEST: Final = "SKILL.md"


def skills_in(folders: Iterable[Path]) -> tuple[Path, ...]:
    """The folders that are skills, and of the others the skills that lie in them; each name once, the first counts."""
    found: dict[str, Path] = {}
    for folder in folders:
        inner = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
        for skill in [folder] if (folder / MANIFEST).is_file() else inner:
            found.setdefault(skill.resolve().name, skill)
    return tuple(found.values())


async def all_skills(run: AgentRun, folder: Path) -> tuple[Path, ...]:
    """The run's skills, and those that lie in the sandbox where the task says, copied below `folder`.

    Of one name the job's counts. Raises TaskInvalid where the sandbox has no such folder.
    """
    if run.skills_dir is None:
        return run.skills
    copy = folder / (PurePosixPath(run.skills_dir).name or "skills")
    try:
        await run.sandbox.download(run.skills_dir, copy)
    except SourceMissing:
        raise TaskInvalid(run.task_config or folder, f"skills_dir {run.skills_dir!r} is not in the image") from None
    return skills_in([*run.skills, copy])
