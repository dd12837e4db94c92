"""Compares two job directories: which trials of the second could take over what the first has, and why not the others.

Files only, so that directories of pier and harbor can be compared too, indexed or not. Nothing is written.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from runs.errors import FileUnreadable, InputInvalid
from runs.formats.lock import (
    Difference,
    Effect,
    JobLock,
    TaskLock,
    TextLock,
    TrialLock,
    agent_key,
    differences,
    hash_of,
    read_lock,
)
from runs.formats.reading import read_json
from runs.indexing.causes import RULES
from runs.indexing.columns import trial_columns
from runs.indexing.scan import Kind, kind_of, trials_in
from runs.indexing.values import Json, mapping, text
from runs.jobs.naming import find_job
from runs.models import Cause


class Decision(StrEnum):
    """What a trial needs, given an earlier one: nothing, its verifier again, or all again."""

    REUSE = "reuse"
    REGRADE = "regrade"
    RERUN = "rerun"


@dataclass(frozen=True, slots=True)
class Record:
    """One trial of a job directory: what it was made of, and how it ended if it did."""

    name: str
    attempt: int
    lock: TrialLock
    has_ended: bool
    reward: float | None
    exception_type: str
    cause: Cause | None

    @property
    def is_sound(self) -> bool:
        """Whether its outcome is the agent's."""
        return self.has_ended and (self.cause is None or RULES[self.cause].reward_counts)


@dataclass(frozen=True, slots=True)
class TrialDiff:
    """The decision on one trial of the second job. `old` is the trial of the first it was compared with, if any."""

    trial: str
    task: str
    agent: str
    attempt: int
    old: str | None
    decision: Decision
    reasons: Sequence[str]
    differences: Sequence[Difference]


@dataclass(frozen=True, slots=True)
class JobDiff:
    """All decisions, in the order of the second job, and the trials that only the first one has."""

    old: str
    new: str
    trials: Sequence[TrialDiff]
    only_in_old: Sequence[str]
    problems: Sequence[str]

    @property
    def counts(self) -> dict[str, int]:
        """How many trials need what."""
        found = Counter(trial.decision for trial in self.trials)
        return {decision.value: found[decision] for decision in Decision}


def diff_jobs(old: str, new: str) -> JobDiff:
    """Compare two jobs, each given by name or directory. Raises InputInvalid for what is no job directory."""
    problems: list[str] = []
    places = [_directory(name) for name in (old, new)]
    before, after = (_records(place, problems) for place in places)
    partners = _paired(before, after)
    paired = {record.name for record in partners.values()}
    return JobDiff(
        old=str(places[0]),
        new=str(places[1]),
        trials=[_decided(partners.get(record.name), record) for record in after],
        only_in_old=[record.name for record in before if record.name not in paired],
        problems=problems,
    )


def _directory(name: str) -> Path:
    try:
        path = Path(find_job(name).directory)
    except InputInvalid:
        path = Path(name.replace("\0", "")).expanduser()
        if not path.is_dir():
            raise
    if kind_of(path) is not Kind.JOB:
        raise InputInvalid(f"{path} is not a job directory")
    return path.resolve()


def _decided(old: Record | None, new: Record) -> TrialDiff:
    found = differences(old.lock, new.lock) if old else []
    decision, reasons = _decision(old, new, found)
    agent = text(new.lock.agent.get("name"), 255) or text(new.lock.agent.get("import_path"), 255) or "oracle"
    model = text(new.lock.agent.get("model_name"), 255)
    return TrialDiff(
        trial=new.name,
        task=_task_of(new),
        agent=f"{agent} · {model}" if model else agent,
        attempt=new.attempt,
        old=old.name if old else None,
        decision=decision,
        reasons=reasons,
        differences=found,
    )


def _decision(old: Record | None, new: Record, found: Sequence[Difference]) -> tuple[Decision, list[str]]:
    """The decision and its reasons; for a reused trial, the differences that don't matter."""
    if old is None:
        return Decision.RERUN, ["there is no trial of this task by this agent to compare with"]
    if not old.has_ended:
        return Decision.RERUN, [f"{old.name} has no result"]
    again = [difference.sentence() for difference in found if difference.effect == Effect.RERUN]
    judge = [difference.sentence() for difference in found if difference.effect == Effect.REGRADE]
    if not old.is_sound:
        failure = f"{old.name} ended with {old.exception_type} ({old.cause})"
        (judge if old.cause == Cause.VERIFIER else again).insert(0, failure)
    elif old.reward is None and not new.lock.verifier.get("disable"):
        judge.insert(0, f"{old.name} has no reward")
    if again:
        return Decision.RERUN, again
    if judge:
        return Decision.REGRADE, judge
    return Decision.REUSE, [f"{difference.sentence()}, which changes nothing here" for difference in found]


