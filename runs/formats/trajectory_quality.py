"""The quality report of an ATIF trajectory: what a document that can be read says that can't be right.

No validator of the field looks at this. Pure: which files lie beside the document is asked of the caller.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from runs.formats.trajectory_reader import ReadObservation, ReadStep, ReadSubagentRef, ReadToolCall, ReadTrajectory
from runs.formats.trajectory_versions import first_newer_fields
from runs.formats.validation import shortened

Code = Literal[
    "cached-over-prompt",
    "dangling-subagent",
    "duplicate-call-id",
    "empty-agent-turn",
    "missing-continuation",
    "missing-media",
    "missing-session-id",
    "missing-subagent-file",
    "negative-number",
    "newer-field",
    "repeated-call-id",
    "step-after-unfinished-turn",
    "time-backwards",
    "total-differs",
    "unanswered-call",
]
MAX_PER_CODE: Final = 10
MAX_LOOKUPS: Final = 10_000

_LARGEST: Final = 1e300
_FIGURES: Final = ("prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that can't be right, in a sentence.

    `step_id` is None where it concerns the whole document; `trajectory_id` names the embedded sub-agent it is in.
    """

    code: Code
    step_id: int | None
    message: str
    trajectory_id: str | None = None


type FileExists = Callable[[str], bool]


def quality_of(read: ReadTrajectory, *, file_exists: FileExists | None = None) -> list[Finding]:
    """What is wrong with the document and those embedded in it, at most `MAX_PER_CODE` of a kind and how many more.

    `file_exists` answers for a path as the document has it, relative or absolute, never a URL; without it no file is
    asked for, and none after the first `MAX_LOOKUPS`. One pass over the steps for each kind of finding.
    """
    embedded = frozenset(_embedded_ids(read))
    look = _Lookups(file_exists) if file_exists is not None else None
    counts: Counter[Code] = Counter()
    kept: list[Finding] = []
    for finding in _of_document(read, embedded, look):
        counts[finding.code] += 1
        if counts[finding.code] <= MAX_PER_CODE:
            kept.append(finding)
    rest = [(code, count - MAX_PER_CODE) for code, count in counts.items() if count > MAX_PER_CODE]
    return [*kept, *(Finding(code, None, f"{count:,} more of this kind") for code, count in rest)]


def missing_media(read: ReadTrajectory, file_exists: FileExists) -> Iterator[Finding]:
    """The images and recordings of this document, without embedded ones, that are local files and not there."""
    for step in read.steps:
        holders: list[ReadStep | ReadToolCall | ReadObservation] = [step, *step.tool_calls, *step.observations]
        for path in (path for holder in holders for path in (*holder.images, *holder.audio)):
            if _is_missing(path, file_exists):
                yield Finding("missing-media", _id(step), f"the file {_quoted(path)} does not exist")


class _Lookups:
    """Asks once for each file; a document that names a million of them learns that the rest exists."""

    def __init__(self, file_exists: FileExists) -> None:
        self._file_exists = file_exists
        self._known: dict[str, bool] = {}

    def __call__(self, path: str) -> bool:
        if path not in self._known and len(self._known) < MAX_LOOKUPS:
            self._known[path] = self._file_exists(path)
        return self._known.get(path, True)


def _of_document(read: ReadTrajectory, embedded: frozenset[str], file_exists: FileExists | None) -> Iterator[Finding]:
    own = [step for step in read.steps if not step.is_copied_context]
    yield from _header(read)
    yield from _references(read, embedded, file_exists)
    if file_exists is not None:
        yield from missing_media(read, file_exists)
    yield from _call_ids(read.steps)
    yield from _turns(own)
    yield from _times(own)
    yield from _numbers(read)
    yield from _totals(read, own)
    for subagent in read.subagents:
        for finding in _of_document(subagent, embedded, file_exists):
            yield replace(finding, trajectory_id=finding.trajectory_id or _cut(subagent.trajectory_id or "unnamed"))


