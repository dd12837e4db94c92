"""What single events of Copilot CLI's session mean, as parts of steps; they are alike in its log and on its stdout."""

from datetime import datetime
from typing import Any

from runs.agents.conversion.draft import CallDraft, ResultDraft
from runs.agents.conversion.images import ImageStore
from runs.agents.conversion.lines import Record
from runs.agents.conversion.usage import Usage
from runs.agents.conversion.values import amount, arguments_of, count, dig, mapping, mappings, text_of, timestamp_of
from runs.formats.trajectory import ContentPart

type Assets = dict[str, ContentPart]
"""Images that the log holds once, by the identity under which results and attachments name them."""


def call_of(request: Record) -> CallDraft | None:
    """One of a message's `toolRequests`; None without an identity."""
    identity = text_of(request.get("toolCallId"))
    if not identity:
        return None
    told = {
        "mcp_server": text_of(request.get("mcpServerName")),
        "mcp_tool": text_of(request.get("mcpToolName")),
    }
    extra: dict[str, Any] = {name: value for name, value in told.items() if value}
    return CallDraft(identity, text_of(request.get("name")), arguments_of(request.get("arguments")), extra)


def result_of(data: Record, images: ImageStore, assets: Assets) -> ResultDraft:
    """What `tool.execution_complete` says: the text that the model read, not the one for the screen."""
    result = mapping(data.get("result"))
    text = text_of(result.get("content")) or text_of(dig(data, "error", "message"))
    parts = image_parts(result.get("binaryResultsForLlm"), images, assets)
    extra: dict[str, Any] = {}
    exit_code = dig(data, "shellExecution", "exitCode")
    if isinstance(exit_code, int) and not isinstance(exit_code, bool):
        extra["exit_code"] = exit_code
    if data.get("success") is False:
        extra["is_error"] = True
        code = text_of(dig(data, "error", "code"))
        extra |= {"error_code": code} if code else {}
    if not parts:
        return ResultDraft(text, extra)
    return ResultDraft([*([ContentPart(type="text", text=text)] if text else []), *parts], extra)


def image_parts(found: object, images: ImageStore, assets: Assets) -> list[ContentPart]:
    """The images among binary results or attachments, held in place or by the identity of an asset."""
    parts: list[ContentPart] = []
    for item in mappings(found):
        part = assets.get(text_of(item.get("assetId"))) or images.part(item.get("mimeType"), item.get("data"))
        if part:
            parts.append(part)
    return parts


def usage_of(told: Record) -> Usage:
    """The tokens of a call: the log's input is all of it, its output includes the reasoning."""
    whole, read, written = (count(told.get(name)) for name in ("inputTokens", "cacheReadTokens", "cacheWriteTokens"))
    return Usage(
        uncached_tokens=None if whole is None else max(whole - (read or 0) - (written or 0), 0),
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=count(told.get("outputTokens")),
        reasoning_tokens=count(told.get("reasoningTokens")),
        time_to_first_token_ms=amount(told.get("timeToFirstTokenMs")),
        duration_ms=amount(told.get("duration")),
    )


def has_web_search(message: Record) -> bool:
    """Whether the provider searched the web while it answered; other tools of its own don't count."""
    tools = mapping(message.get("serverTools"))
    blocks = (*mappings(tools.get("items")), *mappings(tools.get("rawContentBlocks")))
    return any("web_search" in text_of(item.get(key)) for item in blocks for key in ("type", "name"))


def seconds_between(begin: str | None, end: object) -> float | None:
    """The time between two events; None where one has no time or they are out of order."""
    finish = timestamp_of(end)
    if begin is None or finish is None:
        return None
    try:
        seconds = (datetime.fromisoformat(finish) - datetime.fromisoformat(begin)).total_seconds()
    except TypeError:
        return None
    return round(seconds, 3) if seconds >= 0 else None
