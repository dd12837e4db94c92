"""Artifact rows: what the manifest says was collected and what really lies in artifacts/, within limits."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath

from django.db import transaction

from runs.indexing.cleaning import clean_name, clean_text, clip
from runs.indexing.problems import Problem
from runs.indexing.reader import Reader
from runs.indexing.stamps import places
from runs.indexing.values import Json, mappings, text
from runs.models import Artifact, Trial

MAX_ROWS = 10_000
MAX_DEPTH = 64
MAX_PATH_CHARS = 1024
MAX_MANIFEST_BYTES = 16 * 1024 * 1024
STATUSES = {"ok", "failed", "empty", "skipped", "missing"}
MANIFEST = "manifest.json"


def index_artifacts(trial: Trial, directory: Path) -> list[Problem]:
    """Replace the trial's Artifact rows by what its directory holds now; returns what was passed over."""
    reader = Reader(directory)
    write_artifacts(trial, artifact_rows(reader))
    return reader.problems


def write_artifacts(trial: Trial, rows: list[Artifact]) -> None:
    """Replace the trial's Artifact rows by `rows` in one transaction."""
    for row in rows:
        row.trial = trial
    with transaction.atomic():
        Artifact.objects.filter(trial=trial).delete()
        Artifact.objects.bulk_create(rows, batch_size=1000)


def artifact_rows(reader: Reader) -> list[Artifact]:
    """Unsaved rows of the artifacts below the reader's trial directory. Writes nothing.

    Links and special files get a row with the status `skipped` and are never followed.
    """
    rows: dict[str, Artifact] = {}
    for place in places(reader.root):
        _collect(reader, place, rows)
    return list(rows.values())


def _collect(reader: Reader, place: str, rows: dict[str, Artifact]) -> None:
    folder = f"{place}artifacts"
    root = reader.root / folder
    if root.is_symlink() or not root.is_dir():
        return
    entries = _manifest_entries(reader, f"{folder}/{MANIFEST}")
    told = {destination: entry for entry in entries if (destination := _path_of(entry)) is not None}
    for path, size_bytes, status in _files(root):
        name = clean_name(f"{folder}/{path}")
        if len(rows) >= MAX_ROWS:
            reader.problem(folder, f"only the first {MAX_ROWS:,} artifacts are listed")
            return
        if len(name) > MAX_PATH_CHARS:
            reader.problem(folder, f"a path of {len(name):,} characters is too long to be listed")
            continue
        source = _source_of(PurePosixPath("artifacts", path), told)
        rows[name] = Artifact(path=name, source=source, status=status, size_bytes=size_bytes)
    for destination, entry in told.items():
        _add_entry(reader.root / place, place, destination, entry, rows)


def _add_entry(base: Path, place: str, destination: PurePosixPath, entry: Json, rows: dict[str, Artifact]) -> None:
    """A row for what the manifest names and the walk didn't meet: a directory, or what could not be collected."""
    name = clean_name(f"{place}{destination}")
    if name in rows or len(name) > MAX_PATH_CHARS or len(rows) >= MAX_ROWS:
        return
    status = text(entry.get("status"), 20) or "ok"
    is_there = os.path.lexists(base / destination)
    if destination == PurePosixPath("artifacts") and status in ("ok", "empty"):
        return  # the root itself: its files are the rows
    if status not in STATUSES:
        status = "ok"
    if status == "ok" and not is_there:
        status = "missing"
    kind = Artifact.Kind.DIRECTORY if entry.get("type") == "directory" else Artifact.Kind.FILE
    rows[name] = Artifact(path=name, kind=kind, source=text(entry.get("source"), 1024), status=status)


def _manifest_entries(reader: Reader, name: str) -> list[Json]:
    """Entries of manifest.json: a list, or an object that holds one."""
    data = reader.json(name, max_bytes=MAX_MANIFEST_BYTES)
    if isinstance(data, dict):
        data = next((value for value in data.values() if isinstance(value, list)), [])
    return list(mappings(data))[:MAX_ROWS]


def _path_of(entry: Json) -> PurePosixPath | None:
    """The entry's place below the trial (`artifacts/…`), or None if it names none or leads elsewhere."""
    destination = entry.get("destination")
    if not isinstance(destination, str) or not destination or "\x00" in destination:
        return None
    path = PurePosixPath(clean_text(destination))
    if path.is_absolute() or ".." in path.parts or path.parts[:1] != ("artifacts",):
        return None
    return path


def _source_of(path: PurePosixPath, told: dict[PurePosixPath, Json]) -> str:
    """Where a file was in the sandbox: its own manifest entry, else the nearest directory's with the rest added."""
    for parent in (path, *path.parents):
        entry = told.get(parent)
        if entry is not None and isinstance(entry.get("source"), str):
            rest = path.relative_to(parent)
            whole = PurePosixPath(str(entry["source"])) / rest
            return clip(str(whole), 1024)
    return ""


def _files(root: Path) -> Iterator[tuple[str, int | None, str]]:
    """Path below `root`, size and status of everything that is no directory, sorted within each directory."""
    pending = [("", 0)]
    while pending:
        folder, depth = pending.pop()
        try:
            with os.scandir(root / folder) as scanned:
                entries = sorted(islice(scanned, MAX_ROWS + 1), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            path = folder + entry.name
            if entry.is_dir(follow_symlinks=False):
                if depth < MAX_DEPTH:
                    pending.append((f"{path}/", depth + 1))
            elif path != MANIFEST:
                is_file = entry.is_file(follow_symlinks=False)
                yield path, _size_of(entry) if is_file else None, "ok" if is_file else "skipped"


def _size_of(entry: os.DirEntry[str]) -> int | None:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return None
