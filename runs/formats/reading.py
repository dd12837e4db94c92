"""The one reader of files that may be hostile: size, depth and numbers are checked before anything is believed.

It gives plain text or plain JSON values; what they mean is the business of the other modules.
"""

import gzip
import json
import math
import os
import re
import stat
import tomllib
import zlib
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, Final, Never

from runs.errors import FileUnreadable, InputInvalid

MAX_JSON_BYTES: Final = 64 * 1024 * 1024
MAX_JSON_DEPTH: Final = 200
# An integer with more digits has no double beside it, and would overflow the first time it is compared or averaged.
MAX_INTEGER_DIGITS: Final = 300

# Brackets as steps of +1 and -1 (as signed bytes), and all bytes that are neither brackets nor quotes.
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b'[{]}"')

# Only an escape can bring these in: JSON forbids a bare NUL, and UTF-8 has no surrogates.
_SUSPECT_ESCAPE: Final = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
# The standard parser takes quadratic time over one key of very many dotted parts.
_LONG_DOTTED_KEY: Final = re.compile(
    r"""(?<![A-Za-z0-9_-])(?:(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){32}"""
)
_TOML_POSITION: Final = re.compile(
    r"^(?P<said>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$", re.DOTALL
)


class JsonInvalid(InputInvalid):
    """A text is not JSON, is too deep, or holds a number that JSON doesn't have."""


class TomlInvalid(InputInvalid):
    """A text is not TOML."""


def read_text(path: Path, max_bytes: int, *, within: Path | None = None, lenient: bool = False) -> str:
    """The text of a regular file (unpacked, where its name ends in .gz) of at most `max_bytes`.

    It is UTF-8; a byte order mark is dropped.

    With `within`, a path that leads out of that directory, also through a symlink, is refused.
    Lenient: bytes that are not UTF-8 become U+FFFD instead of an error. Raises `FileUnreadable`.
    """
    content = _read_bytes(path, max_bytes, within)
    try:
        return content.decode("utf-8-sig", errors="replace" if lenient else "strict")
    except UnicodeDecodeError as error:
        raise FileUnreadable(path, f"byte {error.start} is not UTF-8 text") from None


def read_json(
    path: Path,
    *,
    max_bytes: int = MAX_JSON_BYTES,
    max_depth: int = MAX_JSON_DEPTH,
    lenient: bool = False,
    within: Path | None = None,
) -> Any:
    """The JSON value in a file; `lenient` reads what can't be stored (see `parse_json`) and undecodable bytes.

    Raises `FileUnreadable` for a missing, torn, oversized, too deep or escaping file.
    """
    text = read_text(path, max_bytes, within=within, lenient=lenient)
    try:
        return parse_json(text, max_depth=max_depth, lenient=lenient)
    except JsonInvalid as error:
        raise FileUnreadable(path, str(error)) from None


