"""Refused network requests as markers of the step during which they were made, by the times of both."""

import json
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runs.indexing.cleaning import clip
from runs.indexing.values import mapping, moment, text
from runs.markers.derive import MAX_LABEL_CHARS, MarkerRow
from runs.models import Marker

if TYPE_CHECKING:
    from runs.indexing.documents import Document

NETWORK_LOG = "network.jsonl"
MAX_BYTES = 4 * 1024 * 1024
MAX_REFUSALS = 1_000


def add_refusals(root: Path, documents: "Sequence[Document]") -> None:
    """Add a marker to each step of the main trajectories after which something was refused."""
    places = sorted(
        ((step.at, number, step.index) for number, document in enumerate(documents) if document.is_main
         for step in document.steps if step.at is not None and not step.is_copied_context),
        key=lambda place: place[0],
    )  # fmt: skip
    if not places:
        return
    times = [at for at, _, _ in places]
    found: dict[tuple[int, int], MarkerRow] = {}
    for at, destination in _refusals(root):
        position = bisect_right(times, at) - 1
        if position < 0:
            continue
        _, number, index = places[position]
        row = found.setdefault((number, index), MarkerRow(index, Marker.Kind.REFUSED, "", Marker.Tone.WARN))
        if destination not in row.label:
            row.label = clip(f"{row.label}, {destination}" if row.label else f"refused {destination}", MAX_LABEL_CHARS)
    for (number, _), row in found.items():
        documents[number].markers.append(row)


def _refusals(root: Path) -> Iterator[tuple[datetime, str]]:
    try:
        descriptor = os.open(root / NETWORK_LOG, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    with os.fdopen(descriptor, "rb") as file:
        lines = file.read(MAX_BYTES).split(b"\n")
    n_found = 0
    for line in lines:
        if b"refused" not in line or n_found >= MAX_REFUSALS:
            continue
        try:
            told = mapping(json.loads(line))
        except (ValueError, RecursionError):
            continue
        at = moment(told.get("time"))
        if at is not None and told.get("verdict") == "refused":
            n_found += 1
            yield at, text(told.get("host"), 120) or "a request"
