"""Reads any ATIF document that exists: what real writers got wrong is forgiven, noted, and kept raw.

`read_trajectory` gives plain steps whose calls know their results. Rendering and storing are others' business.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from runs.errors import TrajectoryInvalid
from runs.formats.trajectory import strict_errors
from runs.formats.trajectory_content import read_arguments, read_content, text_or_none
from runs.formats.trajectory_results import ReadObservation, ReadSubagentRef, ReadToolCall, ResultJoiner

__all__ = [
    "ReadObservation",
    "ReadStep",
    "ReadSubagentRef",
    "ReadToolCall",
    "ReadTrajectory",
    "TrajectoryTotals",
    "read_trajectory",
    "totals",
]

KNOWN_VERSIONS: Final = tuple(f"ATIF-v1.{minor}" for minor in range(9))
_MAX_SUBAGENT_DEPTH: Final = 20
_MAX_INTEGER: Final = 2**63 - 1  # what a database column takes
_SOURCES: Final[dict[str, Literal["system", "user", "agent"]]] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "agent": "agent",
    "assistant": "agent",
    "model": "agent",
}


@dataclass(slots=True)
class ReadStep:
    """One step. `index` counts from 0 in the file; `raw` is the step as it stood there.

    `answers` are the ids of calls of earlier steps whose results this step carried: they are found at those calls.
    """

    index: int
    step_id: int | None
    source: Literal["system", "user", "agent"]
    at: datetime | None
    model_name: str | None
    message: str
    images: list[str]
    audio: list[str]
    reasoning: str | None
    tool_calls: list[ReadToolCall]
    observations: list[ReadObservation]
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    cost_usd: float | None
    is_copied_context: bool
    llm_call_count: int | None
    raw: dict[str, Any]
    answers: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ReadTrajectory:
    """A document as read. `valid` and `errors` are the strict verdict, `warnings` what was forgiven."""

    schema_version: str | None
    session_id: str | None
    trajectory_id: str | None
    agent_name: str
    agent_version: str | None
    model_name: str | None
    notes: str | None
    continued_trajectory_ref: str | None
    agent: dict[str, Any]
    final_metrics: dict[str, Any]
    extra: dict[str, Any]
    steps: list[ReadStep]
    subagents: list["ReadTrajectory"]
    warnings: list[str]
    valid: bool
    errors: list[str]


@dataclass(frozen=True, slots=True)
class TrajectoryTotals:
    """What a run used. None is unknown, never 0; prompt tokens include cached ones; the cost includes subagents."""

    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    cost_usd: float | None
    peak_context_tokens: int | None
    summarization_count: int | None
    n_agent_steps: int


class Notes:
    """Warnings said once each, with where it began and how often it happened."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}

    def add(self, complaint: str, index: int) -> None:
        """Note that something about the step at this index was forgiven."""
        first, count = self._seen.get(complaint, (index, 0))
        self._seen[complaint] = (first, count + 1)

    def __iter__(self) -> Iterator[str]:
        for complaint, (first, count) in self._seen.items():
            yield f"step {first + 1}: {complaint}" + (f" (and {count - 1} more)" if count > 1 else "")


def read_trajectory(data: Any) -> ReadTrajectory:
    """The trajectory in a parsed document, with embedded subagents. Raises `TrajectoryInvalid` if it is no ATIF."""
    errors = strict_errors(data)
    return _read(data, errors, depth=0)


def totals(read: ReadTrajectory) -> TrajectoryTotals:
    """What the run used: the document's own totals where it gives them, else sums over steps not copied into it."""
    own = [step for step in read.steps if not step.is_copied_context]
    final = read.final_metrics
    extra = _object(final.get("extra"))
    cost = _cost(final.get("total_cost_usd"))
    if cost is None:
        cost = _sum([*(step.cost_usd for step in own), *(totals(subagent).cost_usd for subagent in read.subagents)])
    peak = _first(
        _count(extra.get("peak_context_tokens")),
        max((step.prompt_tokens for step in own if step.prompt_tokens is not None), default=None),
    )
    return TrajectoryTotals(
        prompt_tokens=_first(_count(final.get("total_prompt_tokens")), _sum(step.prompt_tokens for step in own)),
        completion_tokens=_first(
            _count(final.get("total_completion_tokens")), _sum(step.completion_tokens for step in own)
        ),
        cached_tokens=_first(_count(final.get("total_cached_tokens")), _sum(step.cached_tokens for step in own)),
        cost_usd=cost,
        peak_context_tokens=peak,
        summarization_count=_first(_count(extra.get("summarization_count")), _compactions(own)),
        n_agent_steps=sum(step.source == "agent" for step in own),
    )


def _read(data: Any, errors: list[str], depth: int) -> ReadTrajectory:
    steps = _steps_of(data)
    version = text_or_none(data.get("schema_version"))
    notes = Notes()
    joiner = ResultJoiner()
    read_steps = [_read_step(index, step, notes, joiner) for index, step in enumerate(steps)]
    warnings = list(_header_warnings(version, steps))
    subagents = _read_subagents(data.get("subagent_trajectories"), warnings, depth)
    agent = _object(data.get("agent"))
    return ReadTrajectory(
        schema_version=version,
        session_id=text_or_none(data.get("session_id")),
        trajectory_id=text_or_none(data.get("trajectory_id")),
        agent_name=text_or_none(agent.get("name")) or "unknown",
        agent_version=text_or_none(agent.get("version")),
        model_name=text_or_none(agent.get("model_name")),
        notes=text_or_none(data.get("notes")),
        continued_trajectory_ref=text_or_none(data.get("continued_trajectory_ref")),
        agent=agent,
        final_metrics=_object(data.get("final_metrics")),
        extra=_object(data.get("extra")),
        steps=read_steps,
        subagents=subagents,
        warnings=[*warnings, *notes],
        valid=not errors,
        errors=errors,
    )


