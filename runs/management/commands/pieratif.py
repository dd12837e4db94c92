"""`manage.py pieratif`: what can be done with trajectory files; a subcommand parses its arguments and calls."""

from argparse import ArgumentParser
from collections.abc import Callable
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandParser

from runs.errors import InputInvalid
from runs.formats.validation import shortened
from runs.management.base import PierCommand

if TYPE_CHECKING:
    from runs.formats.trajectory_file import Verdict

MAX_LINE_CHARS = 1000
Run = Callable[..., int]


class Command(PierCommand):
    help = "Check trajectory files in the Agent Trajectory Interchange Format; make them of the logs of agents."
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
        convert = subcommands.add_parser(
            "convert",
            help="make a trajectory of the logs that an agent left",
            description="Reads what a trial of Pier Site, pier or harbor has below agent/, or what the CLI left alone.",
        )
        convert.add_argument("agent", metavar="AGENT", help="whose logs they are, as `pieragent list` names it")
        convert.add_argument("logs", type=Path, metavar="LOG_DIR", help="the folder of the logs")
        convert.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="where to write it")
        convert.add_argument(
            "--instruction", type=Path, metavar="FILE", help="what the agent was asked, if logs lack it"
        )
        convert.add_argument("-m", "--model", metavar="NAME", help="the model, if logs lack it: for prices, too")
        convert.add_argument("--pricing", type=Path, metavar="FILE", help="prices that go before the list prices")
        convert.set_defaults(run=self.convert)

    def run(self, **options: Any) -> int:
        run: Run = options["run"]
        return run(**options)

    def validate(self, *, files: list[Path], strict: bool, json: bool, **_options: Any) -> int:
        """Print the verdict on each file; 0 when all are valid, else 1. A missing path is bad input."""
        from runs.formats.trajectory_file import as_json, exists, validate_file

        for path in files:
            if not exists(path):
                raise InputInvalid(f"{path}: there is no such file")
        verdicts = (validate_file(path, strict=strict) for path in files)
        if json:
            values = [as_json(verdict) for verdict in verdicts]
            self.stdout.write(dumps(values, indent=2))
            return int(not all(value["valid"] for value in values))
        invalid = [verdict.path for verdict in verdicts if not self.tell(verdict)]
        return int(bool(invalid))

    def convert(
        self,
        *,
        agent: str,
        logs: Path,
        output: Path,
        instruction: Path | None,
        model: str | None,
        pricing: Path | None,
        **_options: Any,
    ) -> int:
        """Write the trajectory and print what is in it; 1 when there is no step in the logs."""
        from runs.agents.converting import convert_logs

        converted = convert_logs(agent, logs, output, instruction=instruction, model=model, pricing=pricing)
        for warning in converted.warnings:
            self.stderr.write(shortened(f"warning: {warning}", MAX_LINE_CHARS))
        if not converted.n_steps:
            self.stderr.write(f"{logs}: no step of {agent} was found in it; nothing was written")
            return 1
        self.stdout.write(f"{output}: {converted.summary()}")
        return 0

    def tell(self, verdict: "Verdict") -> bool:
        """Print one file's block; returns whether the file is valid."""
        steps = "1 step" if verdict.n_steps == 1 else f"{verdict.n_steps:,} steps"
        known = f", {verdict.schema_version or 'no version'}, {steps}" if verdict.n_steps or verdict.valid else ""
        lines = [f"{verdict.path}: {'valid' if verdict.valid else 'invalid'}{known}"]
        lines += [f"  error: {complaint.sentence()}" for complaint in verdict.errors]
        lines += [f"  warning: {complaint.sentence()}" for complaint in verdict.warnings]
        self.stdout.write("\n".join(shortened(line, MAX_LINE_CHARS) for line in lines))
        return verdict.valid
