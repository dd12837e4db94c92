"""The scripted model server on the wire: each provider's own bodies, event sequences, errors and lists."""

import json
from collections.abc import Iterator

import pytest

from tests.support.model_server import Cut, Edit, Fault, FindTools, ModelServer, Raw, Script, Shell, Turn, Usage
from tests.support.model_server.client import Received, post, request
from tests.support.model_server.exchange import Json, mapping, mappings, text

SHELL_SCHEMA: Json = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
TURN = Turn(
    reasoning="The operands are swapped, I think.",
    text="Déjà vu ✓ — two calls follow.",
    calls=(Shell("ls -l"), Shell("pwd")),
    usage=Usage(uncached=211, read=5303, write=307, out=89, reasoning=23),
)
ARGUMENTS = [{"command": "ls -l"}, {"command": "pwd"}]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        server.add("two-calls", Script((TURN, Turn(text="Done."))))
        yield server


def anthropic(server: ModelServer, scenario: str = "two-calls", **more: object) -> Received:
    body: Json = {"model": "m", "messages": [{"role": "user", "content": "Fix it"}], "stream": True}
    body["tools"] = [{"name": "Bash", "input_schema": SHELL_SCHEMA}]
    return post(server.base_url(scenario, "run") + "/v1/messages?beta=true", {**body, **more})


def responses(server: ModelServer, scenario: str = "two-calls", **more: object) -> Received:
    body: Json = {"model": "m", "input": "Fix it", "stream": True}
    body["tools"] = [{"type": "function", "name": "shell", "parameters": SHELL_SCHEMA}]
    return post(server.base_url(scenario, "run") + "/v1/responses", {**body, **more})


def chat(server: ModelServer, scenario: str = "two-calls", **more: object) -> Received:
    body: Json = {"model": "m", "messages": [{"role": "user", "content": "Fix it"}], "stream": True}
    body["tools"] = [{"type": "function", "function": {"name": "bash", "parameters": SHELL_SCHEMA}}]
    return post(server.base_url(scenario, "run") + "/v1/chat/completions", {**body, **more})


def gemini(server: ModelServer, scenario: str = "two-calls", stream: bool = True, **more: object) -> Received:
    declared = [{"name": "run_shell_command", "parametersJsonSchema": SHELL_SCHEMA}]
    body: Json = {"contents": [{"role": "user", "parts": [{"text": "Fix it"}]}]}
    body["tools"] = [{"functionDeclarations": declared}]
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return post(f"{server.base_url(scenario, 'run')}/v1beta/models/gem-1:{method}", {**body, **more})


def joined(events: list[Json], kind: str, *keys: str) -> str:
    """The pieces of a text, put together again."""
    found: list[str] = []
    for event in events:
        if event.get("type") == kind:
            value: object = event
            for key in keys:
                value = mapping(value).get(key)
            found.append(text(value))
    return "".join(found)


def test_a_messages_stream_has_the_order_of_the_real_one(server: ModelServer) -> None:
    received = anthropic(server, thinking={"type": "adaptive"})
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert received.types == ["message_start", "ping", *block * 4, "message_delta", "message_stop"]
    deltas = [mapping(event["delta"]) for event in received.events if event["type"] == "content_block_delta"]
    assert "".join(text(delta.get("thinking")) for delta in deltas) == TURN.reasoning
    assert "".join(text(delta.get("text")) for delta in deltas) == TURN.text
    assert [delta["type"] for delta in deltas].count("signature_delta") == 1
    arguments = "".join(text(delta.get("partial_json")) for delta in deltas)
    assert arguments == "".join(json.dumps(call) for call in ARGUMENTS)


def test_a_messages_stream_reports_one_token_first_and_all_at_the_end(server: ModelServer) -> None:
    events = anthropic(server, thinking={"type": "enabled", "budget_tokens": 1024}).events
    first = mapping(mapping(events[0]["message"])["usage"])
    assert (first["input_tokens"], first["cache_read_input_tokens"], first["output_tokens"]) == (211, 5303, 1)
    final = mapping(events[-2]["usage"])
    assert (final["cache_creation_input_tokens"], final["output_tokens"]) == (307, 89)
    assert final["output_tokens_details"] == {"thinking_tokens": 23}
    assert mapping(events[-2]["delta"])["stop_reason"] == "tool_use"


