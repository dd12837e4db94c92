"""Values that no card knows a better place for: arguments by name, and JSON with its lines and indents."""

import json
from collections.abc import Mapping
from typing import Any

from runs.formats.reading import JsonInvalid, parse_json
from viewer.cards.model import Argument, Block, Limits, output_block

# Longer values, and those of several lines, stand below their names.
MAX_INLINE_CHARS = 110
MAX_JSON_CHARS = 20_000


def arguments_of(arguments: Mapping[str, Any] | str, limits: Limits) -> tuple[Argument, ...]:
    """The arguments of a call, or their text where they are no object."""
    if isinstance(arguments, str):
        return (Argument("", "", output_block(arguments, limits)),) if arguments else ()
    most = limits.n_parts
    shown = [_argument(str(name)[:200], value, limits) for name, value in list(arguments.items())[:most]]
    if len(arguments) > most:
        shown.append(Argument("…", f"{len(arguments) - most} more arguments"))
    return tuple(shown)


def _argument(name: str, value: Any, limits: Limits) -> Argument:
    if isinstance(value, str):
        if "\n" not in value and len(value) <= 2 * MAX_INLINE_CHARS:
            return Argument(name, value)
        return Argument(name, "", output_block(value, limits))
    text = json.dumps(value, ensure_ascii=False, default=str)
    if len(text) <= MAX_INLINE_CHARS:
        return Argument(name, text)
    return Argument(name, "", output_block(json.dumps(value, ensure_ascii=False, indent=2, default=str), limits))


def value_block(text: str, limits: Limits) -> Block:
    """A result of any tool: JSON is tidied, everything else is what a program printed."""
    if text[:1] in "{[" and len(text) <= MAX_JSON_CHARS:
        try:
            value = parse_json(text, lenient=True)
        except (JsonInvalid, ValueError):
            return output_block(text, limits)
        if not isinstance(value, dict | list) or len(text) <= MAX_INLINE_CHARS:
            return output_block(text, limits)
        return output_block(json.dumps(value, ensure_ascii=False, indent=2), limits)
    return output_block(text, limits)
