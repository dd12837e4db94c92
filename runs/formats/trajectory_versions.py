"""Which version of ATIF brought which field, and the fields of a document that are newer than the version it names."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from runs.formats.trajectory_reader import KNOWN_VERSIONS, ReadTrajectory

# The minor version 1.N that brought each field; what is not here came with 1.0.
INTRODUCED: Final = {
    "extra": 1,
    "observation on a system step": 2,
    "metrics.completion_token_ids": 3,
    "metrics.prompt_token_ids": 4,
    "agent.tool_definitions": 5,
    "is_copied_context": 5,
    "content parts": 6,
    "trajectory_id": 7,
    "subagent_trajectories": 7,
    "llm_call_count": 7,
    "tool_calls[].extra": 7,
    "observation.results[].extra": 7,
    "subagent_trajectory_ref[].trajectory_id": 7,
    "audio parts": 8,
}


@dataclass(frozen=True, slots=True)
class NewerField:
    """A field, the minor version that brought it, and the first step that uses it (None: the document's head)."""

    name: str
    minor: int
    step_id: int | None


def first_newer_fields(read: ReadTrajectory) -> Iterator[NewerField]:
    """The fields that are newer than the document's version, each once; none where that version isn't known.

    Embedded sub-agents name their own version and are not looked into.
    """
    if read.schema_version not in KNOWN_VERSIONS:
        return
    declared = KNOWN_VERSIONS.index(read.schema_version)
    newer = {name for name, minor in INTRODUCED.items() if minor > declared}
    for name, step_id in _used(read):
        if name in newer:
            newer.discard(name)
            yield NewerField(name, INTRODUCED[name], step_id)
        if not newer:
            return


def _used(read: ReadTrajectory) -> Iterator[tuple[str, int | None]]:
    heads = {
        "extra": read.extra,
        "agent.tool_definitions": read.agent.get("tool_definitions"),
        "trajectory_id": read.trajectory_id,
        "subagent_trajectories": read.subagents,
    }
    yield from ((name, None) for name, value in heads.items() if value)
    for step in read.steps:
        step_id = step.step_id if step.step_id is not None else step.index + 1
        yield from ((name, step_id) for name in _used_in(step.raw))


def _used_in(raw: dict[str, Any]) -> Iterator[str]:
    if raw.get("source") == "system" and raw.get("observation") is not None:
        yield "observation on a system step"
    metrics = raw.get("metrics")
    for name in ("completion_token_ids", "prompt_token_ids"):
        if isinstance(metrics, dict) and metrics.get(name) is not None:
            yield f"metrics.{name}"
    yield from (name for name in ("is_copied_context", "llm_call_count") if raw.get(name) is not None)
    yield from _used_in_content(raw.get("message"))
    if any(call.get("extra") is not None for call in _objects(raw.get("tool_calls"))):
        yield "tool_calls[].extra"
    observation = raw.get("observation")
    for result in _objects(observation.get("results") if isinstance(observation, dict) else None):
        if result.get("extra") is not None:
            yield "observation.results[].extra"
        yield from _used_in_content(result.get("content"))
        if any(ref.get("trajectory_id") is not None for ref in _objects(result.get("subagent_trajectory_ref"))):
            yield "subagent_trajectory_ref[].trajectory_id"


def _used_in_content(content: Any) -> Iterator[str]:
    if isinstance(content, list):
        yield "content parts"
        if any(part.get("type") == "audio" for part in _objects(content)):
            yield "audio parts"


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
