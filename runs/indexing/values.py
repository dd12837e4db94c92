"""Lenient readers of single JSON values: the expected type or nothing, never an exception.

Historic files are read with these and not with the strict models, which refuse whole generations of them.
"""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from runs.indexing.cleaning import MAX_INTEGER, clip

type Json = dict[str, object]

# Moments outside of this are a broken clock or an attack on date arithmetic, not a trial.
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
MAX_MOMENT_CHARS = 64


def mapping(value: object) -> Json:
    """`value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> Iterator[Json]:
    """The JSON objects in `value` if it is a list; other members are passed over."""
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def text(value: object, limit: int) -> str:
    """Clean text of at most `limit` characters, or an empty string if `value` is no string."""
    return clip(value, limit) if isinstance(value, str) else ""


def first_text(limit: int, *values: object) -> str:
    """The first of `values` that is a string with more than white space in it, cleaned and cut to `limit`."""
    return next((text(value, limit) for value in values if isinstance(value, str) and value.strip()), "")


def number(value: object) -> float | None:
    """A finite float; true and false are 1 and 0, as verifiers write them."""
    if isinstance(value, int | float):
        try:
            as_float = float(value)
        except OverflowError:
            return None
        return as_float if math.isfinite(as_float) else None
    return None


def amount(value: object) -> float | None:
    """A finite number of something (dollars, seconds) that cannot be negative, or None."""
    as_float = None if isinstance(value, bool) else number(value)
    return as_float if as_float is not None and as_float >= 0 else None


def count(value: object, limit: int = MAX_INTEGER) -> int | None:
    """A whole number from 0 to `limit`, or None. Some writers give counts as floats."""
    as_float = amount(value)
    if as_float is None or as_float > limit:
        return None
    return value if isinstance(value, int) else int(as_float)


def moment(value: object, *, zone: tzinfo = UTC) -> datetime | None:
    """An aware UTC datetime from ISO 8601 text, or None. Text that names no zone is a time in `zone`."""
    if not isinstance(value, str) or len(value) > MAX_MOMENT_CHARS:
        return None
    try:
        parsed = datetime.fromisoformat(value.strip())
        aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)
        in_utc = aware.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return in_utc if EARLIEST <= in_utc <= LATEST else None


def seconds_of(timing: object) -> float | None:
    """Seconds of a `{started_at, finished_at}` object, None until it has both; a clock that stepped back gives 0."""
    started_at, finished_at = moment(mapping(timing).get("started_at")), moment(mapping(timing).get("finished_at"))
    if started_at is None or finished_at is None:
        return None
    return max(0.0, (finished_at - started_at) / timedelta(seconds=1))
