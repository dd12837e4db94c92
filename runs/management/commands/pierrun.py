"""`manage.py pierrun`: run tasks with agents in sandboxes."""

import argparse
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from runs.management.base import PierCommand


class Command(PierCommand):
    """Arguments to a job configuration, and one call."""

    help = "Run tasks with agents in sandboxes; jobs land in JOBS_DIR/NAME/TRIAL and in the database while they run."

    def add_arguments(self, parser: CommandParser) -> None:
        """Names and meanings are Pier's."""
        what = parser.add_argument_group("what to run")
        what.add_argument("-p", "--path", type=Path, metavar="PATH", help="a task directory, or a directory of tasks")
        what.add_argument(
            "-c", "--config", type=Path, action="append", default=[], metavar="FILE",
            help="a job file (.yaml, .yml, .json); given again, later files are layered over earlier ones",
        )  # fmt: skip
        what.add_argument(
            "-a", "--agent", metavar="NAME", help="oracle (the task's own solution) or nop (does nothing)"
        )
        what.add_argument(
            "-k", "--n-attempts", type=positive, metavar="K", help="repetitions of each task by each agent"
        )
        what.add_argument(
            "-i", "--include-task-name", action="append", metavar="GLOB", help="only these tasks of a dataset"
        )
        what.add_argument(
            "-x", "--exclude-task-name", action="append", metavar="GLOB", help="not these tasks of a dataset"
        )
        what.add_argument("-l", "--n-tasks", type=positive, metavar="N", help="at most N tasks")
        what.add_argument("--sample-seed", type=int, metavar="SEED", help="shuffle a dataset before taking N tasks")
        where = parser.add_argument_group("where and how")
        where.add_argument("-e", "--env", choices=["docker", "host"], help="the sandbox; host has no isolation at all")
        where.add_argument(
            "-n", "--n-concurrent", type=positive, metavar="N", help="trials at the same time (default 4)"
        )
        where.add_argument("--force-build", action="store_true", default=None, help="build images anew")
        where.add_argument("--job-name", metavar="NAME", help="default: the time; a taken name gets the time appended")
        where.add_argument("-o", "--jobs-dir", type=Path, metavar="DIR", help="default: jobs")
        where.add_argument("-q", "--quiet", action="store_true", default=None, help="plain lines even on a terminal")
        where.add_argument("-y", "--yes", action="store_true", help="do not ask before giving host variables to tasks")

    def run(self, **options: Any) -> int:
        """Exit code: 0 when all trials ended without an exception, 1 otherwise."""
        from pier_site.accounts.local import default_project
        from runs.progress import LiveProgress, print_summary, progress_for
        from runs.scheduling.host_environment import confirm_host_variables
        from runs.scheduling.local import run_job

        config = job_config(options)
        confirm_host_variables(config, assume_yes=options["yes"] or not sys.stdin.isatty())
        for warning in config.warnings:
            self.stderr.write(warning)
        display: LiveProgress | None = None

        def announce(named: Any, plans: Any) -> Any:
            nonlocal display
            self.stdout.write(f"{named.job_name}: {len(plans)} trials in {named.path}")
            watcher = progress_for(plans, quiet=named.quiet)
            display = watcher if isinstance(watcher, LiveProgress) else None
            return watcher

        try:
            job = run_job(config, default_project(), announce)
        finally:
            if display:
                display.close()
        print_summary(job.results, job.files.path, was_cancelled=job.was_cancelled)
        return int(job.was_cancelled or any(result.exception_info for result in job.results))


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def job_config(options: dict[str, Any]) -> Any:
    """The job that the files and flags say; flags win."""
    from runs.errors import JobInvalid
    from runs.formats.job import AgentConfig, job_config_from, load_job_config
    from runs.scheduling.expand import source_of

    config = load_job_config(*options["config"])
    if options["job_name"]:
        job_config_from({"job_name": options["job_name"]}, place="--job-name")
    names = {"n_attempts": "n_attempts", "n_concurrent": "n_concurrent_trials", "job_name": "job_name",
             "jobs_dir": "jobs_dir", "quiet": "quiet"}  # fmt: skip
    changes = {field: options[flag] for flag, field in names.items() if options[flag] is not None}
    if options["agent"]:
        changes["agents"] = [AgentConfig(name=options["agent"])]
    environment = {"type": options["env"], "force_build": options["force_build"]}
    environment = {field: value for field, value in environment.items() if value is not None}
    if environment:
        changes["environment"] = config.environment.model_copy(update=environment)
    if options["path"]:
        changes["tasks"], changes["datasets"] = source_of(options["path"])
    filters = {"task_names": options["include_task_name"], "exclude_task_names": options["exclude_task_name"],
               "n_tasks": options["n_tasks"], "sample_seed": options["sample_seed"]}  # fmt: skip
    filters = {field: value for field, value in filters.items() if value is not None}
    datasets = changes.get("datasets", config.datasets)
    if filters:
        if not datasets:
            raise JobInvalid("-i, -x, -l and --sample-seed choose from a dataset, and this job names single tasks only")
        changes["datasets"] = [dataset.model_copy(update=filters) for dataset in datasets]
    return config.model_copy(update=changes)
