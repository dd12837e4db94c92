"""The command lines that repeat a trial: fresh, by what its config.json says, and in place."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from runs.formats.job_sections import HOST_IMPORT_PATH
from runs.formats.template import MASK
from runs.indexing.values import Json, mapping, mappings, text
from runs.models import Origin, Trial

MANAGE = (".venv/bin/python", "manage.py")
MAX_CHARS = 4000
# Where a setting is in config.json: the flag that says it, and what it is without that flag.
_FLAGS: Final[Mapping[tuple[str, str], tuple[str, object]]] = {
    ("", "timeout_multiplier"): ("--timeout-multiplier", 1),
    ("", "agent_timeout_multiplier"): ("--agent-timeout-multiplier", None),
    ("", "verifier_timeout_multiplier"): ("--verifier-timeout-multiplier", None),
    ("", "agent_setup_timeout_multiplier"): ("--agent-setup-timeout-multiplier", None),
    ("", "environment_build_timeout_multiplier"): ("--environment-build-timeout-multiplier", None),
    ("", "artifacts"): ("--artifact", []),
    ("", "install_only"): ("--install-only", False),
    ("", "lenient_names"): ("--lenient-names", False),
    ("", "final_state"): ("--no-final-state", True),
    ("environment", "force_build"): ("--force-build", False),
    ("environment", "delete"): ("--no-delete", True),
    ("environment", "cpu_enforcement_policy"): ("--cpus", "auto"),
    ("environment", "memory_enforcement_policy"): ("--memory", "auto"),
    ("environment", "override_cpus"): ("--override-cpus", None),
    ("environment", "override_memory_mb"): ("--override-memory-mb", None),
    ("environment", "override_storage_mb"): ("--override-storage-mb", None),
    ("environment", "override_gpus"): ("--override-gpus", None),
    ("environment", "mounts"): ("--mounts-json", None),
    ("verifier", "disable"): ("--disable-verification", False),
    ("verifier", "missing_reward"): ("--missing-reward", "error"),
    ("verifier", "reward_order"): ("--reward-order", "txt-first"),
    ("verifier", "headline_reward"): ("--headline-reward", None),
    ("verifier", "score_keys"): ("--score-key", None),
}
# What can only be said in a job file.
_FLAGLESS: Final[Mapping[str, tuple[str, ...]]] = {
    "agent": (
        "override_timeout_sec", "override_setup_timeout_sec", "max_timeout_sec", "base_url", "skills", "mcp_servers",
        "extra_allowed_hosts",
    ),
    "environment": ("env", "extra_allowed_hosts"),
    "verifier": ("override_timeout_sec", "max_timeout_sec", "extra_allowed_hosts"),
    "": ("extra_instructions", "extra_instruction_paths"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Repeat:
    """`fresh` measures the task anew, in a job of its own; `in_place` runs this very trial again, its files kept.

    An empty one cannot be given. `has_masked`: a secret that stood in the job has to be put in by hand. `missing` are
    settings that `fresh` lacks, since only a job file can say them.
    """

    fresh: str
    in_place: str
    has_masked: bool
    missing: tuple[str, ...] = ()


def repeat_of(trial: Trial, config: Json) -> Repeat:
    """How to repeat a trial whose config.json says this. Nothing is run here, and every word is quoted."""
    words = list(_fresh(config))
    fresh = shlex.join([*MANAGE, "pierrun", *words]) if words else ""
    is_ours = trial.job.origin == Origin.PIER_SITE and not trial.is_live
    in_place = [*MANAGE, "pierjob", "rerun", trial.job.directory, "--trial", trial.name] if is_ours else []
    missing = tuple(_without_flag(config)) if fresh else ()
    return Repeat(fresh if len(fresh) <= MAX_CHARS else "", shlex.join(in_place), MASK in fresh, missing)


def _fresh(config: Json) -> Iterator[str]:
    agent, environment, verifier = (mapping(config.get(name)) for name in ("agent", "environment", "verifier"))
    is_host = environment.get("import_path") == HOST_IMPORT_PATH
    own_class = None if is_host or environment.get("type") else environment.get("import_path")
    path = text(mapping(config.get("task")).get("path"), 1024)
    if not path:
        return
    yield from ("-p", path)
    for flag, value in (
        ("-a", agent.get("name")),
        ("--agent-import-path", agent.get("import_path")),
        ("-m", agent.get("model_name")),
        ("-e", "host" if is_host else environment.get("type")),
        ("--environment-import-path", own_class),
    ):
        if isinstance(value, str) and value:
            yield from (flag, text(value, 1024))
    for flag, pairs in (
        ("--ak", agent.get("kwargs")),
        ("--ae", agent.get("env")),
        ("--ek", environment.get("kwargs")),
        ("--ve", verifier.get("env")),
    ):
        for name, value in mapping(pairs).items():
            yield from (flag, f"{name}={value if flag in ('--ae', '--ve') else _value(value)}")
    yield from _settings(config)


def _settings(config: Json) -> Iterator[str]:
    """What is otherwise than without a flag."""
    for (section, key), (flag, usual) in _FLAGS.items():
        value = _at(config, section).get(key, usual)
        if value is None or value == usual or isinstance(value, dict):
            continue
        if isinstance(value, bool):
            yield flag
        elif key == "mounts":
            yield from (flag, json.dumps(value))
        else:
            for each in value if isinstance(value, list) else [value]:
                yield from (flag, str(each["source"] if isinstance(each, dict) and "source" in each else each))


def _without_flag(config: Json) -> Iterator[str]:
    """Settings of the trial that no flag of `pierrun` says, by their keys in a job file."""
    for section, keys in _FLAGLESS.items():
        for key in keys:
            if _at(config, section).get(key):
                yield f"{section}.{key}" if section else key
    for entry in mappings(config.get("artifacts")):
        if entry.get("destination") or entry.get("exclude") or entry.get("service", "main") != "main":
            yield "artifacts"
            return


def _at(config: Json, section: str) -> Json:
    return mapping(config.get(section)) if section else config


def _value(value: Any) -> str:
    """As `pierrun` reads it back: text that would be read as something else is JSON."""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return value if value not in ("True", "False", "None") else json.dumps(value)
    return json.dumps(value, ensure_ascii=False)
