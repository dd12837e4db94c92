"""`llm_timing.jsonl`: one line a call of the model, with its tokens and times. Written strictly, read leniently."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from runs.agents.conversion.lines import LineCutter, record_of
from runs.agents.conversion.usage import Usage
from runs.files import write_atomically
from runs.formats.trajectory import Step, Trajectory
from runs.indexing.values import amount, count, mapping, text

CALL_LOG: Final = "llm_timing.jsonl"
PIECE_BYTES: Final = 1024 * 1024
MAX_MODEL_CHARS: Final = 255


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a model, as a price needs it. `cost_usd` is what was recorded."""

    model: str
    usage: Usage


def write_call_log(logs: Path, trajectory: Trajectory) -> None:
    """Write the calls of a trajectory and its sub-agents to llm_timing.jsonl, unless the agent wrote one itself."""
    if (logs / CALL_LOG).exists():
        return
    lines = [
        json.dumps(_line(document, step, trajectory.agent.model_name), ensure_ascii=False)
        for document in (trajectory, *(trajectory.subagent_trajectories or ()))
        for step in document.steps
        if step.source == "agent" and step.metrics and not step.is_copied_context
    ]
    if lines:
        write_atomically(logs / CALL_LOG, "\n".join(lines) + "\n")


def read_call_log(path: Path) -> Iterator[Call]:
    """The calls of an llm_timing.jsonl that have tokens; anything else on a line is passed over. Raises OSError."""
    cutter = LineCutter()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield from _calls(cutter.feed(piece))
    yield from _calls(iter([cutter.rest()]))


def call_of(model: str | None, metrics: dict[str, Any]) -> Call | None:
    """The call that a step's metrics tell of; None where they have no tokens."""
    prompt, completion = count(metrics.get("prompt_tokens")), count(metrics.get("completion_tokens"))
    if prompt is None and completion is None:
        return None
    extra = mapping(metrics.get("extra"))
    cached = count(metrics.get("cached_tokens")) or 0
    written = count(extra.get("cache_creation_tokens", extra.get("cache_creation_input_tokens"))) or 0
    usage = Usage(
        uncached_tokens=None if prompt is None else max(0, prompt - cached - written),
        cache_read_tokens=cached,
        cache_write_tokens=written,
        output_tokens=completion,
        cost_usd=amount(metrics.get("cost_usd")),
    )
    return Call(model or "", usage)


def _calls(lines: Iterator[bytes]) -> Iterator[Call]:
    for line in lines:
        record = record_of(line)
        if record is None or record.get("ok") is False:
            continue
        call = call_of(
            text(record.get("model"), MAX_MODEL_CHARS),
            {**record, "extra": {"cache_creation_tokens": record.get("cache_creation_tokens")}},
        )
        if call:
            yield call


def _line(document: Trajectory, step: Step, main_model: str | None) -> dict[str, Any]:
    metrics = step.metrics
    extra = (metrics.extra if metrics else None) or {}
    duration_ms = extra.get("duration_ms")
    latency = duration_ms / 1000 if isinstance(duration_ms, int | float) else None
    completion = metrics.completion_tokens if metrics else None
    values: dict[str, Any] = {
        "start": _before(step.timestamp, latency),
        "end": step.timestamp,
        "latency_s": latency,
        "prompt_tokens": metrics.prompt_tokens if metrics else None,
        "cached_tokens": metrics.cached_tokens if metrics else None,
        "cache_creation_tokens": extra.get("cache_creation_tokens"),
        "completion_tokens": completion,
        "reasoning_tokens": extra.get("reasoning_tokens"),
        "time_to_first_token_ms": extra.get("time_to_first_token_ms"),
        "tok_s": round(completion / latency, 3) if completion and latency else None,
        "ok": not (step.extra or {}).get("unfinished", False),
        "model": step.model_name or document.agent.model_name or main_model,
        "cost_usd": metrics.cost_usd if metrics else None,
        "trajectory_id": document.trajectory_id,
        "step_id": step.step_id,
    }
    return {name: value for name, value in values.items() if value is not None}


def _before(timestamp: str | None, seconds: float | None) -> str | None:
    if timestamp is None or seconds is None:
        return None
    return (datetime.fromisoformat(timestamp) - timedelta(seconds=seconds)).isoformat()