def parse_json(text: str, *, max_depth: int = MAX_JSON_DEPTH, lenient: bool = False) -> Any:
    """The JSON value of a text; of duplicate keys the last counts. Raises `JsonInvalid`.

    A number without a finite double beside it is refused, or null when lenient. Lone surrogates and NUL stay in
    strings, or become U+FFFD when lenient: no database takes them.
    """
    _check_depth(text, max_depth)
    refuse = _as_null if lenient else _refuse_number

    def as_float(digits: str) -> float | None:
        value = float(digits)
        return value if math.isfinite(value) else refuse(digits)

    def as_int(digits: str) -> int | None:
        return int(digits) if len(digits) <= MAX_INTEGER_DIGITS else refuse(digits)

    try:
        value = json.loads(text, parse_float=as_float, parse_int=as_int, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise JsonInvalid(f"not JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise JsonInvalid("JSON is nested too deeply") from None
    return _clean(value) if lenient and _SUSPECT_ESCAPE.search(text) else value


def clean_text(text: str) -> str:
    """The text with NUL and lone surrogates, which no database takes, as U+FFFD."""
    return text if text.isascii() and "\0" not in text else _UNSTORABLE.sub("\ufffd", text)


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text; raises `TomlInvalid` with line and column."""
    if _LONG_DOTTED_KEY.search(text):
        raise TomlInvalid("a key has more than 32 dotted parts")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TomlInvalid(_toml_complaint(str(error), text)) from None
    except RecursionError:
        raise TomlInvalid("values are nested too deeply") from None
    except (ValueError, OverflowError) as error:  # an integer of thousands of digits, a date that can't be
        raise TomlInvalid(f"not TOML: {str(error)[:120]}") from None


def stays_within(path: Path, directory: Path) -> bool:
    """Whether the path, with every symlink on the way followed, still lies in the directory."""
    try:
        return path.resolve().is_relative_to(directory.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, or a NUL in the name
        return False


def _read_bytes(path: Path, max_bytes: int, within: Path | None) -> bytes:
    if within is not None and not stays_within(path, within):
        raise FileUnreadable(path, f"leads out of {within}")
    try:
        # What was checked is what is opened: a link put there since is refused. A FIFO opened without O_NONBLOCK hangs.
        target = path.resolve() if within is not None else path
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_NOFOLLOW if within is not None else 0)
        with os.fdopen(os.open(target, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise FileUnreadable(path, "is not a regular file")
            if status.st_size > max_bytes:
                raise FileUnreadable(path, f"{status.st_size:,} bytes is over the limit of {max_bytes:,}")
            # One byte more than allowed: the file may be growing, and a packed one tells its size only when unpacked.
            content = _unpacked(file, path, max_bytes + 1) if path.suffix == ".gz" else file.read(max_bytes + 1)
    except IsADirectoryError:
        raise FileUnreadable(path, "is not a regular file") from None
    except FileNotFoundError:
        raise FileUnreadable(path, "does not exist") from None
    except OSError as error:
        raise FileUnreadable(path, error.strerror or str(error)) from None
    except ValueError:  # a NUL in the name
        raise FileUnreadable(path, "is not a possible file name") from None
    if len(content) > max_bytes:
        unpacked = " when unpacked" if path.suffix == ".gz" else ""
        raise FileUnreadable(path, f"is over the limit of {max_bytes:,} bytes{unpacked}")
    return content


def _unpacked(file: BinaryIO, path: Path, n_bytes: int) -> bytes:
    try:
        with gzip.GzipFile(fileobj=file) as unpacked:
            return unpacked.read(n_bytes)
    except (OSError, EOFError, zlib.error) as error:
        raise FileUnreadable(path, f"is no whole gzip file: {error}") from None


def _check_depth(text: str, max_depth: int) -> None:
    """Raise `JsonInvalid` for brackets nested too deeply, without parsing: only C loops see every character."""
    if text.count("[") + text.count("{") <= max_depth:
        return
    # Without escaped backslashes and quotes, every quote that is left begins or ends a string.
    data = text.encode("utf-8", "surrogatepass").replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = b"".join(data.translate(_STEPS, _NO_BRACKETS).split(b'"')[::2])
    if outside and max(accumulate(memoryview(outside).cast("b"))) > max_depth:
        raise JsonInvalid(f"JSON is nested deeper than {max_depth} levels")


def _clean(value: Any) -> Any:
    """A parsed value with every string in it clean; its depth was checked before."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(key): _clean(item) for key, item in value.items()}
    return value


def _toml_complaint(message: str, text: str) -> str:
    position = _TOML_POSITION.match(message)
    if not position:
        return f"not TOML: {message[:200]}"
    lines = text.split("\n")
    line, column = position["line"] or len(lines), position["column"] or len(lines[-1]) + 1
    return f"not TOML at line {line}, column {column}: {position['said'][:200]}"


def _refuse_number(digits: str) -> Never:
    shown = digits if len(digits) <= 20 else f"{digits[:20]}…"
    raise JsonInvalid(f"{shown} is not a number that can be stored")


def _as_null(_digits: str) -> None:
    return None
