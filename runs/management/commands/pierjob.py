"""`manage.py pierjob`: what can be done with job directories; a subcommand parses its arguments and makes one call."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from runs.errors import InputInvalid
from runs.management.analyzing import add_analyze, run_analyze
from runs.management.base import PierCommand

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from runs.jobs.resuming import Terms
    from runs.scheduling.local import Announce, JobRun

    Subcommands = _SubParsersAction[ArgumentParser]

Run = Callable[..., int]


class Command(PierCommand):
    help = (
        "List, show, analyze, compare, resume, regrade, reprice, cancel and index jobs; "
        "clean up after runs that were killed."
    )

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
        add_running_again(subcommands, resume=self.resume, rerun=self.rerun)
        add_regrade(subcommands, self.regrade)
        add_analyze(subcommands, self.analyze, positive)

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

    def resume(self, *, path: Path, filter_error_type: Sequence[str] | None, **options: Any) -> int:
        """The same output and exit code as pierrun."""
        from runs.formats.result import CANCELLED
        from runs.jobs.resuming import job_directory, run_again, unfinished
        from runs.management.running import show_run

        types = filter_error_type or [CANCELLED]
        terms = terms_of(options)
        directory = job_directory(str(path))
        return show_run(
            lambda announce: run_again(directory, lambda saved: unfinished(saved, types), terms, announce),
            self.stdout.write,
            quiet=options["quiet"],
        )

    def rerun(
        self, *, job: str, unscored: bool, errors: Sequence[str] | None, trial: Sequence[str], **options: Any
    ) -> int:
        """The same output and exit code as pierrun; with --dry-run a line for each trial."""
        from runs.jobs.rerunning import Wanted, lines_of, selected
        from runs.jobs.resuming import job_directory, run_again
        from runs.management.running import show_run
        from runs.progress import printable
        from runs.scheduling.saved import read_saved

        if not unscored and errors is None and not trial:
            raise InputInvalid("say which trials: --unscored, --errors [TYPE...] or --trial NAME")
        wanted = Wanted(unscored, errors, trial)
        terms = terms_of(options)
        directory = job_directory(job)
        if options["dry_run"]:
            for line in lines_of(selected(read_saved(directory), wanted)):
                self.stdout.write(printable(line))
            return 0
        return show_run(
            lambda announce: run_again(directory, lambda saved: selected(saved, wanted), terms, announce),
            self.stdout.write,
            quiet=options["quiet"],
        )

    def regrade(self, *, names: Sequence[str], yes: bool, env_file: Path | None, **options: Any) -> int:
        """The output of pierrun, then what has changed; 0 when everything could be regraded and nothing failed."""
        from pier_site.accounts.local import default_project
        from runs.jobs.regrading import Outcome, Wishes, lines_of, plan_regrade, run_regrade_job, without_agents
        from runs.management.running import show_run
        from runs.progress import printable
        from runs.scheduling.host_environment import confirm_host_variables
        from runs.scheduling.options import load_env_file
        from runs.scheduling.reap import reap_before

        if env_file:
            load_env_file(env_file)
        wishes = Wishes(**{name: options[name] for name in ("jobs_dir", "job_name", "n_concurrent", "tasks", "quiet")})
        wanted = plan_regrade(names, wishes)
        for refusal in wanted.refused:
            self.stderr.write(printable(f"{refusal.trial}: not regraded: {refusal.reason}"))
        confirm_host_variables(without_agents(wanted.config), assume_yes=yes or not sys.stdin.isatty())
        reap_before(wanted.config.environment)
        outcomes: list[Outcome] = []

        def run(announce: "Announce") -> "JobRun":
            outcomes.append(run_regrade_job(wanted, default_project(), announce))
            return outcomes[0].run

        show_run(run, self.stdout.write, quiet=wishes.quiet)
        for line in lines_of(outcomes[0], wanted):
            self.stdout.write(printable(line))
        return int(bool(wanted.refused) or not outcomes[0].is_whole)

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

    def analyze(self, **options: Any) -> int:
        """The telemetry of a job or trial; with -m what critics say of it."""
        return run_analyze(out=self.stdout, err=self.stderr, **options)

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


def add_running_again(subcommands: "Subcommands", *, resume: Run, rerun: Run) -> None:
    """The subcommands that run trials of a job that exists."""
    parser = subcommands.add_parser(
        "resume",
        help="go on with a job that was stopped: run what has not ended, keep what has",
        description="Only the job's saved config.json counts. Files of earlier executions go to executions/N/.",
    )
    parser.add_argument("-p", "--path", type=Path, required=True, metavar="DIR", help="the job directory, or its name")
    parser.add_argument(
        "-f", "--filter-error-type", action="append", metavar="TYPE",
        help="run trials again that ended with this exception (repeatable; default: CancelledError)",
    )  # fmt: skip
    parser.set_defaults(run=resume)
    again = subcommands.add_parser(
        "rerun",
        help="run trials of a job again that have ended, in its directory",
        description="Earlier files go to executions/N/. Only the job's saved config.json counts.",
    )
    again.add_argument("job", metavar="JOB", help="a job's name or directory")
    again.add_argument("--unscored", action="store_true", help="trials without a reward that counts")
    again.add_argument("--errors", nargs="*", metavar="TYPE", help="trials with these exceptions; without TYPE, any")
    again.add_argument("--trial", action="append", default=[], metavar="NAME", help="this trial (repeatable)")
    again.add_argument("--dry-run", action="store_true", help="list the trials, run nothing")
    again.set_defaults(run=rerun)
    for one in (parser, again):
        one.add_argument("-n", "--n-concurrent", type=int, metavar="N", help="trials at once, this time")
        one.add_argument("--env-file", type=Path, metavar="FILE", help="variables to load before anything else")
        one.add_argument("-y", "--yes", action="store_true", help="do not ask before giving host variables to tasks")
        one.add_argument("-q", "--quiet", action="store_true", help="plain lines, no display")
        one.add_argument("--accept-changes", action="store_true", help="run although tasks or settings have changed")


def add_regrade(subcommands: "Subcommands", run: Run) -> None:
    """`pierjob regrade`."""
    parser = subcommands.add_parser(
        "regrade",
        help="judge finished trials again, by the tests of today: no agent runs",
        description="The verifier gets what the agents left. A new job is written; the old one is not changed.",
    )
    parser.add_argument("names", nargs="+", metavar="JOB|TRIAL", help="a name or a directory")
    parser.add_argument("-o", "--jobs-dir", type=Path, default=Path("jobs"), metavar="DIR", help="default: jobs")
    parser.add_argument("--job-name", metavar="NAME", help="default: the first job's name and __regrade")
    parser.add_argument("-t", "--tasks", type=Path, metavar="PATH", help="the task, or folder of tasks, to judge by")
    parser.add_argument("-n", "--n-concurrent", type=positive, default=4, metavar="N", help="at once (default 4)")
    parser.add_argument("--env-file", type=Path, metavar="FILE", help="variables to load before anything else")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask before giving host variables to tasks")
    parser.add_argument("-q", "--quiet", action="store_true", help="plain lines, no display")
    parser.set_defaults(run=run)


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def terms_of(options: dict[str, Any]) -> "Terms":
    """What was agreed to on the command line; variables of --env-file are loaded."""
    from runs.jobs.resuming import Terms
    from runs.scheduling.options import load_env_file

    if options["n_concurrent"] is not None and options["n_concurrent"] < 1:
        raise InputInvalid(f"-n {options['n_concurrent']}: at least 1")
    if options["env_file"]:
        load_env_file(options["env_file"])
    return Terms(
        n_concurrent=options["n_concurrent"],
        accept_changes=options["accept_changes"],
        assume_yes=options["yes"] or not sys.stdin.isatty(),
    )
