"""`manage.py piercritique`: have fresh agents in fresh sandboxes look at finished trials, or at tasks."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandParser

from runs.errors import InputInvalid
from runs.management.base import PierCommand
from runs.management.commands.pierrun import add_sandbox, positive

if TYPE_CHECKING:
    from critique.models import CritiqueRun
    from critique.running.planning import Plan
    from critique.running.run import Outcome
    from pier_site.accounts.models import Project
    from runs.scheduling.local import Announce, JobRun


class Command(PierCommand):
    """Arguments to the configuration of a run, a plan that somebody agrees to, and one call."""

    help = "Have critics look at finished trials, or at tasks: claims with evidence, in JOB/.critiques/NAME."

    def add_arguments(self, parser: CommandParser) -> None:
        """Names and meanings are those of `pier critique run`, and more."""
        parser.add_argument(
            "source",
            nargs="?",
            metavar="SOURCE",
            help="a job or a trial (directory or name), a task, a folder of tasks",
        )
        add_asked(parser.add_argument_group("what critics are asked"))
        add_critics(parser.add_argument_group("critics"))
        add_selection(parser.add_argument_group("which trials"))
        add_run(parser.add_argument_group("how"))
        add_sandbox(parser.add_argument_group("sandbox"))
        add_times(parser.add_argument_group("time"))

    def run(self, **options: Any) -> int:
        """Exit code: 0 when all critics ended without an exception, 1 otherwise."""
        from critique.running.options import run_config
        from critique.running.planning import plan_run
        from pier_site.accounts.local import default_project
        from runs.scheduling.options import load_env_file

        if options["env_file"]:
            load_env_file(options["env_file"])
        if options["check"]:
            return self._check(options["check"], only_queued=options["queued"])
        if options["plan"] is not None:
            return self._run_approved(options["plan"], quiet=options["quiet"])
        project = project_of(options["source"]) or default_project()
        plan = plan_run(run_config(options, project), project)
        if not options["yes"] or options["dry_run"]:
            self._print(plan)
        if options["dry_run"]:
            return 0
        if not options["yes"]:
            agree()
        return self._run_plan(plan, project)

    def _run_approved(self, number: int, *, quiet: bool | None) -> int:
        """Run the plan of the database that somebody approved on its page."""
        from critique.formats.config import CritiqueRunConfig
        from critique.running.planning import plan_run
        from critique.running.rows import approved_plan

        row = approved_plan(number)
        config = CritiqueRunConfig.model_validate(row.config | {"overwrite": False, "quiet": bool(quiet)})
        plan = plan_run(config, row.project)
        plan.refuse_more_than(row.plan)
        return self._run_plan(plan, row.project, row)

    def _run_plan(self, plan: "Plan", project: "Project", row: "CritiqueRun | None" = None) -> int:
        from critique.running.printing import lines_of_outcome, told
        from critique.running.run import run_plan
        from runs.management.running import show_run
        from runs.scheduling.reap import reap_before

        reap_before(plan.config.environment)
        outcomes: list[Outcome] = []

        def run(announce: "Announce") -> "JobRun | None":
            outcomes.append(run_plan(plan, project, announce, run=row))
            return outcomes[0].run

        code = show_run(run, self.stdout.write, quiet=plan.config.quiet, told=told)
        for line in lines_of_outcome(outcomes[0]):
            self.stdout.write(line)
        return code

    def _check(self, name: str, *, only_queued: bool) -> int:
        """Run the suggested checks of a critique that is there."""
        from critique.checks.working import find_critique, run_all_checks, run_queued_checks
        from runs.progress import printable

        run = run_queued_checks if only_queued else run_all_checks
        for record in run(find_critique(name)):
            self.stdout.write(printable(f"claim {record.claim}: {record.outcome.replace('_', ' ')}: {record.reason}"))
        return 0

    def _print(self, plan: "Plan") -> None:
        from critique.running.printing import lines_of_plan

        for line in lines_of_plan(plan):
            self.stdout.write(line)


def agree() -> None:
    """Ask whether the plan that was shown may be run. Raises InputInvalid for no, and where nobody can be asked."""
    if not sys.stdin.isatty():
        raise InputInvalid("no approved plan, no spend: look at it with --dry-run, then give -y")
    if input("Run it? (y/N) ").strip().lower() not in ("y", "yes"):
        raise InputInvalid("nothing was run")


def project_of(source: str | None) -> "Project | None":
    """That of the job or trial of a name or directory, where the database knows it."""
    from runs.jobs.naming import find_job_or_trial
    from runs.models import Job

    try:
        found = find_job_or_trial(source) if source else None
    except InputInvalid:
        return None
    if found is None:
        return None
    return found.project if isinstance(found, Job) else found.job.project


def add_asked(group: argparse._ArgumentGroup) -> None:
    """By what critics go."""
    group.add_argument("-p", "--prompt", type=Path, metavar="FILE", help="a template with Pier's placeholders")
    group.add_argument(
        "--rubric", metavar="RUBRIC", help="NAME, NAME@VERSION or a rubric file, in the place of a prompt"
    )
    group.add_argument("--question", metavar="TEXT", help="a question on one trial, or with --of on one critique")
    group.add_argument("--of", metavar="CRITIQUE", help="the critique that is asked about: its directory or number")
    group.add_argument("--checks", action="store_true", help="run the checks that critics suggest, in fresh sandboxes")
    group.add_argument("--check", metavar="CRITIQUE", help="run those of a critique that is there, and nothing else")
    group.add_argument("--queued", action="store_true", help="with --check: only those that a page asks for")
    group.add_argument("--check-timeout", type=float, default=120.0, metavar="SEC", help="of one check (default 120)")
    group.add_argument("--summarise", action="store_true", help="at the end, one critic more on all results together")


def add_critics(group: argparse._ArgumentGroup) -> None:
    """Who looks, and how often."""
    group.add_argument(
        "-a", "--agent", action="append", default=[], metavar="NAME", help="repeatable, each with its -m"
    )
    group.add_argument("--agent-import-path", metavar="MODULE:CLASS", help="an agent class of your own")
    group.add_argument("-m", "--model", action="append", default=[], metavar="MODEL", help="of one -a each is a critic")
    group.add_argument("--ak", "--agent-kwarg", dest="agent_kwarg", action="append", metavar="K=V", help="JSON or text")
    group.add_argument(
        "--ae", "--agent-env", dest="agent_env", action="append", metavar="K=V", help="critics' variable"
    )
    group.add_argument(
        "-c",
        "--config",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a job file: its agents are critics",
    )
    group.add_argument("--agent-index", type=int, metavar="N", help="of the file's agents this one alone, from 0")
    group.add_argument("--samples", type=positive, default=1, metavar="N", help="critiques by each critic (default 1)")
    group.add_argument("--seed", type=int, metavar="SEED", help="told to critics, and recorded")


def add_selection(group: argparse._ArgumentGroup) -> None:
    """Which trials of the job."""
    group.add_argument("-t", "--trial-name", action="append", default=[], metavar="NAME", help="these, in this order")
    group.add_argument("--source-agent", action="append", default=[], metavar="NAME", help="of these agents")
    group.add_argument("--source-model", action="append", default=[], metavar="MODEL", help="of these models")
    group.add_argument("--passing", action="store_true", help="with full reward and no exception")
    group.add_argument("--failing", action="store_true", help="the others")
    group.add_argument("-l", "--limit", type=positive, metavar="N", help="at most N")
    group.add_argument("--sample-seed", type=int, metavar="SEED", help="shuffle before taking N")


def add_run(group: argparse._ArgumentGroup) -> None:
    """Where results go, how many at once, and who agreed."""
    group.add_argument("--name", metavar="NAME", help="of the run; default: the time. A run of this name goes on")
    group.add_argument("--overwrite", action="store_true", help="begin a run of this name anew; the old one is renamed")
    group.add_argument(
        "-o", "--jobs-dir", type=Path, default=Path("jobs"), metavar="DIR", help="of tasks (default jobs)"
    )
    group.add_argument("-n", "--n-concurrent", type=positive, metavar="N", help="critics at once (default 4)")
    group.add_argument("-r", "--max-retries", type=int, metavar="N", help="tries again after an exception (default 0)")
    group.add_argument("--retry-include", action="append", metavar="TYPE", help="retry these exceptions only")
    group.add_argument("--retry-exclude", action="append", metavar="TYPE", help="never these (replaces the defaults)")
    group.add_argument("--dry-run", action="store_true", help="print the plan, start nothing")
    group.add_argument("--plan", type=positive, metavar="NUMBER", help="run the plan that was approved on its page")
    group.add_argument("-y", "--yes", action="store_true", help="agree to the plan without seeing it")
    group.add_argument("-q", "--quiet", "--silent", action="store_true", default=None, help="plain lines, no display")
    group.add_argument("--env-file", type=Path, metavar="FILE", help="variables to load before anything else")


def add_times(group: argparse._ArgumentGroup) -> None:
    """How long critics may take."""
    group.add_argument(
        "--timeout-sec", type=float, metavar="SEC", help="of one critic; default: the rubric's, the task's"
    )
    group.add_argument("--timeout-multiplier", type=float, metavar="X", help="of all timeouts")
    for phase in ("agent", "agent-setup", "environment-build"):
        group.add_argument(f"--{phase}-timeout-multiplier", type=float, metavar="X")
