from pathlib import Path

import pytest
from docker import DockerClient

from runs.errors import InputInvalid
from runs.formats.job import EnvironmentConfig
from runs.formats.task_directory import load_task, verifier_is_separate
from runs.tasks.lint import lint_task
from runs.tasks.new_task import create_task
from runs.trial.sandbox import sandbox_opener
from tests.support.trials import make_plan, run_in


@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize("separate", [False, True])
def test_a_new_task_lints_clean(tmp_path: Path, n_steps: int, separate: bool) -> None:
    root = create_task(tmp_path / "my-task", n_steps=n_steps, separate_verifier=separate)
    assert lint_task(root).findings == ()
    task = load_task(root)
    assert task.name == "my-team/my-task"
    assert len(task.steps) == (n_steps if n_steps > 1 else 0)
    assert verifier_is_separate(task) is separate
    assert (root / "tests/Dockerfile").exists() is (separate and n_steps == 1)
    assert all("{{" not in path.read_text() for path in root.rglob("*") if path.is_file())


def test_a_directory_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(InputInvalid, match="is not empty"):
        create_task(tmp_path, name="a/b")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_empty_directory_is_used(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert load_task(create_task(tmp_path / "empty", name="a/b")).name == "a/b"


@pytest.mark.parametrize(
    ("folder", "name", "n_steps", "sentence"),
    [
        ("with space", None, 1, "give another one with --name"),
        ("x", "plain", 1, "is not of the form"),
        ("x", None, 0, "1 to 100 steps"),
        ("file/x", None, 1, "cannot be made"),
    ],
)
def test_bad_input_writes_nothing(tmp_path: Path, folder: str, name: str | None, n_steps: int, sentence: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputInvalid, match=sentence):
        create_task(tmp_path / folder, name=name, n_steps=n_steps)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.docker
@pytest.mark.parametrize(("n_steps", "separate"), [(1, False), (2, True)])
async def test_the_solution_of_a_new_task_gets_1_and_doing_nothing_gets_0(
    tmp_path: Path, docker_engine: DockerClient, n_steps: int, separate: bool
) -> None:
    task = create_task(tmp_path / "my-task", n_steps=n_steps, separate_verifier=separate)
    open_sandbox, close = sandbox_opener(EnvironmentConfig(type="docker"))
    for agent, reward in (("oracle", 1.0), ("nop", 0.0)):
        result = await run_in(open_sandbox, make_plan(task, tmp_path, agent=agent, name=f"{agent}-{tmp_path.name}"))
        assert (result.exception_info, result.rewards) == (None, {"reward": reward})
    close()
