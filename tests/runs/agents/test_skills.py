"""Which folders of a job are skills."""

from pathlib import Path

from runs.agents.skills import skills_in


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
