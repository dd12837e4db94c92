"""Anthropic's Messages: `POST /v1/messages`, streamed and not. Thinking is sent only when the request asks for it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.support.model_server.exchange import (
    SIGNATURE,
    Answer,
    Asked,
    Event,
    Json,
    Message,
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
from tests.support.model_server.script import Fault

REFUSALS = {
    Fault.OVERLOADED: (529, "overloaded_error", "Overloaded"),
    Fault.SERVER: (500, "api_error", "Internal server error"),
    Fault.UNAVAILABLE: (503, "api_error", "Service unavailable"),
    Fault.RATE_LIMIT: (429, "rate_limit_error", "This request would exceed your account's rate limit."),
    Fault.AUTH: (401, "authentication_error", "invalid x-api-key"),
    Fault.CONTEXT: (400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
}
CONVERSATION = ("messages", "system", "tools")


@dataclass(frozen=True, slots=True)
class Anthropic:
    """The Messages face."""

    name: str = "anthropic"
    call_prefix: str = "toolu_"

    def asked(self, body: Json, path: str) -> Asked:
        """Read a request."""
        tools = mappings(body.get("tools"))
        served = [tool for tool in tools if text(tool.get("type")).startswith(("web_search_", "web_fetch_"))]
        output = mapping(mapping(body.get("output_config")).get("format"))
        return Asked(
            api=self.name,
            model=text(body.get("model")),
            is_streamed=body.get("stream") is True,
            system=texts_of(body.get("system")),
            messages=tuple(
                Message(text(m.get("role")), texts_of(m.get("content"))) for m in mappings(body.get("messages"))
            ),
            tools=tuple(Tool(text(t.get("name")), mapping(t.get("input_schema"))) for t in tools if t not in served),
            reasoning=_reasoning(mapping(body.get("thinking"))),
            response_schema=mapping(output.get("schema")) if output else None,
            web_tools=tuple(text(tool.get("type")) for tool in served),
            cache_marks=count_key(body, "cache_control"),
            options=options_of(body, CONVERSATION),
            body=body,
        )

    def shown_reasoning(self, reasoning: str) -> str:
        """As it is."""
        return reasoning

    def whole(self, answer: Answer) -> Json:
        """A finished message."""
        return {
            **_message(answer),
            "content": [block for block, _ in _blocks(answer)],
            "stop_reason": _stop_reason(answer),
            "usage": _final_usage(answer),
        }

    def events(self, answer: Answer) -> Iterator[Event]:
        """`message_start` to `message_stop`; the first reports one output token, `message_delta` the true number."""
        yield _event({"type": "message_start", "message": _message(answer)})
        yield _event({"type": "ping"})
        for index, (block, parts) in enumerate(_blocks(answer)):
            yield _event({"type": "content_block_start", "index": index, "content_block": _emptied(block)})
            for delta, characters in parts:
                event = _event({"type": "content_block_delta", "index": index, "delta": delta})
                yield replace(event, characters=characters)
            yield _event({"type": "content_block_stop", "index": index})
        stop: Json = {"stop_reason": _stop_reason(answer), "stop_sequence": None}
        yield _event({"type": "message_delta", "delta": stop, "usage": _final_usage(answer)})
        yield _event({"type": "message_stop"})

    def refusal(self, fault: Fault) -> tuple[int, Json]:
        """Status and error object."""
        status, kind, message = REFUSALS[fault]
        return status, {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_scripted"}

    def stream_error(self, fault: Fault) -> Event:
        """The `error` event."""
        return _event(self.refusal(fault)[1])


def _reasoning(thinking: Json) -> Reasoning:
    kind = text(thinking.get("type"))
    happens = kind in ("enabled", "adaptive")
    keys = [f"thinking.{key}={value}" for key, value in sorted(thinking.items())]
    return Reasoning(happens, happens and thinking.get("display") != "omitted", " ".join(keys) or None)


def _event(data: Json) -> Event:
    return Event(data, text(data["type"]))


def _message(answer: Answer) -> Json:
    return {
        "id": f"msg_{answer.id}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _first_usage(answer),
    }


def _first_usage(answer: Answer) -> Json:
    usage = answer.usage
    return {
        "input_tokens": usage.uncached,
        "cache_creation_input_tokens": usage.write,
        "cache_read_input_tokens": usage.read,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 1,
        "service_tier": "standard",
    }


def _final_usage(answer: Answer) -> Json:
    details = {"thinking_tokens": answer.usage.reasoning}
    return {**_first_usage(answer), "output_tokens": answer.usage.out, "output_tokens_details": details}


def _stop_reason(answer: Answer) -> str:
    return "tool_use" if answer.calls else "end_turn"


def _blocks(answer: Answer) -> Iterator[tuple[Json, list[tuple[Json, int]]]]:
    """Each content block whole, and the deltas that bring it with the characters each carries."""
    if answer.reasons:
        thought = answer.reasoning or ""
        deltas: list[tuple[Json, int]] = [({"type": "thinking_delta", "thinking": p}, len(p)) for p in pieces(thought)]
        deltas.append(({"type": "signature_delta", "signature": SIGNATURE}, 0))
        yield {"type": "thinking", "thinking": thought, "signature": SIGNATURE}, deltas
    if answer.text:
        yield (
            {"type": "text", "text": answer.text},
            [({"type": "text_delta", "text": piece}, len(piece)) for piece in pieces(answer.text)],
        )
    for call in answer.calls:
        block: Json = {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
        yield block, [({"type": "input_json_delta", "partial_json": p}, len(p)) for p in pieces(call.arguments_text)]


def _emptied(block: Json) -> Json:
    """The block as `content_block_start` shows it, before its content has come."""
    empty: dict[str, object] = {"thinking": "", "text": "", "signature": "", "input": {}}
    return {key: value if key == "type" else empty.get(key, value) for key, value in block.items()}
