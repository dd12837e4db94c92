"""The files of one task as the rules look at them: read within limits, never outside the task, never twice.

Hostile files (huge, special, links that lead out) are simply not seen; loading the task names those that matter.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from runs.errors import FileUnreadable
from runs.formats.network import NetworkMode, resolve_network
from runs.formats.reading import read_text
from runs.formats.task_directory import Task, TaskStep
from runs.tasks.dockerfile import Instruction, instructions_of
from runs.tasks.shell import Command, commands_of
from runs.tasks.toml_lines import TomlLines

MAX_SOURCE_BYTES: Final = 512 * 1024
MAX_FILES_LOOKED_AT: Final = 5_000


@dataclass(slots=True)
class TaskSources:
    """A task that loads, with the places of its keys and its files."""

    task: Task
    lines: TomlLines
    _texts: dict[Path, str | None] = field(default_factory=dict)
    _commands: dict[Path, list[Command]] = field(default_factory=dict)

    def text(self, path: Path) -> str | None:
        """The text of a file of the task, or None for what is not there, too large or not a file."""
        if path not in self._texts:
            try:
                self._texts[path] = read_text(path, MAX_SOURCE_BYTES, within=self.task.path, lenient=True)
            except FileUnreadable:
                self._texts[path] = None
        return self._texts[path]

    def relative(self, path: Path) -> str:
        """The path of a file for a finding."""
        return path.relative_to(self.task.path).as_posix()

    def files_in(self, directory: Path) -> Iterator[Path]:
        """Regular files below a directory, links left out, in order of their names, at most so many."""
        count = 0
        for folder, names, files in os.walk(directory):
            names[:] = sorted(name for name in names if name != ".git")
            for name in sorted(files):
                path = Path(folder, name)
                count += 1
                if count > MAX_FILES_LOOKED_AT:
                    return
                if path.is_file() and not path.is_symlink():
                    yield path

    def contexts(self) -> list[Path]:
        """The build contexts: the agent's, its services', and those of separate verifiers."""
        folders = [self.task.environment_dir, *self.test_folders()]
        services = [path.parent for path in self.files_in(self.task.environment_dir) if path.name == "Dockerfile"]
        return list(dict.fromkeys(folder for folder in (*folders, *services) if (folder / "Dockerfile").is_file()))

    def instructions(self, context: Path) -> list[Instruction]:
        """The instructions of a context's Dockerfile."""
        return list(instructions_of(self.text(context / "Dockerfile") or ""))

    def test_folders(self) -> list[Path]:
        """The folders with tests: the task's shared one and those of its steps."""
        folders = [self.task.tests_dir, *(step.directory / "tests" for step in self.task.steps)]
        return [folder for folder in folders if folder.is_dir()]

    def solution_folders(self) -> list[Path]:
        """The folders with solutions: the task's and those of its steps."""
        folders = [self.task.solution_dir, *(step.directory / "solution" for step in self.task.steps)]
        return [folder for folder in folders if folder.is_dir()]

    def stages(self) -> tuple[TaskStep | None, ...]:
        """What is judged one after the other: the steps, or the task itself as None."""
        return self.task.steps or (None,)

    def commands(self, script: Path) -> list[Command]:
        """The commands of a shell script of the task."""
        if script not in self._commands:
            self._commands[script] = list(commands_of(self.text(script) or ""))
        return self._commands[script]

    def verifier_network(self, folder: Path) -> NetworkMode:
        """How far the scripts of a test folder reach; of several steps that share one, the least counts."""
        modes = [
            resolve_network(self.task.config, "verifier", step.config if step else None).mode
            for step in self.stages()
            if step is None or folder in (self.task.tests_dir, step.directory / "tests")
        ]
        return NetworkMode.CLOSED if NetworkMode.CLOSED in modes else modes[0]

    def instructions_of_agent(self) -> list[Instruction]:
        """The instructions that make the agent's image, none where it is prebuilt."""
        return self.instructions(self.task.environment_dir)
