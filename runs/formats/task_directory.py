"""A task as it lies on disk: which directories are tasks, what each holds, and a digest of all of it.

Nothing is run and nothing is written; what the keys of task.toml mean is `task`'s business.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from runs.errors import FileUnreadable, InputInvalid, TaskInvalid
from runs.formats.reading import read_text, stays_within
from runs.formats.task import EnvironmentSection, TaskConfig, TaskStepConfig, parse_task_toml, strip_canary

TASK_FILE: Final = "task.toml"
MAX_TASK_TOML_BYTES: Final = 1024 * 1024
MAX_INSTRUCTION_BYTES: Final = 16 * 1024 * 1024
MAX_TASK_FILES: Final = 200_000

_COMPOSE_NAMES: Final = ("docker-compose.yaml", "docker-compose.yml")
_SCRIPT_SUFFIX: Final = {"linux": ".sh", "windows": ".bat"}
_CHUNK_BYTES: Final = 1024 * 1024


class DatasetInvalid(InputInvalid):
    """A path holds neither a task nor tasks."""


@dataclass(frozen=True, slots=True)
class TaskStep:
    """One `[[steps]]` entry with its directory and its instruction, canary lines removed."""

    name: str
    directory: Path
    instruction: str
    config: TaskStepConfig


@dataclass(frozen=True, slots=True)
class Task:
    """A task that can be run. `instruction` is None where the steps have their own; `path` is absolute."""

    path: Path
    name: str
    config: TaskConfig
    instruction: str | None
    steps: tuple[TaskStep, ...]
    warnings: tuple[str, ...]

    @property
    def environment_dir(self) -> Path:
        """The build context of the agent's sandbox."""
        return self.path / "environment"

    @property
    def tests_dir(self) -> Path:
        """The task's tests, and the build context of a separate verifier."""
        return self.path / "tests"

    @property
    def solution_dir(self) -> Path:
        """What the oracle uploads."""
        return self.path / "solution"

    @property
    def compose_file(self) -> Path | None:
        """The task's docker-compose file, if it has one."""
        return compose_file_in(self.environment_dir)

    def checksum(self) -> str:
        """The digest of the whole directory, read anew; see `task_digest`."""
        return task_digest(self.path)


def is_task_directory(path: Path) -> bool:
    """Whether a directory means to be a task: it has a task.toml, valid or not."""
    return (path / TASK_FILE).is_file() and not path.name.startswith(".")


def find_tasks(path: Path) -> list[Path]:
    """The task directory itself, or the task directories right inside it, sorted by name.

    Tasks that will not load are listed too: they become failed trials with a reason. Raises `DatasetInvalid`.
    """
    try:
        if (path / TASK_FILE).is_file():
            return [path]
        if not path.is_dir():
            raise DatasetInvalid(f"{path}: {'is not a directory' if path.exists() else 'does not exist'}")
        tasks = sorted((child for child in path.iterdir() if is_task_directory(child)), key=lambda child: child.name)
    except (OSError, ValueError) as error:
        raise DatasetInvalid(f"{path}: {error}") from None
    if not tasks:
        raise DatasetInvalid(f"{path}: is neither a task (no {TASK_FILE}) nor a directory of tasks")
    return tasks


def load_task(directory: Path, *, lenient_names: bool = False, verification: bool = True) -> Task:
    """Read a task directory; without `verification` no test script is asked for.

    `lenient_names` accepts a missing or unqualified name and uses the directory's. Raises `TaskInvalid`.
    """
    root = directory.resolve()
    if not root.is_dir():
        raise TaskInvalid(directory, "is not a directory")
    escaping = next(_escaping_links(root), None)
    if escaping:
        raise TaskInvalid(escaping, f"is a symlink that leads out of the task directory {directory}")
    toml = parse_task_toml(
        _read(root, TASK_FILE, MAX_TASK_TOML_BYTES), path=root / TASK_FILE, lenient_names=lenient_names
    )
    config = toml.config
    _check_environment(root, config)
    task = Task(
        path=root,
        name=(config.task and config.task.package_name) or root.name,
        config=config,
        instruction=None if config.steps else strip_canary(_read(root, "instruction.md", MAX_INSTRUCTION_BYTES)),
        steps=tuple(_load_step(root, step) for step in config.steps or ()),
        warnings=tuple(toml.warnings),
    )
    if verification:
        _check_test_scripts(task)
    return task


