"""Jobs on a terminal: tables of rich. Names and messages come from files and are printed as text only."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from io import TextIOBase
from typing import IO, cast

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runs.jobs.listing import JobLine
from runs.jobs.showing import AgentLine, ExceptionLine, JobReport, TrialInFlight
from runs.progress import clock, printable

NOTHING = "–"
# Where nobody looks at a terminal, no line is broken.
WIDE = 1000


def console_on(file: TextIOBase) -> Console:
    """A console on the stream, as wide as its lines when it is not a terminal."""
    return Console(file=cast("IO[str]", file), width=None if file.isatty() else WIDE, highlight=False)


def print_jobs(lines: Sequence[JobLine], console: Console) -> None:
    """The list of `pierjob list`."""
    rows = [
        (
            line.name,
            line.status,
            f"{line.n_ended}/{line.n_trials}",
            number(line.mean_reward),
            ", ".join(f"{count} {cause}" for cause, count in line.exceptions.items()) or NOTHING,
            money(line.cost_usd),
            line.directory,
        )
        for line in lines
    ]
    print_table(console, ("job", "status", "trials", "mean reward", "exceptions", "cost", "directory"), rows)


def print_report(report: JobReport, console: Console) -> None:
    """The page of `pierjob show`."""
    for line in _header(report):
        console.print(Text(printable(line)))
    _print_agents(report.agents, console)
    if report.exceptions:
        _print_exceptions(report.exceptions, console)
    if report.in_flight:
        _print_in_flight(report.in_flight, console)


def _header(report: JobReport) -> Iterable[str]:
    yield f"{report.name}: {report.status}, {report.n_ended} of {report.n_trials} trials have ended"
    yield f"directory {report.directory}, written by {report.origin}"
    yield f"started {moment(report.started_at)}, ended {moment(report.finished_at)}"
    rewarded = f"{report.n_rewarded} trials with a reward"
    yield f"mean reward {number(report.mean_reward)} over {rewarded}, cost {money(report.cost_usd)}"
    if report.projected_cost_usd is not None:
        yield f"projected cost {money(report.projected_cost_usd)}"
    if report.estimated_end_at is not None:
        yield f"estimated end {moment(report.estimated_end_at)}"


def _print_agents(lines: Sequence[AgentLine], console: Console) -> None:
    rows = [
        (
            line.agent,
            f"{line.n_ended}/{line.n_trials}",
            str(line.n_rewarded),
            number(line.mean_reward),
            str(line.n_exceptions),
            money(line.cost_usd),
            NOTHING if line.mean_duration_sec is None else clock(line.mean_duration_sec),
        )
        for line in lines
    ]
    columns = ("agent", "trials", "rewarded", "mean reward", "exceptions", "cost", "mean time")
    print_table(console, columns, rows)


def _print_exceptions(lines: Sequence[ExceptionLine], console: Console) -> None:
    rows = [
        (
            line.cause,
            line.exception_type,
            str(line.n_trials),
            f"{line.n_rewarded}, {'counts' if line.reward_counts else 'not the agent’s'}" if line.n_rewarded else "0",
            "yes" if line.may_be_retried else "no",
            f"{line.example}: {line.message}",
        )
        for line in lines
    ]
    print_table(console, ("cause", "exception", "trials", "with reward", "retry", "example"), rows)


def _print_in_flight(lines: Sequence[TrialInFlight], console: Console) -> None:
    rows = [
        (
            line.name,
            line.agent,
            f"{line.phase}, being cancelled" if line.is_being_cancelled else line.phase,
            NOTHING if line.elapsed_sec is None else clock(line.elapsed_sec),
            str(line.n_steps),
            line.last_step or NOTHING,
        )
        for line in lines
    ]
    print_table(console, ("running", "agent", "phase", "elapsed", "steps", "last step"), rows)


def print_table(console: Console, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table whose cells are plain text, whatever they hold."""
    table = Table(box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print(table)


def number(value: float | None) -> str:
    """A mean with three digits."""
    return NOTHING if value is None else f"{value:.3f}"


def money(usd: float | None) -> str:
    """An amount of dollars; what is not known is not 0."""
    return NOTHING if usd is None else f"${usd:.2f}"


def moment(at: datetime | None) -> str:
    """A time in the zone of this machine."""
    return NOTHING if at is None else f"{at.astimezone():%Y-%m-%d %H:%M:%S %z}"
