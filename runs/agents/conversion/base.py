"""What turns the logs of an agent CLI into a trajectory while they grow: the contract, and what converters share."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Final

from runs.agents.conversion.draft import StepDraft, Thread
from runs.agents.conversion.images import ImageStore
from runs.agents.conversion.lines import LineCutter, Record, record_of
from runs.agents.conversion.usage import Totals, Usage
from runs.formats.trajectory import Agent, FinalMetrics, Step, Trajectory
from runs.prices.table import PriceTable

MAIN: Final = "main"
MAX_WARNINGS: Final = 50


@dataclass(frozen=True, slots=True)
class LogSource:
    """One kind of file that an agent leaves below /logs/agent.

    `patterns` are shell patterns of the path relative to that folder (`*` within one folder name); the first is where
    this project has the agent write, the others are where Pier or the CLI alone leave it. A `rewritten` file is
    replaced as a whole by its agent; others only grow. `is_live`: it is followed while the agent works. `is_text`: its
    lines are text, also those that happen to be JSON.
    """

    name: str
    patterns: tuple[str, ...]
    rewritten: bool = False
    is_live: bool = True
    is_text: bool = False

    def matches(self, path: str) -> bool:
        """Whether a file at this path is of this kind."""
        return any(matches(path, pattern) for pattern in self.patterns)


def matches(path: str, pattern: str) -> bool:
    """Whether a relative path fits a shell pattern, whose `*` stays within one folder name."""
    names, parts = path.split("/"), pattern.split("/")
    return len(names) == len(parts) and all(map(fnmatchcase, names, parts))


@dataclass(frozen=True, slots=True)
class ConversionContext:
    """What a converter is told beside the logs. `instruction` is what the agent was given, None where unknown."""

    instruction: str | None = None
    model_name: str | None = None
    agent_version: str | None = None
    reasoning_effort: str | None = None
    prices: PriceTable | None = None
    """What calls cost whose cost the logs don't tell."""


@dataclass(frozen=True, slots=True)
class StepUpdate:
    """A step that is new or has grown: `thread` is `main` or a sub-agent's trajectory_id."""

    thread: str
    step: Step


