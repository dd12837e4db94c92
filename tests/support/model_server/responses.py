"""OpenAI's Responses: `POST /v1/responses`, streamed and not. A reasoning summary is sent only when it is asked for."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support.model_server.exchange import (
    SIGNATURE,
    Answer,
    Asked,
    Event,
    Json,
    Message,
    NativeCall,
    Reasoning,
    Tool,
    mapping,
    mappings,
    options_of,
    pieces,
    text,
    texts_of,
)
from tests.support.model_server.script import Fault

REFUSALS = {
    Fault.OVERLOADED: (
        503,
        "server_error",
        "server_is_overloaded",
        "The server is overloaded. Please try again later.",
    ),
    Fault.SERVER: (500, "server_error", None, "The server had an error while processing your request."),
    Fault.UNAVAILABLE: (503, "server_error", None, "Service unavailable"),
    Fault.RATE_LIMIT: (429, "requests", "rate_limit_exceeded", "Rate limit reached. Please try again in 1s."),
    Fault.AUTH: (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    Fault.CONTEXT: (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
    ),
}
CONVERSATION = ("input", "instructions", "tools")


@dataclass(frozen=True, slots=True)
class Responses:
    """The Responses face."""

    name: str = "responses"
    call_prefix: str = "call_"

    def asked(self, body: Json, path: str) -> Asked:
        """Read a request."""
        items = mappings(body.get("input"))
        found = [
            tool for item in items if item.get("type") == "tool_search_output" for tool in mappings(item.get("tools"))
        ]
        offered = mappings(body.get("tools")) + found
        wanted = mapping(mapping(body.get("text")).get("format"))
        return Asked(
            api=self.name,
            model=text(body.get("model")),
            is_streamed=body.get("stream") is True,
            system=text(body.get("instructions")),
            messages=tuple(_messages(body.get("input"))),
            tools=tuple(tool for entry in offered for tool in _tools(entry)),
            reasoning=_reasoning(mapping(body.get("reasoning"))),
            response_schema=mapping(wanted.get("schema")) if wanted.get("type") == "json_schema" else None,
            web_tools=tuple(
                text(tool.get("type")) for tool in offered if text(tool.get("type")).startswith("web_search")
            ),
            is_compaction=path.endswith("/responses/compact"),
            options=options_of(body, CONVERSATION),
            body=body,
        )

    def shown_reasoning(self, reasoning: str) -> str:
        """As it is."""
        return reasoning

    def whole(self, answer: Answer) -> Json:
        """A completed response."""
        usage = _usage(answer) if answer.reports_usage else None
        return {**_response(answer), "status": "completed", "output": _items(answer), "usage": usage}

    def compacted(self, answer: Answer) -> Json:
        """The answer of `POST /responses/compact`: a summary that only the provider can read."""
        output = {"type": "compaction", "id": f"cmp_{answer.id}", "encrypted_content": SIGNATURE}
        whole = {"id": f"resp_{answer.id}", "object": "response.compaction", "created_at": answer.created_at}
        return {**whole, "output": [output], "usage": _usage(answer)}

    def events(self, answer: Answer) -> Iterator[Event]:
        """`response.created` to `response.completed`, each with its sequence number."""
        stream = _Stream()
        yield stream.event("response.created", {"response": _response(answer)})
        yield stream.event("response.in_progress", {"response": _response(answer)})
        for index, item in enumerate(_items(answer)):
            yield stream.event("response.output_item.added", {"output_index": index, "item": _begun(item)})
            yield from _item_events(stream, index, item)
            yield stream.event("response.output_item.done", {"output_index": index, "item": item})
        yield stream.event("response.completed", {"response": self.whole(answer)})

    def refusal(self, fault: Fault) -> tuple[int, Json]:
        """Status and error object."""
        status, kind, code, message = REFUSALS[fault]
        return status, {"error": {"message": message, "type": kind, "code": code, "param": None}}

    def stream_error(self, fault: Fault) -> Event:
        """`response.failed`."""
        _, kind, code, message = REFUSALS[fault]
        error = {"code": code or kind, "message": message}
        response = {"id": "resp_failed", "object": "response", "status": "failed", "error": error, "output": []}
        return _Stream(10_000).event("response.failed", {"response": response})


@dataclass(slots=True)
class _Stream:
    """Numbers the events."""

    sent: int = field(default=0)

    def event(self, kind: str, data: Json, characters: int = 0) -> Event:
        self.sent += 1
        return Event({"type": kind, "sequence_number": self.sent - 1, **data}, kind, characters)


def _messages(value: object) -> Iterator[Message]:
    """Messages; a call stands for the model having spoken, so that `Asked.opening` ends there."""
    if isinstance(value, str):
        yield Message("user", value)
    for item in mappings(value):
        kind = item.get("type", "message")
        if kind == "message":
            yield Message(text(item.get("role")), texts_of(item.get("content")))
        elif kind in ("function_call", "custom_tool_call", "tool_search_call"):
            yield Message("assistant", "")


def _tools(entry: Json, namespace: str | None = None) -> Iterator[Tool]:
    kind, name = text(entry.get("type")), text(entry.get("name"))
    if kind == "namespace":
        for inner in mappings(entry.get("tools")):
            yield from _tools(inner, name)
    elif kind == "function":
        yield Tool(name, mapping(entry.get("parameters")), namespace)
    elif kind == "custom":
        yield Tool(name, namespace=namespace, kind="custom")
    elif kind == "tool_search":
        yield Tool("tool_search", mapping(entry.get("parameters")), kind="search")


def _reasoning(asked: Json) -> Reasoning:
    happens = asked.get("effort") != "none"
    keys = [f"reasoning.{key}={value}" for key, value in sorted(asked.items()) if value is not None]
    return Reasoning(happens, happens and asked.get("summary") is not None, " ".join(keys) or None)


def _response(answer: Answer) -> Json:
    return {
        "id": f"resp_{answer.id}",
        "object": "response",
        "created_at": answer.created_at,
        "status": "in_progress",
        "model": answer.model,
        "output": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None,
    }


def _usage(answer: Answer) -> Json:
    usage = answer.usage
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.read},
        "output_tokens": usage.out,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.out,
    }


def _items(answer: Answer) -> list[Json]:
    items: list[Json] = []
    if answer.reasons:
        summary = [{"type": "summary_text", "text": answer.reasoning}] if answer.reasoning else []
        items.append({"type": "reasoning", "id": f"rs_{answer.id}", "summary": summary, "encrypted_content": SIGNATURE})
    if answer.text:
        part = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        message = {"type": "message", "id": f"msg_{answer.id}", "role": "assistant", "status": "completed"}
        items.append({**message, "content": [part]})
    return items + [_call_item(call) for call in answer.calls]


def _call_item(call: NativeCall) -> Json:
    if call.kind == "search":
        found: Json = {"type": "tool_search_call", "id": f"ts_{call.id}", "call_id": call.id, "execution": "client"}
        return {**found, "arguments": call.arguments, "status": "completed"}
    if call.kind == "custom":
        custom: Json = {"type": "custom_tool_call", "id": f"ctc_{call.id}", "call_id": call.id, "name": call.name}
        return {**custom, "input": call.arguments_text, "status": "completed"}
    item: Json = {"type": "function_call", "id": f"fc_{call.id}", "call_id": call.id, "name": call.name}
    if call.namespace:
        item["namespace"] = call.namespace
    return {**item, "arguments": call.arguments_text, "status": "completed"}


def _begun(item: Json) -> Json:
    """The item as `output_item.added` shows it."""
    empty: dict[str, object] = {"summary": [], "content": [], "input": "", "status": "in_progress"}
    if item["type"] == "function_call":
        empty["arguments"] = ""
    return {key: empty.get(key, value) for key, value in item.items()}


def _item_events(stream: _Stream, index: int, item: Json) -> Iterator[Event]:
    at: Json = {"item_id": item["id"], "output_index": index}
    match item["type"]:
        case "reasoning":
            for part in mappings(item["summary"]):
                yield from _part_events(stream, "reasoning_summary", {**at, "summary_index": 0}, part)
        case "message":
            for part in mappings(item["content"]):
                yield from _part_events(stream, "content", {**at, "content_index": 0}, part)
        case "function_call":
            yield from _arguments_events(stream, "function_call_arguments", at, "arguments", text(item["arguments"]))
        case "custom_tool_call":
            yield from _arguments_events(stream, "custom_tool_call_input", at, "input", text(item["input"]))


def _part_events(stream: _Stream, kind: str, at: Json, part: Json) -> Iterator[Event]:
    written = text(part["text"])
    name = "reasoning_summary_text" if kind == "reasoning_summary" else "output_text"
    extra: Json = {} if kind == "reasoning_summary" else {"logprobs": []}
    yield stream.event(f"response.{kind}_part.added", {**at, "part": {**part, "text": ""}})
    for piece in pieces(written):
        yield stream.event(f"response.{name}.delta", {**at, **extra, "delta": piece}, len(piece))
    yield stream.event(f"response.{name}.done", {**at, **extra, "text": written})
    yield stream.event(f"response.{kind}_part.done", {**at, "part": part})


def _arguments_events(stream: _Stream, kind: str, at: Json, key: str, arguments: str) -> Iterator[Event]:
    for piece in pieces(arguments):
        yield stream.event(f"response.{kind}.delta", {**at, "delta": piece}, len(piece))
    yield stream.event(f"response.{kind}.done", {**at, key: arguments})
