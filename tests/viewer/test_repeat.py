"""The command line on the Config tab means the same agent, task and settings as the trial's config.json."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from django.core.management import load_command_class

from runs.formats.job import AgentConfig, EnvironmentConfig, TaskSource, TrialConfig, dump_config
from runs.models import Origin, Status
from runs.scheduling.options import configured
from tests.support.factories import make_job, make_trial
from viewer.repeat import repeat_of

pytestmark = pytest.mark.django_db


def written(config: TrialConfig) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(dump_config(config))
    return value


def trial_config(tmp_path: Path, agent: AgentConfig, **values: Any) -> TrialConfig:
    (tmp_path / "a task").mkdir()
    return TrialConfig(
        task=TaskSource(path=tmp_path / "a task"),
        trial_name="t",
        trials_dir=tmp_path,
        agent=agent,
        **{"environment": EnvironmentConfig(type="docker"), **values},
    )


@pytest.mark.parametrize("kind", ["docker", "host"])
def test_the_fresh_command_is_read_back_as_the_same_settings(tmp_path: Path, kind: str) -> None:
    kwargs = {
        "reasoning_effort": "high",
        "max_llm_calls": 5,
        "text": "1",
        "quoted": "it's; $(x)",
        "toml": "a = 1\nb",
    }
    agent = AgentConfig(name="codex", model_name="openai/gpt-5.5", kwargs=kwargs, env={"KEY": "${KEY}", "N": "1"})
    config = trial_config(
        tmp_path, agent, environment=EnvironmentConfig.model_validate({"type": kind}), timeout_multiplier=2.0
    )
    repeat = repeat_of(make_trial(make_job()), written(config))
    words = shlex.split(repeat.fresh)
    assert words[:3] == [".venv/bin/python", "manage.py", "pierrun"]
    parser = load_command_class("runs", "pierrun").create_parser("manage.py", "pierrun")
    job = configured(vars(parser.parse_args(words[3:])))
    assert [dict(entry) for entry in job.agents] == [dict(agent)]
    assert (job.environment.type, job.timeout_multiplier) == (kind, 2.0)


def test_a_trial_of_ours_can_be_repeated_in_place_and_another_programs_cannot() -> None:
    ours = make_trial(make_job(origin=Origin.PIER_SITE, directory="/jobs/a job"), name="t__1")
    command = repeat_of(ours, {}).in_place
    assert shlex.split(command)[2:] == ["pierjob", "rerun", "/jobs/a job", "--trial", "t__1"]
    assert repeat_of(make_trial(make_job(origin=Origin.PIER)), {}).in_place == ""
    running = make_trial(make_job(origin=Origin.PIER_SITE), status=Status.RUNNING)
    assert repeat_of(running, {}).in_place == ""


@pytest.mark.parametrize("config", [{}, {"task": 3}, {"task": {"path": 7}}, {"agent": [], "environment": "x"}])
def test_a_config_that_says_too_little_gives_no_command(config: dict[str, Any]) -> None:
    assert repeat_of(make_trial(make_job()), config).fresh == ""


def test_a_masked_secret_is_pointed_at() -> None:
    config = {"task": {"path": "/t"}, "agent": {"name": "codex", "env": {"API_KEY": "****"}}}
    assert repeat_of(make_trial(make_job()), config).has_masked
