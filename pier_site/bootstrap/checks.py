"""`make lint`, `make types`, `make test`: every stage runs, the first failure does not hide the next."""

import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass

from pier_site.bootstrap import packages
from pier_site.bootstrap.engine import engine_for_a_while
from pier_site.bootstrap.images import EXAMPLES, ensure_images
from pier_site.bootstrap.terminal import ROOT, run_program, say

PYTHON = sys.executable
WORKERS = "2"


@dataclass(frozen=True, slots=True)
class Stage:
    """One program that must end with 0."""

    name: str
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a stage went."""

    stage: Stage
    seconds: float
    exit_code: int


def script(name: str) -> str:
    """The path of a console script in this virtual environment."""
    return str(ROOT / ".venv/bin" / name)


LINT = (
    Stage("ruff check", (script("ruff"), "check", ".")),
    Stage("ruff format", (script("ruff"), "format", "--check", ".")),
    Stage("djlint", (script("djlint"), "--lint", "--quiet", "pier_site", "viewer", "critique")),
    Stage("import-linter", (script("lint-imports"),)),
    Stage("django check", (PYTHON, "manage.py", "check", "--fail-level", "WARNING")),
    Stage("migrations", (PYTHON, "manage.py", "makemigrations", "--check", "--dry-run")),
)
TYPES = (Stage("mypy", (script("mypy"),)),)
PYTEST = (PYTHON, "-m", "pytest", "-n", WORKERS, "--dist", "worksteal")
TESTS = (
    Stage("pytest", (*PYTEST, "-m", "not browser")),
    # By itself: Chromium gives up what it loads whenever a container's network interface comes or goes.
    Stage("pytest in the browser", (*PYTEST, "-m", "browser")),
    # The cluster is thrown away whole: dropping its databases one by one would only trip over idle connections.
    Stage("pytest on PostgreSQL", (PYTHON, "-m", "tests.support.postgres", *PYTEST, "--postgres", "--reuse-db")),
)


def lint() -> int:
    """Check the form and the types of the code."""
    return run_stages((*LINT, *TYPES))


def types() -> int:
    """Check the types of the code."""
    return run_stages(TYPES)


def test() -> int:
    """Install what tests need, start what they need, run everything, stop what was started."""
    os.chdir(ROOT)
    packages.need_browser()
    packages.need_postgres()
    with engine_for_a_while():
        ensure_images(EXAMPLES)
        return run_stages((*LINT, *TYPES, *TESTS))


def run_stages(stages: Iterable[Stage]) -> int:
    """Run each and print the time of each; return 1 when any failed."""
    outcomes = []
    for stage in stages:
        say(stage.name)
        started = time.monotonic()
        exit_code = run_program(stage.argv)
        outcomes.append(Outcome(stage, time.monotonic() - started, exit_code))
    for line in report(outcomes):
        say(line)
    return int(any(outcome.exit_code for outcome in outcomes))


def report(outcomes: list[Outcome]) -> list[str]:
    """One line a stage, then the failed ones by name."""
    lines = [
        f"{outcome.seconds:7.1f} s  {'failed' if outcome.exit_code else 'ok':6}  {outcome.stage.name}"
        for outcome in outcomes
    ]
    failed = [outcome.stage.name for outcome in outcomes if outcome.exit_code]
    return [*lines, f"failed: {', '.join(failed)}" if failed else "all good"]
