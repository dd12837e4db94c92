"""`manage.py pieragent`: which agents there are, and what each takes."""

from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import asdict
from json import dumps
from typing import Any

from django.core.management.base import CommandParser

from runs.management.base import PierCommand

Run = Callable[..., int]


class Command(PierCommand):
    help = "List the agents; show the arguments, variables, hosts and logs of one."
    needs_database = False

    def add_arguments(self, parser: CommandParser) -> None:
        subcommands = parser.add_subparsers(
            dest="subcommand", metavar="COMMAND", required=True, parser_class=ArgumentParser
        )
        listing = subcommands.add_parser("list", help="list the agents that a job can name")
        show = subcommands.add_parser("show", help="show all that one agent declares")
        show.add_argument("agent", metavar="NAME")
        for parser_of in (listing, show):
            parser_of.add_argument("--json", action="store_true", help="print JSON")
        listing.set_defaults(run=self.list)
        show.set_defaults(run=self.show)

    def run(self, **options: Any) -> int:
        run: Run = options["run"]
        return run(**options)

    def list(self, *, json: bool, **_options: Any) -> int:
        """One line an agent, or a JSON list."""
        from runs.agents.describing import list_agents

        lines = list_agents()
        if json:
            self.stdout.write(dumps([asdict(line) for line in lines], indent=2))
        else:
            for line in lines:
                self.stdout.write(f"{line.name:<16} {line.version:<10} {line.title}")
        return 0

    def show(self, *, agent: str, json: bool, **_options: Any) -> int:
        """The agent's page, or a JSON object."""
        from runs.agents.describing import as_json, describe_agent, lines_of

        page = describe_agent(agent)
        if json:
            self.stdout.write(dumps(as_json(page), indent=2))
        else:
            for line in lines_of(page):
                self.stdout.write(line)
        return 0