class Converter(ABC):
    """Takes the bytes of an agent's logs as they grow, in any pieces, and has the trajectory so far at any moment.

    The trajectory depends on each file's bytes alone, not on how they were cut nor on which file came first; so a
    subclass keeps what it reads apart by file, and joins it in `threads`. Nothing in a log makes it raise: what cannot
    be read becomes a warning.
    """

    agent_name: ClassVar[str]
    sources: ClassVar[tuple[LogSource, ...]]

    def __init__(self, context: ConversionContext | None = None, *, images: ImageStore | None = None) -> None:
        self.context = context or ConversionContext()
        self.images = images or ImageStore(None)
        self.warnings: list[str] = []
        self._cutters: dict[str, LineCutter] = {}
        self._offsets: Counter[str] = Counter()
        self._is_closed = False

    def source_of(self, path: str) -> LogSource | None:
        """The kind of the file at a path relative to the log folder; None for a file that says nothing."""
        return next((source for source in self.sources if source.matches(path)), None)

    def feed(self, path: str, data: bytes) -> None:
        """Take the bytes that follow those which the file at `path` gave before. Files of no source are ignored."""
        source = self.source_of(path)
        if source is None:
            return
        if source.rewritten:
            self._offsets[path] = len(data)
            try:
                self.document(source, path, data)
            except Exception as error:  # noqa: BLE001 - as for a record
                self.warn(f"{path} could not be read ({type(error).__name__}: {str(error)[:200]})")
            return
        self._offsets[path] += len(data)
        for line in self._cutters.setdefault(path, LineCutter()).feed(data):
            self._line(source, path, line)

    def offset(self, path: str) -> int:
        """How many bytes of the file at `path` were taken: where to go on."""
        return self._offsets[path]

    def close(self) -> None:
        """Take the last lines that have no end: the agent is gone, so what is unfinished stays so. Call it once."""
        for path, cutter in sorted(self._cutters.items()):
            source = self.source_of(path)
            rest = cutter.rest()
            if source and rest.strip():
                if record_of(rest) is None and rest.lstrip().startswith(b"{"):
                    self.warn(f"the last line of {path} is torn")
                else:
                    self._line(source, path, rest)
            if cutter.n_too_long:
                self.warn(f"{cutter.n_too_long} lines of {path} are too long and were passed over")
        self._is_closed = True

    def _line(self, source: LogSource, path: str, line: bytes) -> None:
        record = None if source.is_text else record_of(line)
        try:
            if record is not None:
                self.record(source, path, record)
            elif line.strip():
                self.text(source, path, line.decode(errors="replace"))
        except Exception as error:  # noqa: BLE001 - one strange record must not cost the rest of the trajectory
            self.warn(f"a record of {path} could not be read ({type(error).__name__}: {str(error)[:200]})")

    @abstractmethod
    def record(self, source: LogSource, path: str, record: Record) -> None:
        """Take one JSON object of the file at `path`."""

    def text(self, source: LogSource, path: str, line: str) -> None:
        """Take a line that is no JSON object; CLIs mix such lines in, and most say nothing."""
        return

    def document(self, source: LogSource, path: str, data: bytes) -> None:
        """Take the whole of a `rewritten` file, in place of what it was before. Only for rewritten sources."""
        self.warn(f"{path} is not read by {self.agent_name}")

    @abstractmethod
    def threads(self) -> Sequence[Thread]:
        """The main thread first, then sub-agents in the order in which they were begun. Threads only grow."""

    def summary_usage(self) -> Usage | None:
        """What the logs say was used beyond the steps (calls that left no record), for the totals. None: nothing."""
        return None

    def agent_extra(self) -> dict[str, Any]:
        """What else the log says of the agent: its session's working directory, git branch, ..."""
        return {}

    def session_id(self) -> str | None:
        """The CLI's own identity of the session."""
        return None

    def logged_version(self) -> str | None:
        """The CLI's version as its log has it, which then counts."""
        return None

    def tool_definitions(self) -> list[dict[str, Any]] | None:
        """The tools as the log lists them."""
        return None

    @property
    def is_done(self) -> bool:
        """Whether the log says that the agent gave its final answer, so that only its process is still there."""
        return False

    def final_error(self) -> str | None:
        """What the log gives as the reason of a failed end; None after a good one. Recovered errors are none."""
        return None

    def warn(self, message: str) -> None:
        """Note what could not be read or is doubtful, each once."""
        if message not in self.warnings and len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(message)

    def updates(self) -> list[StepUpdate]:
        """Steps that are new or grew since this was last asked, in order."""
        cost_is_told = self._cost_is_told()
        found: list[StepUpdate] = []
        for thread in self.threads():
            for position in thread.changed():
                draft = thread.steps[position]
                self._price(draft, cost_is_told=cost_is_told)
                found.append(StepUpdate(thread.key, draft.step(position + 1)))
        return found

    def _cost_is_told(self) -> bool:
        """Whether the logs give the cost of the whole run: then no call gets one from a table."""
        rest = self.summary_usage()
        return rest is not None and rest.cost_usd is not None

    def _price(self, draft: StepDraft, *, cost_is_told: bool) -> None:
        prices, usage = self.context.prices, draft.usage
        if prices is None or usage is None or draft.source != "agent":
            return
        source = f"prices of {prices.name}"
        if cost_is_told and usage.cost_source == source:
            draft.usage = replace(usage, cost_usd=None, cost_source=None)
        elif not cost_is_told and usage.cost_usd is None:
            cost = prices.cost_usd(draft.model_name or self.context.model_name, usage)
            if cost is not None:
                draft.usage = replace(usage, cost_usd=cost, cost_source=source)

    def totals(self) -> Totals:
        """What all threads used, with what the logs only sum: the figures for guards, results and lists."""
        return self._sum(self.threads())

    def n_llm_calls(self) -> int:
        """How often the model was called as far as the logs tell, failed calls included: for the guard."""
        return self.totals().n_calls

    def trajectory(self) -> Trajectory | None:
        """The trajectory so far; None while there is no step."""
        threads = self.threads()
        if not threads or not threads[0].steps:
            return None
        self._sum(threads)
        main, *others = threads
        subagents = [self._document(thread, [thread]) for thread in others if thread.steps]
        document = self._document(main, threads)
        document.trajectory_id = None
        document.session_id = self.session_id()
        document.subagent_trajectories = subagents or None
        if self.warnings:
            document.extra = {"warnings": list(self.warnings)}
        return document

    def _document(self, thread: Thread, counted: Iterable[Thread]) -> Trajectory:
        return Trajectory(
            trajectory_id=thread.key,
            agent=Agent(
                name=self.agent_name,
                version=self.logged_version() or self.context.agent_version or "unknown",
                model_name=self.context.model_name,
                tool_definitions=self.tool_definitions() if thread.key == MAIN else None,
                extra=(self.agent_extra() or None) if thread.key == MAIN else None,
            ),
            steps=thread.written(),
            final_metrics=self._final_metrics(thread, counted),
        )

    def _sum(self, threads: Iterable[Thread]) -> Totals:
        totals = Totals()
        cost_is_told = self._cost_is_told()
        for thread in threads:
            for draft in thread.steps:
                self._price(draft, cost_is_told=cost_is_told)
                if draft.source == "agent" and not draft.is_copied_context and draft.llm_call_count != 0:
                    totals.add(draft.usage, n_calls=draft.llm_call_count or 1)
        rest = self.summary_usage()
        if rest is not None:
            totals.add(rest, n_calls=0)
        return totals

    def _final_metrics(self, thread: Thread, counted: Iterable[Thread]) -> FinalMetrics:
        """Totals are of the thread's own steps, as the format has it; the cost includes sub-agents."""
        own = thread.totals()
        is_main = thread.key == MAIN
        rest = self.summary_usage() if is_main else None
        whole = self._sum(counted) if is_main else own
        n_compactions = sum(draft.is_compaction for draft in thread.steps)
        extra: dict[str, Any] = {
            "peak_context_tokens": own.peak_context_tokens,
            "summarization_count": n_compactions,
            "compacted": True if n_compactions else None,
            "n_llm_calls": own.n_calls,
            "total_cache_creation_tokens": own.cache_write_tokens,
            "total_reasoning_tokens": own.reasoning_tokens,
            "unlogged_usage": _usage_json(rest) if rest else None,
            "cost_source": rest.cost_source if rest else None,
            "with_subagents": _totals_json(whole) if is_main else None,
        }
        return FinalMetrics(
            total_prompt_tokens=own.input_tokens,
            total_completion_tokens=own.output_tokens,
            total_cached_tokens=own.cache_read_tokens,
            total_cost_usd=whole.cost_usd,
            total_steps=len(thread.steps),
            extra={name: value for name, value in extra.items() if value is not None},
        )


def instruction_step(context: ConversionContext, timestamp: str | None = None) -> StepDraft | None:
    """The user's first step, for logs that don't hold the instruction."""
    if context.instruction is None:
        return None
    return StepDraft("user", timestamp=timestamp, texts=[context.instruction])


def _usage_json(usage: Usage) -> dict[str, Any]:
    totals = Totals()
    totals.add(usage, n_calls=0)
    return _totals_json(totals)


def _totals_json(totals: Totals) -> dict[str, Any]:
    figures = {
        "n_llm_calls": totals.n_calls or None,
        "prompt_tokens": totals.input_tokens,
        "completion_tokens": totals.output_tokens,
        "cached_tokens": totals.cache_read_tokens,
        "cache_creation_tokens": totals.cache_write_tokens,
        "reasoning_tokens": totals.reasoning_tokens,
        "cost_usd": totals.cost_usd,
    }
    return {name: value for name, value in figures.items() if value is not None}
