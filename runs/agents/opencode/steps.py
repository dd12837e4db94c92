"""One turn of an OpenCode session as a step: its text, calls, results and tokens."""

import json
import re
from collections.abc import Container
from typing import Any, Final

from runs.agents.conversion.draft import CallDraft, ResultDraft, StepDraft
from runs.agents.conversion.images import ImageStore
from runs.agents.conversion.lines import Record
from runs.agents.conversion.usage import Usage
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
from runs.agents.opencode.turns import STEP_FINISH, Turn, is_synthetic
from runs.formats.trajectory import ContentPart, SubagentTrajectoryRef

COST_SOURCE: Final = "opencode"
# How a turn ends that is followed by more of the same answer, or that never came to its end.
GOES_ON: Final = "tool-calls"
CUT: Final = "unknown"
_ORDINARY: Final = frozenset({"stop", GOES_ON})
_DATA_URL: Final = re.compile(r"data:([\w.+/-]+);base64,")
MAX_DIFF_CHARS: Final = 200_000


class StepMaker:
    """Makes steps of turns. `instruction` is what the agent was given; `sessions` are those that have a thread."""

    def __init__(self, images: ImageStore, instruction: str | None, effort: str | None) -> None:
        self._images = images
        self._instruction = instruction
        self._effort = effort
        self.sessions: Container[str] = ()

    def step(self, turn: Turn, *, is_over: bool) -> StepDraft:
        """The step of a turn. `is_over`: nothing can be added to it any more, so what it lacks it will always lack."""
        if turn.kind == "error":
            return _error(turn)
        return self._user(turn) if turn.kind == "user" else self._agent(turn, is_over=is_over)

    def _user(self, turn: Turn) -> StepDraft:
        texts = [text_of(part.get("text")) for part in turn.parts.values() if part.get("type") == "text"]
        draft = StepDraft("user", timestamp=_moment(turn), texts=[self._as_given(text) for text in texts if text])
        draft.parts = [image for part in turn.parts.values() if (image := self._image(part))]
        if any(is_synthetic(part) for part in turn.parts.values()):
            draft.extra["synthetic"] = True
        return draft

    def _as_given(self, text: str) -> str:
        """The instruction itself where the log has it as OpenCode quotes arguments that it takes from argv."""
        given = self._instruction
        if given is None:
            return text
        quoted = '"' + given.replace('"', '\\"') + '"'
        return given if text.strip() in (given.strip(), quoted.strip()) else text

    def _agent(self, turn: Turn, *, is_over: bool) -> StepDraft:
        draft = StepDraft("agent", timestamp=_moment(turn), llm_call_count=1)
        draft.model_name = text_of(turn.info.get("modelID")) or None
        draft.reasoning_effort = text_of(turn.info.get("variant")) or self._effort
        for key, part in turn.ordered():
            kind, text = part.get("type"), text_of(part.get("text"))
            if kind == "text" and text:
                draft.texts.append(text)
            elif kind == "reasoning" and text:
                draft.reasonings.append(text)
            elif kind == "tool":
                self._add_call(draft, key, part)
        reason = finish_reason(turn)
        draft.usage = _usage(turn)
        draft.is_unfinished = (reason is None and is_over) or (reason == CUT and draft.usage is None)
        if reason and reason not in _ORDINARY:
            draft.extra["finish_reason"] = reason
        if turn.compaction is not None:
            draft.mark_compaction(**turn.compaction)
        return draft

    def _add_call(self, draft: StepDraft, key: str, part: Record) -> None:
        state = dict(mapping(part.get("state")))
        name = text_of(part.get("tool"))
        identity = text_of(part.get("callID")) or key
        call = CallDraft(identity if identity not in draft.calls else key, name, arguments_of(state.get("input")))
        if dig(part, "metadata", "providerExecuted") is True:
            call.extra["provider_executed"] = True
            if "search" in name.lower() or "fetch" in name.lower():
                draft.extra["server_web_search"] = True
        result = self._result(state)
        if result:
            call.results.append(result)
        draft.calls[call.id] = call

    def _result(self, state: Record) -> ResultDraft | None:
        """What came back; of a call that still runs, what its tool had printed by then."""
        metadata = dict(mapping(state.get("metadata")))
        status = state.get("status")
        result = ResultDraft(extra=_facts(state, metadata))
        if status == "completed":
            result.content = as_text(state.get("output") or "")
        elif status == "error":
            result.content = as_text(state.get("error") or "")
            result.extra["is_error"] = True
        elif text_of(metadata.get("output")):
            result.content = text_of(metadata.get("output"))
            result.extra["unfinished"] = True
        images = [image for part in mappings(state.get("attachments")) if (image := self._image(part))]
        if images:
            text = text_of(result.content)
            result.content = [*([ContentPart(type="text", text=text)] if text else []), *images]
        child = text_of(metadata.get("sessionId"))
        if child in self.sessions:
            result.subagents.append(SubagentTrajectoryRef(trajectory_id=child))
        elif child:
            result.extra["session_id"] = child
        return result if result.content is not None or result.subagents else None

    def _image(self, part: Any) -> ContentPart | None:
        url = text_of(part.get("url")) if part.get("type") == "file" else ""
        match = _DATA_URL.match(url)
        return self._images.part(match[1], url[match.end() :]) if match else None


