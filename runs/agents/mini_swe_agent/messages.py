"""One message of mini-swe-agent as steps: the forms of Responses, chat completions and commands in plain text."""

import json
from collections.abc import Iterator
from typing import Any, Final

from runs.agents.conversion.draft import CallDraft, ResultDraft, StepDraft, Thread
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
    texts_of,
    timestamp_of,
)
from runs.formats.trajectory import ContentPart

SHELL: Final = "bash"
SUBMITTED: Final = "Submitted"
# What mini-swe-agent says of the command that hands in the work, and of those after it.
NOT_EXECUTED: Final = "action was not executed"
MAX_REPR_CHARS: Final = 20_000
# LiteLLM carries Gemini's signature of a thought, kilobytes of it, behind this in the id of a call.
SIGNATURE_MARK: Final = "__thought__"


class MessageReader:
    """Appends the steps of messages to a thread, in the order of the document."""

    def __init__(self, thread: Thread, images: ImageStore, effort: str | None) -> None:
        self._thread = thread
        self._images = images
        self._effort = effort
        self._at: float = 0.0
        self._waiting: list[str] = []
        """Calls without an id, which are answered in their order."""
        self.calls: list[StepDraft] = []
        """The steps that are calls of the model."""
        self.exit: Record | None = None

    def take(self, message: Record) -> None:
        """Take one message."""
        extra = mapping(message.get("extra"))
        role = message.get("role")
        if message.get("object") == "response" or role == "assistant":
            raw = message if message.get("object") == "response" else extra.get("response")
            self._answer(message, raw, extra)
        elif message.get("type") == "function_call_output" or role == "tool":
            self._result(text_of(message.get("call_id") or message.get("tool_call_id")), message, extra)
        elif role == "exit":
            self._exit(message, extra)
        elif role == "user" and self._waiting and "returncode" in extra:
            self._result(self._waiting.pop(0), message, extra)
        else:
            self._said(message, extra)

    def _said(self, message: Record, extra: Record) -> None:
        """The system's or a user's words; those about a format error carry the call that had it."""
        if "response" in extra or "model_response" in extra:
            self._rejected(extra)
        parts = self._parts(message.get("content"))
        draft = StepDraft("system" if message.get("role") == "system" else "user", timestamp=self._moment(extra))
        draft.texts = [part.text for part in parts if part.text]
        draft.parts = [part for part in parts if part.source]
        if text_of(extra.get("interrupt_type")):
            draft.extra["interrupt_type"] = extra["interrupt_type"]
        self._thread.add(draft)

    def _rejected(self, extra: Record) -> None:
        """An answer that mini-swe-agent could not use: it is told with the complaint alone, but was made and paid."""
        raw = extra.get("response")
        answer: Record = {}
        if isinstance(raw, dict):
            answer = dict(raw) if raw.get("object") == "response" else dict(mapping(_first_choice(raw).get("message")))
        elif "model_response" in extra:
            answer = {"content": extra["model_response"]}
        draft = self._answer(answer, raw, extra)
        if isinstance(raw, str):
            draft.extra["raw_response"] = raw[:MAX_REPR_CHARS]

    def _answer(self, message: Record, raw: Any, extra: Record) -> StepDraft:
        draft = StepDraft("agent", timestamp=self._moment(extra, raw), llm_call_count=1, reasoning_effort=self._effort)
        response = mapping(raw)
        draft.model_name = text_of(response.get("model")) or None
        draft.usage = _usage(mapping(response.get("usage")), extra)
        self._thread.add(draft)
        self.calls.append(draft)
        if "output" in message:
            self._responses_items(draft, message)
        else:
            self._chat_message(draft, message, extra)
        reason = _first_choice(response).get("finish_reason") or dig(response, "incomplete_details", "reason")
        if reason not in (None, "stop", "tool_calls"):
            draft.extra["finish_reason"] = text_of(reason)
        if count(dig(response, "usage", "server_tool_use", "web_search_requests")):
            draft.extra["server_web_search"] = True
        return draft

    def _chat_message(self, draft: StepDraft, message: Record, extra: Record) -> None:
        parts = self._parts(message.get("content"))
        draft.texts = [part.text for part in parts if part.text]
        draft.parts = [part for part in parts if part.source]
        draft.reasonings = list(_reasonings(message))
        for made in mappings(message.get("tool_calls")):
            function = mapping(made.get("function"))
            self._add(draft, text_of(made.get("id")), text_of(function.get("name")), function.get("arguments"))
        if not draft.calls:
            for action in mappings(extra.get("actions")):
                self._add(draft, text_of(action.get("tool_call_id")), SHELL, {"command": action.get("command")})

    def _responses_items(self, draft: StepDraft, message: Record) -> None:
        for item in mappings(message.get("output")):
            kind = text_of(item.get("type"))
            if kind == "reasoning":
                pieces = [*mappings(item.get("summary")), *mappings(item.get("content"))]
                draft.reasonings += texts_of(*(piece.get("text") for piece in pieces))
            elif kind == "message":
                draft.texts += texts_of(*(piece.get("text") for piece in mappings(item.get("content"))))
            elif kind == "function_call":
                self._add(draft, text_of(item.get("call_id")), text_of(item.get("name")), item.get("arguments"))
            elif "search" in kind:
                draft.extra["server_web_search"] = True

    def _add(self, draft: StepDraft, identity: str, name: str, arguments: Any) -> None:
        identity = identity.partition(SIGNATURE_MARK)[0]
        if not identity:
            identity = f"{len(self.calls)}.{len(draft.calls) + 1}"
            self._waiting.append(identity)
        while identity in draft.calls:
            identity += "'"
        self._thread.add_call(draft, CallDraft(identity, name, arguments_of(arguments)))

    def _result(self, identity: str, message: Record, extra: Record) -> None:
        result = self._output(message, extra)
        if not self._thread.answer(identity.partition(SIGNATURE_MARK)[0], result) and self.calls:
            draft = self.calls[-1]
            draft.observations.append(result)
            self._thread.touch(draft)
        self._moment(extra)

    def _output(self, message: Record, extra: Record) -> ResultDraft:
        """What the command printed; where the model was shown less of it or something else, that."""
        content = message.get("output") if message.get("type") == "function_call_output" else message.get("content")
        shown = self._parts(content)
        text = "\n".join(part.text for part in shown if part.text)
        raw, trouble = extra.get("raw_output"), text_of(extra.get("exception_info"))
        if isinstance(raw, str) and _shows_all(text, raw):
            text = "\n".join(texts_of(raw, trouble))
        images = [part for part in shown if part.source]
        result = ResultDraft(content=text)
        if images:
            result.content = [*([ContentPart(type="text", text=text)] if text else []), *images]
        code = extra.get("returncode")
        if trouble == NOT_EXECUTED:
            result.extra = {"is_error": False, "is_executed": False}
        elif isinstance(code, int) and not isinstance(code, bool):
            result.extra["exit_code"] = code
        kind = text_of(extra.get("exception_type"))
        if kind:
            result.extra["exception_type"] = kind
        return result

    def _exit(self, message: Record, extra: Record) -> None:
        self.exit = message
        text = as_text(message.get("content") or "")
        if text:
            draft = StepDraft("system", timestamp=self._moment(extra), texts=[text])
            draft.extra["exit_status"] = text_of(extra.get("exit_status"))
            self._thread.add(draft)

    def _parts(self, content: Any) -> list[ContentPart]:
        if isinstance(content, str):
            return [ContentPart(type="text", text=content)]
        parts: list[ContentPart] = []
        for piece in mappings(content):
            url = text_of(dig(piece, "image_url", "url")) or text_of(piece.get("image_url"))
            if url.startswith("data:"):
                head, _, data = url.removeprefix("data:").partition(",")
                image = self._images.part(head.removesuffix(";base64"), data)
                parts += [image] if image else []
            elif text_of(piece.get("text")):
                parts.append(ContentPart(type="text", text=text_of(piece.get("text"))))
        return parts

    def _moment(self, extra: Record, raw: Any = None) -> str | None:
        """When the message came; where only whole seconds are told, no time before that of the message before."""
        at = amount(extra.get("timestamp"))
        if at is None:
            at = amount(dig(raw, "created")) or amount(dig(raw, "created_at"))
            if at is None or at < self._at:
                return None
        self._at = max(self._at, at)
        return timestamp_of(at)


