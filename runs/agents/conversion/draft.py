"""Steps while they are written: a thread of drafts that grow as the log does, and tell which of them changed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from runs.agents.conversion.usage import Totals, Usage
from runs.formats.trajectory import (
    ContentPart,
    Observation,
    ObservationResult,
    Source,
    Step,
    SubagentTrajectoryRef,
    ToolCall,
)

COMPACTION: Final = "compaction"


@dataclass(slots=True)
class ResultDraft:
    """What came back of a call. `extra` has what the log says of it: exit_code, is_error, duration_sec, ..."""

    content: str | list[ContentPart] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    subagents: list[SubagentTrajectoryRef] = field(default_factory=list)


@dataclass(slots=True)
class CallDraft:
    """A tool call; `results` stays empty until something comes back."""

    id: str
    name: str
    arguments: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)
    results: list[ResultDraft] = field(default_factory=list)


@dataclass(slots=True)
class StepDraft:
    """One step as far as it is known. Texts are the model's or the log's own words: nothing is made up here.

    `texts` and `reasonings` are the pieces in their order, joined by a blank line. An agent step is one API call:
    `llm_call_count` is 1, or 0 where the agent acted without a model. `is_unfinished`: the turn never came to its end.
    """

    source: Source
    timestamp: str | None = None
    texts: list[str] = field(default_factory=list)
    parts: list[ContentPart] = field(default_factory=list)
    """Images after the text."""
    reasonings: list[str] = field(default_factory=list)
    calls: dict[str, CallDraft] = field(default_factory=dict)
    observations: list[ResultDraft] = field(default_factory=list)
    """What came back for no call of this step."""
    usage: Usage | None = None
    model_name: str | None = None
    reasoning_effort: str | float | None = None
    llm_call_count: int | None = None
    is_copied_context: bool | None = None
    is_unfinished: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    def mark_compaction(self, **details: Any) -> None:
        """Say that here the context was replaced by a summary; `details` as the log tells them (tokens before, ...)."""
        told = {name: value for name, value in details.items() if value is not None}
        self.extra["context_management"] = {"type": COMPACTION, **told}

    @property
    def is_compaction(self) -> bool:
        context = self.extra.get("context_management")
        return isinstance(context, dict) and context.get("type") == COMPACTION

    def step(self, step_id: int) -> Step:
        """The step as it is written."""
        is_agent = self.source == "agent"
        extra = {**self.extra, **({"unfinished": True} if self.is_unfinished else {})}
        results = [*self._results(), *(_result(None, draft) for draft in self.observations)]
        reasoning = "\n\n".join(self.reasonings)
        return Step(
            step_id=step_id,
            timestamp=self.timestamp,
            source=self.source,
            model_name=self.model_name if is_agent else None,
            reasoning_effort=self.reasoning_effort if is_agent else None,
            message=self._message(),
            reasoning_content=reasoning if is_agent and reasoning else None,
            tool_calls=[_call(call) for call in self.calls.values()] or None if is_agent else None,
            observation=Observation(results=results) if results else None,
            metrics=self.usage.metrics() if is_agent and self.usage else None,
            is_copied_context=self.is_copied_context,
            llm_call_count=self.llm_call_count if is_agent else None,
            extra=extra or None,
        )

    def _message(self) -> str | list[ContentPart]:
        text = "\n\n".join(self.texts)
        if not self.parts:
            return text
        return [*([ContentPart(type="text", text=text)] if text else []), *self.parts]

    def _results(self) -> Iterator[ObservationResult]:
        for call in self.calls.values():
            for draft in call.results:
                yield _result(call.id, draft)


def _call(call: CallDraft) -> ToolCall:
    return ToolCall(tool_call_id=call.id, function_name=call.name, arguments=call.arguments, extra=call.extra or None)


def _result(call_id: str | None, draft: ResultDraft) -> ObservationResult:
    return ObservationResult(
        source_call_id=call_id,
        content=draft.content,
        subagent_trajectory_ref=draft.subagents or None,
        extra=draft.extra or None,
    )


class Thread:
    """The steps of one conversation, main or delegated, in the order of its log. They grow, and never move."""

    def __init__(self, key: str) -> None:
        self.key = key
        """`main`, or the log's own identity of the sub-agent: its trajectory_id."""
        self.steps: list[StepDraft] = []
        self._changed: set[int] = set()
        self._index: dict[int, int] = {}
        self._of_call: dict[str, StepDraft] = {}

    def add(self, draft: StepDraft) -> StepDraft:
        """Append a step."""
        self._index[id(draft)] = len(self.steps)
        self._changed.add(len(self.steps))
        self.steps.append(draft)
        return draft

    def put(self, position: int, draft: StepDraft) -> None:
        """Make this the step at a position, or the next one; an equal step that is there already stays."""
        if position == len(self.steps):
            self.add(draft)
        elif self.steps[position] != draft:
            self._index.pop(id(self.steps[position]), None)
            self._index[id(draft)] = position
            self.steps[position] = draft
            self._changed.add(position)

    def touch(self, draft: StepDraft) -> None:
        """Say that a step of this thread has grown."""
        self._changed.add(self._index[id(draft)])

    def add_call(self, draft: StepDraft, call: CallDraft) -> None:
        """Give a step a call; a call of that id which it has already is replaced, its results kept."""
        known = draft.calls.get(call.id)
        if known:
            call.results = known.results
        draft.calls[call.id] = call
        self._of_call[call.id] = draft
        self.touch(draft)

    def answer(self, call_id: str, result: ResultDraft, *, replace: bool = False) -> bool:
        """Give the latest call of this id its result, and say whether there is such a call."""
        draft = self._of_call.get(call_id)
        if draft is None:
            return False
        call = draft.calls[call_id]
        call.results = [result] if replace else [*call.results, result]
        self.touch(draft)
        return True

    def call(self, call_id: str) -> CallDraft | None:
        """The latest call of this id."""
        draft = self._of_call.get(call_id)
        return draft.calls[call_id] if draft else None

    def step_of_call(self, call_id: str) -> StepDraft | None:
        """The step that made the latest call of this id."""
        return self._of_call.get(call_id)

    def changed(self) -> list[int]:
        """Positions of the steps that are new or grew since this was last asked."""
        positions = sorted(self._changed)
        self._changed.clear()
        return positions

    def written(self) -> list[Step]:
        """All steps as they are now, numbered from 1."""
        return [draft.step(number) for number, draft in enumerate(self.steps, start=1)]

    def totals(self) -> Totals:
        """What the calls of this thread used, copies of earlier context not counted."""
        totals = Totals()
        for draft in self.steps:
            if draft.source == "agent" and not draft.is_copied_context:
                totals.add(draft.usage, n_calls=draft.llm_call_count or 0 if draft.llm_call_count is not None else 1)
        return totals
