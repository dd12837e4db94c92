"""What the tests of lint share: a clean task to spoil, and the findings of one rule."""

from pathlib import Path

from runs.tasks.findings import Finding
from runs.tasks.lint import chosen_rules, lint_task
from tests.support.tasks import make_task


def clean_task(parent: Path, **changes: str) -> Path:
    """A task in which lint finds nothing."""
    return make_task(parent, **changes)


def write(path: Path, text: str) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def found(task: Path, rule: str) -> list[Finding]:
    """What one rule finds in a task, with all rules on."""
    verdict = lint_task(task, rules=chosen_rules(["all"]))
    return [finding for finding in verdict.findings if finding.rule == rule]


def places(task: Path, rule: str) -> list[str]:
    """Where one rule finds something, as `file:line`."""
    return [f"{finding.file}:{finding.line}" for finding in found(task, rule)]
