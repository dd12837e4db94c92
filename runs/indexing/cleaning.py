"""The one place where foreign text and JSON become storable: PostgreSQL takes neither NUL nor lone surrogates.

Not sanitising for pages: what is stored here is still hostile text, and the renderer's matter.
"""

import contextlib
import math

from runs.formats.reading import clean_text

__all__ = ["clean_json", "clean_name", "clean_text", "clip"]

MAX_JSON_DEPTH = 64
MARK = "…"
# sqlite3 and BIGINT columns stop here; an integer beyond it is stored in JSON as the float next to it.
MAX_INTEGER = 2**63 - 1


def clip(text: str, limit: int) -> str:
    """Clean `text`, at most `limit` characters long, with an ellipsis where it was cut."""
    # Cutting first keeps a huge text cheap; a pair of surrogates cut in two is cleaned like any lone one.
    text = clean_text(text[: limit + 1])
    return text if len(text) <= limit else text[: limit - len(MARK)] + MARK


def clean_name(name: str) -> str:
    r"""A file name that can be shown and stored: bytes that are no UTF-8 become `\xff`, so two names stay two."""
    # A name that came from JSON may hold surrogates that no file system gives: those are left to clean_text.
    with contextlib.suppress(UnicodeEncodeError):
        name = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return clean_text(name)


def clean_json(value: object, *, max_depth: int = MAX_JSON_DEPTH) -> object:
    """A copy of `value` that both databases store: clean text, finite numbers, string keys, bounded depth."""
    if isinstance(value, dict | list | tuple) and max_depth <= 0:
        return MARK
    if isinstance(value, dict):
        return {clean_text(str(key)): clean_json(item, max_depth=max_depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean_json(item, max_depth=max_depth - 1) for item in value]
    return _clean_scalar(value)


def _clean_scalar(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -MAX_INTEGER <= value <= MAX_INTEGER else _as_float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return clean_text(str(value))


def _as_float(value: int) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None