def _usage(usage: Record, extra: Record) -> Usage | None:
    """Both of OpenAI's forms, which count all input and all output; LiteLLM adds what was written to a cache."""
    total = count(usage.get("prompt_tokens"))
    details, of_output = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    output = count(usage.get("completion_tokens"))
    if total is None and output is None:
        total, output = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
        details, of_output = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    read = count(mapping(details).get("cached_tokens"))
    write = count(mapping(details).get("cache_creation_tokens"))
    if write is None:
        write = count(mapping(details).get("cache_write_tokens"))
    uncached = None if total is None else max(total - (read or 0) - (write or 0), 0)
    reasoning = count(mapping(of_output).get("reasoning_tokens"))
    cost, source = _cost(usage, extra)
    if total is None and output is None and cost is None:
        return None
    return Usage(uncached, read, write, output, reasoning, cost, source)


def _cost(usage: Record, extra: Record) -> tuple[float | None, str | None]:
    """OpenRouter's own figures before LiteLLM's table. With a key of one's own its charge is not what the call cost."""
    upstream = amount(dig(usage, "cost_details", "upstream_inference_cost"))
    charged, reckoned = amount(usage.get("cost")), amount(extra.get("cost"))
    if upstream and (usage.get("is_byok") is True or not charged):
        return upstream, "openrouter cost_details.upstream_inference_cost"
    if charged:
        return charged, "provider usage.cost"
    return (reckoned, "litellm") if reckoned else (None, None)


def _reasonings(message: Record) -> Iterator[str]:
    """The first of the places where providers put it."""
    for name in ("reasoning_content", "reasoning"):
        if text_of(message.get(name)):
            yield text_of(message.get(name))
            return
    for block in mappings(message.get("thinking_blocks")):
        yield from texts_of(block.get("thinking"))


def _first_choice(response: Any) -> Record:
    return dict(next(mappings(mapping(response).get("choices")), {}))


def _shows_all(text: str, raw: str) -> bool:
    """Whether the whole output stands in what the model was shown, as it is or as JSON."""
    return raw in text or _as_tojson(raw) in text


def _as_tojson(raw: str) -> str:
    """As the filter of Jinja writes it, without the quotes."""
    text = json.dumps(raw)[1:-1]
    for plain, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("'", "\\u0027")):
        text = text.replace(plain, escaped)
    return text
