"""`pierjob analyze` on the command line: its flags, the telemetry that is always printed, and the critic's command."""

from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import asdict
from io import StringIO, TextIOBase
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management import call_command
from django.core.serializers.json import DjangoJSONEncoder

from runs.errors import InputInvalid

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from runs.models import Job, Trial

OF_CRITICS = (
    "agent", "agent_kwarg", "agent_env", "rubric", "passing", "failing", "limit", "n_concurrent", "overwrite",
    "dry_run", "env", "env_file",
)  # fmt: skip


def add_analyze(
    subcommands: "_SubParsersAction[ArgumentParser]", run: Callable[..., int], positive: Callable[[str], int]
) -> None:
    """`pierjob analyze`."""
    parser = subcommands.add_parser(
        "analyze",
        help="tell in figures how the trials of a job went; with -m, have a critic look at them too",
        description="The figures are counted from the steps, without a model. Only with -m is anything spent.",
    )
    parser.add_argument("name", metavar="JOB|TRIAL", help="a name or a directory, which is indexed if it has to be")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the JSON there, too")
    critic = parser.add_argument_group("a critic (piercritique has more flags)")
    critic.add_argument("-m", "--model", action="append", default=[], metavar="MODEL", help="repeatable")
    critic.add_argument("-a", "--agent", action="append", default=[], metavar="NAME", help="default: the rubric's")
    critic.add_argument(
        "--ak", "--agent-kwarg", dest="agent_kwarg", action="append", default=[], metavar="K=V", help="JSON or text"
    )
    critic.add_argument(
        "--ae", "--agent-env", dest="agent_env", action="append", default=[], metavar="K=V", help="critic's variable"
    )
    critic.add_argument("-r", "--rubric", metavar="RUBRIC", help="default: run-analysis")
    critic.add_argument("-n", "--n-concurrent", type=positive, metavar="N", help="critics at once")
    critic.add_argument("--passing", action="store_true", help="only trials with full reward and no exception")
    critic.add_argument("--failing", action="store_true", help="only the others")
    critic.add_argument("-l", "--limit", type=positive, metavar="N", help="at most N trials")
    critic.add_argument("--overwrite", action="store_true", help="look again at what these critics have looked at")
    critic.add_argument("--dry-run", action="store_true", help="print what would be done and what it may cost")
    critic.add_argument("-e", "--env", choices=["docker", "modal", "host"], help="their sandbox; default: docker")
    critic.add_argument("--env-file", type=Path, metavar="FILE", help="variables to load before anything else")
    critic.add_argument("-y", "--yes", action="store_true", help="agree to the plan without seeing it")
    critic.add_argument("-q", "--quiet", action="store_true", help="plain lines, no display")
    parser.set_defaults(run=run)


def run_analyze(*, name: str, json: bool, output: Path | None, out: TextIOBase, err: TextIOBase, **options: Any) -> int:
    """The telemetry, or a JSON object; then, with a model, what piercritique prints and its exit code.

    Where JSON is printed, piercritique says nothing on the same stream.
    """
    from runs.jobs.analysis_text import print_job_telemetry, print_trial_telemetry
    from runs.jobs.analyzing import analyze, find_subject
    from runs.jobs.printing import console_on
    from runs.jobs.totals import JobTelemetry

    if not options["model"] and (said := next((flag for flag in OF_CRITICS if options[flag]), None)):
        raise InputInvalid(f"--{said.replace('_', '-')} is about a critic: name its model with -m")
    subject = find_subject(name)
    telemetry = analyze(subject)
    text = dumps(asdict(telemetry), cls=DjangoJSONEncoder, indent=2)
    if output:
        _write(output, f"{text}\n")
    if json:
        out.write(text)
    elif isinstance(telemetry, JobTelemetry):
        print_job_telemetry(telemetry, console_on(out))
    else:
        print_trial_telemetry(telemetry, console_on(out))
    if not options["model"]:
        return 0
    return _have_criticised(subject, options, out=StringIO() if json else out, err=err)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise InputInvalid(f"{path} cannot be written: {error.strerror or error}") from None


def _have_criticised(subject: "Job | Trial", options: dict[str, Any], *, out: TextIOBase, err: TextIOBase) -> int:
    """Have piercritique look at the subject; it is called by its name, since this app knows nothing of critics."""
    from runs.jobs.analyzing import RUBRIC, CriticWishes, critic_call

    wishes = CriticWishes(
        models=options["model"],
        agents=options["agent"],
        agent_kwargs=options["agent_kwarg"],
        rubric=options["rubric"] or RUBRIC,
        **{name: options[name] for name in CriticWishes.__slots__ if name in options and name != "rubric"},
    )
    try:
        call_command("piercritique", *critic_call(subject, wishes), stdout=out, stderr=err)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0
