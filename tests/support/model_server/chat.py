"""OpenAI's Chat Completions: `POST /v1/chat/completions`, streamed and not.

Reasoning goes as `reasoning_content`, unasked, as servers of open models do; a stream reports usage only if asked.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.model_server.exchange import (
    Answer,
    Asked,
    Event,
    Json,
    Message,
    NativeCall,
    Reasoning,
    Tool,
    count_key,
    mapping,
    mappings,
    options_of,
    pieces,
    text,
    texts_of,
)
from tests.support.model_server.responses import Responses
from tests.support.model_server.script import Fault

CONVERSATION = ("messages", "tools")


@dataclass(frozen=True, slots=True)
class Chat:
    """The Chat Completions face."""

    name: str = "chat"
    call_prefix: str = "call_"

    def asked(self, body: Json, path: str) -> Asked:
        """Read a request."""
        messages = mappings(body.get("messages"))
        wanted = mapping(body.get("response_format"))
        schema = mapping(mapping(wanted.get("json_schema")).get("schema"))
        return Asked(
            api=self.name,
            model=text(body.get("model")),
            is_streamed=body.get("stream") is True,
            system="\n".join(texts_of(m.get("content")) for m in messages if m.get("role") == "system"),
            messages=tuple(Message(text(m.get("role")), texts_of(m.get("content"))) for m in messages),
            tools=tuple(_tool(entry) for entry in mappings(body.get("tools"))),
            reasoning=_reasoning(body),
            response_schema=schema if text(wanted.get("type")).startswith("json") else None,
            web_tools=("web_search_options",) if "web_search_options" in body else (),
            cache_marks=count_key(body, "cache_control"),
            options=options_of(body, CONVERSATION),
            body=body,
        )

    def shown_reasoning(self, reasoning: str) -> str:
        """As it is."""
        return reasoning

    def whole(self, answer: Answer) -> Json:
        """A `chat.completion`."""
        message: Json = {"role": "assistant", "content": answer.text, "refusal": None}
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        if answer.calls:
            message["tool_calls"] = [_call(call, call.arguments_text) for call in answer.calls]
        choice = {"index": 0, "message": message, "finish_reason": _finish_reason(answer), "logprobs": None}
        return {**_head(answer, "chat.completion"), "choices": [choice], "usage": _usage(answer)}

    def events(self, answer: Answer) -> Iterator[Event]:
        """Chunks with a role, reasoning, content and tool calls; the reason of the end; usage; `[DONE]`."""
        yield _chunk(answer, {"role": "assistant", "content": ""})
        for piece in pieces(answer.reasoning or ""):
            yield _chunk(answer, {"reasoning_content": piece}, characters=len(piece))
        for piece in pieces(answer.text or ""):
            yield _chunk(answer, {"content": piece}, characters=len(piece))
        for index, call in enumerate(answer.calls):
            yield _chunk(answer, {"tool_calls": [{"index": index, **_call(call, "")}]})
            for piece in pieces(call.arguments_text):
                part = {"index": index, "function": {"arguments": piece}}
                yield _chunk(answer, {"tool_calls": [part]}, characters=len(piece))
        yield _chunk(answer, {}, finish_reason=_finish_reason(answer))
        if answer.reports_usage:
            yield Event({**_head(answer, "chat.completion.chunk"), "choices": [], "usage": _usage(answer)})
        yield Event("[DONE]")

    def refusal(self, fault: Fault) -> tuple[int, Json]:
        """The same as for Responses."""
        return Responses().refusal(fault)

    def stream_error(self, fault: Fault) -> Event:
        """An `error` object instead of a chunk."""
        return Event(self.refusal(fault)[1])


def _tool(entry: Json) -> Tool:
    if entry.get("type") == "custom":
        return Tool(text(mapping(entry.get("custom")).get("name")), kind="custom")
    function = mapping(entry.get("function"))
    return Tool(text(function.get("name")), mapping(function.get("parameters")))


def _reasoning(body: Json) -> Reasoning:
    asked = {key: body[key] for key in ("reasoning_effort", "reasoning", "thinking") if body.get(key) is not None}
    happens = body.get("reasoning_effort") != "none"
    is_shown = happens and mapping(body.get("reasoning")).get("exclude") is not True
    return Reasoning(happens, is_shown, " ".join(f"{key}={value}" for key, value in asked.items()) or None)


def _finish_reason(answer: Answer) -> str:
    return "tool_calls" if answer.calls else "stop"


def _call(call: NativeCall, arguments: str) -> Json:
    if call.kind == "custom":
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": arguments}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _head(answer: Answer, kind: str) -> Json:
    return {"id": f"chatcmpl-{answer.id}", "object": kind, "created": answer.created_at, "model": answer.model}


def _chunk(answer: Answer, delta: Json, *, finish_reason: str | None = None, characters: int = 0) -> Event:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
    return Event({**_head(answer, "chat.completion.chunk"), "choices": [choice]}, characters=characters)


def _usage(answer: Answer) -> Json:
    usage = answer.usage
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.out,
        "total_tokens": usage.input + usage.out,
        "prompt_tokens_details": {"cached_tokens": usage.read},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
