"""What a terminal shows while a job runs, and the summary at its end. Names from files are printed as text only."""

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from runs.formats.result import TrialResult
from runs.formats.reward import headline
from runs.models import Phase
from runs.scheduling.local import Watcher
from runs.trial.plan import TrialPlan

SHOWN_TRIALS = 20
SHOWN_STEP_CHARS = 60


def printable(text: str) -> str:
    """Text without control characters, so that a name or message cannot steer the terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def outcome(result: TrialResult) -> str:
    """A trial's reward and exception in a few words; both, when there are both."""
    reward = headline(result.rewards)
    words = [f"reward {reward:g}"] if reward is not None else []
    if reward is None and result.rewards:
        words = [", ".join(f"{key} {value:g}" for key, value in result.rewards.items())]
    if result.exception_info:
        words.append(result.exception_info.exception_type)
    return ", ".join(words) or "no reward"


def clock(seconds: float) -> str:
    """Elapsed time as 1:05 or 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@dataclass(slots=True)
class Counts:
    """How far a job is."""

    n_trials: int
    n_ended: int = 0
    n_exceptions: int = 0
    rewards: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    spent_usd: dict[str, float] = field(default_factory=dict)
    """By running trials, so far."""
    causes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def add(self, result: TrialResult, *, seconds: float) -> None:
        """Count a trial that has ended after so many seconds."""
        self.n_ended += 1
        self.seconds.append(seconds)
        self.spent_usd.pop(result.trial_name, None)
        if result.agent_result and result.agent_result.cost_usd is not None:
            self.costs.append(result.agent_result.cost_usd)
        if result.exception_info:
            self.causes[result.exception_info.cause or "unknown"] += 1
        self.n_exceptions += result.exception_info is not None
        reward = headline(result.rewards)
        if reward is not None:
            self.rewards.append(reward)

    @property
    def words(self) -> str:
        mean = f", mean reward {sum(self.rewards) / len(self.rewards):.3f}" if self.rewards else ""
        causes = ", ".join(f"{count} {cause}" for cause, count in self.causes.most_common())
        errors = f", {self.n_exceptions} with exceptions ({causes})" if self.n_exceptions else ""
        return f"{self.n_ended} of {self.n_trials} trials{mean}{errors}{self._money}"

    @property
    def _money(self) -> str:
        """What was spent, and what it comes to if the other trials cost what the ended ones did."""
        spent = sum(self.costs) + sum(self.spent_usd.values())
        if not self.costs and not self.spent_usd:
            return ""
        if not self.costs or self.n_ended >= self.n_trials:
            return f", ${spent:.2f}"
        return f", ${spent:.2f} of about ${sum(self.costs) / len(self.costs) * self.n_trials:.2f}"

    def time_left(self, n_running: int) -> str:
        """The estimated time to the end, if the other trials take as long as the ended ones did."""
        if not self.seconds or self.n_ended >= self.n_trials:
            return ""
        left = sum(self.seconds) / len(self.seconds) * (self.n_trials - self.n_ended) / max(1, n_running)
        return f"about {clock(left)} left"


type Told = Callable[[TrialResult], str]
"""What a trial came to, in a few words."""


class PlainProgress(Watcher):
    """One line an event: for logs and pipes."""

    def __init__(self, n_trials: int, told: Told = outcome) -> None:
        self._counts = Counts(n_trials)
        self._told = told
        self._began: dict[str, float] = {}

    def _say(self, line: str) -> None:
        print(printable(line), flush=True)  # noqa: T201 - this is the display

    def trial_began(self, plan: TrialPlan) -> None:
        self._began[plan.name] = time.monotonic()

    def phase_began(self, plan: TrialPlan, phase: Phase, task_step: str) -> None:
        self._say(f"{plan.name}  {phase.label}{f' of {task_step}' if task_step else ''}")

    def step_came(self, plan: TrialPlan, line: str, cost_usd: float | None) -> None:
        if cost_usd is not None:
            self._counts.spent_usd[plan.name] = cost_usd

    def trial_ended(self, plan: TrialPlan, result: TrialResult) -> None:
        seconds = time.monotonic() - self._began.pop(plan.name)
        self._counts.add(result, seconds=seconds)
        self._say(f"{plan.name}  {self._told(result)}  ({clock(seconds)})  {self._counts.words}")
        if result.exception_info:
            self._say(f"{plan.name}  {result.exception_info.exception_message.partition(chr(10))[0]}")

    def trial_waits(self, plan: TrialPlan, result: TrialResult, seconds: float) -> None:
        self._began.pop(plan.name)
        self._say(f"{plan.name}  {self._told(result)}, tried again in {seconds:.0f} s")


class LiveProgress(Watcher):
    """A bar for the job and a line for each running trial, redrawn in place."""

    def __init__(self, n_trials: int, console: Console, told: Told = outcome) -> None:
        self._counts = Counts(n_trials)
        self._told = told
        self._running: dict[str, tuple[TrialPlan, float, str]] = {}
        self._last_steps: dict[str, str] = {}
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=4)
        self._live.start()

    def close(self) -> None:
        """Leave the last picture on the screen."""
        self._live.stop()

    def trial_began(self, plan: TrialPlan) -> None:
        self._running[plan.name] = (plan, time.monotonic(), "")

    def phase_began(self, plan: TrialPlan, phase: Phase, task_step: str) -> None:
        _, began, _ = self._running[plan.name]
        self._running[plan.name] = (plan, began, f"{phase.label}{f' of {task_step}' if task_step else ''}")

    def step_came(self, plan: TrialPlan, line: str, cost_usd: float | None) -> None:
        if plan.name in self._running:
            self._last_steps[plan.name] = line
            if cost_usd is not None:
                self._counts.spent_usd[plan.name] = cost_usd

    def trial_ended(self, plan: TrialPlan, result: TrialResult) -> None:
        _, began, _ = self._running.pop(plan.name)
        self._last_steps.pop(plan.name, None)
        self._counts.add(result, seconds=time.monotonic() - began)
        style = "red" if result.exception_info else "green" if headline(result.rewards) else "yellow"
        line = Text.assemble(
            (f"{clock(time.monotonic() - began):>8}  ", "dim"), printable(plan.name), "  ", (self._told(result), style)
        )
        self._live.console.print(line)

    def trial_waits(self, plan: TrialPlan, result: TrialResult, seconds: float) -> None:
        self._running.pop(plan.name)
        line = f"          {plan.name}  {self._told(result)}, tried again in {seconds:.0f} s"
        self._live.console.print(Text(printable(line), "yellow"))

    def _draw(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for plan, began, phase in list(self._running.values())[:SHOWN_TRIALS]:
            table.add_row(
                Text(f"{clock(time.monotonic() - began):>8}", "dim"),
                Text(printable(plan.name)),
                Text(printable(plan.config.agent.name or ""), "dim"),
                Text(printable(phase), "cyan"),
                Text(printable(self._last_steps.get(plan.name, ""))[:SHOWN_STEP_CHARS], "dim", no_wrap=True),
            )
        counts = self._counts
        bar = Table.grid(padding=(0, 2))
        bar.add_row(
            ProgressBar(total=counts.n_trials, completed=counts.n_ended, width=32),
            Text(counts.words),
            Text(counts.time_left(len(self._running)), "dim"),
        )
        return Group(table, bar)


def progress_for(plans: Sequence[TrialPlan], *, quiet: bool, told: Told = outcome) -> PlainProgress | LiveProgress:
    """The display that fits where the output goes."""
    console = Console()
    if console.is_terminal and not quiet:
        return LiveProgress(len(plans), console, told)
    return PlainProgress(len(plans), told)


def print_summary(results: Sequence[TrialResult], directory: Path, *, was_cancelled: bool) -> None:
    """The table at the end: one row for each agent, model and dataset; then exceptions by type, then the path."""
    groups: dict[str, list[TrialResult]] = defaultdict(list)
    for result in results:
        groups[result.eval_key].append(result)
    table = Table(title="Cancelled" if was_cancelled else None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("agent · model · dataset", "trials", "rewarded", "mean", "exceptions", "cost"):
        table.add_column(column, justify="left" if column.startswith("agent") else "right", no_wrap=True)
    for key, group in sorted(groups.items()):
        rewards = [reward for result in group if (reward := headline(result.rewards)) is not None]
        costs = [cost for result in group if result.agent_result and (cost := result.agent_result.cost_usd) is not None]
        table.add_row(
            Text(printable(key.replace("__", " · "))),
            str(len(group)),
            str(len(rewards)),
            f"{sum(rewards) / len(rewards):.3f}" if rewards else "–",
            str(sum(result.exception_info is not None for result in group)),
            f"${sum(costs):.2f}" if costs else "–",
        )
    console = Console(file=sys.stdout)
    console.print(table)
    failures = Counter(result.exception_info.exception_type for result in results if result.exception_info)
    for name, count in failures.most_common():
        example = next(r for r in results if r.exception_info and r.exception_info.exception_type == name)
        message = example.exception_info.exception_message if example.exception_info else ""
        first_line = message.partition("\n")[0]
        console.print(Text(printable(f"{count} × {name}: {example.trial_name}: {first_line}")))
    console.print(Text(f"Results: {directory}"))
