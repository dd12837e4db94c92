"""What Gemini CLI prints: events as JSON lines, among them plain lines of errors and retries; older runs only text."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from runs.agents.conversion.draft import CallDraft, ResultDraft, StepDraft
from runs.agents.conversion.lines import Record
from runs.agents.conversion.usage import Usage
from runs.agents.conversion.values import (
    arguments_of,
    as_text,
    count,
    dig,
    mapping,
    text_of,
    texts_of,
    timestamp_of,
)

RETRY: Final = "Attempt "
"""How the CLI begins a line on a failed call that it repeats."""
_RETRY: Final = re.compile(RETRY + r"\d+ failed\b.{0,2000}")
_FATAL: Final = re.compile(
    r"Error when talking to Gemini API (?:Full report available at: \S*?"
    r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z)\.json )?(.{0,4000})"
)
_CAUSE: Final = re.compile(r"\s+\[cause\]: (.{1,1000})")
MAX_ERRORS: Final = 100


@dataclass(slots=True)
class Turn:
    """What was printed of one answer of the model; it stays unfinished until the session file has it."""

    draft: StepDraft
    errors: list[str] = field(default_factory=list)
    has_results: bool = False

    @property
    def text(self) -> str:
        """What the model said."""
        return self.draft.texts[0] if self.draft.texts else ""


class Printed:
    """The CLI's output so far: its turns, each as a step of its own, and how it ended."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.instruction: StepDraft | None = None
        self.failure: StepDraft | None = None
        self.has_result = False
        self.session_id: str | None = None
        self.usage: Usage | None = None
        self.errors: list[str] = []
        """Errors before the next turn, or all of them where the output has no turns."""
        self.changed: list[StepDraft] = []
        """Steps that grew since this was last cleared."""

    def take(self, record: Record) -> None:
        """Take an event."""
        kind = record.get("type")
        at = timestamp_of(record.get("timestamp"))
        if kind == "init":
            self.session_id = text_of(record.get("session_id")) or None
        elif kind == "message" and record.get("role") == "user":
            self.instruction = self.instruction or StepDraft("user", at, texts_of(record.get("content")))
        elif kind == "message" and record.get("role") == "assistant":
            draft = self._turn(at).draft
            draft.texts = ["".join([*draft.texts, text_of(record.get("content"))])]
        elif kind == "tool_use":
            self._call(record, at)
        elif kind == "tool_result":
            self._result(record)
        elif kind == "error":
            self._note(text_of(record.get("message")))
        elif kind == "result":
            self._end(record, at)

    def take_line(self, line: str) -> None:
        """Take a plain line."""
        found = _FATAL.match(line)
        if found and self.failure is None:
            at = _stamp(found[1])
            self.failure = StepDraft("system", at, texts_of(found[2].strip()), extra={"is_error": True})
        elif (cause := _CAUSE.match(line)) and self.failure is not None:
            self.failure.texts.append(cause[1].strip().removesuffix("{").strip())
            self.changed.append(self.failure)
        elif retry := _RETRY.match(line):
            self._note(retry[0])

    @property
    def final_error(self) -> str | None:
        """The words of a failed end."""
        return "\n".join(self.failure.texts) if self.failure else None

    def _turn(self, at: str | None) -> Turn:
        if not self.turns or self.turns[-1].has_results:
            self.turns.append(Turn(StepDraft("agent", at, llm_call_count=1, is_unfinished=True), self.errors))
            self.errors = []
        self.changed.append(self.turns[-1].draft)
        return self.turns[-1]

    def _call(self, record: Record, at: str | None) -> None:
        identity = text_of(record.get("tool_id"))
        if identity:
            name = text_of(record.get("tool_name")) or "unknown"
            call = CallDraft(identity, name, arguments_of(record.get("parameters")))
            self._turn(at).draft.calls[identity] = call

    def _result(self, record: Record) -> None:
        if not self.turns:
            return
        turn = self.turns[-1]
        turn.has_results = True
        call = turn.draft.calls.get(text_of(record.get("tool_id")))
        if call is not None:
            is_error = record.get("status") == "error"
            said = dig(record, "error", "message") if is_error else record.get("output")
            call.results = [ResultDraft(as_text(said or ""), {"is_error": True} if is_error else {})]
            self.changed.append(turn.draft)

    def _note(self, words: str) -> None:
        if words and len(self.errors) < MAX_ERRORS:
            self.errors.append(words)

    def _end(self, record: Record, at: str | None) -> None:
        self.has_result = True
        self.usage = _usage(mapping(record.get("stats")))
        if record.get("status") != "error":
            self.failure = None
            return
        words = text_of(dig(record, "error", "message")) or as_text(record.get("error") or "")
        self.failure = self.failure or StepDraft("system", extra={"is_error": True})
        # The cause was printed before, in the trace of the same error.
        self.failure.timestamp, self.failure.texts = at, [*texts_of(words), *self.failure.texts[1:]]
        self.changed.append(self.failure)


def _stamp(written: str | None) -> str | None:
    """The time in the name of an error report."""
    if written is None:
        return None
    try:
        at = datetime.strptime(written, "%Y-%m-%dT%H-%M-%S-%f%z")
    except ValueError:
        return None
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _usage(stats: Any) -> Usage | None:
    """What the whole run used, with sub-agents and with calls that the session file has no word of."""
    given, output, cached, total = (
        count(stats.get(key)) for key in ("input_tokens", "output_tokens", "cached", "total_tokens")
    )
    if given is None or output is None or cached is None or total is None:
        return None
    thoughts = max(total - given - output, 0)
    return Usage(max(given - cached, 0), cached, None, output + thoughts, thoughts)
