from pathlib import Path

import pytest

from runs.errors import InputInvalid
from runs.formats.job import DatasetConfig
from runs.scheduling.expand import select_tasks
from runs.tasks.listing import list_lines, list_tasks, listed
from tests.runs.tasks.linting import clean_task, write


def test_a_list_has_what_a_job_would_run_in_its_order(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d", "slow-e"):
        clean_task(tmp_path, name=name)
    dataset = DatasetConfig(path=tmp_path, exclude_task_names=["slow-*"], n_tasks=3, sample_seed=7)
    tasks = list_tasks(dataset)
    assert [task.path for task in tasks] == [str(source.path) for source in select_tasks(dataset)]
    assert len(tasks) == 3
    assert "tests/slow-e" not in {task.name for task in tasks}


def test_a_task_is_listed_with_what_it_asks_for(tmp_path: Path) -> None:
    text = (
        '[environment]\ndocker_image = "a:1"\ncpus = 0.5\nmemory_mb = 512\nallow_internet = false\n'
        "[agent]\ntimeout_sec = 9\n"
    )
    task = listed(clean_task(tmp_path, toml=text))
    assert (task.name, task.valid, task.n_steps, task.network, task.image) == (
        "tests/write-answer",
        True,
        0,
        "closed",
        "a:1",
    )
    assert (task.agent_timeout_sec, task.verifier_timeout_sec, task.cpus, task.memory_mb) == (9, 600, 0.5, 512)


def test_of_several_steps_the_widest_network_and_all_timeouts_count(tmp_path: Path) -> None:
    text = (
        '[environment]\nnetwork_mode = "no-network"\n[verifier]\ntimeout_sec = 5\n'
        '[[steps]]\nname = "a"\n[steps.agent]\ntimeout_sec = 1\nnetwork_mode = "public"\n'
        '[[steps]]\nname = "b"\n[steps.agent]\ntimeout_sec = 2\n[steps.verifier]\ntimeout_sec = 7\n'
    )
    path = clean_task(tmp_path, toml=text)
    for name in ("a", "b"):
        write(path / "steps" / name / "instruction.md", "Do it.")
    task = listed(path)
    assert (task.n_steps, task.network, task.agent_timeout_sec, task.verifier_timeout_sec) == (2, "open", 3, 12)


def test_a_broken_task_is_listed_with_its_reason(tmp_path: Path) -> None:
    broken = clean_task(tmp_path, name="broken")
    clean_task(tmp_path, name="good")
    (broken / "task.toml").write_text("x = \x1b[31m")
    tasks = list_tasks(DatasetConfig(path=tmp_path))
    assert [task.valid for task in tasks] == [False, True]
    lines = list_lines(tasks, lambda _tone, text: text)
    assert lines[-1] == "2 tasks, 1 invalid"
    assert "not TOML at line 1" in lines[-2]
    assert not any("\x1b" in line for line in lines)


def test_a_pattern_that_no_task_has_is_refused(tmp_path: Path) -> None:
    clean_task(tmp_path)
    with pytest.raises(InputInvalid, match="no task of"):
        list_tasks(DatasetConfig(path=tmp_path, task_names=["x*"]))