def _header(read: ReadTrajectory) -> Iterator[Finding]:
    for field in first_newer_fields(read):
        yield Finding(
            "newer-field",
            field.step_id,
            f"{field.name} came with ATIF-v1.{field.minor}; the document says {read.schema_version}",
        )
    if read.session_id is None and read.schema_version in {f"ATIF-v1.{minor}" for minor in range(7)}:
        yield Finding("missing-session-id", None, f"{read.schema_version} wants a session_id, and there is none")


def _references(read: ReadTrajectory, embedded: frozenset[str], file_exists: FileExists | None) -> Iterator[Finding]:
    seen: set[tuple[str | None, str | None]] = set()
    for step, ref in _refs(read):
        key = (ref.trajectory_id, ref.trajectory_path)
        if ref.trajectory_id in embedded or key in seen:
            continue
        seen.add(key)
        if ref.trajectory_path is not None:
            if file_exists is not None and _is_missing(ref.trajectory_path, file_exists):
                sentence = f"the sub-agent's file {_quoted(ref.trajectory_path)} does not exist"
                yield Finding("missing-subagent-file", _id(step), sentence)
        elif ref.trajectory_id is not None:
            sentence = f"sub-agent {_quoted(ref.trajectory_id)} is referred to and not embedded"
            yield Finding("dangling-subagent", _id(step), sentence)
        else:
            sentence = "a sub-agent is referred to without a trajectory_id or trajectory_path: it can't be found"
            yield Finding("dangling-subagent", _id(step), sentence)
    continued = read.continued_trajectory_ref
    if continued is not None and file_exists is not None and _is_missing(continued, file_exists):
        yield Finding("missing-continuation", None, f"the continuation {_quoted(continued)} does not exist")


def _call_ids(steps: list[ReadStep]) -> Iterator[Finding]:
    first_use: dict[str, ReadStep] = {}
    for step in steps:
        here: set[str] = set()
        for identifier in (call.id for call in step.tool_calls if call.id is not None):
            if identifier in here:
                sentence = f"two calls of the step have the id {_quoted(identifier)}: their results can't be told apart"
                yield Finding("duplicate-call-id", _id(step), sentence)
            elif identifier in first_use:
                before = _id(first_use[identifier])
                sentence = f"the call id {_quoted(identifier)} was used before, in step {before}"
                yield Finding("repeated-call-id", _id(step), sentence)
            here.add(identifier)
            first_use.setdefault(identifier, step)


def _turns(own: list[ReadStep]) -> Iterator[Finding]:
    """Calls without results, agent turns that hold nothing, and steps that went on as if a turn had been finished."""
    unfinished: ReadStep | None = None
    for step in own:
        if unfinished is not None and step.source != "system":
            sentence = f"the run goes on although no call of step {_id(unfinished)} has a result"
            yield Finding("step-after-unfinished-turn", _id(step), sentence)
            unfinished = None
        unanswered = [call for call in step.tool_calls if not call.is_answered]
        # A result that names no call may be the answer to any of them.
        if unanswered and not any(seen.source_call_id is None for seen in step.observations):
            sentence = _unanswered_sentence(step, len(unanswered), unanswered[0].name)
            yield Finding("unanswered-call", _id(step), sentence)
            unfinished = step if len(unanswered) == len(step.tool_calls) else None
        if step.source == "agent" and _is_empty(step):
            sentence = "the agent's turn holds no message, reasoning, call or result"
            yield Finding("empty-agent-turn", _id(step), sentence)


def _unanswered_sentence(step: ReadStep, n_unanswered: int, name: str) -> str:
    if len(step.tool_calls) == 1:
        return f"the call of {_quoted(name)} has no result"
    return f"{n_unanswered} of {len(step.tool_calls)} calls have no result, the first is of {_quoted(name)}"


def _times(own: list[ReadStep]) -> Iterator[Finding]:
    before: tuple[datetime, ReadStep] | None = None
    for step in own:
        if step.at is None:
            continue
        if before is not None and step.at < before[0]:
            gap_sec = (before[0] - step.at).total_seconds()
            sentence = f"its time is {gap_sec:,.3f} s before that of step {_id(before[1])}"
            yield Finding("time-backwards", _id(step), sentence)
        before = (step.at, step)


