"""Terminal recordings (asciicast 1, 2 and 3) as single screens at moments, drawn on the server without a player."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from runs.formats.reading import clean_text
from runs.indexing.values import amount, count, mapping
from runs.models import Trial
from viewer.files import FileMissing, list_files, open_file
from viewer.terminal import Screen

MAX_BYTES = 24 * 1024 * 1024
MAX_LINE_BYTES = 2 * 1024 * 1024
MAX_EVENTS = 200_000
# What is drawn to get to a moment; what was printed before that is left out, a full-screen program draws it again.
MAX_DRAWN_CHARS = 2_000_000
MAX_MOMENTS = 60
# A screen is worth looking at when nothing more came for so long.
PAUSE_SEC = 1.0


@dataclass(frozen=True, slots=True)
class Recording:
    """What a recording holds: when what was printed, in seconds from its start."""

    columns: int
    rows: int
    events: list[tuple[float, str]]
    is_cut: bool = False

    @property
    def duration_sec(self) -> float:
        """When the last output came."""
        return self.events[-1][0] if self.events else 0.0


def recordings_of(trial: Trial) -> list[str]:
    """Paths of the trial's recordings: beside the agent's logs, of the trial and of each TaskStep."""
    steps = [step.get("step_name", "") for step in trial.step_results[:20] if isinstance(step, dict)]
    folders = ["agent", *(f"steps/{name}/agent" for name in steps if isinstance(name, str) and name)]
    entries = (entry for folder in folders for entry in list_files(trial, folder, depth=1))
    return [entry.path for entry in entries if entry.path.endswith(".cast")]


def read_recording(trial: Trial, path: str) -> Recording | None:
    """The recording at `path`; None where there is no such file or it isn't an asciicast."""
    try:
        file = open_file(trial, path)
    except FileMissing:
        return None
    with file:
        lines = file.read(MAX_BYTES + 1).split(b"\n")
    is_cut = sum(len(line) + 1 for line in lines) > MAX_BYTES + 1
    header = mapping(_parsed(lines[0]))
    version = header.get("version")
    if version == 1 or (not header and len(lines) > 1):
        header = mapping(_parsed(b"\n".join(lines)))
        return _first_version(header) if header.get("version") == 1 else None
    if version not in (2, 3):
        return None
    terminal = mapping(header.get("term"))
    events = list(_events(lines[1:], is_relative=version == 3))
    columns = count(header.get("width", terminal.get("cols")), 10_000) or 80
    rows = count(header.get("height", terminal.get("rows")), 10_000) or 24
    return Recording(columns, rows, events, is_cut or len(events) >= MAX_EVENTS)


def moments_of(recording: Recording) -> list[float]:
    """When the screen stood still, and the end: at most MAX_MOMENTS, evenly chosen where there are more."""
    found: list[float] = []
    events = recording.events
    for (at, _), (following, _) in pairwise(events):
        if following - at >= PAUSE_SEC:
            found.append(at)
    found += [recording.duration_sec] if events else []
    if len(found) <= MAX_MOMENTS:
        return found
    return [found[position * (len(found) - 1) // (MAX_MOMENTS - 1)] for position in range(MAX_MOMENTS)]


def screen_at(recording: Recording, second: float) -> str:
    """The screen at a moment, as text with colours for the renderer of terminal output."""
    printed: list[str] = []
    for at, data in recording.events:
        if at > second + 1e-6:
            break
        printed.append(data)
    screen = Screen(recording.columns, recording.rows)
    screen.feed("".join(printed)[-MAX_DRAWN_CHARS:])
    return screen.text()


def _events(lines: list[bytes], *, is_relative: bool) -> Iterator[tuple[float, str]]:
    """The output events of versions 2 and 3; torn and unknown lines are passed over."""
    clock, n_found = 0.0, 0
    for line in lines:
        event = _parsed(line) if len(line) <= MAX_LINE_BYTES else None
        if not isinstance(event, list) or len(event) < 3:
            continue
        seconds = amount(event[0])
        if seconds is None:
            continue
        clock = clock + seconds if is_relative else max(clock, seconds)
        if event[1] == "o" and isinstance(event[2], str):
            n_found += 1
            yield clock, clean_text(event[2])
            if n_found >= MAX_EVENTS:
                return


def _first_version(header: dict[str, object]) -> Recording:
    frames = header.get("stdout")
    events: list[tuple[float, str]] = []
    clock = 0.0
    for frame in frames[:MAX_EVENTS] if isinstance(frames, list) else []:
        if isinstance(frame, list) and len(frame) == 2 and isinstance(frame[1], str):
            clock += amount(frame[0]) or 0.0
            events.append((clock, clean_text(frame[1])))
    return Recording(count(header.get("width"), 10_000) or 80, count(header.get("height"), 10_000) or 24, events)


def _parsed(data: bytes) -> object:
    try:
        parsed: object = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return parsed
