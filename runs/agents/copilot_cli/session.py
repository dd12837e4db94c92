"""A session of Copilot CLI: the events that its log keeps, as one thread for the main agent and one for each other."""

from collections.abc import Callable
from typing import Any, Final

from runs.agents.conversion.base import MAIN, ConversionContext, instruction_step
from runs.agents.conversion.draft import ResultDraft, StepDraft, Thread
from runs.agents.conversion.images import ImageStore
from runs.agents.conversion.lines import Record
from runs.agents.conversion.usage import Totals, Usage
from runs.agents.conversion.values import amount, dig, mapping, mappings, text_of, texts_of, timestamp_of
from runs.agents.copilot_cli.conversation import Conversation, turn_of
from runs.agents.copilot_cli.events import (
    Assets,
    call_of,
    has_web_search,
    image_parts,
    result_of,
    seconds_between,
    usage_of,
)
from runs.agents.copilot_cli.own_steps import compaction_step, error_step, truncation_step
from runs.formats.trajectory import SubagentTrajectoryRef

# Calls of other kinds (naming the session, judging a permission) are no turns of a conversation.
CONVERSATION: Final = "conversation"
MAX_AGENTS: Final = 2000


class Session:
    """One log. Its threads grow in the order of its events."""

    def __init__(self, path: str, context: ConversionContext, images: ImageStore) -> None:
        self.path = path
        self.main = Conversation(Thread(MAIN), effort=context.reasoning_effort)
        self.agents: dict[str, Conversation] = {}
        self.id = ""
        self.began_at = ""
        self.version: str | None = None
        self.extra: dict[str, Any] = {}
        self.failure: str | None = None
        self.is_over = False
        self.unlogged = Totals()
        """What calls used that are no steps."""
        self._context = context
        self._images = images
        self._has_instruction = False
        self._assets: Assets = {}
        self._messages: set[str] = set()
        self._began: dict[str, str | None] = {}
        self._owners: dict[str, Conversation] = {}
        self._children: dict[str, list[str]] = {}
        self._takers: dict[str, Callable[[Conversation, Record, str | None], None]] = {
            "abort": self._aborted,
            "assistant.message": self._message,
            "assistant.turn_end": self._turn_end,
            "session.binary_asset": self._asset,
            "session.compaction_complete": self._compacted,
            "session.error": self._error,
            "session.model_change": self._configured,
            "session.shutdown": self._shutdown,
            "session.start": self._start,
            "session.truncation": self._truncated,
            "session.usage_record": self._usage,
            "session.warning": self._notice,
            "subagent.completed": self._child_ended,
            "subagent.configured": self._configured,
            "subagent.failed": self._child_ended,
            "subagent.started": self._child,
            "system.notification": self._notice,
            "tool.execution_complete": self._result,
            "tool.execution_start": self._call_began,
            "user.message": self._user,
        }

    def take(self, event: Record) -> None:
        """Take one event; those that say nothing of a step are passed over."""
        kind, data = text_of(event.get("type")), mapping(event.get("data"))
        at = timestamp_of(event.get("timestamp"))
        if kind == "assistant.turn_start":
            conversation = self.conversation(text_of(event.get("agentId")))
            conversation.turns.setdefault(turn_of(event), len(conversation.thread.steps))
            conversation.is_final = False
        elif kind in self._takers:
            self._takers[kind](self.conversation(text_of(event.get("agentId"))), data, at)

    def known(self, agent: str) -> Conversation | None:
        """The conversation of an agent that the log has; "" is the main one."""
        return self.agents.get(agent) if agent else self.main

    def conversation(self, agent: str) -> Conversation:
        """The conversation of an agent; "" is the main one."""
        if not agent:
            return self.main
        if agent not in self.agents and len(self.agents) >= MAX_AGENTS:
            return self.main
        if agent not in self.agents:
            # No agent of the log takes the place of the main thread.
            self.agents[agent] = Conversation(Thread(agent if agent != MAIN else f"agent {agent}"))
        return self.agents[agent]

    @property
    def is_done(self) -> bool:
        """Whether the main agent has said its last word, and no other is at work."""
        return self.is_over or (self.main.is_final and not self._children_at_work())

    def usage_of_rest(self) -> Usage | None:
        """What was used beside the steps."""
        rest = self.unlogged
        if not rest.n_calls:
            return None
        cached = (rest.cache_read_tokens or 0) + (rest.cache_write_tokens or 0)
        return Usage(
            uncached_tokens=None if rest.input_tokens is None else rest.input_tokens - cached,
            cache_read_tokens=rest.cache_read_tokens,
            cache_write_tokens=rest.cache_write_tokens,
            output_tokens=rest.output_tokens,
            reasoning_tokens=rest.reasoning_tokens,
        )

    def unfinished(self, agent: str, draft: StepDraft) -> None:
        """Append what an agent was saying when the log ended."""
        conversation = self.conversation(agent)
        draft.is_unfinished = True
        draft.model_name = draft.model_name or conversation.model
        draft.reasoning_effort = conversation.effort
        self._add(conversation, draft, draft.timestamp)

    def _children_at_work(self) -> bool:
        return any(not agent.is_final for agent in self.agents.values())

    def _start(self, conversation: Conversation, data: Record, at: str | None) -> None:
        self.id = self.id or text_of(data.get("sessionId"))
        self.began_at = self.began_at or text_of(data.get("startTime"))[:40]
        self.version = text_of(data.get("copilotVersion"))[:100] or self.version
        self._configured(conversation, data, at)
        context = mapping(data.get("context"))
        names = {"cwd": "cwd", "repository": "repository", "branch": "git_branch", "headCommit": "git_commit"}
        self.extra |= {ours: told for theirs, ours in names.items() if (told := text_of(context.get(theirs))[:500])}

    def _configured(self, conversation: Conversation, data: Record, _: str | None) -> None:
        model = text_of(data.get("newModel")) or text_of(data.get("selectedModel")) or text_of(data.get("model"))
        conversation.model = model or conversation.model
        conversation.effort = text_of(data.get("reasoningEffort")) or conversation.effort

    def _user(self, conversation: Conversation, data: Record, at: str | None) -> None:
        identity, source = text_of(data.get("messageId")), text_of(data.get("source"))
        # What the CLI itself adds is only in what the model was sent.
        content = text_of(data.get("content")) or text_of(data.get("transformedContent"))
        if (identity and identity in self._messages) or (
            self._has_instruction and content == self._context.instruction
        ):
            return
        self._messages.add(identity)
        if data.get("isAutopilotContinuation") is True:
            source = source or "autopilot"
        is_first = not any(step.source == "user" for step in conversation.thread.steps)
        is_user = is_first or source in ("", "user") or source.startswith("agent-")
        draft = StepDraft(
            "user" if is_user else "system",
            timestamp=at,
            texts=texts_of(content),
            parts=image_parts(data.get("attachments"), self._images, self._assets),
            extra={"origin": source} if source and not is_first else {},
        )
        conversation.is_final = False
        if conversation is self.main:
            self.failure, self.is_over = None, False
        conversation.thread.add(draft)

    def _usage(self, conversation: Conversation, data: Record, at: str | None) -> None:
        told = mapping(data.get("usage"))
        if not text_of(told.get("interactionType") or CONVERSATION).startswith(CONVERSATION):
            self.unlogged.add(usage_of(told))
            return
        identity = text_of(told.get("apiCallId")) or text_of(dig(told, "accounting", "usageId"))
        draft = conversation.calls.get(identity) if identity else None
        if draft is None:
            draft = conversation.unclaimed = self._begin(conversation, at)
            draft.is_unfinished = True
            if identity:
                conversation.calls[identity] = draft
        draft.usage = usage_of(told)
        draft.model_name = text_of(told.get("model")) or draft.model_name
        draft.reasoning_effort = text_of(told.get("reasoningEffort")) or draft.reasoning_effort
        conversation.thread.touch(draft)

    def _message(self, conversation: Conversation, data: Record, at: str | None) -> None:
        message, call_id = text_of(data.get("messageId")), text_of(data.get("apiCallId"))
        if message and message in self._messages:
            return
        self._messages.add(message)
        draft = conversation.calls.get(call_id) if call_id else conversation.unclaimed
        if draft is None:
            draft = self._begin(conversation, at)
        elif draft.is_unfinished:
            draft.timestamp = at or draft.timestamp
        if call_id:
            conversation.calls[call_id] = draft
        conversation.unclaimed = None
        draft.is_unfinished = False
        draft.model_name = text_of(data.get("model")) or draft.model_name
        draft.texts += texts_of(data.get("content"))
        self._reasoning(draft, data)
        if has_web_search(data):
            draft.extra["server_web_search"] = True
        for request in mappings(data.get("toolRequests")):
            call = call_of(request)
            if call:
                conversation.thread.add_call(draft, call)
                self._owners[call.id] = conversation
        conversation.is_final = not draft.calls
        conversation.thread.touch(draft)
        if conversation is self.main:
            self.failure = None

    @staticmethod
    def _reasoning(draft: StepDraft, data: Record) -> None:
        readable = texts_of(data.get("reasoningText"))
        draft.reasonings += readable
        if not readable and (data.get("encryptedContent") or data.get("reasoningOpaque")):
            draft.extra["encrypted_reasoning"] = True

    def _turn_end(self, conversation: Conversation, _: Record, __: str | None) -> None:
        conversation.unclaimed = None

    def _call_began(self, _: Conversation, data: Record, at: str | None) -> None:
        self._began[text_of(data.get("toolCallId"))] = at

    def _result(self, conversation: Conversation, data: Record, at: str | None) -> None:
        call_id = text_of(data.get("toolCallId"))
        result = result_of(data, self._images, self._assets)
        seconds = seconds_between(self._began.get(call_id), at)
        if seconds is not None:
            result.extra["duration_sec"] = seconds
        result.subagents = [SubagentTrajectoryRef(trajectory_id=child) for child in self._children.get(call_id, ())]
        if not conversation.thread.call(call_id):
            conversation = self._owners.get(call_id, conversation)
        if conversation.thread.answer(call_id, result, replace=True) or not conversation.thread.steps:
            return
        last = conversation.thread.steps[-1]
        last.observations.append(result)
        conversation.thread.touch(last)

    def _child(self, child: Conversation, data: Record, _: str | None) -> None:
        call_id, key = text_of(data.get("toolCallId")), child.thread.key
        if child is self.main or key in self._children.get(call_id, ()):
            return
        self._configured(child, data, None)
        self._children.setdefault(call_id, []).append(key)
        parent = self._owners.get(call_id)
        call = parent.thread.call(call_id) if parent else None
        if parent and call:
            result = call.results[-1] if call.results else ResultDraft()
            result.subagents.append(SubagentTrajectoryRef(trajectory_id=key))
            parent.thread.answer(call_id, result, replace=True)

    def _child_ended(self, child: Conversation, data: Record, at: str | None) -> None:
        child.is_final = True
        failure = text_of(data.get("error"))
        if failure and child is not self.main:
            self._add(child, StepDraft("system", at, texts=[failure], extra={"is_error": True}), at)

    def _asset(self, _: Conversation, data: Record, __: str | None) -> None:
        part = self._images.part(data.get("mimeType"), data.get("data"))
        if part:
            self._assets[text_of(data.get("assetId"))] = part

    def _compacted(self, conversation: Conversation, data: Record, at: str | None) -> None:
        self._add(conversation, compaction_step(data, at, conversation.model), at)

    def _truncated(self, conversation: Conversation, data: Record, at: str | None) -> None:
        self._add(conversation, truncation_step(data, at), at)

    def _error(self, conversation: Conversation, data: Record, at: str | None) -> None:
        self._add(conversation, error_step(data, at), at)
        if conversation is self.main:
            self.failure = text_of(data.get("message")) or None

    def _notice(self, conversation: Conversation, data: Record, at: str | None) -> None:
        """What the CLI tells the model or the user on the way."""
        texts = texts_of(data.get("content"), data.get("message"))
        if texts:
            self._add(conversation, StepDraft("system", at, texts=texts), at)

    def _aborted(self, conversation: Conversation, data: Record, at: str | None) -> None:
        reason = text_of(data.get("reason"))
        if reason:
            self._add(conversation, StepDraft("system", at, texts=[reason], extra={"is_error": True}), at)
        if conversation is self.main:
            self.failure = reason or self.failure

    def _shutdown(self, _: Conversation, data: Record, __: str | None) -> None:
        self.is_over = True
        if text_of(data.get("shutdownType")) == "error":
            self.failure = text_of(data.get("errorReason")) or self.failure
        billed = {"premium_requests": "totalPremiumRequests", "nano_ai_units": "totalNanoAiu"}
        self.extra |= {ours: figure for ours, theirs in billed.items() if (figure := amount(data.get(theirs)))}

    def _begin(self, conversation: Conversation, at: str | None) -> StepDraft:
        draft = StepDraft("agent", at, model_name=conversation.model, reasoning_effort=conversation.effort)
        draft.llm_call_count = 1
        return self._add(conversation, draft, at)

    def _add(self, conversation: Conversation, draft: StepDraft, at: str | None) -> StepDraft:
        if conversation is self.main and not conversation.thread.steps:
            instruction = instruction_step(self._context, at)
            if instruction:
                self._has_instruction = True
                conversation.thread.add(instruction)
        return conversation.thread.add(draft)