def _numbers(read: ReadTrajectory) -> Iterator[Finding]:
    """Figures of steps and totals that no run can have."""
    places: list[tuple[int | None, Any, str]] = [(_id(step), step.raw.get("metrics"), "") for step in read.steps]
    for step_id, figures, prefix in [*places, (None, read.final_metrics, "total_")]:
        if not isinstance(figures, dict):
            continue
        for name in _FIGURES:
            figure = _number(figures.get(prefix + name))
            if figure is not None and figure < 0:
                yield Finding("negative-number", step_id, f"{prefix}{name} is negative: {_cut(str(figure))}")
        cached, prompt = _number(figures.get(f"{prefix}cached_tokens")), _number(figures.get(f"{prefix}prompt_tokens"))
        if cached is not None and prompt is not None and cached > max(prompt, 0):
            sentence = (
                f"{_shown(cached)} cached tokens are more than the {_shown(prompt)} prompt tokens they are part of"
            )
            yield Finding("cached-over-prompt", step_id, sentence)


def _totals(read: ReadTrajectory, own: list[ReadStep]) -> Iterator[Finding]:
    """Totals that the steps contradict. What sub-agents and other parts of a continued run used may be in a total."""
    final = read.final_metrics
    n_steps = _number(final.get("total_steps"))
    # The format lets a writer count differently if its notes tell.
    if n_steps is not None and n_steps not in (len(own), len(read.steps)) and read.notes is None:
        sentence = f"total_steps is {_shown(n_steps)}, and the steps come to {len(read.steps):,}"
        yield Finding("total-differs", None, sentence)
    is_part = read.continued_trajectory_ref is not None or len(own) < len(read.steps)  # copies come from a part before
    covers_more = is_part or bool(read.subagents) or any(True for _ in _refs(read))
    callers = [step for step in own if step.source == "agent" and step.llm_call_count != 0]
    for name in _FIGURES:
        total = _number(final.get(f"total_{name}"))
        known = [figure for step in own if (figure := getattr(step, name)) is not None]
        if total is None or total < 0 or not known:
            continue
        summed = sum(known)
        is_complete = all(getattr(step, name) is not None for step in callers)
        may_be_more = covers_more or not is_complete
        if not _is_same(total, summed, is_price=name == "cost_usd") and (total < summed or not may_be_more):
            sentence = f"total_{name} is {_shown(total)}, and the steps come to {_shown(summed)}"
            yield Finding("total-differs", None, sentence)


def _embedded_ids(read: ReadTrajectory) -> Iterator[str]:
    for subagent in read.subagents:
        if subagent.trajectory_id is not None:
            yield subagent.trajectory_id
        yield from _embedded_ids(subagent)


def _refs(read: ReadTrajectory) -> Iterator[tuple[ReadStep, ReadSubagentRef]]:
    for step in read.steps:
        holders: list[ReadToolCall | ReadObservation] = [*step.tool_calls, *step.observations]
        for holder in holders:
            for ref in holder.subagents:
                yield step, ref


def _is_empty(step: ReadStep) -> bool:
    shown = step.message.strip() or step.images or step.audio or step.reasoning
    return not (shown or step.tool_calls or step.observations or step.answers or step.raw.get("observation"))


def _is_missing(path: str, file_exists: FileExists) -> bool:
    return bool(path) and "://" not in path and not file_exists(path)


def _is_same(total: float, summed: float, *, is_price: bool) -> bool:
    """Equal, as far as sums of prices can be: writers round, and the order of adding changes the last digits."""
    return total == summed or (is_price and math.isclose(total, summed, rel_tol=1e-3, abs_tol=1e-6))


def _number(value: Any) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -_LARGEST <= value <= _LARGEST else None  # also None for NaN


def _id(step: ReadStep) -> int:
    return step.step_id if step.step_id is not None else step.index + 1


def _shown(figure: float) -> str:
    return _cut(f"{figure:,}" if isinstance(figure, int) else f"{figure:.6g}")


def _quoted(text: str) -> str:
    return f"'{_cut(text)}'"


def _cut(text: str) -> str:
    return shortened(text, 80)
