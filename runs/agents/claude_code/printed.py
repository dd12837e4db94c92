"""What Claude Code prints as stream-json: the same conversation without final figures, and how the run ended."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from runs.agents.claude_code.thread import ThreadLog
from runs.agents.conversion.base import MAIN, ConversionContext
from runs.agents.conversion.images import ImageStore
from runs.agents.conversion.lines import Record
from runs.agents.conversion.values import amount, count, mapping, mappings, text_of

# Tokens as `modelUsage` names them, and as the API's `usage` does.
TOKENS: Final = {
    "inputTokens": "input_tokens",
    "cacheReadInputTokens": "cache_read_input_tokens",
    "cacheCreationInputTokens": "cache_creation_input_tokens",
    "outputTokens": "output_tokens",
    "thinkingTokens": "thinking_tokens",
}


@dataclass(frozen=True, slots=True)
class Spent:
    """What a whole run used, by the CLI's own count: sub-agents, compactions and broken streams included."""

    tokens: Mapping[str, int]
    cost_usd: float | None
    is_guess: bool
    """The CLI does not know the price of a model."""

    def covers(self, earlier: "Spent") -> bool:
        """Whether this count went on from the earlier one."""
        return all(self.tokens.get(name, 0) >= figure for name, figure in earlier.tokens.items()) and (
            (self.cost_usd or 0.0) >= (earlier.cost_usd or 0.0)
        )

    def plus(self, other: "Spent") -> "Spent":
        """Both together."""
        tokens = {name: self.tokens.get(name, 0) + other.tokens.get(name, 0) for name in {*self.tokens, *other.tokens}}
        costs = [cost for cost in (self.cost_usd, other.cost_usd) if cost is not None]
        return Spent(tokens, sum(costs) if costs else None, self.is_guess or other.is_guess)


def spent_of(record: Record) -> Spent | None:
    """What a `result` of stdout, or a `cost-state` of the session log, says was used; None where it says nothing."""
    models = list(mappings(list(mapping(record.get("modelUsage")).values())))
    if not models:
        # Versions of 2025 only sum the main conversation.
        usage = mapping(record.get("usage"))
        models = [{name: usage.get(spelled) for name, spelled in TOKENS.items()}]
    tokens: dict[str, int] = {}
    is_guess = record.get("hasUnknownModelCost") is True
    for used in models:
        is_guess = is_guess or used.get("costBasis") == "unknown"
        for name in TOKENS:
            figure = count(used.get(name))
            if figure is not None:
                tokens[name] = tokens.get(name, 0) + figure
    cost_usd = amount(record.get("total_cost_usd", record.get("totalCostUSD")))
    return Spent(tokens, cost_usd, is_guess) if tokens or cost_usd is not None else None


def spent_in_all(records: Iterable[Record]) -> Spent | None:
    """Several `result` records of one process count on; where one has less than the one before, it counted anew."""
    ended: Spent | None = None
    latest: Spent | None = None
    for spent in filter(None, map(spent_of, records)):
        if latest is not None and not spent.covers(latest):
            ended = ended.plus(latest) if ended else latest
        latest = spent
    return ended.plus(latest) if ended and latest else latest


class Printed:
    """Takes the records of stdout in their order. Its threads are by `main` or the sub-agent's id."""

    def __init__(self, images: ImageStore, context: ConversionContext) -> None:
        self.threads: dict[str, ThreadLog] = {MAIN: ThreadLog(MAIN, images, context)}
        self.call_of_thread: dict[str, str] = {}
        """The call that began a sub-agent, by the key of its thread."""
        self.results: list[Record] = []
        self.is_done = False
        self.has_begun = False
        self.session_id: str | None = None
        self.version: str | None = None
        self.working_directory: str | None = None
        self.tool_names: list[str] = []
        self._images = images
        self._keys: dict[str, str] = {}

    def take(self, record: Record) -> None:
        """Take one record; kinds that say nothing are passed over."""
        match record.get("type"):
            case "result":
                self.results.append(record)
                self.is_done = True
            case "system" if record.get("subtype") == "init":
                self._begin(record)
            case "assistant" | "user" | "system":
                self._thread_of(record).take(record)
                self.is_done = self.is_done and record["type"] == "system"

    @property
    def ended_with_error(self) -> str | None:
        """Why the last result is a failure; None where it is none."""
        if not self.results:
            return None
        last = self.results[-1]
        subtype = text_of(last.get("subtype"))
        if last.get("is_error") is not True and subtype in ("success", ""):
            return None
        errors = last.get("errors")
        said = [error for error in errors if isinstance(error, str)] if isinstance(errors, list) else []
        return text_of(last.get("result")) or "\n".join(said) or subtype or "the CLI reports an error"

    def _begin(self, record: Record) -> None:
        self.has_begun = True
        self.is_done = False
        self.session_id = self.session_id or text_of(record.get("session_id")) or None
        self.version = text_of(record.get("claude_code_version")) or self.version
        self.working_directory = self.working_directory or text_of(record.get("cwd")) or None
        tools: Any = record.get("tools")
        if isinstance(tools, list):
            self.tool_names = [name for name in tools if isinstance(name, str)]
        self.threads[MAIN].open_with_instruction()

    def _thread_of(self, record: Record) -> ThreadLog:
        call_id = text_of(record.get("parent_tool_use_id"))
        if not call_id:
            return self.threads[MAIN]
        # Only newer versions name the sub-agent beside the call that began it.
        key = self._keys.setdefault(call_id, text_of(record.get("agent_id")) or call_id)
        self.call_of_thread[key] = call_id
        if key not in self.threads:
            self.threads[key] = ThreadLog(key, self._images)
        return self.threads[key]
