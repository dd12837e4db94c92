"""Finds job directories. Looks at names, and only where they don't tell at one small file; reads no trial."""

import os
from collections.abc import Container
from enum import StrEnum
from pathlib import Path

from runs.errors import FileUnreadable, InputInvalid
from runs.formats.reading import read_json, stays_within
from runs.indexing.values import mapping
from runs.models import Purpose

# jobs/<job>/ is the rule; some runners keep jobs/<job>/<run>/.
MAX_DEPTH = 3
MAX_CONFIG_BYTES = 16 * 1024 * 1024
TERMINAL_BENCH_FILES = {"tb.lock", "run_metadata.json"}
TRIAL_FOLDERS = {"agent", "verifier", "steps"}
# <job>/.critiques/<run>/ is a job whose trials are critics of that job's; beside jobs, it has critics of tasks.
CRITIQUES = ".critiques"
TRIAL_NAMES = TRIAL_FOLDERS | {"trial.log", "config.json", "result.json"}


class Kind(StrEnum):
    """What a directory is, as far as its file names tell."""

    JOB = "job"
    TRIAL = "trial"
    TERMINAL_BENCH = "Terminal-Bench 1 run"
    OTHER = "other"


class NoJobs(InputInvalid):
    """A folder holds no job directory, or none yet."""


def find_jobs(path: Path) -> list[Path]:
    """The job directories at or under `path`, sorted: itself, or what a folder of jobs holds, also critiques of tasks.

    Raises `NoJobs` where there is none, `InputInvalid` for a missing path, a file, a trial, a Terminal-Bench 1 run.
    """
    path = path.expanduser().absolute()
    if not path.exists():
        raise InputInvalid(f"{path} does not exist")
    if not path.is_dir():
        raise InputInvalid(f"{path} is a file: name a job directory, or a folder of job directories")
    kind = kind_of(path)
    if kind is Kind.TRIAL:
        raise InputInvalid(f"{path} is a trial: name its job directory, {path.parent}")
    if kind is Kind.TERMINAL_BENCH:
        raise terminal_bench_refused(path)
    if kind is Kind.JOB:
        return [path]
    found = jobs_under(path) + critique_runs_in(path)
    if not found:
        raise NoJobs(f"{path} holds no job directory (one with config.json, result.json or trials in it)")
    return found


def jobs_under(root: Path, *, known: Container[Path] = (), depth: int = MAX_DEPTH) -> list[Path]:
    """Job directories below `root`, sorted; Terminal-Bench 1 runs are listed too, so that they can be named.

    Those that are `known` are taken without a look inside.
    """
    found: list[Path] = []
    for child in folders_in(root):
        kind = Kind.JOB if child in known else kind_of(child)
        if kind in (Kind.JOB, Kind.TERMINAL_BENCH):
            found.append(child)
        elif kind is Kind.OTHER and depth > 1:
            found.extend(jobs_under(child, known=known, depth=depth - 1))
    return found


def trials_in(job: Path, *, known: Container[str] = ()) -> list[Path]:
    """The trial directories of a job, sorted by name; those whose name is `known` are taken without a look inside."""
    # Inside a job less is asked of a trial: it may have been killed before it wrote its first file.
    return [child for child in folders_in(job) if child.name in known or _names_in(child) & TRIAL_NAMES]


def kind_of(directory: Path) -> Kind:
    """What `directory` is; an unreadable one is `other`."""
    names = _names_in(directory)
    if names & TERMINAL_BENCH_FILES or ("results.json" in names and "result.json" not in names):
        return Kind.TERMINAL_BENCH
    if "job.log" in names:
        return Kind.JOB
    if _are_a_trials(names):
        return Kind.TRIAL
    if names & {"config.json", "result.json"}:
        return _kind_by_content(directory)
    return Kind.JOB if _holds_trials(directory) else Kind.OTHER


def purpose_of(job: Path) -> Purpose:
    """What the trials of a job are for, as the place of its directory tells."""
    return Purpose.CRITIQUE if job.parent.name == CRITIQUES else Purpose.RUN


def critique_runs_in(directory: Path, *, known: Container[Path] = ()) -> list[Path]:
    """The directories of critique runs of a job, or of those of tasks in a folder of jobs; sorted.

    Those that are `known` are taken without a look inside.
    """
    folder = directory / CRITIQUES
    if folder.is_symlink() and not stays_within(folder, directory):
        return []
    return [run for run in folders_in(folder) if run in known or kind_of(run) is Kind.JOB]


def folders_in(directory: Path) -> list[Path]:
    """Sub-directories, sorted; hidden ones, and links that lead out of `directory`, are left out."""
    found: list[Path] = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.is_dir():
                    continue
                path = directory / entry.name
                if not entry.is_symlink() or stays_within(path, directory):
                    found.append(path)
    except OSError:
        return []
    return sorted(found)


def terminal_bench_refused(path: Path) -> InputInvalid:
    """The error that names the format instead of showing an empty job."""
    return InputInvalid(
        f"{path} was written by Terminal-Bench 1 (tb.lock, run_metadata.json, results.json): "
        "only job directories of Pier Site, pier and harbor can be indexed"
    )


def _names_in(directory: Path) -> set[str]:
    try:
        with os.scandir(directory) as entries:
            return {entry.name for entry in entries}
    except OSError:
        return set()


def _are_a_trials(names: set[str]) -> bool:
    return "trial.log" in names or bool(names & {"config.json", "result.json"} and names & TRIAL_FOLDERS)


def _holds_trials(directory: Path) -> bool:
    return any(_are_a_trials(_names_in(child)) for child in folders_in(directory))


def _kind_by_content(directory: Path) -> Kind:
    """A job or a trial by the keys of its config.json or result.json; a torn one counts as a job's."""
    for name in ("config.json", "result.json"):
        try:
            data = mapping(read_json(directory / name, max_bytes=MAX_CONFIG_BYTES, lenient=True, within=directory))
        except FileUnreadable:
            continue
        if "trial_name" in data or "task_name" in data:
            return Kind.TRIAL
        if data:
            return Kind.JOB
    return Kind.JOB if _holds_trials(directory) else Kind.OTHER
