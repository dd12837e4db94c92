"""Files that calls read and change: numbered lines as tools print them, and edits as diffs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runs.calls.edits import Change, EditKind, FileEdit
from runs.formats.reading import JsonInvalid, parse_json
from viewer.cards.model import EMPTY, Block, Limits, code_block, diff_block
from viewer.patches import read_patch
from viewer.rendering.code import language_of
from viewer.rendering.diffs import DiffLine, counts, line_diff, lines_of, with_gaps

# `  12→text` and `12<tab>text` (Claude Code, OpenHands), `12: text` and `00012| text` (OpenCode), `12:text`.
_NUMBERED = re.compile(r"[ \t]{0,8}(\d{1,7})(?:→|\t|: ?|\| ?)(.*)", re.S)
_FRAME = re.compile(r"\A(?:<path>[^\n]*\n<type>[^\n]*\n)?<(content|file)>\n(.*?)\n?(?:\n\([^\n]*\)\n)?</\1>\s*\Z", re.S)
_NOTICE = re.compile(r"\s*(?:\[|<|\(|error|file (?:not|does)|no such|cannot|failed|important:|successfully)", re.I)
# Printing one file and nothing else, as agents without a tool for it do.
_PRINTS = re.compile(
    r"""(?:cd\s+\S+\s*&&\s*)?(?:
        (?P<nl>nl\s+-ba|cat\s+-n)\s+(?P<a>[\w./@+-]+)
      | cat\s+(?P<b>[\w./@+-]+)
      | head\s+(?:-n\s*)?-?\d+\s+(?P<c>[\w./@+-]+)
      | sed\s+-n\s+['"]?(?P<start>\d{1,7}),\s*(?:\d+|\$)p['"]?\s+(?P<d>[\w./@+-]+)
    )\s*""",
    re.X,
)
_DIFFS = re.compile(r"(?:cd\s+\S+\s*&&\s*)?git\s+(?:--no-pager\s+|-C\s+\S+\s+)*diff(?:\s[^;&|\n]*)?")
# How the lines of a diff begin. One that begins otherwise, as where an agent cut the output, is no line of it.
_OF_DIFF = re.compile(
    r"[ +\-\\]|@@ |\Z|"
    r"(?:diff|index|similarity|dissimilarity|rename|copy|old mode|new mode|new file|deleted file|Binary) "
)
_ACTIONS = {"LINE_ACTION_NONE": " ", "LINE_ACTION_INSERT": "+", "LINE_ACTION_DELETE": "-"}
MAX_DIFF_CHARS = 400_000
# The argument of a reading call that says where it begins, as tools spell it.
STARTS = ("offset", "start_line", "line_start", "startLine")


@dataclass(frozen=True, slots=True)
class Changes:
    """The edits of one call, drawn, with how many lines they add and remove."""

    blocks: tuple[Block, ...]
    n_added: int
    n_removed: int


def file_block(text: str, path: str, limits: Limits, *, start: int | None) -> Block:
    """What a tool says is in a file. `start`: the number of the first line, where the call tells it."""
    framed = _FRAME.match(text) if text.startswith("<") else None
    body = framed[2] if framed else text
    numbers, lines = numbered_lines(body)
    if numbers:
        return code_block("\n".join(lines), language_of(path), limits, start=numbers[0])
    if start is None or _NOTICE.match(body):
        return code_block(body, language_of(path) if not _NOTICE.match(body) else "", limits)
    body = body.removesuffix("\n")
    return code_block(body, language_of(path), limits, start=start)


def numbered_lines(text: str) -> tuple[list[int], list[str]]:
    """The numbers and the texts of lines that a tool has numbered; nothing where it hasn't, or not all in one order."""
    rows = text.removesuffix("\n").split("\n")
    # A line before the numbers says what they are of; lines after them are remarks for the model.
    first = next((n for n, row in enumerate(rows[:3]) if _NUMBERED.fullmatch(row)), None)
    if first is None:
        return [], []
    numbers: list[int] = []
    lines: list[str] = []
    for row in rows[first:]:
        found = _NUMBERED.fullmatch(row)
        if not found or (numbers and int(found[1]) != numbers[-1] + 1):
            break
        numbers.append(int(found[1]))
        lines.append(found[2])
    is_all = len(numbers) * 5 >= (len(rows) - first) * 4
    return (numbers, lines) if is_all else ([], [])


def start_of(arguments: Mapping[str, Any]) -> int:
    """The first line that a reading call asked for, from 1."""
    for key in STARTS:
        value = arguments.get(key)
        if isinstance(value, int) and 0 <= value < 10**7:
            return max(1, value)
    span = arguments.get("view_range")
    if isinstance(span, list) and span and isinstance(span[0], int) and 0 < span[0] < 10**7:
        return span[0]
    return 1


def printed_file(command: str) -> tuple[str, int | None] | None:
    """The file that a command line prints, and the number of the first line it prints; None for other commands."""
    found = _PRINTS.fullmatch(command) if len(command) < 500 else None
    if not found:
        return None
    path = found["a"] or found["b"] or found["c"] or found["d"]
    return path, int(found["start"]) if found["start"] else 1


def printed_diff(command: str, text: str, limits: Limits) -> list[Block]:
    """The files of a diff, where a command line prints one and nothing else."""
    if not text.startswith("diff --git ") or len(command) > 500 or not _DIFFS.fullmatch(command.strip()):
        return []
    if len(text) > MAX_DIFF_CHARS or not all(_OF_DIFF.match(line) for line in text.split("\n")):
        return []
    patch = read_patch(text)
    blocks: list[Block] = []
    for file in patch.files[: limits.n_parts]:
        lines: list[DiffLine] = []
        for hunk in file.hunks:
            lines += [*([DiffLine("@", hunk.heading)] if hunk.heading or lines else []), *hunk.lines]
        note = f"+{file.n_added} −{file.n_removed}" + ("" if file.status == "changed" else f" {file.status}")
        note += f", {file.n_left_out:,} lines left out" if file.n_left_out else ""
        blocks.append(diff_block(lines, limits, label=file.path, note=note))
    if len(patch.files) > limits.n_parts:
        blocks.append(Block("diff", EMPTY, missing=f"{len(patch.files) - limits.n_parts} files"))
    return blocks


def drawn_changes(edits: Sequence[FileEdit], result: str | None, limits: Limits) -> Changes:
    """The edits as diffs, and what is written whole as a file. What is only touched is left out."""
    known = [edit for edit in edits if edit.kind is not EditKind.TOUCH]
    blocks: list[Block] = []
    n_added = n_removed = 0
    for edit in known[: limits.n_parts]:
        label = edit.path if len(known) > 1 else ""
        block, added, removed = _drawn(edit, result, label, limits)
        n_added, n_removed = n_added + added, n_removed + removed
        blocks.append(block)
    if len(known) > limits.n_parts:
        blocks.append(Block("diff", EMPTY, EMPTY, f"{len(known) - limits.n_parts} files"))
    return Changes(tuple(blocks), n_added, n_removed)


def _drawn(edit: FileEdit, result: str | None, label: str, limits: Limits) -> tuple[Block, int, int]:
    if edit.kind is EditKind.DELETE:
        return Block("diff", EMPTY, label=label, note="deleted"), 0, 0
    if edit.kind is EditKind.REPLACE:
        lines = _diff_of(edit, result)
        note = f"moved to {edit.moved_to}" if edit.moved_to else ""
        note = "everywhere in the file" if any(change.is_everywhere for change in edit.changes) else note
        return diff_block(lines, limits, label=label, note=note), *counts(lines)
    n_lines = len(lines_of(edit.content)) if edit.content else 0
    first = edit.line + 1 if edit.kind is EditKind.INSERT else int(edit.kind is EditKind.WRITE)
    text = edit.content.removesuffix("\n")
    block = code_block(text, language_of(edit.path), limits, start=first, label=label, style="code written")
    return block, n_lines, 0


def _diff_of(edit: FileEdit, result: str | None) -> list[DiffLine]:
    lines: list[DiffLine] = []
    left = MAX_DIFF_CHARS
    numbers, texts = numbered_lines(_snippet(result)) if result and len(edit.changes) == 1 else ([], [])
    for change in edit.changes:
        left -= len(change.old) + len(change.new)
        if lines:
            lines.append(DiffLine("@", ""))
        if left < 0:
            lines.append(DiffLine("@", "the rest is too long to be compared here"))
            break
        start = _place_of(change, numbers, texts)
        lines += line_diff(change.old, change.new, old_start=start, new_start=start)
    return lines


def _snippet(result: str) -> str:
    """The part of an editor's answer that has the file's new lines, with their numbers."""
    rows = result[:20_000].split("\n")
    first = next((n for n, row in enumerate(rows[:6]) if _NUMBERED.fullmatch(row)), len(rows))
    last = first
    while last < len(rows) and _NUMBERED.fullmatch(rows[last]):
        last += 1
    return "\n".join(rows[first:last])


def _place_of(change: Change, numbers: Sequence[int], texts: Sequence[str]) -> int | None:
    """The line at which the change begins, found by what it put there."""
    wanted = change.new.removesuffix("\n").split("\n")
    if not numbers or not any(line.strip() for line in wanted):
        return None
    for n in range(len(texts) - len(wanted) + 1):
        there = texts[n : n + len(wanted)]
        if all(line in text for line, text in zip(wanted, there, strict=True)):
            return numbers[n]
    return None


def told_diff(result: str | None) -> list[DiffLine]:
    """The diff that an editor's answer holds as data (Antigravity); empty where it holds none."""
    if not result or not result.startswith('{"diff_block"') or len(result) > MAX_DIFF_CHARS:
        return []
    try:
        parsed = parse_json(result, lenient=True)
    except (JsonInvalid, ValueError):
        return []
    hunks = parsed.get("diff_block") if isinstance(parsed, dict) else None
    lines: list[DiffLine] = []
    for hunk in hunks if isinstance(hunks, list) else []:
        if isinstance(hunk, dict):
            lines += _told_lines(hunk)
    return with_gaps(lines, 3)


def _told_lines(hunk: Mapping[str, Any]) -> list[DiffLine]:
    start, rows = hunk.get("start_line"), hunk.get("lines")
    old = new = start + 1 if isinstance(start, int) and 0 <= start < 10**7 else 1
    found: list[DiffLine] = []
    for row in rows if isinstance(rows, list) else []:
        text = row.get("text") if isinstance(row, dict) else None
        sign = _ACTIONS.get(str(row.get("action")), " ") if isinstance(row, dict) else " "
        if not isinstance(text, str):
            continue
        shown = "\n".join(lines_of(text)) or ""
        found.append(DiffLine(sign, shown, old if sign != "+" else None, new if sign != "-" else None))
        old, new = old + (sign != "+"), new + (sign != "-")
    return found
