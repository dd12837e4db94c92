"""`manage.py pierrun`: run tasks with agents in sandboxes."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandParser

from runs.management.base import PierCommand

if TYPE_CHECKING:
    from runs.formats.job import JobConfig

POLICIES = ("auto", "limit", "request", "guarantee", "ignore")


class Command(PierCommand):
    """Arguments to a job configuration, and one call."""

    help = "Run tasks with agents in sandboxes; jobs land in JOBS_DIR/NAME/TRIAL and in the database while they run."

    def add_arguments(self, parser: CommandParser) -> None:
        """Names and meanings are Pier's, except where docs/reference/commands.md says why not."""
        add_what(parser.add_argument_group("what to run"))
        add_agents(parser.add_argument_group("agents"))
        add_how(parser.add_argument_group("where and how"))
        add_sandbox(parser.add_argument_group("sandbox"))
        add_times(parser.add_argument_group("time"))
        add_verdict(parser.add_argument_group("verification and rewards"))

    def run(self, **options: Any) -> int:
        """Exit code: 0 when all trials ended without an exception, 1 otherwise."""
        from runs.formats.job import dump_config
        from runs.scheduling.host_environment import confirm_host_variables
        from runs.scheduling.options import configured, load_env_file

        if options["env_file"]:
            load_env_file(options["env_file"])
        config = configured(options)
        for warning in config.warnings:
            self.stderr.write(warning)
        if options["print_config"]:
            self.stdout.write(dump_config(config))
            return 0
        if options["dry_run"]:
            from runs.scheduling.dry_run import print_plan

            return print_plan(config)
        if options["resume"]:
            return self._resume(config, options)
        confirm_host_variables(config, assume_yes=options["yes"] or not sys.stdin.isatty())
        return self._run_job(config)

    def _run_job(self, config: "JobConfig") -> int:
        from pier_site.accounts.local import default_project
        from runs.management.running import show_run
        from runs.scheduling.local import run_job
        from runs.scheduling.reap import reap_before

        reap_before(config.environment)
        return show_run(lambda announce: run_job(config, default_project(), announce), self.stdout.write)

    def _resume(self, config: "JobConfig", options: dict[str, Any]) -> int:
        """Go on with the job of this name, as it was saved."""
        from runs.formats.result import CANCELLED
        from runs.jobs.resuming import Terms, ignored_settings, run_again, unfinished
        from runs.management.running import show_run

        if ignored := ignored_settings(config):
            self.stderr.write(f"{config.path} goes on as it was saved: {', '.join(ignored)} of now is not used")
        terms = Terms(n_concurrent=options["n_concurrent"], assume_yes=options["yes"] or not sys.stdin.isatty())
        return show_run(
            lambda announce: run_again(config.path, lambda saved: unfinished(saved, [CANCELLED]), terms, announce),
            self.stdout.write,
            quiet=config.quiet,
        )


def add_what(group: argparse._ArgumentGroup) -> None:
    """Which tasks."""
    group.add_argument("-p", "--path", type=Path, metavar="PATH", help="a task directory, or a directory of tasks")
    group.add_argument(
        "-c", "--config", type=Path, action="append", default=[], metavar="FILE",
        help="a job file (.yaml, .yml, .json); given again, later files are layered over earlier ones",
    )  # fmt: skip
    group.add_argument("-i", "--include-task-name", action="append", metavar="GLOB", help="only these tasks")
    group.add_argument("-x", "--exclude-task-name", action="append", metavar="GLOB", help="not these tasks")
    group.add_argument("-l", "--n-tasks", type=positive, metavar="N", help="at most N tasks")
    group.add_argument("--sample-seed", type=int, metavar="SEED", help="shuffle a dataset before taking N tasks")
    group.add_argument("-k", "--n-attempts", type=positive, metavar="K", help="repetitions of each task by each agent")
    group.add_argument(
        "--lenient-names", action="store_true", default=None,
        help="run tasks whose name is missing or has no organisation under their folder's name",
    )  # fmt: skip
    group.add_argument(
        "--final-state", action=argparse.BooleanOptionalAction, help="keep what agents changed and left (default)"
    )
    group.add_argument("--artifact", action="append", metavar="PATH", help="collect this path (replaces the job's)")


