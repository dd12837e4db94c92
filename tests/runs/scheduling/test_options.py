"""The flags of pierrun over job files: what they replace, what they add to, and how bad ones are refused."""

from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandParser

from runs.errors import InputInvalid
from runs.formats.job import JobConfig
from runs.management.commands.pierrun import Command
from runs.scheduling.options import configured, load_env_file
from tests.support.tasks import make_task

FILE = """
agents:
  - {name: nop, model_name: a/one, env: {KEPT: "1"}, kwargs: {version: "2"}}
  - {name: oracle}
n_attempts: 3
environment: {env: {X: "1"}, override_cpus: 2}
"""


def parsed(*arguments: object) -> dict[str, Any]:
    parser = CommandParser(prog="pierrun")
    Command().add_arguments(parser)
    return vars(parser.parse_args([str(argument) for argument in arguments]))


def job(*arguments: object) -> JobConfig:
    return configured(parsed(*arguments))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(FILE)
    return path


def test_without_flags_the_file_stands(file: Path) -> None:
    config = job("-c", file)
    assert [agent.name for agent in config.agents] == ["nop", "oracle"]
    assert config.n_attempts == 3
    assert config.environment.override_cpus == 2


def test_flags_win_over_the_file_and_leave_the_rest(file: Path) -> None:
    config = job("-c", file, "-k", 1, "-n", 9, "-e", "host", "--override-memory-mb", 512, "--timeout-multiplier", 2.5)
    assert (config.n_attempts, config.n_concurrent_trials, config.timeout_multiplier) == (1, 9, 2.5)
    assert config.environment.type == "host"
    assert config.environment.override_cpus == 2
    assert config.environment.env == {"X": "1"}


def test_an_agent_flag_replaces_the_agents_with_one_for_each_model(file: Path) -> None:
    config = job("-c", file, "-a", "nop", "-m", "p/one", "-m", "p/two")
    assert [(agent.name, agent.model_name) for agent in config.agents] == [("nop", "p/one"), ("nop", "p/two")]
    assert config.agents[0].env == {}


def test_a_model_alone_goes_to_every_agent_of_the_file(file: Path) -> None:
    config = job("-c", file, "-m", "p/new")
    assert [(agent.name, agent.model_name) for agent in config.agents] == [("nop", "p/new"), ("oracle", "p/new")]


def test_kwargs_and_env_are_added_to_every_agent(file: Path) -> None:
    config = job(
        "-c", file, "--ak", "turns=3", "--ak", 'list=["a"]', "--ak", "plain=text", "--ak", "no=None", "--ae", "K=a=b"
    )
    assert config.agents[0].kwargs == {"version": "2", "turns": 3, "list": ["a"], "plain": "text", "no": None}
    assert config.agents[1].env == {"K": "a=b"}
    assert config.agents[0].env == {"KEPT": "1", "K": "a=b"}


def test_effort_is_the_agents_reasoning_effort(file: Path) -> None:
    assert [agent.kwargs["reasoning_effort"] for agent in job("-c", file, "--effort", "high").agents] == ["high"] * 2


def test_a_path_replaces_tasks_and_datasets_and_filters_choose_from_it(tmp_path: Path) -> None:
    make_task(tmp_path / "set", "one")
    config = job("-p", tmp_path / "set", "-i", "o*", "-x", "two", "-l", 1, "--sample-seed", 4)
    [dataset] = config.datasets
    assert (dataset.task_names, dataset.exclude_task_names, dataset.n_tasks, dataset.sample_seed) == (
        ["o*"],
        ["two"],
        1,
        4,
    )


def test_reward_rules_and_retries_have_flags(file: Path) -> None:
    config = job(
        "-c", file, "--missing-reward", "zero", "--reward-order", "json-first", "--score-key", "f2p", "-r", 2,
        "--retry-exclude", "A", "--ve", "T=1", "--disable-verification",
    )  # fmt: skip
    assert (config.verifier.missing_reward, config.verifier.reward_order) == ("zero", "json-first")
    assert config.verifier.score_keys == ["f2p"]
    assert (config.verifier.env, config.verifier.disable) == ({"T": "1"}, True)
    assert (config.retry.max_retries, config.retry.exclude_exceptions) == (2, ["A"])


def test_negated_flags_turn_the_files_word_round(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("environment: {force_build: true}\nverifier: {disable: true}\n")
    config = job("-c", tmp_path / "job.yaml", "--no-force-build", "--enable-verification")
    assert not config.environment.force_build
    assert not config.verifier.disable


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ak", "broken"], "give KEY=VALUE"),
        (["--timeout-multiplier", "-1"], "timeout_multiplier"),
        (["--mounts-json", "{"], "mounts"),
        (["--job-name", "a/b"], "a/b"),
        (["-l", "3"], "choose from a dataset"),
    ],
)
def test_a_bad_flag_is_refused_with_its_name(arguments: list[str], words: str) -> None:
    with pytest.raises(InputInvalid, match=words):
        job(*arguments)


def test_an_env_file_is_loaded_over_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIER_TEST_A", "old")
    monkeypatch.setenv("PIER_TEST_B", "")
    (tmp_path / ".env").write_text('# keys\nPIER_TEST_A=new\nexport PIER_TEST_B="two words"\n')
    load_env_file(tmp_path / ".env")
    import os

    assert (os.environ["PIER_TEST_A"], os.environ["PIER_TEST_B"]) == ("new", "two words")
    with pytest.raises(InputInvalid, match="there is no such file"):
        load_env_file(tmp_path / "none")