def test_a_message_not_streamed_has_all_blocks(server: ModelServer) -> None:
    body = anthropic(server, stream=False).json
    blocks = mappings(body["content"])
    assert [block["type"] for block in blocks] == ["text", "tool_use", "tool_use"]
    assert [block["input"] for block in blocks[1:]] == ARGUMENTS
    assert len({text(block["id"]) for block in blocks[1:]}) == 2
    assert body["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("thinking", "sent", "reasoning_tokens"),
    [
        (None, None, 0),
        ({"type": "disabled"}, None, 0),
        ({"type": "adaptive"}, TURN.reasoning, 23),
        ({"type": "adaptive", "display": "summarized"}, TURN.reasoning, 23),
        ({"type": "adaptive", "display": "omitted"}, "", 23),
    ],
)
def test_thinking_is_sent_only_if_asked_for(
    server: ModelServer, thinking: Json | None, sent: str | None, reasoning_tokens: int
) -> None:
    blocks = mappings(anthropic(server, stream=False, thinking=thinking).json["content"])
    assert [block["thinking"] for block in blocks if block["type"] == "thinking"] == ([] if sent is None else [sent])
    call = server.truth("run").calls[0]
    assert call.reasoning == (sent or None)
    assert call.usage is not None
    assert call.usage.reasoning == reasoning_tokens


def test_a_responses_stream_has_the_order_of_the_real_one(server: ModelServer) -> None:
    received = responses(server, reasoning={"effort": "high", "summary": "auto"})
    arguments = "response.function_call_arguments"
    call = ["response.output_item.added", f"{arguments}.delta", f"{arguments}.done", "response.output_item.done"]
    summary = "response.reasoning_summary"
    assert received.types == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        f"{summary}_part.added",
        f"{summary}_text.delta",
        f"{summary}_text.done",
        f"{summary}_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        *call * 2,
        "response.completed",
    ]
    assert [event["sequence_number"] for event in received.events] == list(range(len(received.events)))
    assert joined(received.events, "response.output_text.delta", "delta") == TURN.text
    assert joined(received.events, f"{summary}_text.delta", "delta") == TURN.reasoning
    added = [event["item"] for event in received.events if event["type"] == "response.output_item.added"]
    assert [mapping(item).get("arguments") for item in added] == [None, None, "", ""]


def test_a_completed_response_has_output_and_usage(server: ModelServer) -> None:
    streamed = mapping(responses(server, reasoning={"summary": "detailed"}).events[-1]["response"])
    assert [item["type"] for item in mappings(streamed["output"])] == ["reasoning", "message"] + ["function_call"] * 2
    assert streamed["usage"] == {
        "input_tokens": 5821,
        "input_tokens_details": {"cached_tokens": 5303},
        "output_tokens": 89,
        "output_tokens_details": {"reasoning_tokens": 23},
        "total_tokens": 5910,
    }


@pytest.mark.parametrize(
    ("asked", "summary"),
    [({}, []), ({"effort": "high"}, []), ({"summary": "auto"}, [{"type": "summary_text", "text": TURN.reasoning}])],
)
def test_a_reasoning_summary_is_sent_only_if_asked_for(server: ModelServer, asked: Json, summary: list[Json]) -> None:
    output = mappings(responses(server, stream=False, reasoning=asked).json["output"])
    assert [item["summary"] for item in output if item["type"] == "reasoning"] == [summary]
    assert server.truth("run").calls[0].reasoning == (TURN.reasoning if summary else None)


def test_without_effort_there_is_no_reasoning_item(server: ModelServer) -> None:
    output = mappings(responses(server, stream=False, reasoning={"effort": "none", "summary": "auto"}).json["output"])
    assert "reasoning" not in [item["type"] for item in output]


