"""What `codex exec --json` prints as steps, for when no rollout was kept. It tells neither times nor calls of the API.

So a step is what can be seen to be one turn: text and reasoning, then tools. Usage is only known as the sum.
"""

from collections.abc import Mapping
from typing import Any, Final

from runs.agents.codex.items import outcome_of, usage_of
from runs.agents.conversion.base import MAIN, ConversionContext, instruction_step
from runs.agents.conversion.draft import CallDraft, ResultDraft, StepDraft, Thread
from runs.agents.conversion.lines import Record
from runs.agents.conversion.usage import Usage
from runs.agents.conversion.values import as_text, mapping, text_of, texts_of

_WORDS: Final = frozenset({"agent_message", "reasoning"})
# What comes back and what becomes of an item; the rest of it is what was asked for.
_ANSWERS: Final = frozenset(
    {"id", "type", "status", "aggregated_output", "exit_code", "result", "error", "agents_states"}
)


class Printed:
    """The steps of the main thread, from events in their order. `usage` is that of all its calls."""

    def __init__(self, context: ConversionContext) -> None:
        self.thread = Thread(MAIN)
        self.usage: Usage | None = None
        self._context = context
        self._open: StepDraft | None = None
        self._has_acted = False

    def event(self, event: Record) -> None:
        """Take one event."""
        kind, item = event.get("type"), mapping(event.get("item"))
        if kind == "turn.completed":
            self.usage, self._open = usage_of(mapping(event.get("usage"))), None
        elif kind == "turn.failed":
            self.close()
            words = texts_of(mapping(event.get("error")).get("message"))
            self.thread.add(StepDraft("system", texts=words, extra={"is_error": True}))
        elif kind == "item.completed" and item.get("type") in _WORDS:
            self._take_words(item)
        elif kind in ("item.started", "item.completed") and item.get("type") not in ("error", None):
            self._take_call(item, is_over=kind == "item.completed")

    def close(self) -> None:
        """Nothing more is printed: a turn without its end is unfinished."""
        if self._open:
            self._open.is_unfinished = True
            self.thread.touch(self._open)
            self._open = None

    def _take_words(self, item: Mapping[str, Any]) -> None:
        if self._has_acted:
            self._open = None
        step = self._step()
        words = texts_of(item.get("text"))
        if item.get("type") == "reasoning":
            step.reasonings += words
        else:
            step.texts += words

    def _take_call(self, item: Mapping[str, Any], *, is_over: bool) -> None:
        identity, name = text_of(item.get("id")), text_of(item.get("tool")) or text_of(item.get("type"))
        if self.thread.call(identity) is None:
            arguments = {key: value for key, value in item.items() if key not in _ANSWERS}
            self.thread.add_call(self._step(), CallDraft(identity, name, arguments))
            self._has_acted = True
        if is_over:
            content = next((item[key] for key in ("aggregated_output", "error", "result") if item.get(key)), None)
            result = ResultDraft(None if content is None else as_text(content), outcome_of(item))
            self.thread.answer(identity, result, replace=True)

    def _step(self) -> StepDraft:
        if self._open is None:
            instruction = None if self.thread.steps else instruction_step(self._context)
            if instruction:
                self.thread.add(instruction)
            self._open = self.thread.add(StepDraft("agent", model_name=self._context.model_name))
            self._has_acted = False
        self.thread.touch(self._open)
        return self._open
