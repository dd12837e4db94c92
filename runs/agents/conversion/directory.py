"""A folder of an agent's logs to the trajectory files beside them: how a run ends, and `pieratif convert`."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from runs.agents.conversion.base import Converter
from runs.agents.conversion.lines import MAX_LINE_BYTES
from runs.files import write_atomically
from runs.formats.result import AgentContext
from runs.formats.trajectory import Trajectory, dump_trajectory

TRAJECTORY: Final = "trajectory.json"
PIECE_BYTES: Final = 1024 * 1024
MAX_FILES: Final = 20_000
MAX_FOLDER_DEPTH: Final = 12


def convert_directory(folder: Path, converter: Converter) -> Trajectory | None:
    """Feed a converter all of its files below `folder` and close it; None where they hold no step.

    Links are not followed. What cannot be read is a warning of the converter, never an exception.
    """
    for path in sorted(_files(folder)):
        name = path.relative_to(folder).as_posix()
        source = converter.source_of(name)
        if source is None:
            continue
        try:
            _feed(converter, name, path, whole=source.rewritten)
        except OSError as error:
            converter.warn(f"{name} could not be read: {error.strerror}")
    converter.close()
    return converter.trajectory()


def write_final_trajectory(logs: Path, converter: Converter) -> Trajectory | None:
    """Convert `logs` and write trajectory.json there; None where the logs hold nothing."""
    trajectory = convert_directory(logs, converter)
    if trajectory is not None:
        write_atomically(logs / TRAJECTORY, dump_trajectory(trajectory))
    return trajectory


def context_of(converter: Converter, trajectory: Trajectory) -> AgentContext:
    """What a run used, as results have it: everything, sub-agents and unlogged calls included."""
    totals = converter.totals()
    extra = (trajectory.final_metrics.extra if trajectory.final_metrics else None) or {}
    return AgentContext(
        n_input_tokens=totals.input_tokens,
        n_cache_tokens=totals.cache_read_tokens,
        n_output_tokens=totals.output_tokens,
        cost_usd=totals.cost_usd,
        peak_context_tokens=extra.get("peak_context_tokens"),
        summarization_count=extra.get("summarization_count"),
        n_agent_steps=sum(step.source == "agent" and not step.is_copied_context for step in trajectory.steps),
        metadata={
            "n_llm_calls": totals.n_calls,
            "cache_creation_tokens": totals.cache_write_tokens,
            "reasoning_tokens": totals.reasoning_tokens,
        },
    )


def _files(folder: Path) -> Iterator[Path]:
    """The regular files below a folder, a bounded number of them."""
    n_files = 0
    for place, folders, names in os.walk(folder):
        if len(Path(place).relative_to(folder).parts) >= MAX_FOLDER_DEPTH:
            folders.clear()
        for name in names:
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                n_files += 1
                if n_files > MAX_FILES:
                    return
                yield path


def _feed(converter: Converter, name: str, path: Path, *, whole: bool) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if whole:
            data = file.read(MAX_LINE_BYTES + 1)
            if len(data) > MAX_LINE_BYTES:
                converter.warn(f"{name} is larger than {MAX_LINE_BYTES} bytes and was passed over")
            else:
                converter.feed(name, data)
            return
        while data := file.read(PIECE_BYTES):
            converter.feed(name, data)
