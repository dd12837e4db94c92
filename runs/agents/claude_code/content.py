"""What single records of Claude Code hold: message content, results, usage, under the spellings of log and stdout."""

import re
from collections.abc import Mapping
from typing import Any, Final

from runs.agents.conversion.draft import ResultDraft
from runs.agents.conversion.images import ImageStore
from runs.agents.conversion.lines import Record
from runs.agents.conversion.usage import Usage
from runs.agents.conversion.values import as_text, count, dig, mapping, mappings, text_of
from runs.formats.trajectory import ContentPart
from runs.sandboxes.base import AGENT_LOGS

# How the CLI begins the output of a command that failed.
EXIT_CODE: Final = re.compile(r"Exit code (\d{1,3})(?:\n|$)")


def told(record: Mapping[str, Any], *names: str) -> Any:
    """The first of these fields that the record has: the session log writes camelCase, stdout snake_case."""
    return next((record[name] for name in names if record.get(name) is not None), None)


def texts_and_parts(content: object, images: ImageStore) -> tuple[list[str], list[ContentPart]]:
    """The text blocks and the images of a message or a result."""
    if isinstance(content, str):
        return ([content] if content else []), []
    texts: list[str] = []
    parts: list[ContentPart] = []
    for block in mappings(content):
        if block.get("type") == "text" and text_of(block.get("text")):
            texts.append(text_of(block["text"]))
        elif block.get("type") == "image":
            source = mapping(block.get("source"))
            part = images.part(source.get("media_type"), source.get("data"))
            if part:
                parts.append(part)
    return texts, parts


def result_of(block: Mapping[str, Any], record: Record, images: ImageStore) -> ResultDraft:
    """What a tool_result block says, as the model saw it, with what the record tells beside it."""
    texts, parts = texts_and_parts(block.get("content"), images)
    text = "\n".join(texts)
    content: str | list[ContentPart] = text
    if parts:
        content = [*([ContentPart(type="text", text=text)] if text else []), *parts]
    elif not texts and isinstance(block.get("content"), list) and block["content"]:
        # Blocks of another kind (tool references, search results): kept as they are.
        content = as_text(block["content"])
    extra: dict[str, Any] = {}
    is_error = block.get("is_error")
    if isinstance(is_error, bool):
        extra["is_error"] = is_error
    exit_code = EXIT_CODE.match(text) if is_error is True else None
    if exit_code:
        extra["exit_code"] = int(exit_code[1])
    return ResultDraft(content, {**extra, **_details(told(record, "toolUseResult", "tool_use_result"))})


def _details(result: object) -> dict[str, Any]:
    """What the CLI keeps of a result beside its text."""
    told_of = mapping(result)
    details: dict[str, Any] = {}
    for name, per_second in (("durationMs", 1000), ("totalDurationMs", 1000), ("durationSeconds", 1)):
        duration = told_of.get(name)
        if isinstance(duration, int | float) and not isinstance(duration, bool) and duration >= 0:
            details["duration_sec"] = round(duration / per_second, 3)
    if told_of.get("interrupted") is True:
        details["interrupted"] = True
    if text_of(told_of.get("backgroundTaskId")):
        details["background_task_id"] = told_of["backgroundTaskId"]
    # Very large outputs: the model saw the beginning, the whole lies in a file among the logs.
    place = text_of(told_of.get("persistedOutputPath"))
    if place:
        details["full_output"] = place.removeprefix(f"{AGENT_LOGS}/")
    return details


def usage_of(
    message: Mapping[str, Any], *, duration_ms: float | None = None, time_to_first_token_ms: float | None = None
) -> Usage | None:
    """What the API counted. A message without an end has the figures of its start, whose output says nothing."""
    usage = mapping(message.get("usage"))
    if not usage:
        return None
    has_ended = message.get("stop_reason") is not None
    return Usage(
        uncached_tokens=count(usage.get("input_tokens")),
        cache_read_tokens=count(usage.get("cache_read_input_tokens")),
        cache_write_tokens=count(usage.get("cache_creation_input_tokens")),
        output_tokens=count(usage.get("output_tokens")) if has_ended else None,
        reasoning_tokens=count(dig(usage, "output_tokens_details", "thinking_tokens")) if has_ended else None,
        time_to_first_token_ms=time_to_first_token_ms,
        duration_ms=duration_ms,
    )


def searched_on_server(message: Mapping[str, Any]) -> bool:
    """Whether the provider itself searched or fetched from the web in this call."""
    requests = mapping(dig(message, "usage", "server_tool_use"))
    return any(count(requests.get(name)) for name in ("web_search_requests", "web_fetch_requests"))
