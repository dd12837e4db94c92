"""Single values of a compose file in the spellings of compose. Each reader raises ValueError with a reason."""

import math
import re
import shlex
from pathlib import PurePosixPath
from typing import Any, Final

_SIZE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([kmgt]?)b?", re.IGNORECASE)
_UNITS: Final = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_DURATION_PART: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(h|ms|us|m|s)")
_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}")
_HOST_NAME: Final = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?")
_MAX_SECONDS: Final = 86_400.0
_MAX_BYTES: Final = 2**50
MAX_ITEMS: Final = 1000


def text(value: Any) -> str:
    """A text; numbers and booleans as compose writes them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        written = str(value)
        if "\0" in written:
            raise ValueError("holds a NUL character")
        return written
    raise ValueError(f"should be a text, not {_kind(value)}")


def boolean(value: Any) -> bool:
    """True or false, also as a text that came out of a variable."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError(f"should be true or false, not {_kind(value)}")


def number(value: Any) -> float:
    """A positive, finite number."""
    try:
        found = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found) or found <= 0:
        raise ValueError(f"should be a positive number, not {_kind(value)}")
    return found


def size_bytes(value: Any) -> int:
    """`512m`, `2gb`, or a number of bytes."""
    match = _SIZE.fullmatch(text(value).strip())
    size = int(float(match[1]) * _UNITS[match[2].lower()]) if match else 0
    if not 0 < size <= _MAX_BYTES:
        raise ValueError(f"{text(value)[:40]!r} is not a size like 512m or 2g")
    return size


def seconds(value: Any) -> float:
    """`1m30s`, `500ms`; a bare number is refused, as compose does."""
    written = text(value).strip()
    parts = _DURATION_PART.findall(written)
    if not parts or "".join(amount + unit for amount, unit in parts) != written:
        raise ValueError(f"{written[:40]!r} is not a duration like 10s or 1m30s")
    total = sum(float(amount) * _SECONDS[unit] for amount, unit in parts)
    if total > _MAX_SECONDS:
        raise ValueError(f"{written[:40]!r} is longer than a day")
    return total


def words(value: Any) -> tuple[str, ...] | None:
    """A command: a list of words, or a line that is split as a shell would; None where nothing is said."""
    if value is None:
        return None
    if isinstance(value, str):
        return tuple(shlex.split(value))
    return tuple(text(item) for item in items(value))


def items(value: Any) -> list[Any]:
    """A list, not too long."""
    if not isinstance(value, list):
        raise ValueError(f"should be a list, not {_kind(value)}")  # noqa: TRY004 - see the module
    if len(value) > MAX_ITEMS:
        raise ValueError(f"has more than {MAX_ITEMS} entries")
    return value


def table(value: Any) -> dict[str, Any]:
    """A table whose keys are texts; nothing counts as an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"should be a table, not {_kind(value)}")  # noqa: TRY004 - see the module
    if len(value) > MAX_ITEMS:
        raise ValueError(f"has more than {MAX_ITEMS} entries")
    return {text(key): item for key, item in value.items()}


def pairs(value: Any, *, separators: str = "=") -> dict[str, str | None]:
    """A table of texts, or a list of `NAME=text`; None for a name without a text."""
    if isinstance(value, list):
        found: dict[str, str | None] = {}
        for item in items(value):
            entry = text(item)
            at = min((place for mark in separators if (place := entry.find(mark)) >= 0), default=len(entry))
            found[entry[:at]] = entry[at + 1 :] if at < len(entry) else None
        return found
    return {name: None if item is None else text(item) for name, item in table(value).items()}


def absolute_path(value: Any) -> str:
    """A path in a container."""
    path = text(value)
    if not path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise ValueError(f"{path[:200]!r} is not an absolute path")
    return str(PurePosixPath(path))


def _kind(value: Any) -> str:
    return repr(value)[:60]


def name(value: Any) -> str:
    """The name of a service, a network or a volume: safe in a file name and in the engine's names."""
    written = text(value)
    if not _NAME.fullmatch(written):
        raise ValueError(f"{written[:60]!r} is not a name of letters, digits, dots, dashes and underscores")
    return written


def host_name(value: Any) -> str:
    """The name of a host."""
    written = text(value)
    if not _HOST_NAME.fullmatch(written):
        raise ValueError(f"{written[:60]!r} is not a host name")
    return written
