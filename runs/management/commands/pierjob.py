"""`manage.py pierjob`: what can be done with job directories; a subcommand parses its arguments and makes one call."""

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from runs.management.base import PierCommand

Run = Callable[..., int]


class Command(PierCommand):
    help = "Index job directories."

    def add_arguments(self, parser: CommandParser) -> None:
        subcommands = parser.add_subparsers(
            dest="subcommand", metavar="COMMAND", required=True, parser_class=ArgumentParser
        )
        index = subcommands.add_parser(
            "index",
            help="bring the database up to date with job directories written by Pier Site, pier or harbor",
            description="Only trials whose files changed are read. A broken file is reported and passed over.",
        )
        index.add_argument(
            "directories", nargs="+", type=Path, metavar="DIR", help="a job directory, or a folder of them"
        )
        index.set_defaults(run=self.index)

    def run(self, **options: Any) -> int:
        run: Run = options["run"]
        return run(**options)

    def index(self, *, directories: list[Path], **_options: Any) -> int:
        """One line a job, one line on stderr for all that was passed over; 0 even then."""
        from pier_site.accounts.local import default_project
        from runs.indexing.command import index_directories

        return index_directories(directories, default_project(), say=self.stdout.write, complain=self.stderr.write)
