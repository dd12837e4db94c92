"""Two texts as the lines of a diff with context, line numbers where they are known, and marks inside changed lines."""

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from viewer.rendering.marks import with_marks

CONTEXT_LINES = 3
# Comparing is worse than linear in how often the same lines recur; above these, old is followed by new.
MAX_LINES = 2_000
MAX_PAIRS = 20_000
# Inside longer lines nothing is marked: the words that differ would not be found by eye either.
MAX_WORDS = 80
MIN_LIKENESS = 0.3
_WORD = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line: its sign (`+`, `-`, a space, or `@` for lines left out), numbers in both files, and spans to mark."""

    sign: str
    text: str
    old: int | None = None
    new: int | None = None
    marks: tuple[tuple[int, int], ...] = ()


def line_diff(
    old: str, new: str, *, old_start: int | None = None, new_start: int | None = None, context: int = CONTEXT_LINES
) -> list[DiffLine]:
    """How `old` becomes `new`. The starts are the numbers of the first lines, where they are known."""
    before, after = lines_of(old), lines_of(new)
    if before == after:
        return [DiffLine("@", "nothing changes")]
    found: list[DiffLine] = []
    for tag, i, i_end, j, j_end in _opcodes(before, after):
        if tag == "equal":
            found += [
                DiffLine(" ", text, _plus(old_start, i + n), _plus(new_start, j + n))
                for n, text in enumerate(before[i:i_end])
            ]
        else:
            found += _changed(before[i:i_end], after[j:j_end], _plus(old_start, i), _plus(new_start, j))
    return with_gaps(found, context)


def lines_of(text: str) -> list[str]:
    """The lines of a text; a line break at its end starts no line."""
    lines = with_marks(text).split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def counts(lines: Sequence[DiffLine]) -> tuple[int, int]:
    """How many lines were added and removed."""
    return sum(line.sign == "+" for line in lines), sum(line.sign == "-" for line in lines)


def diff_html(lines: Sequence[DiffLine]) -> SafeString:
    """The lines as they stand in a `pre.diff`: one element a line, numbers as data, changed words in `mark`."""
    html = "".join(_line_html(line) for line in lines)
    return mark_safe(html)  # noqa: S308 - every text went through escape() in _line_html


_ELEMENTS = {"+": "ins", "-": "del", " ": "span", "@": "i"}


def _line_html(line: DiffLine) -> str:
    element = _ELEMENTS.get(line.sign, "span")
    numbers = "".join(
        f' data-{name}="{number}"' for name, number in (("old", line.old), ("new", line.new)) if number is not None
    )
    return f"<{element}{numbers}>{_marked(line)}\n</{element}>"


def _marked(line: DiffLine) -> str:
    parts: list[str] = []
    position = 0
    for start, end in line.marks:
        parts += [escape(line.text[position:start]), "<mark>", escape(line.text[start:end]), "</mark>"]
        position = end
    return "".join([*parts, escape(line.text[position:])])


def _plus(start: int | None, offset: int) -> int | None:
    return None if start is None else start + offset


type _Opcode = tuple[str, int, int, int, int]


def _opcodes(before: list[str], after: list[str]) -> list[_Opcode]:
    """difflib's, over what is left when the lines that both begin and end with are taken off."""
    head = _common(before, after)
    tail = _common(before[head:][::-1], after[head:][::-1])
    i_end, j_end = len(before) - tail, len(after) - tail
    middle_before, middle_after = before[head:i_end], after[head:j_end]
    found: list[_Opcode] = [("equal", 0, head, 0, head)] if head else []
    if middle_before or middle_after:
        if _is_too_much(middle_before, middle_after):
            found.append(("replace", head, i_end, head, j_end))
        else:
            matcher = difflib.SequenceMatcher(None, middle_before, middle_after, autojunk=False)
            found += [(tag, i + head, k + head, j + head, m + head) for tag, i, k, j, m in matcher.get_opcodes()]
    if tail:
        found.append(("equal", i_end, len(before), j_end, len(after)))
    return found


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    length = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        length += 1
    return length


def _is_too_much(before: list[str], after: list[str]) -> bool:
    if max(len(before), len(after)) > MAX_LINES:
        return True
    recurring = Counter(after)
    return sum(n * recurring[line] for line, n in Counter(before).items()) > MAX_PAIRS


def _changed(removed: list[str], added: list[str], old: int | None, new: int | None) -> Iterator[DiffLine]:
    """Removed lines, then added ones; where the n-th of each are alike, what differs between them is marked."""
    pairs = [
        _marks(left, right) if left is not None and right is not None else ((), ())
        for left, right in zip_longest(removed[:100], added[:100])
    ]
    for n, text in enumerate(removed):
        yield DiffLine("-", text, old=_plus(old, n), marks=pairs[n][0] if n < len(pairs) else ())
    for n, text in enumerate(added):
        yield DiffLine("+", text, new=_plus(new, n), marks=pairs[n][1] if n < len(pairs) else ())


type _Spans = tuple[tuple[int, int], ...]


def _marks(left: str, right: str) -> tuple[_Spans, _Spans]:
    """The spans of both lines that differ; none where the lines have little in common."""
    if len(left) > 8 * MAX_WORDS or len(right) > 8 * MAX_WORDS:
        return (), ()
    before, after = _WORD.findall(left), _WORD.findall(right)
    if max(len(before), len(after)) > MAX_WORDS:
        return (), ()
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    blocks = matcher.get_matching_blocks()
    alike = sum(len(word.strip()) for i, _, n in blocks for word in before[i : i + n])
    if alike < MIN_LIKENESS * max(len(left.strip()), len(right.strip())):
        return (), ()
    return _gaps(before, [(i, n) for i, _, n in blocks]), _gaps(after, [(j, n) for _, j, n in blocks])


def _gaps(words: list[str], blocks: list[tuple[int, int]]) -> _Spans:
    """The stretches of a line between matching blocks of words, in characters."""
    starts = [0]
    for word in words:
        starts.append(starts[-1] + len(word))
    spans: list[tuple[int, int]] = []
    position = 0
    for start, length in blocks:
        if start > position:
            spans.append((starts[position], starts[start]))
        position = start + length
    return tuple(spans)


def with_gaps(lines: list[DiffLine], context: int) -> list[DiffLine]:
    """The changed lines with `context` around them; what is left out between them is one line that says how much."""
    keep = [False] * len(lines)
    for n, line in enumerate(lines):
        if line.sign != " ":
            first, last = max(0, n - context), min(len(lines), n + context + 1)
            keep[first:last] = [True] * (last - first)
    found: list[DiffLine] = []
    n_left_out = 0
    for line, is_kept in zip(lines, keep, strict=True):
        if not is_kept:
            n_left_out += 1
            continue
        found += _gap(n_left_out)
        n_left_out = 0
        found.append(line)
    return [*found, *_gap(n_left_out)]


def _gap(n_lines: int) -> list[DiffLine]:
    return [DiffLine("@", f"{n_lines} unchanged line{'s' if n_lines > 1 else ''}")] if n_lines else []
