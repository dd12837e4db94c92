"""The telemetry of `pierjob analyze` on a terminal. Names come from files and are printed as text only."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from runs.jobs.printing import NOTHING, money, number, print_table
from runs.jobs.telemetry import Part, TrialTelemetry
from runs.jobs.totals import JobTelemetry, Totals
from runs.models import Marker
from runs.progress import clock, printable

MAX_TOOLS = 20
MAX_TRIALS = 200
MAX_NAMES = 12


def print_job_telemetry(job: JobTelemetry, console: Console) -> None:
    """The figures of a job: all together, by agent, by tool, by flag, by phase, and a line a trial."""
    total = job.totals
    _print_lines(_header(job), console)
    _print_agents([*job.agents, *([total] if len(job.agents) > 1 else [])], console)
    _print_tools(total.tools, console)
    if total.flags:
        rows = [(_flag(flag), str(n), percent(n, total.n_trials)) for flag, n in total.flags.items()]
        print_table(console, ("flag", "trials", "of all"), rows)
    _print_phases(total.phases_sec, console)
    print_table(console, _TRIAL_COLUMNS, [_trial_row(trial) for trial in job.trials[:MAX_TRIALS]])
    if len(job.trials) > MAX_TRIALS:
        console.print(Text(f"{len(job.trials) - MAX_TRIALS:,} trials more: --json has all of them"))


def print_trial_telemetry(trial: TrialTelemetry, console: Console) -> None:
    """The figures of one trial, with how it went from its start to its end."""
    _print_lines(_trial_lines(trial), console)
    _print_tools(trial.tools, console)
    if trial.markers:
        print_table(console, ("marker", "steps"), [(_flag(kind), str(n)) for kind, n in trial.markers.items()])
    _print_phases(trial.phases_sec, console)
    if trial.parts:
        print_table(console, _PART_COLUMNS, [_part_row(n, part) for n, part in enumerate(trial.parts, start=1)])


def percent(count: int, of: int) -> str:
    """A share of trials."""
    return f"{100 * count / of:.0f}%" if of else NOTHING


def _header(job: JobTelemetry) -> Iterator[str]:
    total = job.totals
    yield f"{job.name}: {job.status}, {total.n_trials:,} trials, written by {job.origin}"
    yield f"directory {job.directory}"
    yield ", ".join(f"{n:,} {outcome}" for outcome, n in total.outcomes.items()) or "no trial yet"
    if total.n_counted:
        n_passed = total.outcomes.get("passed", 0)
        yield (
            f"{percent(n_passed, total.n_counted)} of {total.n_counted:,} trials whose reward is the agent's passed, "
            f"mean reward {number(total.mean_reward)}"
        )
    if total.causes:
        yield "causes: " + ", ".join(f"{n:,} {cause}" for cause, n in total.causes.items())
    yield (
        f"{total.n_steps:,} steps, {total.n_tool_calls:,} tool calls, "
        f"{total.n_error_steps:,} steps with a failed call ({_share(total.error_rate)} of the agents' steps)"
    )
    yield (
        f"{total.n_test_runs:,} test runs in {total.n_tested:,} trials ({percent(total.n_tested, total.n_trials)}), "
        f"{total.n_edits:,} steps with edits, {total.n_compactions:,} compactions"
    )
    yield _usage(total.input_tokens, total.cached_tokens, total.output_tokens, total.peak_context_tokens)
    per_pass = f", {money(total.cost_per_pass_usd)} for each that passed" if total.cost_per_pass_usd is not None else ""
    yield f"cost {money(total.cost_usd)}{per_pass}; median time of a trial {seconds(total.median_duration_sec)}"


def _trial_lines(trial: TrialTelemetry) -> Iterator[str]:
    yield f"{trial.name}: {trial.outcome}, reward {number(trial.reward)}"
    yield f"task {trial.task}, attempt {trial.attempt}, {trial.agent}"
    if trial.exception_type:
        yield f"exception {trial.exception_type}, cause {trial.cause or 'unknown'}"
    yield (
        f"{trial.n_steps:,} steps, {trial.n_tool_calls:,} tool calls, "
        f"{trial.n_error_steps:,} steps with a failed call, {trial.n_compactions:,} compactions"
    )
    tests = trial.tests
    last = f", the last: {tests.last}" if tests.last else ""
    yield f"{tests.n_runs:,} test runs: {tests.n_passed:,} passed, {tests.n_failed:,} failed{last}"
    yield f"{trial.n_edits:,} steps with edits{_names(trial)}"
    yield _usage(trial.input_tokens, trial.cached_tokens, trial.output_tokens, trial.peak_context_tokens)
    yield f"cost {money(trial.cost_usd)}, time {seconds(trial.duration_sec)}"
    if trial.flags:
        yield "flags: " + ", ".join(f"{_flag(flag)} ({n:,})" for flag, n in trial.flags.items())


def _names(trial: TrialTelemetry) -> str:
    shown = ", ".join(trial.files[:MAX_NAMES])
    more = " and more" if trial.has_more_files or len(trial.files) > MAX_NAMES else ""
    return f" of {shown}{more}" if shown else ""


def _usage(input_tokens: int | None, cached: int | None, output: int | None, peak: int | None) -> str:
    return (
        f"{count(input_tokens)} input tokens ({count(cached)} of them cached), {count(output)} output tokens, "
        f"largest context {count(peak)}"
    )


def _print_lines(lines: Iterator[str], console: Console) -> None:
    for line in lines:
        console.print(Text(printable(line)))


_AGENT_COLUMNS = (
    "agent", "trials", "passed", "partial", "failed", "uncounted", "mean reward", "steps", "calls", "errors",
    "tested", "output tokens", "cost", "per pass", "median time",
)  # fmt: skip


def _print_agents(agents: Sequence[Totals], console: Console) -> None:
    rows = [
        (
            one.label,
            str(one.n_trials),
            *(str(one.outcomes.get(outcome, 0)) for outcome in ("passed", "partial", "failed")),
            str(one.n_trials - one.n_counted),
            number(one.mean_reward),
            f"{one.n_steps:,}",
            f"{one.n_tool_calls:,}",
            _share(one.error_rate),
            percent(one.n_tested, one.n_trials),
            count(one.output_tokens),
            money(one.cost_usd),
            money(one.cost_per_pass_usd),
            seconds(one.median_duration_sec),
        )
        for one in agents
    ]
    print_table(console, _AGENT_COLUMNS, rows)


def _print_tools(tools: Mapping[str, int], console: Console) -> None:
    total = sum(tools.values())
    rows = [(name, f"{n:,}", percent(n, total)) for name, n in list(tools.items())[:MAX_TOOLS]]
    if len(tools) > MAX_TOOLS:
        rest = sum(list(tools.values())[MAX_TOOLS:])
        rows.append((f"{len(tools) - MAX_TOOLS} others", f"{rest:,}", percent(rest, total)))
    if rows:
        print_table(console, ("tool", "calls", "of all"), rows)


def _print_phases(phases: Mapping[str, float | None], console: Console) -> None:
    total = sum(value for value in phases.values() if value is not None)
    rows = [
        (phase.replace("_", " "), seconds(value), _share(value / total if value is not None and total else None))
        for phase, value in phases.items()
    ]
    print_table(console, ("phase", "time", "of all"), rows)


_TRIAL_COLUMNS = (
    "trial", "agent", "outcome", "reward", "cause", "steps", "calls", "errors", "tests", "edits", "files", "peak",
    "compactions", "in", "cached", "out", "cost", "time", "flags",
)  # fmt: skip


def _trial_row(trial: TrialTelemetry) -> tuple[str, ...]:
    return (
        trial.name,
        trial.agent,
        trial.outcome,
        number(trial.reward),
        trial.cause or NOTHING,
        f"{trial.n_steps:,}",
        f"{trial.n_tool_calls:,}",
        f"{trial.n_error_steps:,}",
        f"{trial.tests.n_passed}+{trial.tests.n_failed}/{trial.tests.n_runs}" if trial.tests.n_runs else "0",
        f"{trial.n_edits:,}",
        f"{len(trial.files)}{'+' if trial.has_more_files else ''}",
        count(trial.peak_context_tokens),
        f"{trial.n_compactions:,}",
        count(trial.input_tokens),
        count(trial.cached_tokens),
        count(trial.output_tokens),
        money(trial.cost_usd),
        seconds(trial.duration_sec),
        ", ".join(_flag(flag) for flag in trial.flags) or NOTHING,
    )


_PART_COLUMNS = ("fifth", "steps", "calls", "errors", "prompt tokens", "output tokens", "cost", "time")


def _part_row(position: int, part: Part) -> tuple[str, ...]:
    return (
        str(position),
        f"{part.n_steps:,}",
        f"{part.n_tool_calls:,}",
        f"{part.n_error_steps:,}",
        count(part.prompt_tokens),
        count(part.completion_tokens),
        money(part.cost_usd),
        seconds(part.seconds),
    )


def _flag(kind: str) -> str:
    return str(Marker.Kind(kind).label) if kind in Marker.Kind.values else kind


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.0f}%"


def count(value: int | None) -> str:
    """A number of tokens; what is not known is not 0."""
    return NOTHING if value is None else f"{value:,}"


def seconds(value: float | None) -> str:
    """A time as a clock shows it."""
    return NOTHING if value is None else clock(value)
