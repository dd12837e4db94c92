"""`manage.py piertask`: what can be done with task directories; a subcommand parses its options and makes one call."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandParser

from runs.management.base import PierCommand

if TYPE_CHECKING:
    from runs.tasks.report import Tone

Run = Callable[..., int]
AddParser = Callable[..., ArgumentParser]


class Command(PierCommand):
    help = "Make, check, list and try tasks, prepare their images, look into their sandboxes."
    needs_database = False

    def add_arguments(self, parser: CommandParser) -> None:
        subcommands = parser.add_subparsers(
            dest="subcommand", metavar="COMMAND", required=True, parser_class=ArgumentParser
        )
        add_lint(subcommands.add_parser, self.lint)
        add_init(subcommands.add_parser, self.init)
        add_list(subcommands.add_parser, self.list)
        add_prebuild(subcommands.add_parser, self.prebuild)
        add_shell(subcommands.add_parser, self.shell)
        add_smoke(subcommands.add_parser, self.smoke)

    def run(self, **options: Any) -> int:
        run: Run = options["run"]
        return run(**options)

    def lint(
        self,
        *,
        paths: list[Path],
        as_json: bool,
        lenient_names: bool,
        select: list[str],
        ignore: list[str],
        **_options: Any,
    ) -> int:
        """0 if all tasks are valid, 1 otherwise."""
        from runs.tasks.lint import chosen_rules, lint_paths
        from runs.tasks.report import report_block, report_json, report_sum

        rules = chosen_rules(names_in(select), names_in(ignore))
        verdicts = []
        for verdict in lint_paths(paths, rules=rules, lenient_names=lenient_names):
            verdicts.append(verdict)
            if not as_json:
                self.stdout.write(report_block(verdict, self.paint))
        self.stdout.write(report_json(verdicts) if as_json else report_sum(verdicts))
        return int(not all(verdict.valid for verdict in verdicts))

    def init(self, *, path: Path, name: str | None, steps: int, separate_verifier: bool, **_options: Any) -> int:
        """Print what was made and how to prove it."""
        from runs.tasks.new_task import create_task

        create_task(path, name=name, n_steps=steps, separate_verifier=separate_verifier)
        self.stdout.write(f"{path}: a new task. Its solution should get reward 1.0, and doing nothing 0.0:")
        for agent in ("oracle", "nop"):
            self.stdout.write(f"  manage.py pierrun -p {path} -a {agent}")
        return 0

    def list(
        self,
        *,
        dataset: Path,
        as_json: bool,
        lenient_names: bool,
        include_task_name: "list[str] | None",
        exclude_task_name: "list[str] | None",
        n_tasks: int | None,
        sample_seed: int | None,
        **_options: Any,
    ) -> int:
        """0 even if some tasks are invalid: they are listed as such."""
        from runs.formats.job import DatasetConfig
        from runs.tasks.listing import list_json, list_lines, list_tasks

        config = DatasetConfig(
            path=dataset,
            task_names=include_task_name,
            exclude_task_names=exclude_task_name,
            n_tasks=n_tasks,
            sample_seed=sample_seed,
        )
        tasks = list_tasks(config, lenient_names=lenient_names)
        self.stdout.write(list_json(tasks) if as_json else "\n".join(list_lines(tasks, self.paint)))
        return 0

    def prebuild(
        self,
        *,
        dataset: "Path | None",
        config: Sequence[Path],
        agent: Sequence[str],
        agent_version: str | None,
        n_concurrent: int,
        logs: Path,
        force_build: bool,
        lenient_names: bool,
        **_options: Any,
    ) -> int:
        """0 if the images of all tasks are ready, 1 otherwise."""
        import asyncio

        from runs.tasks.prebuild import Prebuilt, prebuild, wanted
        from runs.tasks.report import printable

        todo = wanted(dataset, config, agent, version=agent_version, lenient_names=lenient_names)

        def say(done: Prebuilt) -> None:
            tone: Tone = "error" if done.failure else "good"
            self.stdout.write(f"{self.paint(tone, 'failed' if done.failure else 'ready')} {printable(done.task.name)}")

        build = prebuild(
            todo.tasks,
            logs,
            installs=todo.installs,
            n_concurrent=n_concurrent,
            force_build=force_build,
            lenient_names=todo.lenient_names,
            on_done=say,
        )
        failed = [done for done in asyncio.run(build) if done.failure]
        for done in failed:
            reason = (done.failure or "").splitlines()[0]
            self.stdout.write(f"{printable(done.task.name)}: {printable(reason)} (see {done.log})")
        self.stdout.write(f"{len(todo.tasks)} tasks, {len(failed)} failed; logs in {logs}")
        return int(bool(failed))

    def shell(self, *, path: Path, lenient_names: bool, **_options: Any) -> int:
        """The exit code of the shell."""
        from runs.tasks.sandbox_shell import open_shell

        return open_shell(path, self.stderr.write, lenient_names=lenient_names)

    def smoke(
        self,
        *,
        task: Path,
        config: Sequence[Path],
        jobs_dir: "Path | None",
        env_file: "Path | None",
        yes: bool,
        lenient_names: bool,
        **_options: Any,
    ) -> int:
        """A line for each check; 0 when none failed."""
        from runs.formats.job import load_job_config
        from runs.scheduling.options import load_env_file
        from runs.tasks.report import printable
        from runs.tasks.smoke import Watch, smoke
        from runs.tasks.smoke_checks import Check

        if env_file:
            load_env_file(env_file)

        def say(check: Check) -> None:
            tone: Tone = "error" if check.verdict == "failed" else "good" if check.verdict == "ok" else "plain"
            self.stdout.write(f"{self.paint(tone, f'{check.verdict:<6}')} {printable(check.line)}")

        watch = Watch(say, lambda line: self.stderr.write(printable(line)))
        job = load_job_config(*config)
        job = job.model_copy(update={"lenient_names": lenient_names or job.lenient_names})
        done = smoke(task, job, watch, jobs_dir=jobs_dir, assume_yes=yes or not sys.stdin.isatty())
        if done.directory:
            self.stdout.write(f"the trial is in {printable(str(done.directory))}")
        return int(bool(done.failures))

    def paint(self, tone: "Tone", text: str) -> str:
        """Text in the colour of its tone, on a terminal."""
        styles = {"error": self.style.ERROR, "warning": self.style.WARNING, "good": self.style.SUCCESS}
        return styles[tone](text) if tone in styles else text


def add_lint(add_parser: AddParser, run: Run) -> None:
    """`piertask lint`."""
    parser = add_parser(
        "lint",
        help="say whether tasks are valid, and what in them makes results hard to trust or to repeat",
        description="Reads files and executes nothing. Exit code: 0 if all tasks are valid, else 1; 2 for bad input.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a task, or a folder of tasks")
    parser.add_argument("--json", action="store_true", dest="as_json", help="one JSON array instead of text")
    add_lenient_names(parser)
    parser.add_argument(
        "--select",
        action="append",
        default=[],
        metavar="RULE,…",
        help="only these rules; `default` and `all` are groups",
    )
    parser.add_argument("--ignore", action="append", default=[], metavar="RULE,…", help="not these rules")
    parser.set_defaults(run=run)


def add_init(add_parser: AddParser, run: Run) -> None:
    """`piertask init`."""
    parser = add_parser("init", help="make a new task that can be run as it is, to be changed into your own")
    parser.add_argument("path", type=Path, metavar="PATH", help="a directory that is missing or empty")
    parser.add_argument("--name", metavar="ORG/NAME", help="default: my-team/ and the name of the directory")
    parser.add_argument("--steps", type=int, default=1, metavar="N", help="a multi-step task, for N above 1")
    parser.add_argument(
        "--separate-verifier", action="store_true", help="a verifier in a sandbox of its own, which gets artifacts only"
    )
    parser.set_defaults(run=run)


def add_list(add_parser: AddParser, run: Run) -> None:
    """`piertask list`."""
    parser = add_parser("list", help="list the tasks that pierrun would run, in its order")
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="a folder of tasks, or a task")
    parser.add_argument("--json", action="store_true", dest="as_json", help="one JSON array instead of a table")
    add_lenient_names(parser)
    parser.add_argument("-i", "--include-task-name", action="append", metavar="GLOB", help="only these tasks")
    parser.add_argument("-x", "--exclude-task-name", action="append", metavar="GLOB", help="not these tasks")
    parser.add_argument("-l", "--n-tasks", type=positive, metavar="N", help="at most N tasks")
    parser.add_argument("--sample-seed", type=int, metavar="SEED", help="shuffle before taking N tasks")
    parser.set_defaults(run=run)


def add_prebuild(add_parser: AddParser, run: Run) -> None:
    """`piertask prebuild`."""
    parser = add_parser(
        "prebuild", help="pull or build the images of tasks in Docker, and install agents on them, before a job does"
    )
    parser.add_argument("dataset", type=Path, nargs="?", metavar="DATASET", help="a folder of tasks, or a task")
    parser.add_argument(
        "-c", "--config", type=Path, action="append", default=[], metavar="FILE", help="tasks and agents of a job file"
    )
    parser.add_argument(
        "-a", "--agent", action="append", default=[], metavar="NAME", help="install this agent; may be repeated"
    )
    parser.add_argument("--agent-version", metavar="VERSION", help="of the one agent; default: its tested version")
    parser.add_argument("-n", "--n-concurrent", type=positive, default=2, metavar="N", help="at once (default 2)")
    parser.add_argument("--logs", type=Path, default=Path("prebuild-logs"), metavar="DIR", help="a log for each task")
    parser.add_argument("--force-build", action="store_true", help="build anew, also where there is a ready image")
    add_lenient_names(parser)
    parser.set_defaults(run=run)


def add_shell(add_parser: AddParser, run: Run) -> None:
    """`piertask shell`."""
    parser = add_parser(
        "shell",
        help="open a shell in a fresh Docker sandbox of a task, or in the final state of a trial",
        description="The network is as closed as the agent's. The sandbox is removed when the shell ends.",
    )
    parser.add_argument("path", type=Path, metavar="TASK|TRIAL", help="a task directory, or that of a finished trial")
    add_lenient_names(parser)
    parser.set_defaults(run=run)


def add_smoke(add_parser: AddParser, run: Run) -> None:
    """`piertask smoke`."""
    parser = add_parser(
        "smoke",
        help="run one trial by a job's first agent, and check that everything about it is as it should be",
        description="One line for each check: ok, failed or n/a, and the figure. Nothing goes to the database.",
    )
    parser.add_argument("task", type=Path, metavar="TASK", help="a task directory")
    parser.add_argument(
        "-c", "--config", type=Path, action="append", required=True, metavar="FILE", help="the job; repeatable, layered"
    )
    parser.add_argument(
        "-o", "--jobs-dir", type=Path, metavar="DIR", help="keep the trial here; default: a temporary folder"
    )
    parser.add_argument("--env-file", type=Path, metavar="FILE", help="variables to load before anything else")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask before giving host variables to the task")
    add_lenient_names(parser)
    parser.set_defaults(run=run)


def add_lenient_names(parser: ArgumentParser) -> None:
    """The option that those share which load tasks."""
    parser.add_argument(
        "--lenient-names",
        action="store_true",
        help="accept a missing name, or one without an organisation: the folder's name is used",
    )


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def names_in(options: list[str]) -> list[str]:
    """The rule names of a repeatable option that takes lists."""
    return [name.strip() for option in options for name in option.split(",") if name.strip()]
