"""Task directories: what counts as one, what it must hold, and its digest."""

import hashlib
import os
from pathlib import Path

import pytest

from runs.errors import TaskInvalid
from runs.formats.task_directory import (
    DatasetInvalid,
    find_tasks,
    find_test_script,
    is_task_directory,
    load_task,
    task_digest,
    verifier_environment,
    verifier_is_separate,
)


def make_task(directory: Path, toml: str = "", **files: str) -> Path:
    """A task directory; a `__` in a keyword stands for `/`, and a file given as "-" is left out."""
    contents = {"instruction.md": "Do it.\n", "environment/Dockerfile": "FROM x\n", "tests/test.sh": "true\n"}
    contents |= {name.replace("__", "/").replace("_dot_", "."): content for name, content in files.items()}
    for name, content in {**contents, "task.toml": toml}.items():
        if content != "-":
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(content)
    return directory


def test_a_task_is_loaded_under_its_directorys_name(tmp_path: Path) -> None:
    task = load_task(
        make_task(tmp_path / "mend", "[environment]\ncpu = 1", instruction_dot_md="# canary\n\nMend it.\n")
    )
    assert (task.name, task.instruction, task.steps) == ("mend", "Mend it.\n", ())
    assert task.warnings == ("unknown key 'environment.cpu', did you mean 'cpus'?",)
    assert not verifier_is_separate(task)
    assert find_test_script(task) == task.tests_dir / "test.sh"
    assert task.compose_file is None


def test_a_packages_name_comes_before_the_directorys(tmp_path: Path) -> None:
    assert load_task(make_task(tmp_path / "mend", "[task]\nname = 'org/fix'")).name == "org/fix"


def test_lenient_names_fall_back_to_the_directory(tmp_path: Path) -> None:
    directory = make_task(tmp_path / "mend", "[task]\nname = 'fix'")
    with pytest.raises(TaskInvalid, match="organisation/name"):
        load_task(directory)
    assert load_task(directory, lenient_names=True).name == "mend"


def test_the_steps_have_their_own_instructions(tmp_path: Path) -> None:
    directory = make_task(
        tmp_path / "multi",
        "[[steps]]\nname = 'one'\n[[steps]]\nname = 'two'\n[steps.verifier]\nenvironment_mode = 'separate'",
        instruction_dot_md="-",
        steps__one__instruction_dot_md="One.",
        steps__two__instruction_dot_md="Two.",
        steps__two__tests__test_dot_sh="true",
    )
    task = load_task(directory)
    one, two = task.steps
    assert task.instruction is None
    assert (one.instruction, two.instruction) == ("One.", "Two.")
    assert find_test_script(task, one) == directory / "tests/test.sh"
    assert find_test_script(task, two) == directory / "steps/two/tests/test.sh"
    assert [verifier_is_separate(task, step) for step in task.steps] == [False, True]
    assert verifier_environment(task, two) == task.config.environment


@pytest.mark.parametrize(
    ("toml", "files", "part"),
    [
        ("", {"instruction_dot_md": "-"}, "instruction.md: does not exist"),
        ("", {"environment__Dockerfile": "-"}, "environment: does not exist"),
        ("", {"tests__test_dot_sh": "-"}, "no test.sh"),
        ("a = = 1", {}, "line 1, column 5"),
        ("[environment]\nos = 'windows'", {}, "no test.bat"),
        ("[verifier]\nenvironment_mode = 'separate'", {"tests__test_dot_sh": "-"}, "no test.sh"),
        ("[[steps]]\nname = 'one'", {}, "the directory of this step"),
        ("[[steps]]\nname = 'one'", {"steps__one__x": "1"}, "instruction.md"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, toml: str, files: dict[str, str], part: str) -> None:
    with pytest.raises(TaskInvalid) as caught:
        load_task(make_task(tmp_path / "bad", toml, **files))
    assert part in str(caught.value)
    assert str(tmp_path / "bad") in str(caught.value)


def test_without_verification_no_test_script_is_needed(tmp_path: Path) -> None:
    load_task(make_task(tmp_path / "a", tests__test_dot_sh="-"), verification=False)


def test_a_separate_verifier_may_bring_its_script_in_its_image(tmp_path: Path) -> None:
    mode = "[verifier]\nenvironment_mode = 'separate'\n"
    load_task(make_task(tmp_path / "a", mode, tests__test_dot_sh="-", tests__Dockerfile="FROM x"))
    image = "[verifier.environment]\ndocker_image = 'x'"
    load_task(make_task(tmp_path / "b", image, tests__test_dot_sh="-"))


def test_an_image_makes_the_environment_directory_optional(tmp_path: Path) -> None:
    load_task(make_task(tmp_path / "a", "[environment]\ndocker_image = 'x'", environment__Dockerfile="-"))


def test_a_compose_file_is_recognised(tmp_path: Path) -> None:
    task = load_task(make_task(tmp_path / "a", **{"environment__docker-compose_dot_yml": "services: {}"}))
    assert task.compose_file == task.environment_dir / "docker-compose.yml"


@pytest.mark.parametrize("link", ["instruction.md", "tests/extra", "environment/up"])
def test_a_link_out_of_the_task_is_refused(tmp_path: Path, link: str) -> None:
    (tmp_path / "secret").write_text("x")
    directory = make_task(tmp_path / "task", instruction_dot_md="-")
    (directory / link).symlink_to(tmp_path / "secret")
    with pytest.raises(TaskInvalid, match="symlink that leads out") as caught:
        load_task(directory)
    assert caught.value.path == directory / link
    with pytest.raises(TaskInvalid, match="symlink that leads out"):
        task_digest(directory)


def test_a_link_within_the_task_is_fine(tmp_path: Path) -> None:
    directory = make_task(tmp_path / "task", instruction_dot_md="-", text_dot_md="Do it.")
    (directory / "instruction.md").symlink_to("text.md")
    assert load_task(directory).instruction == "Do it."


def test_tasks_are_found_in_order_and_broken_ones_are_among_them(tmp_path: Path) -> None:
    for name in ("b", "a", "c", ".hidden"):
        make_task(tmp_path / name)
    (tmp_path / "c/task.toml").write_text("not toml")
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "docs").mkdir()
    assert [path.name for path in find_tasks(tmp_path)] == ["a", "b", "c"]
    assert find_tasks(tmp_path / "c") == [tmp_path / "c"]
    assert not is_task_directory(tmp_path / "docs")


def test_a_path_without_tasks_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetInvalid, match="does not exist"):
        find_tasks(tmp_path / "nothing")
    with pytest.raises(DatasetInvalid, match="neither a task"):
        find_tasks(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatasetInvalid, match="not a directory"):
        find_tasks(tmp_path / "file")


def test_the_digest_is_over_sorted_paths_and_contents_without_git(tmp_path: Path) -> None:
    directory = tmp_path / "task"
    for name, content in {"b/z": "1", "b.txt": "2", "a": "3", ".git/config": "4", "b/.git/x": "5"}.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(content)
    os.mkfifo(directory / "pipe")
    expected = hashlib.sha256(b"a\x003\x00b.txt\x002\x00b/z\x001\x00").hexdigest()
    assert task_digest(directory) == f"sha256:{expected}"
    (directory / "a").write_text("4")
    assert task_digest(directory) != f"sha256:{expected}"
