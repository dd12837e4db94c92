"""Rules on packages that are installed without a fixed version: the same task tomorrow is another one."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from runs.tasks.findings import Finding, Rule
from runs.tasks.installs import Install, install_of, unpinned_in_requirements
from runs.tasks.shell import Command
from runs.tasks.sources import TaskSources

UNPINNED_PACKAGE: Final = Rule(
    "unpinned-package", "warning", "a Python, Node, Go, Rust or Ruby package without a fixed version"
)
UNPINNED_SYSTEM_PACKAGE: Final = Rule(
    "unpinned-system-package", "warning", "a system package without a fixed version", is_default=False
)

RULES: Final = (UNPINNED_PACKAGE, UNPINNED_SYSTEM_PACKAGE)

_SHOWN: Final = 5


def check_packages(sources: TaskSources) -> Iterator[Finding]:
    """What Dockerfiles, test scripts and setup scripts of steps install."""
    for context in sources.contexts():
        commands = [
            command
            for instruction in sources.instructions(context)
            if instruction.name == "RUN"
            for command in instruction.commands()
        ]
        yield from _judge(sources, context / "Dockerfile", commands)
    scripts = [path for folder in sources.test_folders() for path in folder.glob("*.sh")]
    scripts += [step.directory / "workdir" / "setup.sh" for step in sources.task.steps]
    for script in sorted(set(scripts)):
        yield from _judge(sources, script, sources.commands(script))


def _judge(sources: TaskSources, file: Path, commands: list[Command]) -> Iterator[Finding]:
    for command in commands:
        install = install_of(command)
        if install is None:
            continue
        if install.unpinned:
            rule = UNPINNED_SYSTEM_PACKAGE if install.kind == "system" else UNPINNED_PACKAGE
            yield rule.at(sources.relative(file), command.line, f"{_named(install.unpinned)} without a fixed version")
        yield from _judge_lists(sources, file, install)


def _judge_lists(sources: TaskSources, file: Path, install: Install) -> Iterator[Finding]:
    """The requirements files of an install, where they lie beside the Dockerfile or the script."""
    for name in install.requirements:
        listed = file.parent / PurePosixPath(name).name if name else file
        text = sources.text(listed) if listed != file else None
        unpinned = list(unpinned_in_requirements(text or ""))
        if unpinned:
            packages = tuple(entry for _, entry in unpinned)
            yield UNPINNED_PACKAGE.at(
                sources.relative(listed), unpinned[0][0], f"{_named(packages)} without a fixed version"
            )


def _named(packages: tuple[str, ...]) -> str:
    shown = ", ".join(package[:60] for package in packages[:_SHOWN])
    more = (
        f" and {len(packages) - _SHOWN} more are" if len(packages) > _SHOWN else " are" if len(packages) > 1 else " is"
    )
    return f"{shown}{more} installed"


CHECKS: Final = (check_packages,)
