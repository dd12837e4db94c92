"""Single items of a Codex log as parts of steps: what was said, calls, what came back of them. No order, no steps."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from runs.agents.conversion.draft import CallDraft, ResultDraft
from runs.agents.conversion.images import ImageStore
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
)
from runs.formats.reading import JsonInvalid, parse_json
from runs.formats.trajectory import ContentPart, SubagentTrajectoryRef

# What the tools for commands and patches put before their output; the model reads it, so it stays in the content.
_HEADER: Final = re.compile(
    r"(?:Chunk ID: .*\n|Exit code: (?P<patch_code>-?[0-9]{1,10})\n)?"
    r"Wall time: (?P<sec>[0-9]{1,12}(?:\.[0-9]{1,9})?) seconds\n"
    r"(?:Process exited with code (?P<code>-?[0-9]{1,10})\n)?"
)
_DATA_URL: Final = re.compile(r"data:(?P<type>image/[a-z]+);base64,")
_HARNESS_WRAPPERS: Final = (
    "<environment_context>",
    "<subagent_notification>",
    "<turn_aborted>",
    "<user_instructions>",
    "# AGENTS.md instructions",
)
_FAILED: Final = frozenset({"failed", "declined", "errored"})


def message_of(payload: Mapping[str, Any], images: ImageStore) -> tuple[list[str], list[ContentPart]]:
    """The texts and the images of a message."""
    return _content(payload.get("content"), images)


def is_of_user(payload: Mapping[str, Any]) -> bool:
    """Whether a person or a parent agent wrote a message of the role `user`; the CLI writes such messages too."""
    metadata = mapping(payload.get("internal_chat_message_metadata_passthrough"))
    kinds = metadata.get("content_item_kinds")
    if isinstance(kinds, list) and kinds:
        return any(text_of(kind).startswith("user.") for kind in kinds)
    content = payload.get("content")
    first = next((text_of(part.get("text")) for part in mappings(content)), text_of(content))
    return not first.lstrip().startswith(_HARNESS_WRAPPERS)


def reasoning_of(payload: Mapping[str, Any]) -> list[str]:
    """The readable reasoning: the model's own where the API gives it, else its summary. What is encrypted stays so."""
    own = texts_of(*(part.get("text") for part in mappings(payload.get("content"))))
    return own or texts_of(*(part.get("text") for part in mappings(payload.get("summary"))))


def usage_of(record: Mapping[str, Any]) -> Usage | None:
    """The tokens of one API call. Codex writes 0 for cache writes, which its API does not tell: that is unknown."""
    total, cached = count(record.get("input_tokens")), count(record.get("cached_input_tokens"))
    written = count(record.get("cache_write_input_tokens")) or None
    output = count(record.get("output_tokens"))
    if total is None and output is None:
        return None
    return Usage(
        uncached_tokens=None if total is None else max(total - (cached or 0) - (written or 0), 0),
        cache_read_tokens=cached,
        cache_write_tokens=written,
        output_tokens=output,
        reasoning_tokens=count(record.get("reasoning_output_tokens")),
    )


def call_of(payload: Mapping[str, Any], number: int) -> CallDraft | None:
    """The call that an item makes, None for an item of another kind. `number` makes an id for one that has none."""
    make = _CALLS.get(text_of(payload.get("type")))
    if make is None:
        return None
    name, arguments = make(payload)
    identity = next(iter(texts_of(payload.get("call_id"), payload.get("id"))), f"call_{number}")
    namespace = text_of(payload.get("namespace"))
    return CallDraft(identity, name, arguments, {"namespace": namespace} if namespace else {})


def served_result_of(payload: Mapping[str, Any], images: ImageStore) -> ResultDraft | None:
    """What is told of a call that the provider has served itself, whose item is its result as well."""
    kind, status = payload.get("type"), payload.get("status")
    if kind not in ("web_search_call", "image_generation_call") or not isinstance(status, str):
        return None
    extra: dict[str, Any] = {"status": status} | ({"is_error": True} if status in _FAILED else {})
    image = images.part("image/png", payload.get("result")) if kind == "image_generation_call" else None
    return ResultDraft([image] if image else None, extra)


