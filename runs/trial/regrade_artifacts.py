"""The artifacts that a finished trial collected, as its manifest tells; only those that really lie in its directory."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from runs.errors import FileUnreadable
from runs.formats.reading import read_json
from runs.formats.result import TrialResult
from runs.formats.task import ArtifactConfig
from runs.formats.task_directory import Task, TaskStep
from runs.sandboxes.compose.model import MAIN
from runs.trial.artifacts import MANIFEST, PRE_ARTIFACTS, Collected
from runs.trial.directory import Folders

# Of a line of the manifest; those without a default must be there.
MANIFEST_KEYS = {"source": None, "destination": None, "type": "file", "status": None, "service": MAIN}


def has_all(recorded: Sequence[Collected], declared: Sequence[ArtifactConfig]) -> bool:
    """Whether a separate verifier would get what was collected then."""
    known = {(line.source, line.service) for line in recorded}
    return bool(recorded) and all((item.source, item.service) in known for item in declared)


def has_other_hooks(task: Task, step: TaskStep | None, then: TrialResult) -> bool:
    """Whether other things might be collected now, under the same names."""
    hooks = [*task.config.verifier.collect, *(step.config.verifier.collect if step else [])]
    has_hooks = bool(hooks) or (task.path / PRE_ARTIFACTS).is_file()
    return has_hooks and then.task_checksum != task.checksum()


def recorded_artifacts(folders: Folders) -> Iterator[Collected]:
    """The lines of the manifest whose files are there; none of a manifest that is damaged or leads elsewhere."""
    try:
        data = read_json(folders.artifacts / MANIFEST, within=folders.root)
    except FileUnreadable:
        return
    for entry in data if isinstance(data, list) else ():
        line = _line(entry)
        if line is None or (line.status == "ok" and not _is_there(folders, line)):
            continue
        yield line


def _line(entry: Any) -> Collected | None:
    if not isinstance(entry, dict):
        return None
    words: list[Any] = [entry.get(key, default) for key, default in MANIFEST_KEYS.items()]
    if not all(isinstance(word, str) and "\0" not in word for word in words):
        return None
    return Collected(*words)


def _is_there(folders: Folders, line: Collected) -> bool:
    parts = PurePosixPath(line.destination).parts
    path = folders.root / line.destination
    is_ours = parts[:1] == ("artifacts",) and ".." not in parts
    return is_ours and path.exists() and path.resolve().is_relative_to(folders.artifacts.resolve())
