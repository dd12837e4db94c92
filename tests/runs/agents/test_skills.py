"""Which folders of a job, and of a task's image, are skills."""

from pathlib import Path

import pytest

from runs.agents.base import AgentRun
from runs.agents.command import Command
from runs.agents.skills import skills_in
from runs.errors import TaskInvalid
from runs.formats.network import OPEN
from runs.sandboxes.base import Image, SandboxSpec
from runs.sandboxes.host import HostSandbox


def make_skill(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text("---\nname: x\n---\n")
    return folder


def test_a_folder_is_a_skill_or_has_some(tmp_path: Path) -> None:
    one, inner = make_skill(tmp_path / "review"), make_skill(tmp_path / "team/plan")
    (tmp_path / "team/notes").mkdir()
    assert skills_in([one, tmp_path / "team"]) == (one, inner)


def test_of_two_skills_of_one_name_the_first_counts(tmp_path: Path) -> None:
    first, second = make_skill(tmp_path / "a/review"), make_skill(tmp_path / "b/review")
    assert skills_in([first, second]) == (first,)


def test_a_folder_that_is_missing_has_none(tmp_path: Path) -> None:
    assert skills_in([tmp_path / "gone"]) == ()


async def test_skills_of_the_image_are_given_too_and_of_one_name_the_jobs_counts(tmp_path: Path) -> None:
    mine = make_skill(tmp_path / "review")
    (mine / "SKILL.md").write_text("the job's")
    sandbox = HostSandbox(SandboxSpec(name="skilled", image=Image(), network=OPEN))
    await sandbox.start(log=lambda *_: None)
    agent = Command(model_name=None, kwargs={"command": "cd /task/skills && tail -n 1 */SKILL.md"})
    run = AgentRun("do it", sandbox, tmp_path, {}, None, tmp_path, skills=(mine,), skills_dir="/app/skills")
    try:
        with pytest.raises(TaskInvalid, match=r"skills_dir '/app/skills' is not in the image"):
            await agent.run(run)
        await sandbox.exec(
            'for n in plan review; do mkdir -p /app/skills/$n; echo "the task\'s" > /app/skills/$n/SKILL.md; done'
        )
        await agent.run(run)
    finally:
        await sandbox.stop()
    said = (tmp_path / "command.txt").read_text()
    assert said == "==> plan/SKILL.md <==\nthe task's\n\n==> review/SKILL.md <==\nthe job's"
