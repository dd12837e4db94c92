"""Google's Gemini: `generateContent` and `streamGenerateContent`. Thoughts are sent only with `includeThoughts`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

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
    Fault.OVERLOADED: (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    Fault.SERVER: (500, "INTERNAL", "An internal error has occurred. Please retry."),
    Fault.UNAVAILABLE: (503, "UNAVAILABLE", "The service is currently unavailable."),
    Fault.RATE_LIMIT: (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    Fault.AUTH: (401, "UNAUTHENTICATED", "API key not valid. Please pass a valid API key."),
    Fault.CONTEXT: (
        400,
        "INVALID_ARGUMENT",
        "The input token count (208310) exceeds the maximum number of tokens allowed (200000).",
    ),
}
CONVERSATION = ("contents", "systemInstruction", "tools")
HEADING = "**Thinking it through**\n\n"
"""Every thought summary of the real service begins with a line in bold."""


@dataclass(frozen=True, slots=True)
class Gemini:
    """The Gemini face."""

    name: str = "gemini"
    call_prefix: str = "call_"

    def asked(self, body: Json, path: str) -> Asked:
        """Read a request."""
        body = _camel(body)
        tools = [_camel(tool) for tool in mappings(body.get("tools"))]
        wants = _camel(mapping(body.get("generationConfig")))
        schema = wants.get("responseJsonSchema") or wants.get("responseSchema")
        contents = mappings(body.get("contents"))
        system = texts_of(mapping(body.get("systemInstruction")).get("parts"))
        return Asked(
            api=self.name,
            model=path.rpartition("/")[2].partition(":")[0],
            is_streamed="stream" in path.rpartition(":")[2],
            system=system,
            messages=tuple(Message(text(m.get("role")), texts_of(m.get("parts"))) for m in contents),
            tools=tuple(
                Tool(text(entry.get("name")), _parameters(_camel(entry)))
                for tool in tools
                for entry in mappings(tool.get("functionDeclarations"))
            ),
            reasoning=_reasoning(_camel(mapping(wants.get("thinkingConfig")))),
            response_schema=mapping(schema) if schema else None,
            web_tools=tuple(key for tool in tools for key in tool if key in ("googleSearch", "urlContext")),
            is_compaction="state_snapshot" in system,
            options=options_of(body, CONVERSATION),
            body=body,
        )

    def shown_reasoning(self, reasoning: str) -> str:
        """Under a heading, as the service writes it."""
        return HEADING + reasoning

    def whole(self, answer: Answer) -> Json:
        """A finished response."""
        return _response(answer, [part for part, _ in _parts(answer)], is_last=True)

    def events(self, answer: Answer) -> Iterator[Event]:
        """A response with one part for each piece; the last one has the reason of the end and the full usage."""
        for part, characters in _parts(answer):
            written = text(part.get("text"))
            if not written or part.get("thought"):
                yield Event(_response(answer, [part]), characters=characters)
                continue
            for piece in pieces(written):
                yield Event(_response(answer, [{"text": piece}]), characters=len(piece))
        yield Event(_response(answer, [{"text": ""}], is_last=True))

    def refusal(self, fault: Fault) -> tuple[int, Json]:
        """Status and error object."""
        status, kind, message = REFUSALS[fault]
        return status, {"error": {"code": status, "message": message, "status": kind}}

    def stream_error(self, fault: Fault) -> Event:
        """An `error` object instead of a response."""
        return Event(self.refusal(fault)[1])


def _camel(value: Json) -> Json:
    """The object with keys as `includeThoughts`; the service takes `include_thoughts` as well, and clients send it."""
    return {re.sub(r"_([a-z])", lambda found: found[1].upper(), key): item for key, item in value.items()}


def _parameters(entry: Json) -> Json:
    return mapping(entry.get("parametersJsonSchema")) or mapping(entry.get("parameters"))


def _reasoning(asked: Json) -> Reasoning:
    happens = asked.get("thinkingBudget") != 0
    keys = [f"generationConfig.thinkingConfig.{key}={value}" for key, value in sorted(asked.items())]
    return Reasoning(happens, happens and asked.get("includeThoughts") is True, " ".join(keys) or None)


def _parts(answer: Answer) -> Iterator[tuple[Json, int]]:
    if answer.reasoning:
        yield {"text": answer.reasoning, "thought": True}, len(answer.reasoning)
    if answer.text:
        yield {"text": answer.text}, len(answer.text)
    for call in answer.calls:
        yield {"functionCall": _call(call), "thoughtSignature": SIGNATURE}, len(call.arguments_text)


def _call(call: NativeCall) -> Json:
    return {"id": call.id, "name": call.name, "args": call.arguments}


def _response(answer: Answer, parts: list[Json], *, is_last: bool = False) -> Json:
    candidate: Json = {"content": {"role": "model", "parts": parts}, "index": 0}
    if is_last:
        candidate["finishReason"] = "STOP"
    return {
        "candidates": [candidate],
        "modelVersion": answer.model,
        "responseId": answer.id,
        "usageMetadata": _usage(answer, is_last=is_last),
    }


def _usage(answer: Answer, *, is_last: bool) -> Json:
    usage = answer.usage
    so_far: Json = {"promptTokenCount": usage.input, "cachedContentTokenCount": usage.read}
    if not is_last:
        return {**so_far, "totalTokenCount": usage.input}
    return {
        **so_far,
        "candidatesTokenCount": usage.out - usage.reasoning,
        "thoughtsTokenCount": usage.reasoning,
        "totalTokenCount": usage.input + usage.out,
    }
