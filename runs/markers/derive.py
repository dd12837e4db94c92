"""What is notable about the steps of a trajectory, found by rules and from the steps alone. Nothing is judged."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from runs.calls.edits import EditKind, FileEdit
from runs.calls.shell import shell_command
from runs.calls.testruns import is_test_command, result_of
from runs.calls.tools import edits_of, path_of, whole_file_read
from runs.formats.trajectory_reader import ReadStep, ReadToolCall
from runs.indexing.cleaning import clip
from runs.models import Marker

Kind = Marker.Kind
Tone = Marker.Tone

MAX_LABEL_CHARS = 200
MAX_CALLS = 100
_REPEATS_FROM = 3
_SUBAGENT_TOOLS = frozenset({"task", "agent", "spawn_agent", "delegate", "dispatch_agent", "new_task"})
_SUBMIT_TOOLS = frozenset({"finish", "submit", "mark_task_complete", "attempt_completion", "complete_task", "done"})
_COMPACTION = frozenset({"compaction", "summarization", "summary"})
# The task's own tests and solution as they are mounted for its verifier; a repository's tests/ is another folder.
_HIDDEN = re.compile(r"(?<![\w./~*-])/(?:tests|solution|logs/verifier)(?=/|[\s'\";|&)]|$)[^\s'\";|&)]{0,80}")
_HISTORY = re.compile(
    r"\bgit\s+(?:-\S+\s+(?:/\S+\s+)?){0,3}(log|show|reflog|blame|rev-list|cat-file|fsck|whatchanged)\b"
)
_TEST_FILE = re.compile(
    r"(?:^|/)(?:tests?|__tests__|spec)/|(?:^|/)(?:test_[^/]*|conftest)\.py$|[._]test\.\w+$|\.spec\.\w+$"
)
_MAX_COMMAND_CHARS = 8_000


@dataclass(slots=True)
class MarkerRow:
    """A marker of the step at `index`, unsaved; the names are those of the model's fields."""

    index: int
    kind: Kind
    label: str
    tone: Tone = Tone.NONE
    n_passed: int | None = None
    n_failed: int | None = None


def markers_of(steps: Sequence[ReadStep], *, is_main: bool = True) -> list[MarkerRow]:
    """The markers of a whole trajectory; how it ends and what it did again and again are told only here."""
    found = [row for step in steps for row in step_markers(step)]
    found += _repeated(steps)
    if is_main:
        found += _ending(steps, found)
    return sorted(found, key=lambda row: row.index)


def step_markers(step: ReadStep) -> list[MarkerRow]:
    """What one step tells by itself; a step that is a copy of an earlier one tells nothing."""
    if step.is_copied_context:
        return []
    found = [row for call in step.tool_calls[:MAX_CALLS] for row in _call_markers(step.index, call)]
    if _is_compaction(step):
        found.append(MarkerRow(step.index, Kind.COMPACTION, "context was summarised"))
    if _is_own_error(step):
        found.append(MarkerRow(step.index, Kind.ERROR, _line(step.message), Tone.BAD))
    return _merged(found)


def _call_markers(index: int, call: ReadToolCall) -> Iterator[MarkerRow]:
    name = call.name.lower()
    arguments: dict[str, Any] | str = call.arguments if call.arguments_text is None else call.arguments_text
    command = (shell_command(arguments) or "")[:_MAX_COMMAND_CHARS]
    if command and is_test_command(command):
        yield _test_marker(index, call)
    elif call.is_error:
        yield MarkerRow(index, Kind.ERROR, _line(f"{call.name}: {call.result or 'failed'}"), Tone.BAD)
    # A call that failed changed nothing; a command that did may have changed files before it failed.
    if not call.is_error or command:
        yield from _edit_markers(index, edits_of(call.name, arguments))
    if call.subagents or name in _SUBAGENT_TOOLS:
        yield MarkerRow(index, Kind.SUBAGENT, _line(_subject(arguments) or call.name))
    if name in _SUBMIT_TOOLS:
        yield MarkerRow(index, Kind.SUBMIT, "submitted")
    read = "" if call.is_error else whole_file_read(call.name, arguments)
    if read:
        yield MarkerRow(index, Kind.READ, clip(read, MAX_LABEL_CHARS))
    yield from _flags(index, command or path_of(arguments), command)


def _flags(index: int, place: str, command: str) -> Iterator[MarkerRow]:
    """What a reviewer of a benchmark wants to look at; whether it was wrong is not said."""
    if hidden := _HIDDEN.search(place):
        yield MarkerRow(index, Kind.HIDDEN_READ, clip(f"names {hidden[0]}", MAX_LABEL_CHARS), Tone.WARN)
    if "git" in command and (looked := _HISTORY.search(command)):
        yield MarkerRow(index, Kind.HISTORY, f"git {looked[1]}", Tone.WARN)


