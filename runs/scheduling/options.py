"""The flags of pierrun laid over the job files: flags win, and say what they replace and what they add to."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError

from runs.errors import InputInvalid, JobInvalid
from runs.formats.job import AgentConfig, EnvironmentConfig, JobConfig, load_job_config
from runs.formats.validation import first_problem
from runs.scheduling.expand import source_of

# Flag → field, for what is simply set. Flags that were not given are None.
OF_JOB = {
    "job_name": "job_name",
    "jobs_dir": "jobs_dir",
    "n_attempts": "n_attempts",
    "n_concurrent": "n_concurrent_trials",
    "quiet": "quiet",
    "debug": "debug",
    "install_only": "install_only",
    "lenient_names": "lenient_names",
    "final_state": "final_state",
    "timeout_multiplier": "timeout_multiplier",
    "agent_timeout_multiplier": "agent_timeout_multiplier",
    "verifier_timeout_multiplier": "verifier_timeout_multiplier",
    "agent_setup_timeout_multiplier": "agent_setup_timeout_multiplier",
    "environment_build_timeout_multiplier": "environment_build_timeout_multiplier",
    "artifact": "artifacts",
}
OF_RETRY = {
    "max_retries": "max_retries",
    "retry_include": "include_exceptions",
    "retry_exclude": "exclude_exceptions",
}
OF_ENVIRONMENT = {
    "force_build": "force_build",
    "delete": "delete",
    "cpus": "cpu_enforcement_policy",
    "memory": "memory_enforcement_policy",
    "override_cpus": "override_cpus",
    "override_memory_mb": "override_memory_mb",
    "override_storage_mb": "override_storage_mb",
    "override_gpus": "override_gpus",
}
OF_DATASET = {
    "include_task_name": "task_names",
    "exclude_task_name": "exclude_task_names",
    "n_tasks": "n_tasks",
    "sample_seed": "sample_seed",
}
OF_VERIFIER = {
    "disable_verification": "disable",
    "missing_reward": "missing_reward",
    "reward_order": "reward_order",
    "headline_reward": "headline_reward",
    "score_key": "score_keys",
}


def configured(options: Mapping[str, Any]) -> JobConfig:
    """The job that the files of `config` and the flags say. Raises InputInvalid with one sentence."""
    config = load_job_config(*options["config"])
    changes = _given(options, OF_JOB)
    changes["retry"] = _with(config.retry, _given(options, OF_RETRY))
    changes["verifier"] = _with(config.verifier, _verifier_changes(config, options))
    changes["environment"] = _environment(config.environment, options)
    changes["agents"] = _agents(config.agents, options)
    if options["path"]:
        changes["tasks"], changes["datasets"] = source_of(options["path"])
    filters = _given(options, OF_DATASET)
    if filters:
        datasets = changes.get("datasets", config.datasets)
        if not datasets:
            raise JobInvalid("-i, -x, -l and --sample-seed choose from a dataset, and this job names single tasks only")
        changes["datasets"] = [_with(dataset, filters) for dataset in datasets]
    return _with(config, changes).noting(config.warnings)


def _given(options: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {field: options[flag] for flag, field in names.items() if options[flag] is not None}


def _with[Section: BaseModel](section: Section, changes: Mapping[str, Any], place: str = "the flags") -> Section:
    """The section with fields replaced and checked as those of a file are. Raises JobInvalid."""
    if not changes:
        return section
    try:
        return type(section).model_validate({**dict(section), **changes})
    except ValidationError as error:
        raise JobInvalid(f"{place}: {first_problem(error)}") from None


def _verifier_changes(config: JobConfig, options: Mapping[str, Any]) -> dict[str, Any]:
    changes = _given(options, OF_VERIFIER)
    if options["verifier_env"]:
        changes["env"] = {**config.verifier.env, **_pairs(options["verifier_env"], "--verifier-env")}
    return changes


def _environment(environment: EnvironmentConfig, options: Mapping[str, Any]) -> EnvironmentConfig:
    changes = _given(options, OF_ENVIRONMENT)
    if options["env"]:
        changes |= {"type": options["env"], "import_path": None}
    if options["environment_import_path"]:
        changes |= {"type": None, "import_path": options["environment_import_path"]}
    if options["mounts_json"]:
        changes["mounts"] = options["mounts_json"]
    if options["environment_kwarg"]:
        changes["kwargs"] = {**environment.kwargs, **typed_pairs(options["environment_kwarg"], "--environment-kwarg")}
    return _with(environment, changes)


def _agents(agents: list[AgentConfig], options: Mapping[str, Any]) -> list[AgentConfig]:
    """-a replaces the agents, one entry for each -m; -m alone gives every agent each model; the rest is added."""
    models: list[str | None] = options["model"] or [None]
    if options["agent"] or options["agent_import_path"]:
        agents = [AgentConfig(name=options["agent"], import_path=options["agent_import_path"])]
    if options["model"]:
        agents = [_with(agent, {"model_name": model}) for agent in agents for model in models]
    kwargs = typed_pairs(options["agent_kwarg"] or (), "--agent-kwarg")
    if options["effort"]:
        kwargs["reasoning_effort"] = options["effort"]
    if options["pricing"]:
        kwargs["pricing"] = str(options["pricing"].resolve())
    env = _pairs(options["agent_env"] or (), "--agent-env")
    return [_with(agent, {"kwargs": {**agent.kwargs, **kwargs}, "env": {**agent.env, **env}}) for agent in agents]


def _pairs(texts: Iterable[str], flag: str) -> dict[str, str]:
    """KEY=VALUE texts, taken literally."""
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InputInvalid(f"{flag} {text!r}: give KEY=VALUE")
        pairs[key] = value
    return pairs


def typed_pairs(texts: Iterable[str], flag: str) -> dict[str, Any]:
    """KEY=VALUE texts whose values are JSON, or True, False and None as Python writes them, or else text."""
    return {key: _value(text) for key, text in _pairs(texts, flag).items()}


def _value(text: str) -> Any:
    words = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def load_env_file(path: Path) -> None:
    """Take the variables of a dotenv file into this process's environment, over those that are there."""
    try:
        values = dotenv_values(path, interpolate=True) if path.is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        raise InputInvalid(f"{path}: {error}") from error
    if values is None:
        raise InputInvalid(f"{path}: there is no such file")
    os.environ.update({name: value for name, value in values.items() if value is not None})