def test_custom_namespaced_and_searched_tools_are_called_in_their_own_form(server: ModelServer) -> None:
    spawn = {"type": "function", "name": "spawn_agent", "parameters": {"properties": {"message": {"type": "string"}}}}
    calls = (Edit("/app/a.py", "old", "new"), FindTools(), Raw("listed", {}))
    server.add("own-forms", Script((Turn(calls=calls), Turn(calls=(Raw("spawn_agent", {"message": "go"}),)))))
    tools = [{"type": "custom", "name": "apply_patch"}, {"type": "tool_search", "parameters": {}}]
    first = responses(server, "own-forms", stream=False, tools=tools).json
    patch, search, listed = mappings(first["output"])
    assert patch["type"] == "custom_tool_call"
    assert text(patch["input"]).splitlines()[1:-1] == ["*** Update File: /app/a.py", "@@", "-old", "+new"]
    assert (search["type"], search["execution"]) == ("tool_search_call", "client")
    assert (listed["type"], listed["arguments"]) == ("function_call", "{}")
    found = {"type": "tool_search_output", "tools": [{"type": "namespace", "name": "agents", "tools": [spawn]}]}
    second = responses(server, "own-forms", stream=False, tools=tools, input=[found]).json
    assert [(item["name"], item["namespace"]) for item in mappings(second["output"])] == [("spawn_agent", "agents")]


def test_a_custom_call_is_streamed_as_plain_text(server: ModelServer) -> None:
    server.add("patch", Script((Turn(calls=(Edit("/app/a.py", "old", "new"),)),)))
    events = responses(server, "patch", tools=[{"type": "custom", "name": "apply_patch"}]).events
    assert joined(events, "response.custom_tool_call_input.delta", "delta").startswith("*** Begin Patch\n")


def test_a_chat_stream_has_role_reasoning_content_calls_and_end(server: ModelServer) -> None:
    received = chat(server, stream_options={"include_usage": True})
    choices = [mapping(choice) for event in received.events for choice in mappings(event["choices"])]
    deltas = [mapping(choice["delta"]) for choice in choices]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(text(delta.get("reasoning_content")) for delta in deltas) == TURN.reasoning
    assert "".join(text(delta.get("content")) for delta in deltas) == TURN.text
    parts = [call for delta in deltas for call in mappings(delta.get("tool_calls"))]
    assert [(part["index"], mapping(part["function"])["name"]) for part in parts if "id" in part] == [
        (0, "bash"),
        (1, "bash"),
    ]
    arguments = [
        "".join(text(mapping(part["function"]).get("arguments")) for part in parts if part["index"] == index)
        for index in (0, 1)
    ]
    assert [json.loads(argument) for argument in arguments] == ARGUMENTS
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["tool_calls"]
    assert received.body.endswith(b"data: [DONE]\n\n")
    assert mapping(received.events[-1]["usage"])["prompt_tokens"] == 5821
    assert received.events[-1]["choices"] == []


def test_a_chat_stream_reports_usage_only_if_asked(server: ModelServer) -> None:
    assert "usage" not in chat(server).events[-1]


def test_a_chat_completion_not_streamed_has_message_and_usage(server: ModelServer) -> None:
    body = chat(server, stream=False).json
    message = mapping(mappings(body["choices"])[0]["message"])
    assert (message["content"], message["reasoning_content"]) == (TURN.text, TURN.reasoning)
    calls = [mapping(call["function"]) for call in mappings(message["tool_calls"])]
    assert [json.loads(text(call["arguments"])) for call in calls] == ARGUMENTS
    assert mapping(body["usage"])["completion_tokens_details"] == {"reasoning_tokens": 23}


@pytest.mark.parametrize("stream", [True, False])
def test_gemini_sends_parts_and_the_usage_at_the_end(server: ModelServer, stream: bool) -> None:
    received = gemini(server, stream=stream)
    answers = received.events if stream else [received.json]
    candidates = [mappings(answer["candidates"])[0] for answer in answers]
    parts = [part for candidate in candidates for part in mappings(mapping(candidate["content"])["parts"])]
    assert "".join(text(part.get("text")) for part in parts) == TURN.text
    calls = [part for part in parts if "functionCall" in part]
    assert [mapping(part["functionCall"])["args"] for part in calls] == ARGUMENTS
    assert all(part["thoughtSignature"] for part in calls)
    assert [candidate.get("finishReason") for candidate in candidates] == [None] * (len(candidates) - 1) + ["STOP"]
    assert answers[-1]["usageMetadata"] == {
        "promptTokenCount": 5821,
        "cachedContentTokenCount": 5303,
        "candidatesTokenCount": 66,
        "thoughtsTokenCount": 23,
        "totalTokenCount": 5910,
    }
    assert answers[0]["modelVersion"] == "gem-1"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("thinking", "is_shown"),
    [
        (None, False),
        ({"thinkingLevel": "HIGH"}, False),
        ({"includeThoughts": True, "thinkingBudget": -1}, True),
        ({"include_thoughts": True}, True),
    ],
)
def test_gemini_shows_thoughts_only_if_they_are_included(
    server: ModelServer, stream: bool, thinking: Json | None, is_shown: bool
) -> None:
    gemini(server, stream=stream, generationConfig={"thinkingConfig": thinking})
    call = server.truth("run").calls[0]
    assert (call.reasoning is not None) == is_shown
    assert is_shown == ("includeThoughts=True" in (call.facts.reasoning_asked or ""))
    assert call.usage is not None
    assert call.usage.reasoning == 23


