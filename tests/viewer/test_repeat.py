"""The command line on the Config tab means the same agent, task and settings as the trial's config.json."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from django.core.management import load_command_class

from runs.formats.job import AgentConfig, EnvironmentConfig, TaskSource, TrialConfig, VerifierConfig, dump_config
from runs.models import Origin, Status
from runs.scheduling.options import configured
from tests.support.factories import make_job, make_trial
from viewer.repeat import _FLAGLESS, _FLAGS, repeat_of

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


def test_every_setting_that_has_a_flag_is_in_the_fresh_command(tmp_path: Path) -> None:
    environment = {
        "type": "docker", "force_build": True, "delete": False, "cpu_enforcement_policy": "limit",
        "memory_enforcement_policy": "ignore", "override_cpus": 2.0, "override_memory_mb": 512, "override_gpus": 0,
        "override_storage_mb": 900, "mounts": [{"source": "/a b", "target": "/b", "read_only": True}],
        "kwargs": {"x": 1},
    }  # fmt: skip
    verifier = {
        "env": {"A": "b c"}, "disable": True, "missing_reward": "zero", "reward_order": "json-first",
        "headline_reward": "style", "score_keys": ["style", "speed"],
    }  # fmt: skip
    values = {
        "environment": EnvironmentConfig.model_validate(environment), "agent_timeout_multiplier": 0.5,
        "verifier": VerifierConfig.model_validate(verifier), "verifier_timeout_multiplier": 3.0, "final_state": False,
        "agent_setup_timeout_multiplier": 4.0, "environment_build_timeout_multiplier": 5.0, "install_only": True,
        "lenient_names": True, "artifacts": ["/a/b", "/c"],
    }  # fmt: skip
    config = trial_config(tmp_path, AgentConfig(name="oracle"), **values)
    repeat = repeat_of(make_trial(make_job()), written(config))
    parser = load_command_class("runs", "pierrun").create_parser("manage.py", "pierrun")
    job = configured(vars(parser.parse_args(shlex.split(repeat.fresh)[3:])))
    for name in values:
        assert getattr(job, name) == getattr(config, name), name
    assert repeat.missing == ()


def test_settings_without_a_flag_are_named(tmp_path: Path) -> None:
    agent = AgentConfig(name="codex", override_timeout_sec=60, base_url="http://x", extra_allowed_hosts=["a.example"])
    values = {"extra_instructions": ["Hurry."], "artifacts": [{"source": "/a", "destination": "b"}]}
    repeat = repeat_of(make_trial(make_job()), written(trial_config(tmp_path, agent, **values)))
    told = ("agent.override_timeout_sec", "agent.base_url", "agent.extra_allowed_hosts", "extra_instructions")
    assert repeat.missing == (*told, "artifacts")


def test_no_setting_is_forgotten(tmp_path: Path) -> None:
    config = written(trial_config(tmp_path, AgentConfig(name="codex")))
    known = {*_FLAGS, *((section, key) for section, keys in _FLAGLESS.items() for key in keys)}
    # Said in ways of their own, or nothing that a repetition would have to say.
    known |= {("agent", key) for key in ("name", "import_path", "model_name", "kwargs", "env", "n_concurrent")}
    known |= {("environment", key) for key in ("type", "import_path", "kwargs", "suppress_override_warnings")}
    known |= {("verifier", "env"), ("", "trial_name"), ("", "trials_dir"), ("", "job_id")}
    sections = {name: config.pop(name) for name in ("agent", "environment", "verifier")}
    config.pop("task")
    assert {("", key) for key in config} | {(name, key) for name in sections for key in sections[name]} == known


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
