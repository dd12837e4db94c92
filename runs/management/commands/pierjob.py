"""`manage.py pierjob`: what can be done with job directories; a subcommand parses its arguments and makes one call."""

from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from runs.errors import InputInvalid
from runs.management.base import PierCommand

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    Subcommands = _SubParsersAction[ArgumentParser]

Run = Callable[..., int]


class Command(PierCommand):
    help = "List, show, compare, reprice and cancel jobs; index job directories; clean up after runs that were killed."

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
        reap = subcommands.add_parser(
            "reap",
            help="clean up after runs that were killed: sandboxes, half-written files, rows that still say running",
            description="What is alive is not touched, nor what runs on other machines own. pierrun does this too.",
        )
        reap.set_defaults(run=self.reap)
        prune = subcommands.add_parser(
            "prune",
            help="remove old images and agents that were made here, and large files of finished trials",
            description="Never images of others, nor those that a container uses. Patches, logs and results stay.",
        )
        prune.add_argument("--older-than", required=True, metavar="AGE", help="a number and m, h, d or w: 12h, 7d")
        prune.add_argument("-o", "--jobs-dir", type=Path, default=Path("jobs"), metavar="DIR", help="default: jobs")
        prune.add_argument("--dry-run", action="store_true", help="say what would be removed, remove nothing")
        prune.set_defaults(run=self.prune)
        self._add_listing(subcommands)
        self._add_control(subcommands)

    def _add_listing(self, subcommands: "Subcommands") -> None:
        listing = subcommands.add_parser("list", help="list the jobs, newest first")
        listing.add_argument("--limit", type=int, default=20, metavar="N", help="at most so many; default: 20")
        show = subcommands.add_parser("show", help="show one job: agents, exceptions, trials in flight, projections")
        show.add_argument("job", nargs="?", metavar="JOB", help="a job's name (the newest of that name) or directory")
        show.add_argument("--last", action="store_true", help="the newest job")
        for parser in (listing, show):
            parser.add_argument("--json", action="store_true", help="print JSON")
        listing.set_defaults(run=self.list)
        show.set_defaults(run=self.show)

    def _add_control(self, subcommands: "Subcommands") -> None:
        cancel = subcommands.add_parser(
            "cancel",
            help="cancel a job or one trial",
            description="Queued trials are cancelled at once; running ones are stopped by their runner within seconds.",
        )
        cancel.add_argument("name", metavar="JOB|TRIAL", help="a name or a directory")
        cancel.set_defaults(run=self.cancel)
        diff = subcommands.add_parser(
            "diff",
            help="say which trials of a job could be reused from another, or regraded, or must be rerun, and why",
            description="Only files are read, also those of pier and harbor.",
        )
        diff.add_argument("old", metavar="A", help="the job that has results: a name or a directory")
        diff.add_argument("new", metavar="B", help="the job that wants some")
        diff.add_argument("--json", action="store_true", help="print JSON")
        diff.set_defaults(run=self.diff)
        reprice = subcommands.add_parser(
            "reprice",
            help="compute what a job would have cost at other prices, beside what was recorded",
            description="Recorded tokens are multiplied; nothing is run again, and nothing recorded is changed.",
        )
        reprice.add_argument("job", metavar="JOB", help="a job's name or directory")
        reprice.add_argument(
            "--pricing",
            required=True,
            type=Path,
            metavar="FILE",
            help="prices by model, as LiteLLM's registry has them",
        )
        reprice.add_argument("--json", action="store_true", help="print JSON")
        reprice.set_defaults(run=self.reprice)

    def run(self, **options: Any) -> int:
        run: Run = options["run"]
        return run(**options)

    def index(self, *, directories: list[Path], **_options: Any) -> int:
        """One line a job, one line on stderr for all that was passed over; 0 even then."""
        from pier_site.accounts.local import default_project
        from runs.indexing.command import index_directories

        return index_directories(directories, default_project(), say=self.stdout.write, complain=self.stderr.write)

    def reap(self, **_options: Any) -> int:
        """One line for each thing that was removed or marked; 0 also when there was nothing."""
        from runs.sandboxes.engine import Engine, EngineUnavailable
        from runs.scheduling.reap import reap

        engine: Engine | None = None
        try:
            engine = Engine.connect()
        except EngineUnavailable as error:
            self.stderr.write(f"containers were not looked for: {error}")
        for line in reap(engine.api if engine else None):
            self.stdout.write(line)
        if engine:
            engine.close()
        return 0

    def list(self, *, limit: int, json: bool, **_options: Any) -> int:
        """A table of jobs, or a JSON list."""
        from runs.jobs.listing import list_jobs
        from runs.jobs.printing import console_on, print_jobs

        if limit < 1:
            raise InputInvalid(f"--limit {limit}: at least 1")
        lines = list_jobs(limit)
        if json:
            self._write_json([asdict(line) for line in lines])
        elif lines:
            print_jobs(lines, console_on(self.stdout))
        else:
            self.stdout.write("there is no job yet")
        return 0

    def show(self, *, job: str | None, last: bool, json: bool, **_options: Any) -> int:
        """The report on a job, or a JSON object."""
        from runs.jobs.naming import find_job
        from runs.jobs.printing import console_on, print_report
        from runs.jobs.showing import job_report

        report = job_report(find_job(job, last=last))
        if json:
            self._write_json(asdict(report))
        else:
            print_report(report, console_on(self.stdout))
        return 0

    def cancel(self, *, name: str, **_options: Any) -> int:
        """One line; what runs is stopped by its runner, soon after this command has ended."""
        from runs.jobs.cancelling import cancel

        done = cancel(name)
        self.stdout.write(f"{done.name}: {done.n_queued} queued cancelled, {done.n_running} running asked to stop")
        return 0

    def diff(self, *, old: str, new: str, json: bool, **_options: Any) -> int:
        """Groups of trials with the same decision for the same reasons, or a JSON object; 0 whatever was found."""
        from runs.jobs.differing import diff_jobs, lines_of
        from runs.progress import printable

        found = diff_jobs(old, new)
        for problem in found.problems:
            self.stderr.write(printable(problem))
        if json:
            self._write_json({**asdict(found), "counts": found.counts})
        else:
            for line in lines_of(found):
                self.stdout.write(printable(line))
        return 0

    def reprice(self, *, job: str, pricing: Path, json: bool, **_options: Any) -> int:
        """The totals and one line a trial, or a JSON object."""
        from runs.jobs.repricing import lines_of, reprice
        from runs.progress import printable

        repricing = reprice(job, pricing)
        if json:
            self._write_json(asdict(repricing))
        else:
            for line in lines_of(repricing):
                self.stdout.write(printable(line))
        return 0

    def _write_json(self, value: Any) -> None:
        self.stdout.write(dumps(value, cls=DjangoJSONEncoder, indent=2))

    def prune(self, *, older_than: str, jobs_dir: Path, dry_run: bool, **_options: Any) -> int:
        """One line for each thing that was removed, or that could not be."""
        from runs.sandboxes.engine import Engine, EngineUnavailable
        from runs.scheduling.prune import age_sec, prune_files, prune_images, prune_installs

        age = age_sec(older_than)
        for line in (*prune_files(jobs_dir, age, dry_run=dry_run), *prune_installs(age, dry_run=dry_run)):
            self.stdout.write(line)
        try:
            engine = Engine.connect()
        except EngineUnavailable as error:
            self.stderr.write(f"images were not looked for: {error}")
            return 0
        for line in prune_images(engine.api, age, dry_run=dry_run):
            self.stdout.write(line)
        engine.close()
        return 0
