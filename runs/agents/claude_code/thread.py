"""One conversation of Claude Code, as the records of its session file (or of stdout) tell it, as steps."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from runs.agents.claude_code.content import result_of, searched_on_server, texts_and_parts, told, usage_of
from runs.agents.claude_code.facts import LogFacts
from runs.agents.claude_code.own_steps import compaction, is_api_error, is_own_message, own_message, refused_request
from runs.agents.conversion.base import ConversionContext, instruction_step
from runs.agents.conversion.draft import CallDraft, ResultDraft, StepDraft, Thread
from runs.agents.conversion.images import ImageStore
from runs.agents.conversion.lines import Record
from runs.agents.conversion.values import (
    amount,
    arguments_of,
    as_text,
    count,
    dig,
    mapping,
    mappings,
    text_of,
    timestamp_of,
)
from runs.formats.trajectory import SubagentTrajectoryRef

CUT_OFF: Final = "Your response above was cut off"
CALLS: Final = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
DELEGATES: Final = frozenset({"Agent", "Task"})
# A client-side tool whose search the provider makes in a call of its own.
WEB_SEARCH: Final = "WebSearch"
# Ends that need no word: the model finished, or called a tool.
USUAL_ENDS: Final = frozenset({"end_turn", "tool_use", "stop_sequence"})


class ThreadLog:
    """Takes the records of one conversation in their order. The instruction is known of a main conversation alone."""

    def __init__(self, key: str, images: ImageStore, context: ConversionContext | None = None) -> None:
        self.thread = Thread(key)
        self.facts = LogFacts()
        self.last_error: str | None = None
        """The words of the API's refusal that ended the conversation; None once the model answers again."""
        self.agent_calls: dict[str, str] = {}
        """Which call began a sub-agent: its id by the sub-agent's."""
        self._images = images
        self._context = context or ConversionContext()
        self.steps_by_message: dict[str, StepDraft] = {}
        """The step of each API call, by the id of its message."""
        self.stop_reasons: dict[int, object] = {}
        """How each of these ended, by the step's id()."""
        self._seen: set[str] = set()
        self._compaction: StepDraft | None = None

    @property
    def has_steps(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.thread.steps)

    @property
    def ends_with_answer(self) -> bool:
        """Whether the last step is a message that the model ended itself, without calling a tool."""
        last = self._last_step
        return last is not None and not last.calls and self.stop_reasons.get(id(last)) not in (None, "tool_use")

    @property
    def prompt(self) -> str | None:
        """The text that the conversation begins with."""
        first = self.thread.steps[0] if self.thread.steps else None
        return first.texts[0] if first and first.source == "user" and first.texts else None

    @property
    def _last_step(self) -> StepDraft | None:
        return self.thread.steps[-1] if self.thread.steps else None

    def take(self, record: Record) -> None:
        """Take one record; kinds that say nothing of the conversation are passed over."""
        identity = record.get("uuid")
        if isinstance(identity, str):
            if identity in self._seen:
                return
            self._seen.add(identity)
        self.facts.note(record)
        match record.get("type"):
            case "user":
                self._user(record)
            case "assistant":
                self._assistant(record)
            case "system":
                self._system(record)
            case "attachment":
                self._attachment(record)

    def name(self, key: str) -> None:
        """Give the thread its key. Where that is another one than before, all of its steps are to be shown anew."""
        if self.thread.key != key:
            self.thread.key = key
            for step in self.thread.steps:
                self.thread.touch(step)

    def open_with_instruction(self) -> None:
        """Begin with what the agent was given, where that is known and nothing else was said yet."""
        draft = None if self.thread.steps else instruction_step(self._context)
        if draft:
            self.thread.add(draft)

    def refer(self, call_id: str, key: str) -> bool:
        """Say that a call was done by the sub-agent of this key; False if there is no such call."""
        call = self.thread.call(call_id)
        if call is None:
            return False
        known = call.results[0] if call.results else ResultDraft()
        if all(ref.trajectory_id != key for ref in known.subagents):
            keys = sorted({key, *(ref.trajectory_id or "" for ref in known.subagents)})
            refs = [SubagentTrajectoryRef(trajectory_id=each) for each in keys]
            self.thread.answer(call_id, ResultDraft(known.content, known.extra, refs), replace=True)
        return True

    def call_with_prompt(self, prompt: str) -> str | None:
        """The call that delegated this prompt, for logs that name no call."""
        for step in self.thread.steps:
            for call in step.calls.values():
                if call.name in DELEGATES and call.arguments.get("prompt") == prompt:
                    return call.id
        return None

    def adopt(self, printed: "ThreadLog") -> None:
        """Add what stdout has and the session file lacks: the turn in which the process was killed."""
        for identity, draft in printed.steps_by_message.items():
            mine = self.steps_by_message.get(identity)
            if mine is None:
                mine = self.steps_by_message[identity] = self._add(draft)
                self.stop_reasons[id(mine)] = printed.stop_reasons.get(id(mine))
            elif _n_pieces(draft) > _n_pieces(mine):
                mine.texts, mine.reasonings = draft.texts, draft.reasonings
            for call in draft.calls.values():
                known = self.thread.call(call.id)
                if known is None or draft is mine:
                    self.thread.add_call(mine, call)
                elif not known.results and call.results:
                    self.thread.answer(call.id, call.results[0])

    def leave_open(self) -> None:
        """Mark the last turn as unfinished if nothing says how it ended. For the log of a process that is gone."""
        last = self._last_step
        if last is None or last.source != "agent" or self.stop_reasons.get(id(last)) is not None:
            return
        if not any(call.results for call in last.calls.values()):
            last.is_unfinished = True
            self.thread.touch(last)

    def _add(self, draft: StepDraft) -> StepDraft:
        if draft.source != "user":
            self.open_with_instruction()
        return self.thread.add(draft)

    def _user(self, record: Record) -> None:
        content = mapping(record.get("message")).get("content")
        for block in mappings(content):
            if block.get("type") == "tool_result":
                self._answer(block, record)
        texts, parts = texts_and_parts(content, self._images)
        if not texts and not parts:
            return
        is_meta = told(record, "isMeta", "isSynthetic") is True
        if record.get("isCompactSummary") is True or (self._compaction and record.get("isSynthetic") is True):
            self._summary(texts, record)
            return
        extra: dict[str, Any] = {"is_meta": True} if is_meta else {}
        origin = text_of(dig(record, "origin", "kind"))
        if origin:
            extra["origin"] = origin
        if is_meta and texts and texts[0].startswith(CUT_OFF):
            self._mark_cut()
        self._add(StepDraft("user", _at(record), texts=texts, parts=parts, extra=extra))

    def _answer(self, block: Mapping[str, Any], record: Record) -> None:
        call_id = text_of(block.get("tool_use_id"))
        result = result_of(block, record, self._images)
        agent_id = text_of(mapping(told(record, "toolUseResult", "tool_use_result")).get("agentId"))
        if agent_id:
            self.agent_calls[agent_id] = call_id
        call = self.thread.call(call_id)
        if call is not None:
            result.subagents = call.results[0].subagents if call.results else []
            self.thread.answer(call_id, result, replace=True)
            return
        result.extra["tool_use_id"] = call_id
        last = self._last_step or self._add(StepDraft("system", _at(record)))
        last.observations.append(result)
        self.thread.touch(last)

    def _mark_cut(self) -> None:
        """The stream of the last call broke off. Its output was never counted; its input was sent and is billed."""
        last = next((step for step in reversed(self.thread.steps) if step.source == "agent"), None)
        if last is None:
            return
        last.is_unfinished = True
        if last.usage:
            last.usage = replace(last.usage, output_tokens=None, reasoning_tokens=None)
        self.thread.touch(last)

    def _assistant(self, record: Record) -> None:
        message = mapping(record.get("message"))
        if is_own_message(message, record):
            draft = self._add(own_message(message, record, self._images))
            if is_api_error(record):
                self.last_error = "\n".join(draft.texts) or text_of(record.get("error")) or None
            return
        draft = self._step_of(message, record)
        # The time at which the answer was complete: `duration_ms` before it the request was sent.
        draft.timestamp = _at(record) or draft.timestamp
        content = message.get("content")
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else mappings(content):
            self._block(draft, block)
        self._count(draft, message, record)
        self._note_end(draft, message)
        self.last_error = None
        self.thread.touch(draft)

    def _step_of(self, message: Mapping[str, Any], record: Record) -> StepDraft:
        """The step of an API call: all records of its message's id are of it, whatever stands between them."""
        identity = text_of(message.get("id")) or text_of(record.get("uuid")) or f"step {len(self.thread.steps)}"
        if identity not in self.steps_by_message:
            self.steps_by_message[identity] = self._add(
                StepDraft(
                    "agent",
                    _at(record),
                    model_name=text_of(message.get("model")) or None,
                    reasoning_effort=text_of(record.get("effort")) or self._context.reasoning_effort,
                    llm_call_count=1,
                )
            )
        return self.steps_by_message[identity]

    def _block(self, draft: StepDraft, block: Mapping[str, Any]) -> None:
        kind = text_of(block.get("type"))
        if kind == "text" and text_of(block.get("text")):
            draft.texts.append(text_of(block["text"]))
        elif kind == "thinking" and text_of(block.get("thinking")):
            draft.reasonings.append(text_of(block["thinking"]))
        elif kind == "redacted_thinking":
            draft.extra["redacted_thinking"] = True
        elif kind in CALLS:
            name = text_of(block.get("name"))
            identity = text_of(block.get("id")) or f"call_{len(draft.calls) + 1}"
            self.thread.add_call(draft, CallDraft(identity, name, arguments_of(block.get("input"))))
            if kind == "server_tool_use" or name == WEB_SEARCH:
                draft.extra["server_web_search"] = True
        elif kind.endswith("_tool_result"):
            # What a tool of the provider gave: it comes within the same message.
            self.thread.answer(text_of(block.get("tool_use_id")), ResultDraft(as_text(block.get("content"))))

    def _note_end(self, draft: StepDraft, message: Mapping[str, Any]) -> None:
        reason = message.get("stop_reason")
        self.stop_reasons[id(draft)] = reason
        if isinstance(reason, str) and reason not in USUAL_ENDS:
            draft.extra["stop_reason"] = reason
        if searched_on_server(message):
            draft.extra["server_web_search"] = True
        # An hour's cache costs more than the usual five minutes'.
        long_lived = count(dig(message, "usage", "cache_creation", "ephemeral_1h_input_tokens"))
        if long_lived:
            draft.extra["cache_creation_1h_tokens"] = long_lived

    def _count(self, draft: StepDraft, message: Mapping[str, Any], record: Record) -> None:
        duration_ms = self.facts.since_request_ms(record)
        if draft.usage:
            first_ms = draft.usage.time_to_first_token_ms
        else:
            # The first block was streamed for so long, after the wait for its beginning.
            streamed_ms = amount(told(record, "thinkingDurationMs", "toolInputStreamMs"))
            is_known = duration_ms is not None and streamed_ms is not None
            first_ms = max(0.0, (duration_ms or 0) - (streamed_ms or 0)) if is_known else None
        usage = usage_of(message, duration_ms=duration_ms, time_to_first_token_ms=first_ms)
        draft.usage = usage or draft.usage

    def _system(self, record: Record) -> None:
        match record.get("subtype"):
            case "api_error" | "api_retry":
                self._add(refused_request(record))
            case "compact_boundary":
                self._compaction = self._add(compaction(record))
            case _:
                if record.get("level") in ("warning", "error") and text_of(record.get("content")):
                    self._add(StepDraft("system", _at(record), texts=[text_of(record["content"])]))

    def _summary(self, texts: list[str], record: Record) -> None:
        draft, self._compaction = self._compaction, None
        if draft is None:
            draft = self._add(StepDraft("system", _at(record)))
            draft.mark_compaction()
        draft.texts = texts
        self.thread.touch(draft)

    def _attachment(self, record: Record) -> None:
        """Of what the CLI adds to the context only a message that came while the agent worked is a step."""
        attachment = mapping(record.get("attachment"))
        if attachment.get("type") != "queued_command":
            return
        texts, parts = texts_and_parts(attachment.get("prompt"), self._images)
        if texts or parts:
            kind = text_of(dig(attachment, "origin", "kind")) or text_of(attachment.get("commandMode"))
            extra = {"origin": kind} if kind else {}
            self._add(StepDraft("user", _at(record), texts=texts, parts=parts, extra=extra))


def _at(record: Record) -> str | None:
    return timestamp_of(record.get("timestamp"))


def _n_pieces(draft: StepDraft) -> int:
    return len(draft.texts) + len(draft.reasonings)
