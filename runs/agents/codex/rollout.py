"""One rollout file of Codex, which is one thread, as steps: an API call ends with its `token_usage_record`.

Older versions have no such record; there a call ends with the `token_count` event that raises the thread's total.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from runs.agents.codex.items import (
    call_of,
    is_of_user,
    message_of,
    outcome_of,
    reasoning_of,
    result_of,
    served_result_of,
    spawned_by,
    usage_of,
)
from runs.agents.conversion.base import ConversionContext, instruction_step
from runs.agents.conversion.draft import ResultDraft, StepDraft, Thread
from runs.agents.conversion.images import ImageStore
from runs.agents.conversion.lines import Record
from runs.agents.conversion.values import amount, as_text, count, dig, mapping, text_of, texts_of, timestamp_of
from runs.formats.trajectory import Source, SubagentTrajectoryRef

_OUTPUTS: Final = frozenset({"function_call_output", "custom_tool_call_output", "tool_search_output"})
_COMPACTIONS: Final = frozenset({"compaction", "compaction_summary", "context_compaction"})
_SILENT: Final = frozenset({"inter_agent_communication_metadata", "world_state"})
_NOTICES: Final = frozenset({"error", "stream_error", "warning"})


class Rollout:
    """The steps of one thread, from the records of its file in their order."""

    def __init__(self, path: str, context: ConversionContext, images: ImageStore) -> None:
        self.path = path
        self.thread = Thread(path)
        self.id = path.rpartition("/")[2].removesuffix(".jsonl")[-36:]
        self.meta: Mapping[str, Any] = {}
        self.is_done = False
        self.failure: str | None = None
        self.printed: list[str] = []
        """Ids of the items that the CLI also prints, in that order."""
        self._context = context
        self._images = images
        self._step_of_item: dict[str, StepDraft] = {}
        self._open: StepDraft | None = None
        self._last: StepDraft | None = None
        self._is_cut = False
        self._copies = False
        self._first_of_turn: StepDraft | None = None
        self._has_turn_begun = False
        self._total_tokens = 0
        self._n_calls = 0
        self._model: str | None = None
        self._effort: str | None = None
        self._outcomes: dict[str, tuple[dict[str, Any], list[SubagentTrajectoryRef]]] = {}
        self._handlers: Mapping[str, Callable[[Record, str | None], None]] = {
            "session_meta": self._session,
            "turn_context": self._turn_context,
            "event_msg": self._event,
            "response_item": self._item,
            "token_usage_record": self._usage,
            "compacted": self._compacted,
        }

    @property
    def parent_id(self) -> str | None:
        """The thread that began this one; None for a main thread."""
        spawn = dig(self.meta, "source", "subagent", "thread_spawn", "parent_thread_id")
        return next(iter(texts_of(self.meta.get("parent_thread_id"), spawn)), None)

    @property
    def began_at(self) -> str:
        return text_of(self.meta.get("timestamp"))

    def printed_step(self, number: int) -> StepDraft | None:
        """The step of the `number`-th item that the CLI printed, from 1; None while it is not known."""
        if not 1 <= number <= len(self.printed):
            return None
        return self._step_of_item.get(self.printed[number - 1])

    def record(self, record: Record) -> bool:
        """Take one line of the file, and say whether it is a record of Codex."""
        kind, payload = text_of(record.get("type")), mapping(record.get("payload"))
        handle = self._handlers.get(kind)
        if self._copies and payload.get("thread_id") == self.id:
            self._copies, self._open = False, None
        if handle:
            handle(payload, timestamp_of(record.get("timestamp")))
        return handle is not None or kind in _SILENT

    def close(self) -> None:
        """The file grows no more: what has no end stays unfinished."""
        self._give_up()

    def _session(self, payload: Record, at: str | None) -> None:
        if not self.meta:
            self.meta = payload
            self.id = text_of(payload.get("id")) or self.id
        elif payload.get("id") != self.id:
            # A fork: that thread's history comes next, as far as this one was given it.
            self._copies = True

    def _turn_context(self, payload: Record, at: str | None) -> None:
        self._model = text_of(payload.get("model")) or self._model
        self._effort = text_of(payload.get("effort")) or None

    def _event(self, payload: Record, at: str | None) -> None:
        kind = text_of(payload.get("type"))
        if kind == "item_completed":
            self._item_completed(mapping(payload.get("item")), at)
        elif kind == "token_count":
            self._token_count(mapping(payload.get("info")))
        elif kind == "task_started":
            self.is_done, self.failure = False, None
            self._has_turn_begun, self._first_of_turn = True, None
        elif kind == "task_complete":
            self._turn_ended(payload, text_of(dig(payload, "error", "message")), at)
        elif kind == "turn_aborted":
            self._turn_ended(payload, text_of(payload.get("reason")), at)
        elif kind in _NOTICES:
            self._notice(text_of(payload.get("message")), at)

    def _item(self, payload: Record, at: str | None) -> None:
        kind = text_of(payload.get("type"))
        if kind in ("message", "agent_message"):
            self._message(payload, at)
        elif kind in _OUTPUTS:
            self._output(payload, at)
        elif kind == "reasoning":
            draft, texts = self._answer(payload, at), reasoning_of(payload)
            draft.reasonings += texts
            if not texts and payload.get("encrypted_content"):
                draft.extra["encrypted_reasoning"] = True
        elif kind in _COMPACTIONS:
            self._answer(payload, at).mark_compaction()
        else:
            self._call(payload, at)

    def _message(self, payload: Record, at: str | None) -> None:
        texts, parts = message_of(payload, self._images)
        if payload.get("role") == "assistant":
            draft = self._answer(payload, at)
            draft.texts += texts
            draft.parts += parts
        elif payload.get("role") == "user" and is_of_user(payload):
            self._open = None if self._copies else self._open
            self._add(StepDraft("user", timestamp=at, texts=texts, parts=parts))
        elif self.thread.steps or payload.get("type") == "agent_message":
            # What the CLI or another agent tells on the way. What the CLI tells before the task is alike in all runs.
            author = text_of(payload.get("author"))
            extra = {"author": author} if author else {}
            source: Source = "system" if self.thread.steps else "user"
            self._add(StepDraft(source, timestamp=at, texts=texts, parts=parts, extra=extra))

    def _call(self, payload: Record, at: str | None) -> None:
        call = call_of(payload, self._n_calls + 1)
        if call is None:
            return
        self._n_calls += 1
        draft = self._answer(payload, at)
        if payload.get("type") == "web_search_call":
            draft.extra["server_web_search"] = call.extra["server_web_search"] = True
        self._step_of_item[call.id] = draft
        self.thread.add_call(draft, call)
        served = served_result_of(payload, self._images)
        if served:
            self.thread.answer(call.id, served, replace=True)

    def _output(self, payload: Record, at: str | None) -> None:
        call_id, result = text_of(payload.get("call_id")), result_of(payload, self._images)
        extra, spawned = self._outcomes.get(call_id, ({}, []))
        result.extra |= extra
        result.subagents += spawned
        if not self.thread.answer(call_id, result, replace=call_id in self._outcomes) and self.thread.steps:
            last = self.thread.steps[-1]
            last.observations.append(result)
            self.thread.touch(last)

    def _answer(self, payload: Record, at: str | None) -> StepDraft:
        """The step of the API call that is being answered, which this item belongs to."""
        if self._is_cut:
            self._give_up()
        if self._open is None:
            self._open = self._begin(at)
        else:
            self.thread.touch(self._open)
        self._step_of_item[text_of(payload.get("id"))] = self._open
        return self._open

    def _begin(self, at: str | None) -> StepDraft:
        if not self.thread.steps and self.parent_id is None:
            instruction = instruction_step(self._context, at)
            if instruction:
                self.thread.add(instruction)
        draft = StepDraft("agent", at, model_name=self._model, reasoning_effort=self._effort, llm_call_count=1)
        if self._has_turn_begun:
            self._first_of_turn, self._has_turn_begun = draft, False
        return self._add(draft)

    def _add(self, draft: StepDraft) -> StepDraft:
        if self._copies:
            draft.is_copied_context, draft.llm_call_count = True, None
        return self.thread.add(draft)

    def _usage(self, payload: Record, at: str | None) -> None:
        self._total_tokens = count(dig(payload, "thread_token_usage", "total_tokens")) or self._total_tokens
        self._is_cut = False
        draft = self._open = self._open or self._begin(at)
        if text_of(payload.get("thread_id")) not in ("", self.id):
            draft.is_copied_context, draft.llm_call_count = True, None
        self._end(mapping(payload.get("usage")))

    def _token_count(self, info: Record) -> None:
        total = count(dig(info, "total_token_usage", "total_tokens")) or 0
        grew = total > self._total_tokens
        self._total_tokens = max(total, self._total_tokens)
        if self._open and grew:
            self._end(mapping(info.get("last_token_usage")))
        elif self._open:
            # The stream ended without usage: if the model says more, then in another call.
            self._is_cut = True

    def _end(self, usage: Record) -> None:
        if self._open:
            self._open.usage = usage_of(usage)
            self.thread.touch(self._open)
            self._last, self._open = self._open, None

    def _give_up(self) -> None:
        self._is_cut = False
        if self._open:
            self._open.is_unfinished = True
            self.thread.touch(self._open)
            self._open = None

    def _compacted(self, payload: Record, at: str | None) -> None:
        summary = text_of(payload.get("message"))
        last = self._last
        if last and last is self.thread.steps[-1] and _is_summary(last, summary):
            last.mark_compaction()
            self.thread.touch(last)
            return
        draft = StepDraft("system", timestamp=at, texts=texts_of(summary))
        draft.mark_compaction()
        self.thread.add(draft)

    def _item_completed(self, item: Record, at: str | None) -> None:
        kind, identity = text_of(item.get("type")), text_of(item.get("id"))
        summary = item.get("summary_text")
        if kind in ("AgentMessage", "CommandExecution") or (kind == "Reasoning" and summary):
            self.printed.append(identity)
        extra, spawned = outcome_of(item), spawned_by(item)
        if not (extra or spawned):
            return
        call, step = self.thread.call(identity), self.thread.step_of_call(identity)
        if call and step and call.results:
            # A command that ran on: what it gave at first came back before.
            call.results[-1].extra |= extra
            call.results[-1].subagents += spawned
            self.thread.touch(step)
            return
        self._outcomes[identity] = extra, spawned
        output = item.get("aggregated_output")
        self.thread.answer(identity, ResultDraft(output if isinstance(output, str) else None, dict(extra), [*spawned]))

    def _turn_ended(self, payload: Record, failure: str, at: str | None) -> None:
        self._give_up()
        self.is_done, self.failure = True, failure or None
        first, delay_ms = self._first_of_turn, amount(payload.get("time_to_first_token_ms"))
        # The one figure of the turn is that of its first call.
        if first and first.usage and delay_ms is not None:
            first.usage = replace(first.usage, time_to_first_token_ms=delay_ms)
            self.thread.touch(first)
        self._first_of_turn, self._has_turn_begun = None, False
        if failure:
            self._notice(failure, at, dig(payload, "error", "codex_error_info"))

    def _notice(self, message: str, at: str | None, details: Any = None) -> None:
        last = self.thread.steps[-1] if self.thread.steps else None
        if not message or (last and last.source == "system" and last.texts == [message]):
            return
        extra: dict[str, Any] = {"is_error": True}
        if details is not None:
            extra["codex_error_info"] = as_text(details)[:1000]
        self.thread.add(StepDraft("system", timestamp=at, texts=[message], extra=extra))


def _is_summary(step: StepDraft, summary: str) -> bool:
    """Whether an API call is the one that made the summary; the API's own compaction gives nothing to read."""
    if step.is_compaction:
        return True
    return "\n\n".join(step.texts) in summary if step.texts else not (step.calls or step.reasonings)
