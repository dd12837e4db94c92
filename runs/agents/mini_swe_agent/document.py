"""The trajectory document that mini-swe-agent writes anew after each step, read so that only new messages are parsed.

What a message means is `messages`'s.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from runs.agents.conversion.lines import Record
from runs.agents.conversion.values import mapping, mappings
from runs.formats.reading import JsonInvalid, parse_json

# The agent dumps with an indent of two; a line break cannot stand in a JSON string, so these are never text.
_LIST: Final = b'\n  "messages": [\n'
_LIST_END: Final = b"\n  ]"
_MESSAGE: Final = b"    {"
_MESSAGE_END: Final = b"\n    }"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a document says beyond the one before: the first `n_kept` messages are those of then, `messages` follow.

    A document that `is_torn` was cut while it was written.
    """

    info: Record
    n_kept: int
    messages: list[Record]
    is_torn: bool = False


class DocumentReader:
    """Reads one document again and again while it grows; hashing what is known costs far less than parsing it."""

    def __init__(self) -> None:
        self._know(b"", 0)

    def _know(self, read: bytes | memoryview, n_messages: int) -> None:
        self._n_messages, self._n_bytes = n_messages, len(read)
        self._digest = hashlib.sha256(read).digest()

    def read(self, data: bytes) -> Reading | None:
        """What is new; None for what is no document, or only the torn beginning of what is known already."""
        start = data.find(_LIST)
        if start < 0:
            return self._whole(data)
        begin = start + len(_LIST)
        known = memoryview(data)[begin : begin + self._n_bytes]
        if len(known) < self._n_bytes and data.find(_LIST_END, begin) < 0:
            return None
        n_kept, n_read = (self._n_messages, self._n_bytes) if hashlib.sha256(known).digest() == self._digest else (0, 0)
        messages, end, is_whole = _messages_from(data, begin + n_read)
        if not messages and not is_whole and not n_kept:
            return self._whole(data)
        self._know(memoryview(data)[begin:end], n_kept + len(messages))
        return Reading(_info(data[:start]), n_kept, messages, is_torn=not is_whole)

    def _whole(self, data: bytes) -> Reading | None:
        document = _parsed(data)
        if not isinstance(document.get("messages"), list):
            return None
        self._know(b"", 0)
        return Reading(dict(mapping(document.get("info"))), 0, [dict(one) for one in mappings(document["messages"])])


def _messages_from(data: bytes, position: int) -> tuple[list[Record], int, bool]:
    """The whole messages from a position on, where the last of them ends, and whether the list ends there."""
    messages: list[Record] = []
    end = position
    while True:
        if data.startswith(_LIST_END, position) or data.startswith(_LIST_END[1:], position):
            return messages, end, True
        position += len(b",\n") if data.startswith(b",\n", position) else 0
        closing = data.find(_MESSAGE_END, position) if data.startswith(_MESSAGE, position) else -1
        message = _parsed(data[position : closing + len(_MESSAGE_END)]) if closing >= 0 else {}
        if not message:
            return messages, end, False
        messages.append(message)
        position = end = closing + len(_MESSAGE_END)


def _info(head: bytes) -> Record:
    """What stands before the messages."""
    return dict(mapping(_parsed(head.rstrip().removesuffix(b",") + b"}").get("info")))


def _parsed(data: bytes) -> Record:
    try:
        value: Any = parse_json(data.decode(errors="replace"), lenient=True)
    except (JsonInvalid, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
