"""`lock.json`: what exactly a job or a trial was made of, and in what two of them differ.

The shape is Pier's version 1, which Harbor reads too; both ignore our `pier_site` keys. Reading is lenient, because
other programs' locks are compared as well. Making one (which reads tasks and variables) is scheduling's business.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from runs.errors import FileUnreadable
from runs.formats.dumping import dump_model
from runs.formats.job_sections import DEFAULT_AGENT, AgentConfig, EnvironmentConfig, JobSection, VerifierConfig
from runs.formats.reading import read_json
from runs.formats.template import MASK, looks_secret
from runs.formats.validation import first_problem

LOCK: Final = "lock.json"
SCHEMA_VERSION: Final = 1
MAX_LOCK_BYTES: Final = 256 * 1024 * 1024
# What stands in `variables` instead of a digest: of a secret nothing is kept, not even that it changed.
SECRET: Final = "secret"  # noqa: S105 - a word
UNSET: Final = "unset"
MAX_SHOWN: Final = 200

_FACTORS: Final = (
    "timeout_multiplier",
    "agent_timeout_multiplier",
    "verifier_timeout_multiplier",
    "agent_setup_timeout_multiplier",
    "environment_build_timeout_multiplier",
)
_SECTIONS: Final[dict[str, type[JobSection]]] = {
    "agent": AgentConfig,
    "environment": EnvironmentConfig,
    "verifier": VerifierConfig,
}
# How a sandbox is made anew or thrown away, which no result depends on.
_WITHOUT_EFFECT: Final = ("environment.force_build", "environment.delete", "environment.suppress_override_warnings")


class _Lock(BaseModel):
    model_config = ConfigDict(extra="ignore")


class TaskLock(_Lock):
    """Which task, by the digest of all its files."""

    name: str = ""
    type: str = "local"
    digest: str
    source: str | None = None
    path: str | None = None


class TextLock(_Lock):
    """A text that is added to the instruction; `path` is absent for one that stands in the job itself."""

    path: str | None = None
    digest: str


class TaskContents(_Lock):
    """The digest of each file of a task, and of each table of its task.toml; both empty for a task of many files."""

    files: dict[str, str] = {}
    tables: dict[str, str] = {}


class TrialNotes(_Lock):
    """What only Pier Site notes of a trial. `variables`: by place and name, the digest of the resolved value.

    `contents` is only in the trial's own lock.json: a job's has it once for each task. `problem` says why a task could
    not be read; its digest is then that of nothing.
    """

    trial_name: str = ""
    attempt: int | None = None
    variables: dict[str, dict[str, str]] | None = None
    contents: TaskContents | None = None
    problem: str | None = None


class TrialLock(_Lock):
    """All that a trial depends on, but for the attempt that it is."""

    task: TaskLock
    install_only: bool = False
    timeout_multiplier: float = 1.0
    agent_timeout_multiplier: float | None = None
    verifier_timeout_multiplier: float | None = None
    agent_setup_timeout_multiplier: float | None = None
    environment_build_timeout_multiplier: float | None = None
    extra_instructions: list[TextLock] | None = None
    agent: dict[str, Any] = {}
    environment: dict[str, Any] = {}
    verifier: dict[str, Any] = {}
    pier_site: TrialNotes = TrialNotes()


class JobNotes(_Lock):
    """What only Pier Site notes of a job: its version, and the contents of each task by the task's digest."""

    version: str = ""
    tasks: dict[str, TaskContents] = {}


class JobLock(_Lock):
    """A job's lock.json."""

    schema_version: int = SCHEMA_VERSION
    created_at: datetime | None = None
    n_concurrent_trials: int = 1
    retry: dict[str, Any] = {}
    trials: list[TrialLock] = []
    pier_site: JobNotes = JobNotes()

    def with_contents(self) -> list[TrialLock]:
        """The trials' locks, each with the contents of its task where they are known."""
        return [
            trial.model_copy(update={"pier_site": trial.pier_site.model_copy(update={"contents": contents})})
            if (contents := self.pier_site.tasks.get(trial.task.digest))
            else trial
            for trial in self.trials
        ]


def dump_lock(lock: JobLock | TrialLock) -> str:
    """The text of a lock.json, nulls left out as Pier does."""
    return dump_model(lock, indent=4, omit_nulls=True)


def read_lock[L: (JobLock, TrialLock)](directory: Path, kind: type[L]) -> L | None:
    """The lock in a directory, or None where there is none. Raises `FileUnreadable`."""
    path = directory / LOCK
    if not path.exists():
        return None
    data = read_json(path, max_bytes=MAX_LOCK_BYTES, lenient=True, within=directory)
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise FileUnreadable(path, first_problem(error)) from None


