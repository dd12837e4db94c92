"""What a step says, as plain text in parts: message, reasoning, calls with their arguments, results. No layout.

The one place that says what of a step can be quoted, and how; pure.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from runs.formats.reading import clean_text
from runs.formats.trajectory_content import as_json
from runs.formats.trajectory_reader import ReadStep, ReadToolCall

# Arguments that lie deeper are written as JSON.
MAX_ARGUMENT_DEPTH: Final = 4
MAX_NAME_CHARS: Final = 80

_LINE_ENDS: Final = re.compile("\r\n?|[\v\f\x85\u2028\u2029]")
_ESCAPES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
)
# Controls; marks that turn the direction of text; letters that no one sees and a model reads.
_UNSEEN: Final = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
_SUSPECT: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
)


class Part(NamedTuple):
    """One part of a step: our name for it, and its text."""

    title: str
    text: str


def plain(text: str) -> str:
    r"""The text without terminal escapes, controls and unseen letters; every kind of line end is `\n`.

    Quotes that come from elsewhere than the rendered text are made comparable by it too.
    """
    if not _SUSPECT.search(text):
        return text
    return _UNSEEN.sub("", _ESCAPES.sub("", _LINE_ENDS.sub("\n", clean_text(text))))


def parts_of(step: ReadStep) -> list[Part]:
    """All that a step says, whole, in the order in which it is read; empty parts are left out."""
    parts = [
        Part("message", _with_files(step.message, step.images, step.audio)),
        Part("reasoning", step.reasoning or ""),
    ]
    for number, call in enumerate(step.tool_calls, start=1):
        parts.append(Part(f"call {number}: {one_word(call.name)}", _call_text(call)))
        verdict = " (error)" if call.is_error else ""
        result = _with_files(call.result or "", call.images, call.audio)
        result = _below(result, _references(call.subagents))
        parts.append(Part(f"result of call {number}{verdict}", result))
    for seen in step.observations:
        text = _with_files(seen.text, seen.images, seen.audio)
        parts.append(Part("observation", _below(text, _references(seen.subagents))))
    if step.answers:
        parts.append(Part("note", "What came back here is shown as the results of calls of earlier steps."))
    return [Part(part.title, text) for part in parts if (text := plain(part.text)).strip()]


def one_word(name: str) -> str:
    """A tool's name as it may stand in one of our headings: letters, digits and a few marks, bounded."""
    return re.sub(r"[^\w.:/@-]+", "_", name[: 2 * MAX_NAME_CHARS])[:MAX_NAME_CHARS] or "unknown"


def _call_text(call: ReadToolCall) -> str:
    arguments = call.arguments if call.arguments_text is None else call.arguments_text
    return "\n".join([call.name, *_argument_lines(arguments)])


def _argument_lines(value: Any, prefix: str = "", depth: int = 1) -> Iterator[str]:
    """Arguments as `key: value` lines; texts stand as they are, from the next line on where they have several."""
    if isinstance(value, str):
        yield f"{prefix}\n{value}" if prefix and "\n" in value else f"{prefix} {value}" if prefix else value
    elif isinstance(value, Mapping) and value and depth < MAX_ARGUMENT_DEPTH:
        if prefix:
            yield prefix
        for key, item in value.items():
            yield from _argument_lines(item, f"{key}:", depth + 1)
    elif (
        isinstance(value, list)
        and any(isinstance(item, str | Mapping) for item in value)
        and depth < MAX_ARGUMENT_DEPTH
    ):
        if prefix:
            yield prefix
        for item in value:
            yield from _argument_lines(item, "-", depth + 1)
    elif not (value == {} and not prefix):
        yield f"{prefix} {as_json(value)}".lstrip()


def _with_files(text: str, images: list[str], audio: list[str]) -> str:
    names = [*(f"[image: {name}]" for name in images), *(f"[audio: {name}]" for name in audio)]
    return _below(text, names)


def _references(subagents: list[Any]) -> list[str]:
    return [f"[sub-agent: {ref.trajectory_path or ref.trajectory_id}]" for ref in subagents]


def _below(text: str, lines: list[str]) -> str:
    return "\n".join([*([text] if text else []), *lines])