def finish_reason(turn: Turn) -> str | None:
    """How the model ended the turn; None while it hasn't."""
    finish = _finish(turn)
    if finish:
        return text_of(finish.get("reason")) or CUT
    return (text_of(turn.info.get("finish")) or None) if turn.is_last_of_message else None


def words_of(error: Record) -> str:
    """What an error says, its class and HTTP status before it."""
    status = count(dig(error, "data", "statusCode"))
    head = " ".join(filter(None, (text_of(error.get("name")), str(status) if status else "")))
    said = text_of(dig(error, "data", "message")) or text_of(error.get("message"))
    return ": ".join(filter(None, (head, said))) or json.dumps(error, ensure_ascii=False)[:2000]


def _error(turn: Turn) -> StepDraft:
    time = mapping(turn.info.get("time"))
    at = time.get("completed") or time.get("created") or turn.printed_at_ms
    facts = {
        "name": text_of(turn.error.get("name")) or None,
        "status_code": count(dig(turn.error, "data", "statusCode")),
        "is_retryable": dig(turn.error, "data", "isRetryable"),
    }
    said = {name: value for name, value in facts.items() if isinstance(value, str | int)}
    return StepDraft("system", timestamp=timestamp_of(at), texts=[words_of(turn.error)], extra={"api_error": said})


def _moment(turn: Turn) -> str | None:
    """When the turn was begun; only the first of a message's turns began with it."""
    begun = [dig(part, "time", "start") for part in turn.parts.values()]
    own = next((at for at in begun if at is not None), None)
    created = mapping(turn.info.get("time")).get("created") if (turn.key or "").endswith("#0") else None
    return timestamp_of(created or turn.printed_at_ms or own)


def _finish(turn: Turn) -> Record | None:
    return next((part for part in turn.parts.values() if part.get("type") == STEP_FINISH), None)


def _usage(turn: Turn) -> Usage | None:
    """OpenCode counts reasoning beside the output, and input without what a cache gave or got."""
    finish = _finish(turn)
    if finish is None:
        return None
    tokens = mapping(finish.get("tokens"))
    cache = mapping(tokens.get("cache"))
    uncached, read, write = count(tokens.get("input")), count(cache.get("read")), count(cache.get("write"))
    output, reasoning = count(tokens.get("output")), count(tokens.get("reasoning"))
    # A call of which the provider reported nothing is logged as all zeros.
    if not any((uncached, read, write, output, reasoning)):
        return None
    cost = amount(finish.get("cost")) or None
    return Usage(
        uncached_tokens=uncached,
        cache_read_tokens=read,
        cache_write_tokens=write,
        output_tokens=None if output is None else output + (reasoning or 0),
        reasoning_tokens=reasoning,
        cost_usd=cost,
        cost_source=COST_SOURCE if cost else None,
    )


def _facts(state: Record, metadata: Record) -> dict[str, Any]:
    begun, ended = amount(dig(state, "time", "start")), amount(dig(state, "time", "end"))
    diff = text_of(metadata.get("diff"))
    exit_code = metadata.get("exit")
    facts = {
        "exit_code": exit_code if isinstance(exit_code, int) and not isinstance(exit_code, bool) else None,
        "duration_sec": round((ended - begun) / 1000, 3) if begun and ended and ended >= begun else None,
        "is_truncated": True if metadata.get("truncated") is True else None,
        "diff": diff if diff and len(diff) <= MAX_DIFF_CHARS else None,
    }
    return {name: value for name, value in facts.items() if value is not None}
