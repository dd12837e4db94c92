"""The flags of piercritique to the configuration of a run."""

from pathlib import Path
from typing import Any

import pytest
from django.core.management import load_command_class

from critique.formats.config import CritiqueRunConfig
from critique.running.options import run_config
from pier_site.accounts.local import default_project
from runs.errors import InputInvalid
from tests.critique.running.conftest import GOOD_TRIAL
from tests.support.critics import prompt_file

pytestmark = pytest.mark.django_db


def said(*arguments: object) -> CritiqueRunConfig:
    """What the flags come to."""
    parser = load_command_class("critique", "piercritique").create_parser("manage.py", "piercritique")
    options: dict[str, Any] = vars(parser.parse_args([str(argument) for argument in arguments]))
    return run_config(options, default_project())


def critics(*arguments: object) -> list[tuple[str | None, str | None]]:
    return [(critic.name, critic.model_name) for critic in said(*arguments).critics]


@pytest.fixture
def base(job: Path, tmp_path: Path) -> list[object]:
    """A job and a prompt."""
    return [job, "-p", prompt_file(tmp_path)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A job file with two agents."""
    path = tmp_path / "critics.yaml"
    path.write_text(
        "agents: [{name: codex, model_name: a}, {name: claude-code, model_name: b}]\ntimeout_multiplier: 2\n"
    )
    return path


def test_each_agent_has_its_model_and_one_agent_has_every_model(base: list[object]) -> None:
    assert critics(*base, "-a", "codex", "-m", "x", "-a", "claude-code", "-m", "y") == [
        ("codex", "x"),
        ("claude-code", "y"),
    ]
    assert critics(*base, "-a", "codex", "-m", "x", "-m", "y") == [("codex", "x"), ("codex", "y")]
    assert critics(*base, "-a", "codex", "-a", "claude-code", "-m", "x") == [("codex", "x"), ("claude-code", "x")]


def test_the_agents_of_a_file_are_critics_or_one_of_them_is(base: list[object], file: Path) -> None:
    config = said(*base, "-c", file)
    assert [critic.name for critic in config.critics] == ["codex", "claude-code"]
    assert config.timeout_multiplier == 2
    assert critics(*base, "-c", file, "--agent-index", 1) == [("claude-code", "b")]


def test_a_rubric_has_a_critic_of_its_own(job: Path) -> None:
    config = said(job, "--rubric", "trial-validity", "-m", "anthropic/opus", "--ak", "max_cost_usd=2")
    assert (config.critics[0].name, config.critics[0].model_name) == ("claude-code", "anthropic/opus")
    assert config.critics[0].kwargs["max_cost_usd"] == 2


def test_arguments_and_variables_reach_every_critic(base: list[object]) -> None:
    config = said(*base, "-a", "codex", "-m", "x", "-m", "y", "--ak", "max_llm_calls=3", "--ae", "A=b")
    assert all((critic.kwargs, critic.env) == ({"max_llm_calls": 3}, {"A": "b"}) for critic in config.critics)


def test_filters_and_limits_are_those_of_pier(base: list[object], job: Path) -> None:
    config = said(
        *base, "-a", "nop", "-t", "one", "-t", "two", "--source-agent", "Codex", "--source-model", "m", "--failing",
        "--limit", 3, "--sample-seed", 9, "-n", 2, "--name", "mine", "--agent-timeout-multiplier", 1.5, "-r", 2,
    )  # fmt: skip
    wanted = config.selection
    assert (wanted.trial_names, wanted.source_agents, wanted.source_models) == (["one", "two"], ["Codex"], ["m"])
    assert (wanted.verdict, wanted.limit, wanted.sample_seed) == ("failing", 3, 9)
    assert (config.n_concurrent, config.path, config.agent_timeout_multiplier) == (2, job / ".critiques/mine", 1.5)
    assert config.retry.max_retries == 2


def test_a_trial_is_its_job_with_one_name(job: Path, tmp_path: Path) -> None:
    config = said(job / GOOD_TRIAL, "-p", prompt_file(tmp_path), "-a", "nop")
    assert (config.source_dir, config.selection.trial_names) == (job, [GOOD_TRIAL])


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["-a", "codex", "-a", "nop", "-m", "x", "-m", "y", "-m", "z"], "2 -a and 3 -m are no pairs"),
        ([], "say who is the critic"),
        (["-a", "nop", "--passing", "--failing"], "leave nothing out"),
        (["-a", "nop", "--check-timeout", 0], "the flags: checks.timeout_sec|greater than 0"),
    ],
    ids=["pairs", "nobody", "both", "timeout"],
)
def test_what_makes_no_sense_is_said_in_a_sentence(base: list[object], more: list[object], complaint: str) -> None:
    with pytest.raises(InputInvalid, match=complaint):
        said(*base, *more)


def test_the_critic_of_a_rubric_needs_a_model(job: Path) -> None:
    with pytest.raises(InputInvalid, match="name one model for it with -m"):
        said(job, "--rubric", "trial-validity")
