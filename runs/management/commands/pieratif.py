"""`manage.py pieratif`: what can be done with trajectory files; a subcommand parses its arguments and makes one call."""

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from runs.management.base import PierCommand

Run = Callable[..., int]


class Command(PierCommand):
    help = "Check trajectory files in the Agent Trajectory Interchange Format."
    needs_database = False

    def add_arguments(self, parser: CommandParser) -> None:
        subcommands = parser.add_subparsers(
            dest="subcommand", metavar="COMMAND", required=True, parser_class=ArgumentParser
        )
        validate = subcommands.add_parser(
            "validate",
            help="say whether files are ATIF, and what in them can't be right",
            description="Without --strict a file is valid when it can be read; what is not by the letter is a warning.",
        )
        validate.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a trajectory, .json or .json.gz")
        validate.add_argument("--strict", action="store_true", help="valid is only what Harbor's validator accepts")
        validate.add_argument("--json", action="store_true", help="print one JSON list instead of text")
        validate.set_defaults(run=self.validate)

    def run(self, **options: Any) -> int:
        run: Run = options["run"]
        return run(**options)

    def validate(self, *, files: list[Path], strict: bool, json: bool, **_options: Any) -> int:
        """Print the verdict on each file; 0 when all are valid, else 1. A missing path is bad input."""
        from runs.trajectory_verdicts import print_verdicts

        return print_verdicts(files, strict=strict, as_json=json, say=self.stdout.write)
