"""The command lines that repeat a trial: fresh, by what its config.json says, and in place."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from runs.formats.job_sections import HOST_IMPORT_PATH
from runs.formats.template import MASK
from runs.indexing.values import Json, mapping, text
from runs.models import Origin, Trial

MANAGE = (".venv/bin/python", "manage.py")
MAX_CHARS = 4000


@dataclass(frozen=True, slots=True)
class Repeat:
    """`fresh` measures the task anew, in a job of its own; `in_place` runs this very trial again, its files kept.

    An empty one cannot be given. `has_masked`: a secret that stood in the job has to be put in by hand.
    """

    fresh: str
    in_place: str
    has_masked: bool


def repeat_of(trial: Trial, config: Json) -> Repeat:
    """How to repeat a trial whose config.json says this. Nothing is run here, and every word is quoted."""
    words = list(_fresh(config))
    fresh = shlex.join([*MANAGE, "pierrun", *words]) if words else ""
    is_ours = trial.job.origin == Origin.PIER_SITE and not trial.is_live
    in_place = [*MANAGE, "pierjob", "rerun", trial.job.directory, "--trial", trial.name] if is_ours else []
    return Repeat(fresh if len(fresh) <= MAX_CHARS else "", shlex.join(in_place), MASK in fresh)


def _fresh(config: Json) -> Iterator[str]:
    agent, environment = mapping(config.get("agent")), mapping(config.get("environment"))
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
    for name, value in mapping(agent.get("kwargs")).items():
        yield from ("--ak", f"{name}={_value(value)}")
    for name, value in mapping(agent.get("env")).items():
        yield from ("--ae", f"{name}={value}")
    multiplier = config.get("timeout_multiplier")
    if isinstance(multiplier, int | float) and multiplier != 1:
        yield from ("--timeout-multiplier", f"{multiplier:g}")
    if environment.get("force_build") is True:
        yield "--force-build"


def _value(value: Any) -> str:
    """As `pierrun` reads it back: text that would be read as something else is JSON."""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return value if value not in ("True", "False", "None") else json.dumps(value)
    return json.dumps(value, ensure_ascii=False)
