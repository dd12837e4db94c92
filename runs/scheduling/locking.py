"""Makes and writes the lock.json of a job and of its trials: reads the tasks and resolves the variables they depend on.

What a lock holds and how two are compared is `runs.formats.lock`'s business.
"""

import hashlib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from runs.errors import TaskInvalid
from runs.files import write_atomically
from runs.formats.job import JobConfig, TrialConfig
from runs.formats.lock import (
    LOCK,
    SECRET,
    UNSET,
    JobLock,
    JobNotes,
    TaskContents,
    TaskLock,
    TextLock,
    TrialLock,
    TrialNotes,
    dump_lock,
    hash_of,
)
from runs.formats.task_directory import TASK_FILE, load_task, task_digest
from runs.formats.template import VariableMissing, looks_secret, redact, references, resolve
from runs.trial.plan import TrialPlan
from runs.trial.record import now
from runs.version import VERSION

# The files of a task with more are not listed one by one.
MAX_LISTED_FILES: Final = 2000
MAX_PROBLEM_CHARS: Final = 1000
# The digest that stands for a task that cannot be read: files demand one.
NOTHING: Final = hash_of("")


def write_job_lock(config: JobConfig, plans: Sequence[TrialPlan]) -> None:
    """Write the job's lock.json. Reads every file of every task twice."""
    _write(config.path, job_lock(config, plans))


def job_lock(config: JobConfig, plans: Sequence[TrialPlan]) -> JobLock:
    """What the trials are made of at this moment. Reads every file of every task twice."""
    tasks = {path: _TaskNow(path) for path in {plan.task_path for plan in plans}}
    return JobLock(
        created_at=now(),
        n_concurrent_trials=config.n_concurrent_trials,
        retry=config.retry.model_dump(mode="json", exclude_none=True),
        trials=[_trial_lock(plan, tasks[plan.task_path]) for plan in plans],
        pier_site=JobNotes(
            version=VERSION, tasks={task.digest: task.contents for task in tasks.values() if task.contents}
        ),
    )


def update_job_lock(directory: Path, old: JobLock, new: JobLock) -> None:
    """Put the trials of `new` in the place of those of their names in the job's lock.json; the others stay."""
    changed = {trial.pier_site.trial_name: trial for trial in new.trials}
    trials = [changed.get(trial.pier_site.trial_name, trial) for trial in old.trials]
    tasks = {**old.pier_site.tasks, **new.pier_site.tasks}
    notes = old.pier_site.model_copy(update={"tasks": tasks})
    _write(directory, old.model_copy(update={"trials": trials, "pier_site": notes}))


def _write(directory: Path, lock: JobLock) -> None:
    write_atomically(directory / LOCK, dump_lock(lock))


def write_trial_lock(plan: TrialPlan) -> None:
    """Write the lock.json of a trial that begins: its task may have changed since the job was planned."""
    task = _TaskNow(plan.task_path)
    lock = _trial_lock(plan, task)
    notes = lock.pier_site.model_copy(update={"contents": task.contents})
    write_atomically(plan.directory / LOCK, dump_lock(lock.model_copy(update={"pier_site": notes})))


class _TaskNow:
    """What a task directory holds at this moment."""

    def __init__(self, path: Path) -> None:
        self.contents: TaskContents | None = None
        self.variables: dict[str, dict[str, str]] = {}
        self.problem: str | None = None
        try:
            self.digest = _digest(path)
            self.contents = _contents(path)
            self.variables = _variables_of_task(path)
        except (TaskInvalid, OSError) as error:
            self.problem = str(error)[:MAX_PROBLEM_CHARS]
        if self.contents is None:
            self.digest = NOTHING


def _trial_lock(plan: TrialPlan, task: _TaskNow) -> TrialLock:
    config = plan.config

    def section(name: str) -> dict[str, Any]:
        return dict(getattr(config, name).model_dump(mode="json", exclude_none=True))

    return TrialLock(
        task=TaskLock(
            name=plan.task_path.name, digest=task.digest, source=config.task.source, path=str(config.task.path)
        ),
        **{name: getattr(config, name) for name in TrialLock.model_fields if name.endswith("timeout_multiplier")},
        install_only=config.install_only,
        extra_instructions=list(_instructions(config)) or None,
        agent=section("agent"),
        environment=section("environment"),
        verifier=section("verifier"),
        pier_site=TrialNotes(
            trial_name=plan.name,
            attempt=plan.attempt,
            variables=_digests({**_tables_of_job(config), **task.variables}, os.environ),
            problem=task.problem,
        ),
    )


def _digest(path: Path) -> str:
    if not path.is_dir():
        raise TaskInvalid(path, "is not a directory")
    return task_digest(path)


def _contents(path: Path) -> TaskContents:
    files: dict[str, str] = {}
    for file in _regular_files(path):
        if len(files) == MAX_LISTED_FILES:
            return TaskContents()
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        files[os.fsencode(file.relative_to(path)).decode(errors="replace")] = f"sha256:{digest}"
    return TaskContents(files=dict(sorted(files.items())), tables=_tables(path / TASK_FILE))


def _regular_files(root: Path) -> Iterator[Path]:
    """The same files as the task's digest is made of."""
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if name != ".git"]
        yield from (file for name in files if name != ".git" and (file := Path(directory, name)).is_file())


def _tables(toml: Path) -> dict[str, str]:
    """A digest of each top-level key of task.toml; the collect hooks, which act on the agent's sandbox, apart."""
    try:
        data = tomllib.loads(toml.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    verifier = data.get("verifier")
    if isinstance(verifier, dict) and "collect" in verifier:
        data["verifier.collect"] = verifier.pop("collect")
    return {
        f"[{key}]" if isinstance(value, dict | list) else key: hash_of(json.dumps(value, sort_keys=True, default=str))
        for key, value in sorted(data.items())
    }


def _instructions(config: TrialConfig) -> Iterator[TextLock]:
    """In Harbor's order: files, then texts."""
    for path in config.extra_instruction_paths:
        try:
            yield TextLock(path=str(path), digest=f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}")
        except OSError:  # the trial itself will say so
            yield TextLock(path=str(path), digest=NOTHING)
    yield from (TextLock(digest=hash_of(text)) for text in config.extra_instructions)


def _tables_of_job(config: TrialConfig) -> dict[str, dict[str, str]]:
    return {
        "agent.env": config.agent.env,
        "environment.env": config.environment.env,
        "verifier.env": config.verifier.env,
    }


def _variables_of_task(path: Path) -> dict[str, dict[str, str]]:
    """The env tables of a task; none of a task that will not load."""
    try:
        task = load_task(path, verification=False, lenient_names=True)
    except TaskInvalid:
        return {}
    config = task.config
    tables = {"environment": config.environment.env, "verifier": config.verifier.env, "solution": config.solution.env}
    tables |= {f"steps.{step.name}.verifier": step.config.verifier.env for step in task.steps}
    return {f"task.{name}.env": table for name, table in tables.items() if table}


def _digests(tables: Mapping[str, Mapping[str, str]], environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    return {
        place: {name: _digest_of_variable(name, value, environ) for name, value in sorted(table.items())}
        for place, table in tables.items()
        if table
    }


def _digest_of_variable(name: str, value: str, environ: Mapping[str, str]) -> str:
    """The digest of what the variable holds; of a secret, by any of its names or by its look, not even that."""
    try:
        resolved = resolve(value, environ)
    except VariableMissing:
        return UNSET
    if any(map(looks_secret, (name, *references(value)))) or redact({name: resolved}, {})[name] != resolved:
        return SECRET
    return hash_of(resolved)