def _paired(before: Sequence[Record], after: Sequence[Record]) -> dict[str, Record]:
    """The partner of each new trial, by its name: the one that is most alike; of equals, sound ones first.

    Attempts of one task by one agent are equals: which of them is taken over doesn't matter.
    """
    keys: list[Callable[[Record], Hashable]] = [
        lambda record: (_task_of(record), agent_key(record.lock), record.lock.task.digest),
        lambda record: (_task_of(record), agent_key(record.lock)),
        lambda record: (
            _task_of(record),
            record.lock.agent.get("name"),
            record.lock.agent.get("import_path"),
            record.lock.agent.get("model_name"),
        ),
    ]
    left = sorted(before, key=lambda record: (not record.is_sound, record.reward is None, record.attempt, record.name))
    found: dict[str, Record] = {}
    for key in keys:
        groups: dict[str, list[Record]] = defaultdict(list)
        for record in left:
            groups[str(key(record))].append(record)
        for record in after:
            if record.name not in found and (group := groups.get(str(key(record)))):
                found[record.name] = group.pop(0)
        taken = {record.name for record in found.values()}
        left = [record for record in left if record.name not in taken]
    return found


def _task_of(record: Record) -> str:
    return Path(record.lock.task.path).name if record.lock.task.path else record.lock.task.name


def _records(directory: Path, problems: list[str]) -> list[Record]:
    """The trials of a job: those that its lock names, begun or not, then others that have a directory."""
    job = _lock(directory, JobLock, problems) or JobLock()
    planned = {lock.pier_site.trial_name: lock for lock in job.with_contents() if lock.pier_site.trial_name}
    digests = {lock.task.path: lock.task.digest for lock in job.trials}
    folders = {folder.name: folder for folder in trials_in(directory)}
    records = []
    attempts: Counter[tuple[str, str]] = Counter()
    for name in [*planned, *(name for name in folders if name not in planned)]:
        folder = folders.get(name)
        result = _json(folder / "result.json", problems) if folder else {}
        lock = _lock(folder, TrialLock, problems) if folder else None
        lock = lock or planned.get(name) or (_from_config(folder, result, digests, problems) if folder else None)
        if lock is None:
            continue
        group = (lock.task.name, agent_key(lock))
        attempts[group] += 1
        records.append(_record(name, lock.pier_site.attempt or attempts[group], lock, result))
    if not records:
        raise InputInvalid(f"{directory} holds no trial whose files say what it was made of")
    return records


def _record(name: str, attempt: int, lock: TrialLock, result: Json) -> Record:
    columns: dict[str, Any] = trial_columns(result, {}) if result else {}
    failure = str(columns.get("exception_type") or "")
    return Record(
        name=name,
        attempt=attempt,
        lock=lock,
        has_ended=columns.get("finished_at") is not None,
        reward=columns.get("reward"),
        exception_type=failure,
        cause=Cause(columns.get("cause") or Cause.UNKNOWN) if failure else None,
    )


def _from_config(folder: Path, result: Json, digests: dict[str | None, str], problems: list[str]) -> TrialLock | None:
    """What a trial without a lock of its own was made of, as its config.json and its result say."""
    config = _json(folder / "config.json", problems) or mapping(result.get("config"))
    path = text(mapping(config.get("task")).get("path"), 4096)
    if not path:
        return None
    checksum = text(result.get("task_checksum"), 80)
    digest = digests.get(path) or (checksum if checksum.startswith("sha256:") else f"sha256:{checksum}")
    task = TaskLock(name=Path(path).name, digest=digest, path=path)
    said = config.get("extra_instructions")
    texts = [TextLock(digest=hash_of(str(item))) for item in said] if isinstance(said, list) else []
    try:
        return TrialLock.model_validate({**config, "task": task, "extra_instructions": texts or None})
    except ValidationError:
        problems.append(f"{folder / 'config.json'}: does not say what the trial was made of")
        return None


def _lock[L: (JobLock, TrialLock)](directory: Path, kind: type[L], problems: list[str]) -> L | None:
    try:
        return read_lock(directory, kind)
    except FileUnreadable as error:
        problems.append(str(error))
        return None


def _json(path: Path, problems: list[str]) -> Json:
    if not path.exists():
        return {}
    try:
        return mapping(read_json(path, lenient=True, within=path.parent))
    except FileUnreadable as error:
        problems.append(str(error))
        return {}


def lines_of(diff: JobDiff) -> Iterator[str]:
    """The differences in plain lines: what most trials share comes once, with the trials it concerns."""
    groups: dict[tuple[str, tuple[str, ...]], list[TrialDiff]] = defaultdict(list)
    for trial in diff.trials:
        # Names of trials differ from one to the next; what is left of a reason is what they share.
        shared = tuple(reason.replace(trial.old or "\0", "the earlier trial") for reason in trial.reasons)
        groups[trial.decision.value, shared].append(trial)
    for (decision, reasons), trials in groups.items():
        yield f"{decision}: {', '.join(f'{trial.trial} ({trial.agent})' for trial in trials)}"
        yield from (f"    {reason}" for reason in reasons)
    if diff.only_in_old:
        yield f"only in {diff.old}: {', '.join(diff.only_in_old)}"
    yield ", ".join(f"{count} to {decision}" for decision, count in diff.counts.items())
