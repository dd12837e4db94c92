"""Single values of hostile log records, as steps can hold them: the expected kind or nothing."""

import json
from datetime import UTC, datetime
from typing import Any

from runs.formats.reading import JsonInvalid, parse_json
from runs.indexing.values import amount, count, mapping, mappings

__all__ = [
    "amount",
    "arguments_of",
    "as_text",
    "count",
    "dig",
    "mapping",
    "mappings",
    "text_of",
    "texts_of",
    "timestamp_of",
]


def text_of(value: object) -> str:
    """`value` if it is text, else nothing."""
    return value if isinstance(value, str) else ""


def texts_of(*values: object) -> list[str]:
    """Those of `values` that are text with something in it."""
    return [value for value in values if isinstance(value, str) and value]


def dig(value: object, *keys: str) -> Any:
    """What lies under these keys, one inside the other; None where one is missing or no object."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def arguments_of(value: object) -> dict[str, Any]:
    """The arguments of a call: an object, or JSON text of one; anything else is kept under `input`."""
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        try:
            parsed = parse_json(value, lenient=True)
        except (JsonInvalid, ValueError):
            parsed = None
        if isinstance(parsed, dict):
            return parsed
    return {} if value is None or value == "" else {"input": value}


def timestamp_of(value: object) -> str | None:
    """ISO 8601 text as it is, or made of seconds or milliseconds since 1970; None for anything else."""
    try:
        if isinstance(value, str) and len(value) <= 64:
            datetime.fromisoformat(value)
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            # Past the year 5000 in seconds it can only be milliseconds.
            at = datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
            return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        pass
    return None


def as_text(value: object) -> str:
    """Text as it is, anything else as JSON on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