@pytest.mark.parametrize("face", [anthropic, responses, chat, gemini])
@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        (Fault.OVERLOADED, {503, 529}),
        (Fault.SERVER, {500}),
        (Fault.UNAVAILABLE, {503}),
        (Fault.RATE_LIMIT, {429}),
        (Fault.AUTH, {401}),
        (Fault.CONTEXT, {400}),
    ],
)
def test_a_refusal_has_the_provider_s_status_and_shape(
    server: ModelServer, face: type, fault: Fault, statuses: set[int]
) -> None:
    server.add("refused", Script((Turn(text="x", errors=(fault,)),)))
    received = face(server, "refused")
    assert received.status in statuses
    assert text(mapping(received.json["error"])["message"])
    assert ("Retry-After" in received.headers) == (fault is Fault.RATE_LIMIT)
    assert server.truth("run").counts == {f"http-error:{fault}": 1}


@pytest.mark.parametrize(
    ("face", "found"),
    [(anthropic, "overloaded_error"), (responses, "response.failed"), (chat, "server_error"), (gemini, "UNAVAILABLE")],
)
def test_an_error_amid_a_stream_is_an_event(server: ModelServer, face: type, found: str) -> None:
    server.add("breaks", Script((Turn(text="half of this is sent", errors=(Cut(error=Fault.OVERLOADED),)),)))
    received = face(server, "breaks")
    assert (received.status, received.is_broken) == (200, False)
    assert found in json.dumps(received.events[-1])
    assert server.truth("run").counts == {"stream-error:overloaded": 1}


def test_what_is_around_the_calls_is_answered_too(server: ModelServer) -> None:
    base = server.base_url("two-calls", "run")
    assert request("HEAD", base + "/api/hello").status == 200
    assert post(base + "/v1/messages/count_tokens", {"messages": []}).json["input_tokens"]
    assert post(base + "/v1beta/models/gem-1:countTokens", {}).json["totalTokens"]
    assert mappings(request("GET", base + "/v1/models").json["data"])
    assert mappings(request("GET", base + "/v1beta/models").json["models"])
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    assert request("GET", base + "/v1/responses", headers=upgrade).status == 426
    assert server.truth("run").other_requests == (
        "HEAD /api/hello",
        "POST /v1/messages/count_tokens",
        "POST /v1beta/models/gem-1:countTokens",
        "GET /v1/models",
        "GET /v1beta/models",
        "GET /v1/responses",
    )
    assert server.truth("run").calls == ()


@pytest.mark.parametrize(
    "path", ["/", "/v1/messages", "/s/two-calls", "/s/unknown/run/v1/messages", "/s/two-calls/run/v2"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_anything_else_is_not_found(server: ModelServer, path: str, method: str) -> None:
    received = request(method, f"http://127.0.0.1:{server.port}{path}")
    assert received.status == 404
    assert mapping(received.json["error"])["type"] == "not_found_error"


def test_remote_compaction_is_a_compaction(server: ModelServer) -> None:
    body: Json = {"model": "m", "input": [{"type": "message", "role": "user", "content": "Fix it"}]}
    received = post(server.base_url("two-calls", "run") + "/v1/responses/compact", body)
    assert [item["type"] for item in mappings(received.json["output"])] == ["compaction"]
    assert server.truth("run").threads == ["compact"]
