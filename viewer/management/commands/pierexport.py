"""`manage.py pierexport`: take a trial away as a file."""

import argparse
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from runs.errors import InputInvalid
from runs.management.base import PierCommand
from viewer.export.finding import find_trial
from viewer.export.page import MAX_STEPS, trial_page


class Command(PierCommand):
    help = "Take a trial away as a file that needs no site."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
        html = commands.add_parser("html", help="one page that opens offline: all steps, no script, nothing remote")
        html.add_argument(
            "trial", metavar="TRIAL", help="a trial directory, a trial's name, or the number in its address"
        )
        html.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: TRIAL's name with .html, here")
        html.add_argument(
            "--max-steps", type=_positive, default=MAX_STEPS, help=f"steps in the page at most. Default: {MAX_STEPS:,}"
        )
        html.add_argument("--force", action="store_true", help="replace FILE where it exists")

    def run(self, **options: Any) -> int:
        trial = find_trial(options["trial"])
        output: Path = options["output"] or Path(f"{trial.name}.html")
        if output.is_dir():
            raise InputInvalid(f"{output} is a folder: name a file with -o")
        if not output.parent.is_dir():
            raise InputInvalid(f"{output.parent} is not a folder: make it, or choose another place with -o")
        if output.exists() and not options["force"]:
            raise InputInvalid(f"{output} exists: choose another name with -o, or replace it with --force")
        size = _write(output, trial_page(trial, max_steps=options["max_steps"]))
        self.stdout.write(f"{output}: {size / 1e6:.1f} MB")
        return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of steps")
    return number


def _write(output: Path, pieces: Iterable[str]) -> int:
    """Write the pieces beside `output`, then put them in its place: half a page is never left under its name."""
    descriptor, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            size = sum(file.write(piece.encode("utf-8", "replace")) for piece in pieces)
        temporary.chmod(0o644)
        temporary.replace(output)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return size