def _steps_of(data: Any) -> list[Any]:
    if not isinstance(data, dict):
        raise TrajectoryInvalid("not an ATIF trajectory: the document is not an object")
    steps = data.get("steps")
    version = data.get("schema_version")
    named = isinstance(version, str) and version.upper().startswith("ATIF")
    if not isinstance(steps, list) or not (named or (version is None and isinstance(data.get("agent"), dict))):
        raise TrajectoryInvalid(
            "not an ATIF trajectory: it needs a schema_version like 'ATIF-v1.7' and a list of steps"
        )
    return steps


def _header_warnings(version: str | None, steps: list[Any]) -> Iterator[str]:
    if version is None:
        yield "the document has no schema_version"
    elif version not in KNOWN_VERSIONS:
        yield f"schema_version {version[:40]!r} is newer than this reader: what it doesn't know is kept and not shown"
    if not steps:
        yield "the document has no steps"


def _read_subagents(value: Any, warnings: list[str], depth: int) -> list[ReadTrajectory]:
    if value is None:
        return []
    if not isinstance(value, list):
        warnings.append("subagent_trajectories is not a list")
        return []
    if depth >= _MAX_SUBAGENT_DEPTH:
        warnings.append(f"subagents nested deeper than {_MAX_SUBAGENT_DEPTH} are left out")
        return []
    subagents = []
    for number, item in enumerate(value, start=1):
        try:
            subagents.append(_read(item, strict_errors(item), depth + 1))
        except TrajectoryInvalid as error:
            warnings.append(f"embedded subagent {number}: {error}")
    return subagents


def _read_step(index: int, raw: Any, notes: Notes, joiner: ResultJoiner) -> ReadStep:
    if not isinstance(raw, dict):
        notes.add("the step is not an object", index)
        raw = {"message": raw, "source": "system"}
    metrics = _object(raw.get("metrics"))
    content = read_content(raw.get("message"))
    step = ReadStep(
        index=index,
        step_id=_count(raw.get("step_id")),
        source=_source(raw.get("source"), index, notes),
        at=_instant(raw.get("timestamp"), index, notes),
        model_name=text_or_none(raw.get("model_name")),
        message=content.text,
        images=content.images,
        audio=content.audio,
        reasoning=_reasoning(raw.get("reasoning_content")),
        tool_calls=_read_calls(raw.get("tool_calls"), index, notes),
        observations=[],
        prompt_tokens=_count(metrics.get("prompt_tokens")),
        completion_tokens=_count(metrics.get("completion_tokens")),
        cached_tokens=_count(metrics.get("cached_tokens")),
        cost_usd=_cost(metrics.get("cost_usd")),
        is_copied_context=raw.get("is_copied_context") is True,
        llm_call_count=_count(raw.get("llm_call_count")),
        raw=raw,
    )
    joined = joiner.join(raw, step.tool_calls, may_answer_earlier=step.source == "agent" and not step.message)
    step.observations, step.answers = joined.observations, joined.answers
    if joined.complaint:
        notes.add(joined.complaint, index)
    return step


def _read_calls(value: Any, index: int, notes: Notes) -> list[ReadToolCall]:
    if value is None:
        return []
    calls = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            notes.add("a tool call is not an object", index)
            continue
        arguments, text, complaint = read_arguments(item.get("arguments"))
        if complaint:
            notes.add(complaint, index)
        name = text_or_none(item.get("function_name")) or text_or_none(item.get("name")) or "unknown"
        calls.append(ReadToolCall(text_or_none(item.get("tool_call_id")), name, arguments, text, raw=item))
    return calls


def _source(value: Any, index: int, notes: Notes) -> Literal["system", "user", "agent"]:
    source = _SOURCES.get(value.lower()) if isinstance(value, str) else None
    if source is None or source != value:
        notes.add(f"source {str(value)[:40]!r} is read as {source or 'system'!r}", index)
    return source or "system"


def _reasoning(value: Any) -> str | None:
    return None if value is None else read_content(value).text or None


def _instant(value: Any, index: int, notes: Notes) -> datetime | None:
    """An aware instant from ISO 8601 text or seconds since 1970; naive text is read as UTC."""
    if value is None:
        return None
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value.strip())
            return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            # Past the year 5000 in seconds it can only be milliseconds.
            return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    notes.add("the timestamp is not an instant", index)
    return None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= _MAX_INTEGER:  # also false for NaN
        return None
    return int(value)


def _cost(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        cost = float(value)
    except OverflowError:
        return None
    return cost if math.isfinite(cost) else None


def _compactions(steps: list[ReadStep]) -> int | None:
    """How many steps say that the context was compacted; None where none says so, as most writers never do."""
    kinds = (_object(_object(step.raw.get("extra")).get("context_management")).get("type") for step in steps)
    return sum(kind == "compaction" for kind in kinds) or None


def _first[T](*values: T | None) -> T | None:
    return next((value for value in values if value is not None), None)


def _sum[N: (int, float)](values: Iterable[N | None]) -> N | None:
    known = [value for value in values if value is not None]
    return sum(known[1:], start=known[0]) if known else None
