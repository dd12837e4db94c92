"""Lint: one verdict a task, from its files alone. Nothing is executed, built or fetched."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from runs.errors import FileUnreadable, InputInvalid, TaskInvalid
from runs.formats.reading import TomlInvalid, parse_toml, read_text
from runs.formats.task_directory import MAX_TASK_TOML_BYTES, TASK_FILE, Task, find_tasks, load_task
from runs.formats.validation import nearest
from runs.tasks.findings import Finding, Verdict
from runs.tasks.rules import CHECKS, RULES
from runs.tasks.rules.configuration import DANGEROUS_KEY, INVALID_TASK, UNQUALIFIED_NAME, check_keys
from runs.tasks.sources import TaskSources
from runs.tasks.toml_lines import TomlLines

DEFAULT: Final = frozenset(rule.name for rule in RULES.values() if rule.is_default)
# A task that cannot be loaded is never called valid, whatever rules are chosen.
ALWAYS: Final = frozenset({INVALID_TASK.name, DANGEROUS_KEY.name})
_MAX_FINDINGS: Final = 500


def chosen_rules(select: Sequence[str] = (), ignore: Sequence[str] = ()) -> frozenset[str]:
    """The names of the rules to apply. `select` takes names, `default` and `all`; `ignore` takes names.

    Raises InputInvalid for a name that no rule has.
    """
    groups = {"default": DEFAULT, "all": frozenset(RULES)}
    chosen: set[str] = set()
    for name in select or ["default"]:
        chosen |= groups.get(name) or {_known(name, [*RULES, *groups])}
    return frozenset(chosen - {_known(name, RULES) for name in ignore}) | ALWAYS


def lint_paths(
    paths: Sequence[Path], *, rules: frozenset[str] = DEFAULT, lenient_names: bool = False
) -> Iterator[Verdict]:
    """The verdict of each task and of each task of each dataset, in the order given, none twice.

    Raises DatasetInvalid, before the first verdict, for a path that is neither.
    """
    found = [task for path in paths for task in find_tasks(path)]
    tasks = {task.resolve(): task for task in reversed(found)}
    for task in dict.fromkeys(tasks[task.resolve()] for task in found):
        yield lint_task(task, rules=rules, lenient_names=lenient_names)


def lint_task(directory: Path, *, rules: frozenset[str] = DEFAULT, lenient_names: bool = False) -> Verdict:
    """The verdict of one task directory."""
    root = directory.resolve()
    text = _toml_text(root)
    data, lines = _parsed(text or ""), TomlLines(text or "")
    findings = list(check_keys(data, lines, lenient_names=lenient_names)) if data else []
    task, problem = _loaded(root, lenient_names=lenient_names)
    if problem and not any(finding.severity == "error" for finding in findings):
        findings.append(problem)
    # What else is wrong with a task is said at once, and not only when its name or its test script is there.
    readable = task or _loaded(root, lenient_names=True, verification=False)[0]
    if readable:
        findings += _by_rules(TaskSources(readable, lines))
    # Without lenient names the same is an error already.
    applied = rules if lenient_names else rules - {UNQUALIFIED_NAME.name}
    chosen = dict.fromkeys(finding for finding in findings if finding.rule in applied)
    name = task.name if task else _written_name(data)
    # Errors first: they must not fall to the limit.
    ordered = sorted(chosen, key=lambda finding: finding.severity != "error")
    return Verdict(str(directory), name, tuple(ordered[:_MAX_FINDINGS]))


def _by_rules(sources: TaskSources) -> list[Finding]:
    findings: list[Finding] = []
    try:
        for check in CHECKS:
            findings += check(sources)
    except OSError as error:  # a folder that this user may not read
        place = error.filename or "a file of the task"
        findings.append(INVALID_TASK.at(None, None, f"{place}: {error.strerror or error}"))
    return findings


def _known(name: str, names: Sequence[str] | dict[str, Any]) -> str:
    if name in names:
        return name
    close = nearest(name, names)
    raise InputInvalid(f"there is no lint rule {name!r}{f', did you mean {close!r}?' if close else ''}")


def _toml_text(root: Path) -> str | None:
    try:
        return read_text(root / TASK_FILE, MAX_TASK_TOML_BYTES, within=root)
    except FileUnreadable:
        return None


def _parsed(text: str) -> dict[str, Any]:
    try:
        return parse_toml(text)
    except TomlInvalid:
        return {}


def _loaded(root: Path, *, lenient_names: bool, verification: bool = True) -> tuple[Task | None, Finding | None]:
    """The task, or why it cannot be loaded."""
    try:
        return load_task(root, lenient_names=lenient_names, verification=verification), None
    except TaskInvalid as error:
        place = error.path.relative_to(root).as_posix() if error.path.is_relative_to(root) else str(error.path)
        shown = "" if place == "." else f"{place}: "
        return None, INVALID_TASK.at(None if place == "." else place, None, f"{shown}{error.reason}")


def _written_name(data: dict[str, Any]) -> str | None:
    package = data.get("task")
    name = package.get("name") if isinstance(package, dict) else None
    return name if isinstance(name, str) else None
