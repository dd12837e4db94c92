"""Search within one trajectory: every step, tool output included. Payloads are read as they are: no index is kept.

A step is unpacked, and only where the words may be in it parsed: 10,000 steps of 3 KB take about a quarter of a second.
"""

import json
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

import zstandard
from django.db.models import QuerySet

from runs.indexing.payload import MAX_UNPACKED_BYTES, unpack
from runs.models import Step

MAX_QUERY_CHARS = 200
SNIPPET_CHARS = 70
SNIPPETS = 12
# Every key and word that a payload has besides the texts of its step: words found in these say nothing.
_FRAME: Final = (
    '{"message":"","images":[],"audio":[],"reasoning":"","calls":[{"id":null,"name":"","arguments":{},"result":"",'
    '"images":[],"audio":[],"is_error":false,"subagent_ids":[],"subagent_paths":[]},{"is_error":true}],'
    '"observations":["",""],"answers":[],"subagent_ids":[],"subagent_paths":[],"raw":{}}'
)
_RAW: Final = ',"raw":{'


@dataclass(frozen=True, slots=True)
class Snippet:
    """Where a step has the words: a little before and after them."""

    number: int
    before: str
    match: str
    after: str


@dataclass(frozen=True, slots=True)
class Found:
    """Steps that have the words, by number, and which of them the reader is at (a position, from 0)."""

    query: str
    numbers: tuple[int, ...]
    current: int = 0

    @property
    def number(self) -> int:
        """The number of the step that the reader is at."""
        return self.numbers[self.current]

    @property
    def previous(self) -> int:
        """The match before, of the first the last."""
        return self.numbers[self.current - 1]

    @property
    def following(self) -> int:
        """The match after, of the last the first."""
        return self.numbers[(self.current + 1) % len(self.numbers)]

    @property
    def place(self) -> int:
        """Which match it is, from 1."""
        return self.current + 1

    def at(self, number: int) -> "Found":
        """The same at the first match that is not before a step."""
        return Found(self.query, self.numbers, bisect_left(self.numbers, number) % max(1, len(self.numbers)))

    def around(self) -> tuple[int, ...]:
        """Numbers of the matches that a list shows: those next to the current one."""
        first = max(0, min(self.current - 2, len(self.numbers) - SNIPPETS))
        return self.numbers[first : first + SNIPPETS]


class _Recent:
    """What was found lately: walking from match to match asks the same again and again. One a process."""

    def __init__(self, size: int) -> None:
        self._found: OrderedDict[tuple[object, ...], tuple[int, ...]] = OrderedDict()
        self._size = size
        self._lock = Lock()

    def get(self, key: tuple[object, ...]) -> tuple[int, ...] | None:
        with self._lock:
            return self._found.get(key)

    def put(self, key: tuple[object, ...], numbers: tuple[int, ...]) -> None:
        with self._lock:
            self._found[key] = numbers
            while len(self._found) > self._size:
                self._found.popitem(last=False)


_recent = _Recent(32)


def query_of(text: str) -> str:
    """What was typed, as it is looked for: one line, within bounds."""
    return " ".join(text.replace("\0", " ").split())[:MAX_QUERY_CHARS]


def find(query: str, steps: QuerySet[Step], key: tuple[object, ...]) -> Found:
    """Steps that have `query` in any of their texts, in either case. `key` says which steps these are, and how new."""
    known = _recent.get((*key, query))
    if known is None:
        known = tuple(index + 1 for index in _scan(query, steps))
        _recent.put((*key, query), known)
    return Found(query, known)


def _scan(query: str, steps: QuerySet[Step]) -> Iterator[int]:
    wanted = query.lower()
    written = json.dumps(wanted, ensure_ascii=False)[1:-1]
    is_plain = written not in _FRAME
    unzip = zstandard.ZstdDecompressor()
    rows = steps.order_by("index").values_list("index", "payload")
    for index, payload in rows.iterator(chunk_size=500):
        text = _text_of(unzip, bytes(payload)).lower()
        place = text.find(written)
        if place < 0:
            continue
        raw = text.find(_RAW)
        if (is_plain and (raw < 0 or place < raw)) or any(wanted in part.lower() for part in _parts(text, raw)):
            yield index


def _text_of(unzip: zstandard.ZstdDecompressor, payload: bytes) -> str:
    try:
        if not 0 <= zstandard.frame_content_size(payload) <= MAX_UNPACKED_BYTES:
            return ""
        return unzip.decompress(payload, max_output_size=MAX_UNPACKED_BYTES).decode()
    except (zstandard.ZstdError, ValueError):
        return ""


def _parts(text: str, raw: int) -> Iterator[str]:
    """Texts of a payload without its raw form, which says the same again."""
    try:
        data = json.loads(f"{text[:raw]}}}" if raw >= 0 else text)
    except (ValueError, RecursionError):
        try:  # an argument is called "raw", too
            data = json.loads(text)
        except (ValueError, RecursionError):
            return
    if isinstance(data, dict):
        yield from (data.get("message", ""), data.get("reasoning", ""), *data.get("observations", ()))
        for call in data.get("calls", ()):
            yield from (call.get("name", ""), call.get("result") or "", *_leaves(call.get("arguments")))


def _leaves(value: Any) -> Iterator[str]:
    """Texts in a JSON value, with the names that objects give them."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield from item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
        elif item is not None:
            yield str(item)


def snippets(found: Found, steps: QuerySet[Step]) -> list[Snippet]:
    """The words in their surroundings, for the matches next to the current one; one query."""
    numbers = found.around()
    rows = steps.filter(index__in=[number - 1 for number in numbers]).order_by("index")
    return [_snippet(found.query, step) for step in rows]


def _snippet(query: str, step: Step) -> Snippet:
    payload = unpack(bytes(step.payload))
    texts = [payload.message, payload.reasoning]
    for call in payload.calls:
        texts += [call.name, *_leaves(call.arguments), call.result or ""]
    for text in [*texts, *payload.observations]:
        place = text.lower().find(query.lower())
        if place >= 0:
            end = place + len(query)
            before = text[max(0, place - SNIPPET_CHARS // 2) : place]
            return Snippet(step.index + 1, before, text[place:end], text[end : end + SNIPPET_CHARS])
    return Snippet(step.index + 1, "", "", step.summary)
