"""BuildKit's progress as the engine sends it: protobuf in base64. Decodes names of steps and their output, no more."""

import base64
import binascii
from collections.abc import Iterator

# Fields of buildkit's control.StatusResponse, and of the messages in it.
VERTEX, LOG = 1, 3
VERTEX_NAME, VERTEX_CACHED, VERTEX_COMPLETED, VERTEX_ERROR = 3, 4, 6, 7
LOG_MESSAGE = 4
BYTES_FIELD, VARINT, FIXED = 2, 0, {1: 8, 5: 4}


def trace_text(trace: str) -> str:
    """The text of one progress message: a line for each step that ended, and what steps printed. Never raises."""
    parts = []
    try:
        for number, value in _fields(base64.b64decode(trace)):
            if not isinstance(value, bytes):
                continue
            message = dict(_fields(value))
            if number == VERTEX and VERTEX_COMPLETED in message:
                error, cached = _text(message.get(VERTEX_ERROR)), " (cached)" if message.get(VERTEX_CACHED) else ""
                parts.append(f"{_text(message.get(VERTEX_NAME))}{cached}{f': {error}' if error else ''}\n")
            elif number == LOG:
                parts.append(_text(message.get(LOG_MESSAGE)))
    except (binascii.Error, ValueError, IndexError):
        parts.append("[unreadable progress]\n")
    return "".join(parts)


def _text(value: bytes | int | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """The fields of a message; those of fixed width as bytes. Raises ValueError or IndexError for what is none."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == BYTES_FIELD:
            length, at = _varint(data, at)
        elif kind in FIXED:
            length = FIXED[kind]
        else:
            raise ValueError(kind)
        if at + length > len(data):
            raise ValueError(length)
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80 or shift > 63:
            return value, at
