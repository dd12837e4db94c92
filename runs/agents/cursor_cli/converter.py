"""Cursor CLI's printed events to steps. It prints no tokens of single calls, only the sum at the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from runs.agents.conversion.base import MAIN, ConversionContext, Converter, LogSource, instruction_step
from runs.agents.conversion.draft import ResultDraft, StepDraft, Thread
from runs.agents.conversion.images import ImageStore
from runs.agents.conversion.lines import Record
from runs.agents.conversion.usage import Usage
from runs.agents.conversion.values import amount, count, dig, mapping, mappings, text_of, texts_of, timestamp_of
from runs.agents.cursor_cli.calls import call_of, kind_of, result_of
from runs.formats.trajectory import Trajectory

AGENT: Final = "cursor-cli"
STDOUT: Final = "cursor-cli.txt"
MAX_RESULTS: Final = 1000


@dataclass(slots=True)
class _Open:
    """The API call that is being answered; `key` is its `model_call_id`, which not all events have."""

    draft: StepDraft
    key: str = ""

    @property
    def is_answered(self) -> bool:
        """Whether all of its calls came back, so that what follows is of the next API call."""
        return bool(self.draft.calls) and all(call.results for call in self.draft.calls.values())


class CursorCliConverter(Converter):
    """One stream is one thread. Events with the same `model_call_id` are one step."""

    agent_name = AGENT
    sources: ClassVar[tuple[LogSource, ...]] = (LogSource("stdout", (STDOUT,)),)

    def __init__(self, context: ConversionContext | None = None, *, images: ImageStore | None = None) -> None:
        super().__init__(context, images=images)
        self._thread = Thread(MAIN)
        self._open: _Open | None = None
        self._by_key: dict[str, _Open] = {}
        self._is_thinking = False
        self._model: str | None = None
        self._session_id: str | None = None
        self._extra: dict[str, Any] = {}
        self._results: list[Record] = []
        self._complaint: str | None = None

    def record(self, source: LogSource, path: str, record: Record) -> None:
        """Take one event."""
        kind, at = text_of(record.get("type")), timestamp_of(record.get("timestamp_ms"))
        if kind == "system" and record.get("subtype") == "init":
            self._model = text_of(record.get("model")) or None
            self._session_id = text_of(record.get("session_id")) or None
            told = {"cwd": "cwd", "permissionMode": "permission_mode", "apiKeySource": "api_key_source"}
            self._extra = {ours: text[:500] for theirs, ours in told.items() if (text := text_of(record.get(theirs)))}
        elif kind == "user":
            self._open = None
            texts = _texts_of(record)
            if texts != [self.context.instruction] or not self._thread.steps:
                self._thread.add(StepDraft("user", at, texts=texts))
        elif kind == "thinking":
            self._thinking(record, at)
        elif kind == "assistant":
            self._said(record, at)
        elif kind == "tool_call":
            self._called(record, at)
        elif kind == "result":
            self._open = None
            if len(self._results) < MAX_RESULTS:
                self._results.append(record)
        elif kind == "error":
            words = text_of(record.get("message")) or text_of(dig(record, "error", "message"))
            self._add(StepDraft("system", at, texts=texts_of(words), extra={"is_error": True}))

    def text(self, source: LogSource, path: str, line: str) -> None:
        """Take a plain line: a failing CLI says in the last of them why."""
        self._complaint = line.strip()[:2000]

    def threads(self) -> Sequence[Thread]:
        """The one thread."""
        return [self._thread]

    def summary_usage(self) -> Usage | None:
        """What the events at the end of runs sum; its cost is the CLI's own figure, else that of a price table."""
        usages = [mapping(result.get("usage")) for result in self._results]
        costs = [cost for result in self._results if (cost := amount(result.get("total_cost_usd"))) is not None]
        usage = Usage(
            uncached_tokens=_sum(usages, "inputTokens"),
            cache_read_tokens=_sum(usages, "cacheReadTokens"),
            cache_write_tokens=_sum(usages, "cacheWriteTokens"),
            output_tokens=_sum(usages, "outputTokens"),
            cost_usd=sum(costs) if costs else None,
            cost_source=f"{AGENT} total_cost_usd" if costs else None,
        )
        if usage.input_tokens is None and usage.output_tokens is None and not costs:
            return None
        prices = self.context.prices
        cost = prices.cost_usd(self.context.model_name or self._model, usage) if prices and not costs else None
        if prices is None or cost is None:
            return usage
        return Usage(
            uncached_tokens=usage.uncached_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            output_tokens=usage.output_tokens,
            cost_usd=cost,
            cost_source=f"prices of {prices.name}",
        )

    def trajectory(self) -> Trajectory | None:
        """The trajectory so far. Its totals are the sums of the CLI, since no step has figures of its own."""
        document, usage = super().trajectory(), self.summary_usage()
        if document and document.final_metrics and usage:
            document.final_metrics.total_prompt_tokens = usage.input_tokens
            document.final_metrics.total_completion_tokens = usage.output_tokens
            document.final_metrics.total_cached_tokens = usage.cache_read_tokens
        return document

    def agent_extra(self) -> dict[str, Any]:
        """Where the session ran, as its first event says."""
        return dict(self._extra)

    def session_id(self) -> str | None:
        """The session's identity, which `cursor-agent --resume` takes."""
        return self._session_id

    @property
    def is_done(self) -> bool:
        """Whether the event at the end was printed."""
        return bool(self._results)

    def final_error(self) -> str | None:
        """What the last run failed with, or the last plain line of a stream that has no end."""
        if not self._results:
            return self._complaint
        last = self._results[-1]
        if last.get("is_error") is not True:
            return None
        return text_of(last.get("result")) or self._complaint or text_of(last.get("subtype")) or None

    def _thinking(self, record: Record, at: str | None) -> None:
        text = text_of(record.get("text"))
        if record.get("subtype") == "completed":
            self._is_thinking = False
        if not text:
            return
        step = self._step("", at)
        if self._is_thinking and step.reasonings:
            step.reasonings[-1] += text
        else:
            step.reasonings.append(text)
        self._is_thinking = True
        step.is_unfinished = not (step.texts or step.calls)
        self._thread.touch(step)

    def _said(self, record: Record, at: str | None) -> None:
        texts = _texts_of(record)
        key = text_of(record.get("model_call_id"))
        if not texts:
            return
        # The final message has no key: after one with a key it is an API call of its own.
        if not key and self._open and self._open.key:
            self._open = None
        step = self._step(key, at)
        step.texts += texts
        step.is_unfinished = False
        self._thread.touch(step)

    def _called(self, record: Record, at: str | None) -> None:
        identity = text_of(record.get("call_id"))
        name, told = kind_of(mapping(record.get("tool_call")))
        if not identity:
            return
        call = call_of(identity, name, told)
        step = self._thread.step_of_call(identity) or self._step(text_of(record.get("model_call_id")), at)
        step.is_unfinished = False
        if name.startswith("webSearch"):
            step.extra["server_web_search"] = True
        self._thread.add_call(step, call)
        if record.get("subtype") == "completed":
            self._thread.answer(identity, result_of(told) or ResultDraft(), replace=True)

    def _step(self, key: str, at: str | None) -> StepDraft:
        """The step of the API call that an event belongs to."""
        known = self._by_key.get(key) if key else self._open
        if known is None and self._open and not self._open.key:
            known = self._open
        if known is None or (not known.key and known.is_answered) or (not key and known.is_answered):
            known = _Open(self._add(self._agent_step(at)))
            self._is_thinking = False
        if key:
            known.key = key
            self._by_key[key] = known
        self._open = known
        return known.draft

    def _agent_step(self, at: str | None) -> StepDraft:
        effort = self.context.reasoning_effort
        return StepDraft("agent", at, model_name=self._model, reasoning_effort=effort, llm_call_count=1)

    def _add(self, draft: StepDraft) -> StepDraft:
        if not self._thread.steps:
            instruction = instruction_step(self.context, draft.timestamp)
            if instruction:
                self._thread.add(instruction)
        return self._thread.add(draft)


def _texts_of(record: Record) -> list[str]:
    content = dig(record, "message", "content")
    if isinstance(content, str):
        return texts_of(content)
    return texts_of(*(part.get("text") for part in mappings(content)))


def _sum(usages: list[Record], name: str) -> int | None:
    figures = [figure for usage in usages if (figure := count(usage.get(name))) is not None]
    return sum(figures) if figures else None
