"""The public files: each gets the verdict that Harbor gives it, or a stricter one that is named here."""

import json
from pathlib import Path
from typing import Any

import pytest

from runs.errors import TaskInvalid
from runs.formats.job import dump_config, job_config_from, load_job_config
from runs.formats.network import NetworkMode, resolve_network
from runs.formats.reading import read_json
from runs.formats.task_directory import Task, find_tasks, load_task, task_digest, verifier_is_separate
from runs.formats.trajectory import Trajectory, dump_trajectory
from runs.formats.trajectory_reader import read_trajectory, totals

pytestmark = pytest.mark.corpora

MODES = {"PUBLIC": NetworkMode.OPEN, "NO_NETWORK": NetworkMode.CLOSED, "ALLOWLIST": NetworkMode.ALLOWLIST}
# Harbor lets a task without environment/ pass when verification is off; it could not be started.
STRICTER_WITHOUT_VERIFICATION = {"s07-run-job-and-metrics"}


def loaded(path: Path, *, verification: bool = True, lenient_names: bool = False) -> Task | None:
    try:
        return load_task(path, verification=verification, lenient_names=lenient_names)
    except TaskInvalid:
        return None


def expectations(directory: Path) -> dict[str, dict[str, Any]]:
    expected: dict[str, dict[str, Any]] = read_json(directory / "expected.json")
    return expected


def test_every_task_gets_harbors_verdict(corpora: Path) -> None:
    expected = expectations(corpora / "tasks")
    tasks = find_tasks(corpora / "tasks")
    assert {path.name for path in tasks} == set(expected)
    for path in tasks:
        verdict = expected[path.name]
        assert (loaded(path) is not None) == verdict["harbor_0_25_valid"], path
        if path.name not in STRICTER_WITHOUT_VERIFICATION:
            assert (loaded(path, verification=False) is not None) == verdict["valid_without_verification"], path


def test_every_valid_task_says_what_harbor_reads_in_it(corpora: Path) -> None:
    for name, said in expectations(corpora / "tasks").items():
        task = loaded(corpora / "tasks" / name)
        if task is None:
            continue
        config = task.config
        assert (task.name, len(task.steps), config.schema_version) == (
            said["name"],
            said["n_steps"],
            said["schema_version"],
        )
        assert (config.environment.cpus, config.environment.memory_mb) == (said["cpus"], said["memory_mb"])
        assert config.environment.storage_mb == said["storage_mb"]
        assert config.environment.docker_image == said["docker_image"]
        assert (config.agent.timeout_sec, config.verifier.timeout_sec) == (
            said["agent_timeout_sec"],
            said["verifier_timeout_sec"],
        )
        assert verifier_is_separate(task) == said["environment_mode"].endswith("SEPARATE")
        assert resolve_network(config, "environment").mode == MODES[said["env_network"].split(".")[-1]]
        if said["agent_network"] != "None":
            assert resolve_network(config, "agent").mode == MODES[said["agent_network"].split(".")[-1]]


def test_tasks_without_a_proper_name_load_when_names_are_lenient(corpora: Path) -> None:
    for name in ("s09-sgt-004", "s10-tac-dependency-change"):
        task = loaded(corpora / "tasks" / name, lenient_names=True)
        assert task is not None
        assert task.name == name


def test_every_task_has_a_digest(corpora: Path) -> None:
    digests = {task_digest(path) for path in find_tasks(corpora / "tasks")}
    assert len(digests) == len(find_tasks(corpora / "tasks"))


def test_every_job_file_loads_and_comes_back_from_its_dump(corpora: Path) -> None:
    files = sorted((corpora / "job-configs").glob("*.yaml"))
    assert files
    for file in files:
        config = load_job_config(file)
        assert config.tasks or config.datasets
        again = job_config_from(json.loads(dump_config(config)))
        assert [agent.label for agent in again.agents] == [agent.label for agent in config.agents]
        assert again.model_dump(exclude={"agents"}) == config.model_dump(exclude={"agents"})


def test_every_trajectory_is_read_and_gets_harbors_verdict(corpora: Path) -> None:
    for name, said in expectations(corpora / "trajectories").items():
        data = read_json(corpora / "trajectories" / name)
        trajectory = read_trajectory(data)
        assert trajectory.valid == (said["atif_1_8_0"] == "valid"), (name, trajectory.errors)
        assert (trajectory.schema_version, trajectory.agent_name) == (said["schema"], said["agent"]), name
        assert len(trajectory.steps) == said["steps"], name
        assert sum(len(step.tool_calls) for step in trajectory.steps) == said["tool_calls"], name
        assert totals(trajectory).n_agent_steps <= said["steps"]
        assert Trajectory.model_validate_json(
            dump_trajectory(Trajectory.model_validate(data))
        ) == Trajectory.model_validate(data)
