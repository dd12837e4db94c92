"""The public tasks get harbor's verdict."""

from pathlib import Path

import pytest

from runs.formats.reading import read_json
from runs.formats.task_directory import find_tasks
from runs.tasks.lint import chosen_rules, lint_task

pytestmark = pytest.mark.corpora


def test_every_task_gets_harbors_verdict(corpora: Path) -> None:
    expected = read_json(corpora / "tasks" / "expected.json")
    for path in find_tasks(corpora / "tasks"):
        verdict = lint_task(path, rules=chosen_rules(["all"]))
        assert verdict.valid == expected[path.name]["harbor_0_25_valid"], (path, verdict.errors)


def test_tasks_without_a_name_are_valid_under_the_name_of_their_folder(corpora: Path) -> None:
    for name in ("s09-sgt-004", "s10-tac-dependency-change"):
        verdict = lint_task(corpora / "tasks" / name, lenient_names=True)
        assert (verdict.valid, verdict.name) == (True, name)


def test_what_is_known_of_the_public_tasks_is_found(corpora: Path) -> None:
    known = {
        ("s03-simple-task", "verifier-installs"),
        ("s09-sgt-004", "unknown-key"),
        ("s10-tac-dependency-change", "no-reward"),
        ("s10-tac-dependency-change", "missing-copy-source"),
        ("s11-actionlint-action-pinning-lint", "unpinned-image"),
        ("s12-aiomonitor-task-snapshots-diff", "unpinned-package"),
        ("s13-adr-edit-detection", "legacy-key"),
    }
    for name, rule in known:
        assert rule in {finding.rule for finding in lint_task(corpora / "tasks" / name).findings}, (name, rule)