def _test_marker(index: int, call: ReadToolCall) -> MarkerRow:
    run = result_of(call.result or "", is_error=call.is_error)
    tone = {True: Tone.GOOD, False: Tone.BAD, None: Tone.NONE}[run.is_passed]
    return MarkerRow(index, Kind.TEST, run.label, tone, run.n_passed, run.n_failed)


def _edit_markers(index: int, edits: Sequence[FileEdit]) -> Iterator[MarkerRow]:
    paths = list(dict.fromkeys(edit.path for edit in edits if not edit.path.startswith("/tmp/")))  # noqa: S108
    if paths:
        yield MarkerRow(index, Kind.EDIT, _names(paths))
    tests = [path for path in paths if _TEST_FILE.search(path)]
    if tests and not all(edit.kind is EditKind.APPEND for edit in edits):
        yield MarkerRow(index, Kind.TEST_EDIT, _names(tests), Tone.WARN)


def _merged(rows: list[MarkerRow]) -> list[MarkerRow]:
    """One marker of a kind a step, with all their labels; of test runs the last, of reads each."""
    found: dict[Any, MarkerRow] = {}
    for row in rows:
        key = (row.kind, row.label) if row.kind is Kind.READ else row.kind
        known = found.get(key)
        if known is None or row.kind is Kind.TEST:
            found[key] = row
        elif row.label not in known.label:
            known.label = clip(f"{known.label}, {row.label}", MAX_LABEL_CHARS)
    return list(found.values())


def _repeated(steps: Sequence[ReadStep]) -> Iterator[MarkerRow]:
    """The end of each row of three or more equal calls."""
    previous: ReadToolCall | None = None
    n_same, last = 0, 0
    for index, call in (*_calls(steps), (0, None)):
        if previous is not None and call is not None and _is_same(previous, call):
            n_same += 1
        else:
            if n_same >= _REPEATS_FROM:
                yield MarkerRow(last, Kind.REPEAT, f"the same call {n_same} times in a row", Tone.WARN)
            n_same = 1
        previous, last = call, index


def _calls(steps: Sequence[ReadStep]) -> Iterator[tuple[int, ReadToolCall]]:
    for step in steps:
        if not step.is_copied_context:
            yield from ((step.index, call) for call in step.tool_calls[:MAX_CALLS])


def _is_same(one: ReadToolCall, other: ReadToolCall) -> bool:
    told = (one.name, one.arguments_text, one.arguments)
    return told == (other.name, other.arguments_text, other.arguments)


def _ending(steps: Sequence[ReadStep], found: Iterable[MarkerRow]) -> Iterator[MarkerRow]:
    """The final answer, and whether the last change was tested before it."""
    last_at = {kind: max((row.index for row in found if row.kind is kind), default=-1) for kind in Kind}
    end = last_at[Kind.SUBMIT]
    if end < 0:
        own = [step for step in steps if step.source == "agent" and not step.is_copied_context]
        if not own or own[-1].tool_calls or not own[-1].message.strip():
            return
        end = own[-1].index
        yield MarkerRow(end, Kind.SUBMIT, "final answer")
    if last_at[Kind.EDIT] > last_at[Kind.TEST]:
        which = "after the last edit" if last_at[Kind.TEST] >= 0 else "at all"
        yield MarkerRow(end, Kind.UNTESTED, f"no test run {which}", Tone.WARN)


def _is_compaction(step: ReadStep) -> bool:
    extra = step.raw.get("extra")
    context = extra.get("context_management") if isinstance(extra, dict) else None
    return isinstance(context, dict) and context.get("type") in _COMPACTION


def _is_own_error(step: ReadStep) -> bool:
    """A step in which the agent itself reports that something failed: a refused request, a crash."""
    extra = step.raw.get("extra")
    return isinstance(extra, dict) and extra.get("is_error") is True and not step.tool_calls


def _subject(arguments: dict[str, Any] | str) -> str:
    if isinstance(arguments, str):
        return arguments
    keys = ("description", "title", "message", "prompt", "task")
    return next((value for key in keys if isinstance(value := arguments.get(key), str) and value.strip()), "")


def _names(paths: Sequence[str]) -> str:
    names = [path.rstrip("/").rpartition("/")[2] or path for path in paths]
    shown = ", ".join(names[:3])
    return clip(shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more", MAX_LABEL_CHARS)


def _line(text: str) -> str:
    return clip(" ".join(text[: 4 * MAX_LABEL_CHARS].split()), MAX_LABEL_CHARS)