class Effect(StrEnum):
    """What a difference asks for: the agent must work again, its work must be judged again, or neither."""

    RERUN = "rerun"
    REGRADE = "regrade"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two trials differ. `old` and `new` are digests, or the values of a setting; None: absent."""

    kind: Literal["task", "task file", "task table", "variable", "setting", "instruction"]
    name: str
    old: str | None
    new: str | None
    effect: Effect

    def sentence(self) -> str:
        """The difference in words."""
        if self.old is None:
            return f"{self.kind} {self.name} is new ({self.new})"
        if self.new is None:
            return f"{self.kind} {self.name} is gone (was {self.old})"
        return f"{self.kind} {self.name} changed: {self.old} → {self.new}"


def differences(old: TrialLock, new: TrialLock) -> list[Difference]:
    """What was changed between two trials, each thing by its name: files, then variables, then settings.

    A secret counts by its name alone: one that was rotated, or comes from another variable, is no difference.
    """
    return [*_of_task(old, new), *_of_instructions(old, new), *_of_variables(old, new), *_of_settings(old, new)]


def agent_key(lock: TrialLock) -> str:
    """The agent's settings as one text, equal for the same entry of a job in two of its runs."""
    return json.dumps({name: value for name, value in _settings(lock).items() if name.startswith("agent.")})


def _of_task(old: TrialLock, new: TrialLock) -> Iterator[Difference]:
    if old.task.digest == new.task.digest:
        return
    before, after = old.pier_site.contents, new.pier_site.contents
    if not before or not after or not before.files or not after.files:
        yield Difference("task", new.task.name, old.task.digest, new.task.digest, Effect.RERUN)
        return
    is_oracle = _is_oracle(new)
    tables_are_known = bool(before.tables and after.tables)
    for name, one, other in _unequal(before.files, after.files):
        if name != "task.toml" or not tables_are_known or before.tables == after.tables:
            yield Difference("task file", name, one, other, _effect_of_file(name, is_oracle=is_oracle))
    for name, one, other in _unequal(before.tables, after.tables):
        effect = Effect.REGRADE if name == "[verifier]" else Effect.RERUN
        yield Difference("task table", f"task.toml {name}", one, other, effect)


def _is_oracle(lock: TrialLock) -> bool:
    """Whether the agent is given the task's solution."""
    return lock.agent.get("name") in (None, DEFAULT_AGENT)


def _effect_of_file(name: str, *, is_oracle: bool) -> Effect:
    parts = name.split("/")
    folder = parts[2] if parts[0] == "steps" and len(parts) > 3 else parts[0] if len(parts) > 1 else ""
    if folder == "tests":
        return Effect.REGRADE
    return Effect.NONE if folder == "solution" and not is_oracle else Effect.RERUN


def _of_instructions(old: TrialLock, new: TrialLock) -> Iterator[Difference]:
    def texts(lock: TrialLock) -> dict[str, str]:
        return {f"{n} ({text.path or 'text'})": text.digest for n, text in enumerate(lock.extra_instructions or (), 1)}

    for name, one, other in _unequal(texts(old), texts(new)):
        yield Difference("instruction", name, one, other, Effect.RERUN)


def _of_variables(old: TrialLock, new: TrialLock) -> Iterator[Difference]:
    before, after = old.pier_site.variables, new.pier_site.variables
    if before is None or after is None:
        # Of a lock without digests only the texts in its sections are known.
        before, after = _texts_of_variables(old), _texts_of_variables(new)
    for place in sorted(before.keys() | after.keys()):
        effect = Effect.REGRADE if "verifier" in place else Effect.RERUN
        if place == "task.solution.env" and not _is_oracle(new):
            effect = Effect.NONE
        for name, one, other in _unequal(before.get(place, {}), after.get(place, {})):
            yield Difference("variable", f"{place}.{name}", one, other, effect)


def _texts_of_variables(lock: TrialLock) -> dict[str, dict[str, str]]:
    found = {}
    for section in _SECTIONS:
        env = getattr(lock, section).get("env")
        if isinstance(env, Mapping):
            found[f"{section}.env"] = {
                str(name): SECRET if looks_secret(str(name)) else _clip(str(value)) for name, value in env.items()
            }
    return found


def _of_settings(old: TrialLock, new: TrialLock) -> Iterator[Difference]:
    for name, one, other in _unequal(_settings(old), _settings(new)):
        if name in _WITHOUT_EFFECT:
            effect = Effect.NONE
        else:
            effect = Effect.REGRADE if name.startswith(("verifier.", "verifier_")) else Effect.RERUN
        yield Difference("setting", name, one, other, effect)


def _settings(lock: TrialLock) -> dict[str, str]:
    """Every setting that is given, by its dotted name, as JSON; defaults filled in, so that writers compare."""
    values: dict[str, Any] = {name: getattr(lock, name) for name in ("install_only", *_FACTORS)}
    for name, model in _SECTIONS.items():
        section: dict[str, Any] = getattr(lock, name)
        # With a key of another program's in it, a section is compared as it is.
        with suppress(ValidationError):
            section = model.model_validate(section).model_dump(mode="json")
        values[name] = {key: value for key, value in section.items() if key != "env"}
    return dict(_leaves(values))


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key in sorted(map(str, value)):
            yield from _leaves(value.get(key), f"{name}.{key}" if name else key)
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        yield from _leaves({str(n): item for n, item in enumerate(value)}, name)
    elif value is not None and value != []:
        is_secret = looks_secret(name.rpartition(".")[2])
        yield name, MASK if is_secret else _clip(json.dumps(value, sort_keys=True, ensure_ascii=False))


def _clip(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}… ({len(text)} characters, {hash_of(text)})"


def hash_of(text: str) -> str:
    """`sha256:<hex>` of a text."""
    return f"sha256:{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()}"


def _unequal(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[tuple[str, str | None, str | None]]:
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)