def verifier_is_separate(task: Task, step: TaskStep | None = None) -> bool:
    """Whether the verifier works in a sandbox of its own: the step's word counts first, then the task's."""
    mode = (step and step.config.verifier.mode) or task.config.verifier.mode or "shared"
    return mode == "separate"


def verifier_environment(task: Task, step: TaskStep | None = None) -> EnvironmentSection:
    """What a separate verifier's sandbox wants: the step's section, else the task's, else the agent's environment."""
    own = (step and step.config.verifier.environment) or task.config.verifier.environment
    return own or task.config.environment


def script_in(directory: Path, base: str, os_name: Literal["linux", "windows"] = "linux") -> Path | None:
    """The script `base` in a directory as the task's system can run it (`.sh`, on Windows `.bat`)."""
    script = directory / f"{base}{_SCRIPT_SUFFIX[os_name]}"
    return script if script.is_file() else None


def find_test_script(task: Task, step: TaskStep | None = None) -> Path | None:
    """The test script that judges the task or the step: the step's own wins over the shared one."""
    places = ([step.directory / "tests"] if step else []) + [task.tests_dir]
    return next(filter(None, (script_in(place, "test", task.config.environment.os) for place in places)), None)


def compose_file_in(directory: Path) -> Path | None:
    """The docker-compose file of a build context, if it has one."""
    return next((directory / name for name in _COMPOSE_NAMES if (directory / name).is_file()), None)


def task_digest(path: Path) -> str:
    """`sha256:<hex>` over every file in order of its path, as `relative path, NUL, content, NUL`, without `.git`.

    Reads the whole directory. Raises `TaskInvalid` for what can't be read or leads out of it.
    """
    digest = hashlib.sha256()
    files = {file.relative_to(path).as_posix(): file for file in _files(path)}
    for relative in sorted(files):
        digest.update(os.fsencode(relative) + b"\0")
        try:
            _add_content(digest, files[relative], path)
        except OSError as error:
            raise TaskInvalid(files[relative], error.strerror or str(error)) from None
        digest.update(b"\0")
    return f"sha256:{digest.hexdigest()}"


def _add_content(digest: "hashlib._Hash", file: Path, root: Path) -> None:
    if file.is_symlink() and not stays_within(file, root):
        raise TaskInvalid(file, f"is a symlink that leads out of the task directory {root}")
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)


def _files(root: Path) -> Iterator[Path]:
    """Regular files and links to them; FIFOs, sockets and anything under `.git` are left out."""
    count = 0
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if name != ".git"]
        for name in files:
            file = Path(directory, name)
            if name != ".git" and file.is_file():
                count += 1
                if count > MAX_TASK_FILES:
                    raise TaskInvalid(root, f"holds more than {MAX_TASK_FILES:,} files")
                yield file


def _escaping_links(root: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            entry = Path(directory, name)
            if entry.is_symlink() and not stays_within(entry, root):
                yield entry


def _read(root: Path, name: str, max_bytes: int) -> str:
    try:
        return read_text(root / name, max_bytes, within=root)
    except FileUnreadable as error:
        raise TaskInvalid(error.path, error.reason) from None


def _load_step(root: Path, config: TaskStepConfig) -> TaskStep:
    directory = root / "steps" / config.name
    if not directory.is_dir():
        raise TaskInvalid(directory, "the directory of this step does not exist")
    instruction = strip_canary(_read(root, f"steps/{config.name}/instruction.md", MAX_INSTRUCTION_BYTES))
    return TaskStep(config.name, directory, instruction, config)


def _check_environment(root: Path, config: TaskConfig) -> None:
    environment = root / "environment"
    if not environment.is_dir() and not config.environment.docker_image:
        raise TaskInvalid(environment, "does not exist, and task.toml names no docker_image instead")


def _check_test_scripts(task: Task) -> None:
    """Every shared verifier needs its script here; a separate one may have it in its image."""
    suffix = _SCRIPT_SUFFIX[task.config.environment.os]
    for step in task.steps or (None,):
        if find_test_script(task, step):
            continue
        if verifier_is_separate(task, step) and _has_verifier_image(task, step):
            continue
        place = f"steps/{step.name}/tests or tests" if step else "tests"
        raise TaskInvalid(task.path, f"has no test{suffix} in {place}")


def _has_verifier_image(task: Task, step: TaskStep | None) -> bool:
    if verifier_environment(task, step).docker_image:
        return True
    places = ([step.directory / "tests"] if step else []) + [task.tests_dir]
    return any((place / "Dockerfile").is_file() or compose_file_in(place) for place in places)
