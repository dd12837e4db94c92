"""Lays out on this machine what a critic finds at /critique/input: task, trial, workspace, numbered text, critiques.

The folder is made to be mounted read-only; files of it may be hard links to the reviewed run's.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import zstandard

from critique.citations.formats import CITATIONS_FILE
from critique.formats.config import CRITIQUES_FOLDER
from critique.formats.contract import RESULT_FILE
from critique.formats.records import RECORD
from critique.inputs.copying import FOLDER_MODE, copy_folder, make_folder, write_file, write_masked
from critique.inputs.masking import Masker, known_secrets
from critique.inputs.text import write_text
from critique.inputs.trajectories import trajectories_of
from critique.summary import MAX_CRITIQUES, overview
from runs.errors import FileUnreadable, SandboxFailed
from runs.formats.reading import read_json
from runs.sandboxes.extraction import ExtractionLimitReached, extract
from runs.trial.directory import EXECUTIONS, WORKSPACE
from runs.trial.final_state import workspace_chunks

INPUT: Final = "/critique/input"
TASK: Final = "task"
TRIAL: Final = "trial"
WORKSPACE_FOLDER: Final = "workspace"
TEXT: Final = "text"
CRITIQUE: Final = "critique.json"
CRITIQUES: Final = "critiques"
NOTES: Final = "NOTES.txt"
# Of a critique's directory, for a critic who sums up.
_OF_CRITIQUES: Final = (RECORD, CITATIONS_FILE, f"artifacts/{RESULT_FILE}")
# What others said of the trial, written into its directory by pier's and harbor's analyze.
_OPINIONS: Final = frozenset({"analysis.json", "analysis.md"})
_UNPACKED: Final = ".unpacked"
_MAX_CONFIG_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at: directories of a task and a trial, and earlier critiques (a result file, directories)."""

    task: Path | None
    trial: Path | None
    critique: Path | None = None
    critiques: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Staged:
    """What was laid out. `n_steps` counts those of all trajectories; `notes` say what is not given, a sentence each."""

    folder: Path
    n_steps: int
    has_workspace: bool
    notes: tuple[str, ...] = ()


def stage_input(subject: Subject, folder: Path) -> Staged:
    """Fill `folder`, which may exist and must be empty. Reads and checks every byte; raises FileUnreadable where a
    directory is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(FOLDER_MODE)
    masker = Masker(known_secrets(_configs(subject.trial)))
    notes: list[str] = []
    n_steps, has_workspace = 0, False
    if subject.task is not None:
        # Its author's words are no secrets of a run: tests may well be about things that look like some.
        copied = copy_folder(subject.task.resolve(), folder / TASK, masker.without_looks())
        notes += copied.notes(TASK)
    if subject.trial is not None:
        notes += _stage_trial(subject.trial, folder, masker)
        has_workspace = _stage_workspace(subject.trial, folder, masker, notes)
        n_steps = write_text(trajectories_of(folder / TRIAL), folder / TEXT).n_steps
    if subject.critique is not None:
        _stage_critique(subject.critique, folder / CRITIQUE, masker)
    if subject.critiques:
        _stage_critiques(subject.critiques, folder / CRITIQUES, masker)
    if notes:
        write_file(folder / NOTES, [f"{note}\n".encode("utf-8", "replace") for note in notes])
    return Staged(folder, n_steps, has_workspace, tuple(notes))


def _configs(trial: Path | None) -> Iterator[Any]:
    """Configurations of the run, for the variables that they name; those that cannot be read name none."""
    for path in [trial / "config.json", trial / "result.json", trial.parent / "config.json"] if trial else []:
        try:
            yield read_json(path, max_bytes=_MAX_CONFIG_BYTES, lenient=True, within=path.parent)
        except FileUnreadable:
            continue


def _stage_trial(trial: Path, folder: Path, masker: Masker) -> list[str]:
    left_out = {EXECUTIONS, f"{EXECUTIONS}.txt", WORKSPACE, CRITIQUES_FOLDER, *_OPINIONS}
    copied = copy_folder(trial, folder / TRIAL, masker, is_record=True, leave_out=left_out.__contains__)
    notes = copied.notes(TRIAL)
    if n_executions := _n_executions(trial / EXECUTIONS):
        note = f"{TRIAL}: what {n_executions} earlier executions of this attempt left is not given"
        write_file(folder / TRIAL / f"{EXECUTIONS}.txt", [f"{note}.\n".encode()])
        notes.append(note)
    return notes


def _n_executions(folder: Path) -> int:
    try:
        return sum(1 for path in folder.iterdir() if path.name.isdecimal()) if not folder.is_symlink() else 0
    except OSError:
        return 0


def _stage_workspace(trial: Path, folder: Path, masker: Masker, notes: list[str]) -> bool:
    """Unpack what was kept of the working directory, then give it as any other folder; whether there is any."""
    archive = trial / WORKSPACE
    if archive.is_symlink() or not archive.is_file():
        notes.append(f"{WORKSPACE_FOLDER}: the final working directory was not kept")
        return False
    unpacked = folder / _UNPACKED
    try:
        make_folder(unpacked)
        try:
            done = extract(workspace_chunks(archive), unpacked)
            if done.refused:
                notes.append(f"{WORKSPACE_FOLDER}: {len(done.refused):,} links and special files left out")
        except ExtractionLimitReached as error:
            notes.append(f"{WORKSPACE_FOLDER}: not whole: {error}")
        copied = copy_folder(unpacked, folder / WORKSPACE_FOLDER, masker)
        notes += copied.notes(WORKSPACE_FOLDER)
    except (SandboxFailed, FileUnreadable, zstandard.ZstdError) as error:
        notes.append(f"{WORKSPACE_FOLDER}: the final working directory could not be unpacked: {error}")
        return False
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    return True


def _stage_critique(critique: Path, target: Path, masker: Masker) -> None:
    """Put an earlier critique's result there. Raises FileUnreadable where there is none."""
    source = critique / "artifacts" / RESULT_FILE if critique.is_dir() else critique
    if not write_masked(source, target, masker):
        raise FileUnreadable(source, "is not a critique's result")


def _stage_critiques(critiques: tuple[Path, ...], folder: Path, masker: Masker) -> None:
    """A folder for each critique's directory, with its files that say what came of it; beside them an overview."""
    make_folder(folder)
    for name, text in overview(critiques):
        write_file(folder / name, [masker.data(text.encode("utf-8", "replace"))])
    for critique in critiques[:MAX_CRITIQUES]:
        target = folder / critique.name
        make_folder(target)
        for name in _OF_CRITIQUES:
            write_masked(critique / name, target / Path(name).name, masker)