def result_of(payload: Mapping[str, Any], images: ImageStore) -> ResultDraft:
    """What an output item gives back to the model."""
    if payload.get("type") == "tool_search_output":
        return ResultDraft(as_text(payload.get("tools")))
    output = payload.get("output")
    extra: dict[str, Any] = {}
    if isinstance(output, dict):
        extra = {"is_error": True} if output.get("success") is False else {}
        output = output.get("content")
    texts, parts = _content(output, images)
    text = "\n\n".join(texts)
    if header := _HEADER.match(text):
        extra["duration_sec"] = float(header["sec"])
        code = header["code"] or header["patch_code"]
        extra["exit_code"] = int(code) if code else None
    elif text.startswith('{"output":'):
        # Versions of 2025 wrap what a command printed.
        text, extra = _unwrapped(text, extra)
    told = {name: value for name, value in extra.items() if value is not None}
    return ResultDraft([*_text_part(text), *parts] if parts else text, told)


def outcome_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """What a finished item says of the call that has its id: exit code, duration, failure."""
    seconds, nanos = amount(dig(item, "duration", "secs")), amount(dig(item, "duration", "nanos"))
    exit_code, status = item.get("exit_code"), item.get("status")
    extra: dict[str, Any] = {}
    if isinstance(exit_code, int) and not isinstance(exit_code, bool) and abs(exit_code) < 2**31:
        extra["exit_code"] = exit_code
    elif status in _FAILED:
        extra["is_error"] = True
    if status in _FAILED - {"failed"}:
        extra["status"] = status
    if seconds is not None:
        extra["duration_sec"] = round(seconds + (nanos or 0) / 1e9, 6)
    return extra


def spawned_by(item: Mapping[str, Any]) -> list[SubagentTrajectoryRef]:
    """The sub-agents that a finished item began."""
    if item.get("type") != "CollabAgentToolCall" or item.get("tool") != "spawn_agent":
        return []
    names = {text_of(one.get("thread_id")): one.get("agent_nickname") for one in mappings(item.get("receiver_agents"))}
    threads = item.get("receiver_thread_ids")
    return [
        SubagentTrajectoryRef(trajectory_id=thread, extra={"nickname": names[thread]} if names.get(thread) else None)
        for thread in texts_of(*(threads if isinstance(threads, list) else ()))
    ]


def _content(content: Any, images: ImageStore) -> tuple[list[str], list[ContentPart]]:
    if isinstance(content, str):
        return texts_of(content), []
    texts: list[str] = []
    parts: list[ContentPart] = []
    for part in mappings(content):
        texts += texts_of(part.get("text"), part.get("refusal"))
        parts += _image(part, images)
    return texts, parts


def _image(part: Mapping[str, Any], images: ImageStore) -> Iterator[ContentPart]:
    url = text_of(part.get("image_url"))
    head = _DATA_URL.match(url)
    image = images.part(head["type"], url[head.end() :]) if head else None
    if image:
        yield image


def _text_part(text: str) -> list[ContentPart]:
    return [ContentPart(type="text", text=text)] if text else []


def _unwrapped(text: str, extra: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    try:
        wrapper = parse_json(text, lenient=True)
    except (JsonInvalid, ValueError):
        return text, extra
    output = dig(wrapper, "output")
    if not isinstance(output, str):
        return text, extra
    told = outcome_of({"exit_code": dig(wrapper, "metadata", "exit_code")})
    return output, {**extra, **told, "duration_sec": amount(dig(wrapper, "metadata", "duration_seconds"))}


type _Call = tuple[str, dict[str, Any]]

_CALLS: Final[dict[str, Callable[[Mapping[str, Any]], _Call]]] = {
    "function_call": lambda item: (text_of(item.get("name")), arguments_of(item.get("arguments"))),
    "custom_tool_call": lambda item: (text_of(item.get("name")), {"input": as_text(item.get("input"))}),
    "local_shell_call": lambda item: ("local_shell", arguments_of(item.get("action"))),
    "tool_search_call": lambda item: ("tool_search", arguments_of(item.get("arguments"))),
    "web_search_call": lambda item: ("web_search", arguments_of(item.get("action"))),
    "image_generation_call": lambda item: (
        "image_generation",
        {"revised_prompt": prompt} if (prompt := text_of(item.get("revised_prompt"))) else {},
    ),
}
