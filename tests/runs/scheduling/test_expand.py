"""Which trials a job means, and in which order."""

from pathlib import Path
from uuid import uuid4

import pytest

from runs.errors import InputInvalid, TaskInvalid
from runs.formats.job import AgentConfig, DatasetConfig, JobConfig, TaskSource
from runs.scheduling.expand import expand, select_tasks, source_of
from tests.support.tasks import make_task


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Six tasks a…f beside a folder and files that are no tasks."""
    folder = tmp_path / "set"
    for name in "fbdace":
        make_task(folder, name)
    (folder / "notes").mkdir()
    (folder / "dataset.toml").touch()
    return folder


def names_of(dataset: DatasetConfig) -> list[str]:
    return [task.path.name for task in select_tasks(dataset)]


def test_attempts_are_outermost_and_agents_innermost(tmp_path: Path, dataset: Path) -> None:
    config = JobConfig(
        n_attempts=2,
        agents=[AgentConfig(name="oracle"), AgentConfig(name="nop")],
        tasks=[TaskSource(path=make_task(tmp_path, "single"))],
        datasets=[DatasetConfig(path=dataset, task_names=["[ab]"])],
    )
    plans = expand(config, tmp_path / "job", uuid4())
    assert [(plan.attempt, plan.task_path.name, plan.config.agent.name) for plan in plans] == [
        (attempt, task, agent) for attempt in (1, 2) for task in ("single", "a", "b") for agent in ("oracle", "nop")
    ]
    assert {plan.config.task.source for plan in plans} == {None, "set"}
    assert len({plan.name for plan in plans}) == 12


def test_tasks_are_sorted_filtered_and_cut(dataset: Path) -> None:
    assert names_of(DatasetConfig(path=dataset)) == list("abcdef")
    assert names_of(DatasetConfig(path=dataset, task_names=["[a-d]"], exclude_task_names=["b"])) == list("acd")
    assert names_of(DatasetConfig(path=dataset, n_tasks=2)) == list("ab")


def test_a_seed_gives_the_sample_of_a_shuffled_sorted_list(dataset: Path) -> None:
    # random.Random(7).shuffle over a…f: what Harbor, which sorts first too, would take.
    assert (
        names_of(DatasetConfig(path=dataset, sample_seed=7, n_tasks=3))
        == names_of(DatasetConfig(path=dataset, sample_seed=7))[:3]
    )
    assert names_of(DatasetConfig(path=dataset, sample_seed=7)) == ["e", "a", "f", "d", "b", "c"]


def test_a_pattern_that_matches_nothing_names_what_there_is(dataset: Path) -> None:
    with pytest.raises(InputInvalid, match=r"no task of .* matches zzz; there are a, b, c, d, e…"):
        select_tasks(DatasetConfig(path=dataset, task_names=["zzz"]))


def test_a_broken_task_is_planned_and_one_that_stands_alone_is_refused(tmp_path: Path) -> None:
    broken = make_task(tmp_path / "set", "broken")
    (broken / "task.toml").write_text("[")
    with pytest.raises(TaskInvalid):
        expand(JobConfig(tasks=[TaskSource(path=broken)]), tmp_path / "job", uuid4())
    make_task(tmp_path / "set", "good")
    plans = expand(JobConfig(datasets=[DatasetConfig(path=tmp_path / "set")]), tmp_path / "job", uuid4())
    assert [plan.task_path.name for plan in plans] == ["broken", "good"]


def test_a_path_means_a_task_or_a_dataset(tmp_path: Path, dataset: Path) -> None:
    assert source_of(dataset / "a") == ([TaskSource(path=dataset / "a")], [])
    assert source_of(dataset) == ([], [DatasetConfig(path=dataset)])
    with pytest.raises(InputInvalid, match="there is no such file"):
        source_of(tmp_path / "none")