def add_agents(group: argparse._ArgumentGroup) -> None:
    """Which agents, with what."""
    group.add_argument("-a", "--agent", metavar="NAME", help="oracle (the task's solution) or nop (does nothing)")
    group.add_argument("--agent-import-path", metavar="MODULE:CLASS", help="an agent class of your own")
    group.add_argument("-m", "--model", action="append", metavar="MODEL", help="one entry of each agent for each model")
    group.add_argument("--ak", "--agent-kwarg", dest="agent_kwarg", action="append", metavar="K=V", help="JSON or text")
    group.add_argument("--ae", "--agent-env", dest="agent_env", action="append", metavar="K=V", help="agent's variable")
    group.add_argument("--pricing", type=Path, metavar="FILE", help="prices that go before the list prices")
    group.add_argument("--effort", metavar="LEVEL", help="reasoning effort, where the agent has such an argument")
    group.add_argument("--install-only", action="store_true", default=None, help="set sandboxes up, run no agent")


def add_how(group: argparse._ArgumentGroup) -> None:
    """Where results go, how many at once, what happens after a failure."""
    group.add_argument("--job-name", metavar="NAME", help="default: the time; a taken name gets the time appended")
    group.add_argument("-o", "--jobs-dir", type=Path, metavar="DIR", help="default: jobs")
    group.add_argument("--resume", action="store_true", help="go on with the job of this name, as it was saved")
    group.add_argument("-n", "--n-concurrent", type=positive, metavar="N", help="trials at once (default 4)")
    group.add_argument("-r", "--max-retries", type=int, metavar="N", help="tries again after an exception (default 0)")
    group.add_argument("--retry-include", action="append", metavar="TYPE", help="retry these exceptions only")
    group.add_argument("--retry-exclude", action="append", metavar="TYPE", help="never these (replaces the defaults)")
    group.add_argument("--env-file", type=Path, metavar="FILE", help="variables to load before anything else")
    group.add_argument("-y", "--yes", action="store_true", help="do not ask before giving host variables to tasks")
    group.add_argument("-q", "--quiet", "--silent", action="store_true", default=None, help="plain lines, no display")
    group.add_argument("--debug", action="store_true", default=None, help="kept in the job's configuration")
    group.add_argument("--dry-run", action="store_true", help="check everything, print the trials, start nothing")
    group.add_argument("--print-config", action="store_true", help="print the job as JSON and stop")


def add_sandbox(group: argparse._ArgumentGroup) -> None:
    """What the sandboxes are like."""
    yes_no = argparse.BooleanOptionalAction
    group.add_argument("-e", "--env", choices=["docker", "modal", "host"], help="host has no isolation at all")
    group.add_argument("--environment-import-path", metavar="MODULE:CLASS", help="a sandbox class of your own")
    group.add_argument("--ek", "--environment-kwarg", dest="environment_kwarg", action="append", metavar="K=V")
    group.add_argument("--force-build", action=yes_no, help="build images anew, also where there is a ready one")
    group.add_argument("--delete", action=yes_no, help="remove sandboxes at the end (default)")
    group.add_argument("--mounts-json", metavar="JSON", help="mounts as in the job file, added to the log folders")
    group.add_argument("--cpus", choices=POLICIES, help="what `cpus` means")
    group.add_argument("--memory", choices=POLICIES, help="what `memory_mb` means")
    group.add_argument("--override-cpus", type=float, metavar="N")
    group.add_argument("--override-memory-mb", type=int, metavar="N")
    group.add_argument("--override-storage-mb", type=int, metavar="N")
    group.add_argument("--override-gpus", type=int, metavar="N")


def add_times(group: argparse._ArgumentGroup) -> None:
    """Factors of the tasks' timeouts."""
    group.add_argument("--timeout-multiplier", type=float, metavar="X", help="of all timeouts")
    for phase in ("agent", "verifier", "agent-setup", "environment-build"):
        group.add_argument(f"--{phase}-timeout-multiplier", type=float, metavar="X")


def add_verdict(group: argparse._ArgumentGroup) -> None:
    """How trials are judged."""
    group.add_argument("--ve", "--verifier-env", dest="verifier_env", action="append", metavar="K=V")
    group.add_argument("--disable-verification", dest="disable_verification", action="store_true", default=None)
    group.add_argument("--enable-verification", dest="disable_verification", action="store_false", default=None)
    group.add_argument("--missing-reward", choices=["error", "zero"], help="what no reward file means (default error)")
    group.add_argument("--reward-order", choices=["txt-first", "json-first"], help="which file counts (default txt)")
    group.add_argument("--headline-reward", metavar="KEY", help="the reward that stands for a trial (default reward)")
    group.add_argument("--score-key", action="append", metavar="KEY", help="make statistics of these rewards only")


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number
