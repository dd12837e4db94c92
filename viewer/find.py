"""Search within a trial: every step of every trajectory, tool output included. Payloads are read: no index is kept.

A step is unpacked, and only where the words may be in it parsed: 10,000 steps of 3 KB take about a quarter of a second.
"""

import json
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Final, NamedTuple

import zstandard
from django.db.models import Q, QuerySet

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


class Hit(NamedTuple):
    """A step that has the words: its trajectory's place in the reading order, its number, the trajectory's key."""

    position: int
    number: int
    trajectory_pk: int


@dataclass(frozen=True, slots=True)
class Snippet:
    """Where a step has the words: a little before and after them."""

    hit: Hit
    before: str
    match: str
    after: str


@dataclass(frozen=True, slots=True)
class Found:
    """Steps that have the words, in the reading order, and which of them the reader is at (a position, from 0)."""

    query: str
    hits: tuple[Hit, ...]
    current: int = 0

    @property
    def hit(self) -> Hit:
        """The step that the reader is at."""
        return self.hits[self.current]

    @property
    def previous(self) -> Hit:
        """The match before, of the first the last."""
        return self.hits[self.current - 1]

    @property
    def following(self) -> Hit:
        """The match after, of the last the first."""
        return self.hits[(self.current + 1) % len(self.hits)]

    @property
    def place(self) -> int:
        """Which match it is, from 1."""
        return self.current + 1

    def at(self, position: int, number: int) -> "Found":
        """The same at the first match that is not before a step of the trajectory at that position."""
        return replace(self, current=bisect_left(self.hits, (position, number)) % max(1, len(self.hits)))

    def around(self) -> tuple[Hit, ...]:
        """The matches that a list shows: those next to the current one."""
        first = max(0, min(self.current - 2, len(self.hits) - SNIPPETS))
        return self.hits[first : first + SNIPPETS]

    def counts(self) -> list[tuple[Hit, int]]:
        """The first match of each trajectory that has any, and how many it has."""
        first: dict[int, Hit] = {}
        for hit in self.hits:
            first.setdefault(hit.trajectory_pk, hit)
        total = Counter(hit.trajectory_pk for hit in self.hits)
        return [(hit, total[pk]) for pk, hit in first.items()]


class _Recent:
    """What was found lately: walking from match to match asks the same again and again. One a process."""

    def __init__(self, size: int) -> None:
        self._found: OrderedDict[tuple[object, ...], tuple[Hit, ...]] = OrderedDict()
        self._size = size
        self._lock = Lock()

    def get(self, key: tuple[object, ...]) -> tuple[Hit, ...] | None:
        with self._lock:
            return self._found.get(key)

    def put(self, key: tuple[object, ...], hits: tuple[Hit, ...]) -> None:
        with self._lock:
            self._found[key] = hits
            while len(self._found) > self._size:
                self._found.popitem(last=False)


_recent = _Recent(32)


def query_of(text: str) -> str:
    """What was typed, as it is looked for: one line, within bounds."""
    return " ".join(text.replace("\0", " ").split())[:MAX_QUERY_CHARS]


def find(query: str, steps: QuerySet[Step], order: Sequence[int], key: tuple[object, ...]) -> Found:
    """Those of `steps` that have `query` in any of their texts, in either case; one query, none where it is known.

    `order` are the trajectories as they are read; `key` says which steps these are, and how new.
    """
    known = _recent.get((*key, query))
    if known is None:
        positions = {pk: position for position, pk in enumerate(order)}
        places = ((positions.get(pk), index + 1, pk) for pk, index in _scan(query, steps))
        known = tuple(sorted(Hit(position, number, pk) for position, number, pk in places if position is not None))
        _recent.put((*key, query), known)
    return Found(query, known)


def _scan(query: str, steps: QuerySet[Step]) -> Iterator[tuple[int, int]]:
    wanted = query.lower()
    written = json.dumps(wanted, ensure_ascii=False)[1:-1]
    is_plain = written not in _FRAME
    unzip = zstandard.ZstdDecompressor()
    # In the order of an index: to have the database sort payloads takes longer than to read them.
    rows = steps.order_by("pk").values_list("trajectory_id", "index", "payload")
    for trajectory_pk, index, payload in rows.iterator(chunk_size=500):
        text = _text_of(unzip, bytes(payload)).lower()
        place = text.find(written)
        if place < 0:
            continue
        raw = text.find(_RAW)
        if (is_plain and (raw < 0 or place < raw)) or any(wanted in part.lower() for part in _parts(text, raw)):
            yield trajectory_pk, index


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
    hits = found.around()
    wanted = Q()
    for hit in hits:
        wanted |= Q(trajectory_id=hit.trajectory_pk, index=hit.number - 1)
    rows = {(step.trajectory_id, step.index + 1): step for step in steps.filter(wanted)} if hits else {}
    there = ((hit, rows.get((hit.trajectory_pk, hit.number))) for hit in hits)
    return [_snippet(found.query, hit, step) for hit, step in there if step]


def _snippet(query: str, hit: Hit, step: Step) -> Snippet:
    payload = unpack(bytes(step.payload))
    texts = [payload.message, payload.reasoning]
    for call in payload.calls:
        texts += [call.name, *_leaves(call.arguments), call.result or ""]
    for text in [*texts, *payload.observations]:
        place = text.lower().find(query.lower())
        if place >= 0:
            end = place + len(query)
            before = text[max(0, place - SNIPPET_CHARS // 2) : place]
            return Snippet(hit, before, text[place:end], text[end : end + SNIPPET_CHARS])
    return Snippet(hit, "", "", step.summary)
