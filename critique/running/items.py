"""Critics × subjects × samples: which critiques a run has, by what names, and which cannot be made."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from critique.formats.config import CritiqueRunConfig, SelectionConfig
from critique.formats.records import METADATA, RECORD, read_record
from critique.models import SUMMARY
from critique.running.selection import Refusal, read_trial, select_trials
from runs.errors import FileUnreadable, InputInvalid, TaskInvalid
from runs.formats.job import EnvironmentConfig
from runs.formats.task_directory import Task, find_tasks, load_task
from runs.trial.sandbox import refuse_unsupported_task

# Names that the run's own files have or may get, and the critique of the whole run.
TAKEN = frozenset(
    {SUMMARY, "config.json", "result.json", "job.log", "prompt.md", "telemetry.json", "analysis.json", "analysis.md"}
)
MAX_NAME_BYTES = 255
type Kind = Literal["trial", "task", "run"]
NOT_RECORDED = "its files do not say where its task lies"


@dataclass(frozen=True, slots=True)
class Item:
    """One critique to be made. `task` is whose image the critic works in; `source` the trial that it looks at.

    `critic` counts from 1 in the order of the run's critics, `sample` from 1. `parent` is the directory of the critique
    that a question is about.
    """

    name: str
    subject: Kind
    task: Path
    source: Path | None
    source_name: str
    critic: int = 1
    sample: int = 1
    parent: Path | None = None

    @property
    def is_summary(self) -> bool:
        """Whether it looks at the results of the others, and so comes after them."""
        return self.name == SUMMARY


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is looked at, by each critic as often as there are samples."""

    kind: Kind
    name: str
    task: Path | None
    source: Path | None
    parent: Path | None = None


def items_of(config: CritiqueRunConfig) -> tuple[list[Item], list[Refusal]]:
    """All critiques of a run, those of one subject beside each other; and what is refused.

    Reads the results of all trials of the job, and each task once. Raises InputInvalid where nothing can be looked at.
    """
    subjects, refused = _subjects(config)
    known: dict[Path, str] = {}
    items: list[Item] = []
    for subject in subjects:
        if reason := _reason_against(subject, config.environment, known):
            refused.append(Refusal(subject.name, reason))
            continue
        items += _named(subject, config)
    if not items:
        raise InputInvalid(f"{config.source_dir}: nothing can be looked at: {refused[0].name}: {refused[0].reason}")
    if config.summarise:
        items.append(Item(SUMMARY, "run", items[0].task, None, config.run_name))
    return items, refused


def _named(subject: _Subject, config: CritiqueRunConfig) -> Iterator[Item]:
    is_single = len(config.critics) == 1 and config.n_samples == 1
    for critic in range(1, len(config.critics) + 1):
        for sample in range(1, config.n_samples + 1):
            name = subject.name if is_single else f"{subject.name}__c{critic}-s{sample}"
            task = (subject.task or Path()).resolve()
            yield Item(name, subject.kind, task, subject.source, subject.name, critic, sample, subject.parent)


def _subjects(config: CritiqueRunConfig) -> tuple[list[_Subject], list[Refusal]]:
    if config.question is not None:
        return [_asked_about(config)], []
    if config.subject == "task":
        return [_Subject("task", task.name, task, None) for task in _tasks(config)], []
    if config.subject == "run":
        selection = select_trials(config.source_dir, SelectionConfig())
        first = next((trial for trial in selection.trials if trial.task and trial.task.is_dir()), selection.trials[0])
        return [_Subject("run", config.parent or config.source_dir.name, first.task, None)], []
    selection = select_trials(config.source_dir, config.selection)
    trials = [_Subject("trial", trial.name, trial.task, trial.directory) for trial in selection.trials]
    return trials, list(selection.refused)


def _tasks(config: CritiqueRunConfig) -> Sequence[Path]:
    """The tasks of a folder, by the filters that tasks can be chosen by."""
    wanted = config.selection
    if wanted != SelectionConfig(trial_names=wanted.trial_names, limit=wanted.limit):
        raise InputInvalid("tasks are chosen by their folders' names and a limit only: no trial was run of them here")
    tasks = {task.name: task.resolve() for task in find_tasks(config.source_dir)}
    if unknown := next((name for name in wanted.trial_names if name not in tasks), None):
        raise InputInvalid(f"{config.source_dir}: there is no task {unknown[:255]!r}")
    chosen = [tasks[name] for name in dict.fromkeys(wanted.trial_names)] if wanted.trial_names else list(tasks.values())
    return chosen[: wanted.limit]


def _asked_about(config: CritiqueRunConfig) -> _Subject:
    """What the critique is about that a question is about, or the trial that is asked about. Raises InputInvalid."""
    if not config.parent:
        selection = select_trials(config.source_dir, config.selection)
        if len(selection.trials) != 1:
            raise InputInvalid("a question is about one trial or one critique: name it")
        trial = selection.trials[0]
        return _Subject("trial", trial.name, trial.task, trial.directory)
    parent = parent_directory(config)
    subject, name = _about(parent)
    if subject == "task":
        return _Subject("task", name, _task_named(config.source_dir, name), None, parent)
    if subject == "run":
        raise InputInvalid(f"{config.parent} is about a whole run: ask about a critique of one trial or task")
    source = config.source_dir / name
    try:
        return _Subject("trial", name, read_trial(source).task, source, parent)
    except FileUnreadable as error:
        raise InputInvalid(f"{config.parent}: the trial that it is about is gone: {error}") from None


def _about(critique: Path) -> tuple[Kind, str]:
    """What a critique is about; one of Pier's, of the trial whose name it has. Raises FileUnreadable."""
    try:
        record = read_record(critique / RECORD)
    except FileUnreadable:
        if (critique / RECORD).exists() or not (critique / METADATA).is_file():
            raise
        return "trial", critique.name
    return record.subject, record.source_name


def parent_directory(config: CritiqueRunConfig) -> Path:
    """The directory of the critique that is asked about. Raises InputInvalid where it names none."""
    run, _, name = (config.parent or "").partition("/")
    parent = config.critiques_dir / run / name
    if not run or not name or "/" in name or ".." in (run, name) or not parent.is_dir():
        raise InputInvalid(f"there is no critique {config.parent!r} in {config.critiques_dir}")
    return parent


def _task_named(source: Path, name: str) -> Path | None:
    return next((task for task in find_tasks(source) if task.name == name), None)


def _reason_against(subject: _Subject, environment: EnvironmentConfig, known: dict[Path, str]) -> str:
    """Why there can be no critique, in a sentence; empty where there can."""
    if subject.name in TAKEN or len(f"{subject.name}__c100-s100".encode()) > MAX_NAME_BYTES:
        return "a critique cannot have the name of this one: it is taken, or too long"
    if subject.task is None:
        return NOT_RECORDED
    if subject.task not in known:
        known[subject.task] = _reason_against_task(subject.task, environment)
    return known[subject.task]


def _reason_against_task(path: Path, environment: EnvironmentConfig) -> str:
    if not path.is_dir():
        return f"its task is not at {path} any more"
    try:
        task = load_critics_task(path)
        refuse_unsupported_task(task, task.config.environment)
    except TaskInvalid as error:
        return str(error)
    if task.compose_file and environment.type == "host":
        return "its task has several containers, and the host sandbox has none"
    return ""


def load_critics_task(path: Path) -> Task:
    """A task as a critic needs it: its tests may be missing, its name may be its folder's. Raises TaskInvalid."""
    return load_task(path, verification=False, lenient_names=True)
