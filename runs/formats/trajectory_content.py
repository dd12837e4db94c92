"""Messages, observations and arguments of ATIF steps as plain text with the files they show."""

import json
from dataclasses import dataclass, field
from typing import Any, Final

from runs.formats.reading import JsonInvalid, clean_text, parse_json

_MAX_PARSED_ARGUMENTS: Final = 4 * 1024 * 1024


@dataclass(slots=True)
class Content:
    """A message or observation: its text parts joined, and the paths or URLs of its images and recordings."""

    text: str = ""
    images: list[str] = field(default_factory=list)
    audio: list[str] = field(default_factory=list)


def text_or_none(value: Any) -> str | None:
    """A clean text, or None for anything that isn't one."""
    return clean_text(value) if isinstance(value, str) else None


def read_content(value: Any) -> Content:
    """Text, a list of parts, null, or whatever else a writer put where these belong."""
    if isinstance(value, str):
        return Content(clean_text(value))
    content = Content()
    texts: list[str] = []
    for part in value if isinstance(value, list) else [value]:
        _add_part(part, content, texts)
    content.text = "\n".join(text for text in texts if text)
    return content


def read_arguments(value: Any) -> tuple[dict[str, Any], str | None, str | None]:
    """A call's arguments as an object, or else as text, and what had to be forgiven.

    Some writers send the object as JSON text; that is parsed. Other text, lists and numbers stay text.
    """
    if isinstance(value, dict):
        return value, None, None
    if value is None:
        return {}, None, "arguments are missing"
    if not isinstance(value, str):
        return {}, as_json(value), "arguments are not an object"
    if len(value) <= _MAX_PARSED_ARGUMENTS:
        try:
            parsed = parse_json(value, lenient=True)
        except JsonInvalid:
            parsed = None
        if isinstance(parsed, dict):
            return parsed, None, "arguments are JSON text, not an object"
    return {}, clean_text(value), "arguments are text, not an object"


def as_json(value: Any) -> str:
    """A value as JSON for people to read; one that can't be written that way is named by its type."""
    try:
        return clean_text(json.dumps(value, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError):
        return f"({type(value).__name__})"


def _add_part(part: Any, content: Content, texts: list[str]) -> None:
    if part is None:
        return
    if isinstance(part, str):
        texts.append(clean_text(part))
        return
    if not isinstance(part, dict):
        texts.append(as_json(part))
        return
    source = part.get("source")
    path = source.get("path") if isinstance(source, dict) else None
    if isinstance(path, str):
        kind = content.audio if part.get("type") == "audio" else content.images
        kind.append(clean_text(path))
        return
    text = part.get("text")
    texts.append(clean_text(text) if isinstance(text, str) else as_json(part))
