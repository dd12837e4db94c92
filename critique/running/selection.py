"""Which trials of a job are looked at, by Pier's rules, in directories of Pier Site, pier and harbor. Only reads."""

import random
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath

from critique.formats.config import SelectionConfig
from runs.errors import FileUnreadable, InputInvalid
from runs.formats.lock import JobLock, read_lock
from runs.formats.reading import read_json
from runs.indexing.columns import trial_columns
from runs.indexing.scan import Kind, kind_of, trials_in
from runs.indexing.stamps import CONFIG, RESULT
from runs.indexing.values import Json, first_text, mapping

MAX_RESULT_BYTES = 64 * 1024 * 1024
PASSING_REWARD = 1.0
LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SourceTrial:
    """A finished trial, as its files tell it. `agent_label` and `model` are the configuration's own words."""

    directory: Path
    task_name: str
    task: Path | None
    agent_names: frozenset[str]
    model_names: frozenset[str]
    agent_label: str
    model: str
    reward: float | None
    exception_type: str
    started_at: datetime | None

    @property
    def name(self) -> str:
        """Of the trial: that of its directory."""
        return self.directory.name

    @property
    def is_passing(self) -> bool:
        """Whether it has the full headline reward, and nothing went wrong."""
        return self.reward == PASSING_REWARD and not self.exception_type


@dataclass(frozen=True, slots=True)
class Refusal:
    """What cannot be looked at, and why, in a sentence without its name."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Selection:
    """The trials in the order in which they are looked at, and those that were meant and cannot be."""

    trials: tuple[SourceTrial, ...]
    refused: tuple[Refusal, ...]


def select_trials(job: Path, wanted: SelectionConfig) -> Selection:
    """Choose the trials of a job directory.

    Those that are named keep that order; others come as the job planned them, else by name. Then come the filters, the
    shuffle by seed, the limit. Raises InputInvalid for a directory that is no job's, a name that is no trial's, and
    where nothing is left.
    """
    if kind_of(job) is not Kind.JOB:
        raise InputInvalid(f"{job} is not a job directory of Pier Site, pier or harbor")
    read, refused = _read_all(_folders(job, wanted.trial_names))
    ordered = read if wanted.trial_names else _as_planned(job, read)
    chosen = [trial for trial in ordered if _is_wanted(trial, wanted)]
    if wanted.sample_seed is not None:
        random.Random(wanted.sample_seed).shuffle(chosen)  # noqa: S311 - a reproducible sample, no secret
    chosen = chosen[: wanted.limit]
    if not chosen:
        raise InputInvalid(f"{job}: {_why_none(read, refused)}")
    # Of trials that nobody named, those that have not ended are none of the passing or failing ones.
    return Selection(tuple(chosen), tuple(refused) if wanted.trial_names or wanted.verdict is None else ())


def _folders(job: Path, names: Sequence[str]) -> list[Path]:
    folders = {folder.name: folder for folder in trials_in(job)}
    if unknown := next((name for name in names if name not in folders), None):
        raise InputInvalid(f"{job}: there is no trial {unknown[:255]!r}")
    return [folders[name] for name in dict.fromkeys(names)] if names else list(folders.values())


def _read_all(folders: Iterable[Path]) -> tuple[list[SourceTrial], list[Refusal]]:
    read: list[SourceTrial] = []
    refused: list[Refusal] = []
    for folder in folders:
        if not (folder / RESULT).exists():
            refused.append(Refusal(folder.name, "it has not finished: there is no result.json"))
            continue
        try:
            read.append(read_trial(folder))
        except FileUnreadable as error:
            refused.append(Refusal(folder.name, f"its {error.path.name} cannot be read: {error.reason}"))
    return read, refused


def read_trial(directory: Path) -> SourceTrial:
    """What the files of a finished trial say. Raises FileUnreadable."""
    result = _table(directory / RESULT)
    config = _table(directory / CONFIG) if (directory / CONFIG).exists() else mapping(result.get("config"))
    columns = trial_columns(result, config)
    agent = mapping(config.get("agent"))
    label = first_text(255, agent.get("name"), agent.get("import_path"), columns["agent_name"])
    model = first_text(400, agent.get("model_name"), columns["model_name"])
    provider, name = columns["model_provider"], columns["model_name"]
    models = {model, name, f"{provider}/{name}" if provider else "", model.partition("/")[2]}
    return SourceTrial(
        directory=directory,
        task_name=columns["task_name"],
        task=Path(columns["task_path"]) if columns["task_path"] else None,
        agent_names=frozenset(known.lower() for known in (label, columns["agent_name"]) if known),
        model_names=frozenset(known.lower() for known in models if known),
        agent_label=label,
        model=model,
        reward=columns["reward"],
        exception_type=columns["exception_type"],
        started_at=columns["started_at"],
    )


def _table(path: Path) -> Json:
    return mapping(read_json(path, max_bytes=MAX_RESULT_BYTES, lenient=True, within=path.parent))


def _is_wanted(trial: SourceTrial, wanted: SelectionConfig) -> bool:
    if wanted.source_agents and not trial.agent_names & {name.lower() for name in wanted.source_agents}:
        return False
    if wanted.source_models and not trial.model_names & {name.lower() for name in wanted.source_models}:
        return False
    return wanted.verdict is None or trial.is_passing == (wanted.verdict == "passing")


def _as_planned(job: Path, trials: Sequence[SourceTrial]) -> list[SourceTrial]:
    """In the order of lock.json; peers name no trials there, so theirs find their places by task, agent and start."""
    try:
        lock = read_lock(job, JobLock)
    except FileUnreadable:
        lock = None
    if lock is None:
        return sorted(trials, key=lambda trial: trial.name)
    named: dict[str, int] = {}
    alike: dict[tuple[str, str, str], deque[int]] = defaultdict(deque)
    for place, entry in enumerate(lock.trials):
        named.setdefault(entry.pier_site.trial_name, place)
        agent = mapping(entry.agent)
        key = (PurePath(entry.task.path or entry.task.name).name, first_text(255, agent.get("name"),
               agent.get("import_path")), first_text(400, agent.get("model_name")))  # fmt: skip
        alike[key].append(place)
    places: dict[str, int] = {}
    for trial in sorted(trials, key=lambda trial: (trial.started_at or LAST, trial.name)):
        queue = alike[PurePath(trial.task or trial.task_name).name, trial.agent_label, trial.model]
        if trial.name in named:
            places[trial.name] = named[trial.name]
        else:
            places[trial.name] = queue.popleft() if queue else len(lock.trials)
    return sorted(trials, key=lambda trial: (places[trial.name], trial.name))


def _why_none(read: Sequence[SourceTrial], refused: Sequence[Refusal]) -> str:
    if read:
        return f"none of its {len(read)} finished trials is one of those that were asked for"
    if refused:
        return f"no trial can be looked at: {refused[0].name}: {refused[0].reason}"
    return "there is no trial in it"
