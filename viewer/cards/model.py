"""The parts that cards are made of. Texts in them are HTML of viewer.rendering, or plain: templates escape those."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString, mark_safe

from viewer.rendering.code import highlighted_lines
from viewer.rendering.cutting import Cut, cut
from viewer.rendering.diffs import DiffLine, diff_html
from viewer.rendering.markdown import markdown_html
from viewer.rendering.sgr import terminal_html

EMPTY = SafeString("")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of each part of a step is shown."""

    message_chars: int
    output_chars: int
    output_lines: int
    file_lines: int  # of files and diffs
    n_parts: int  # calls, arguments of a call, observations, images, files of a patch


TIGHT = Limits(message_chars=4_000, output_chars=600, output_lines=12, file_lines=12, n_parts=10)
IN_WINDOW = Limits(message_chars=8_000, output_chars=2_000, output_lines=20, file_lines=24, n_parts=40)
ALONE = Limits(message_chars=200_000, output_chars=200_000, output_lines=4_000, file_lines=4_000, n_parts=400)


@dataclass(frozen=True, slots=True)
class Block:
    """A text of a card, cut in the middle where it is long. `style` is its class: output, code, diff, command, prose.

    A folded block is closed at first, under its label.
    """

    style: str
    html: SafeString
    tail: SafeString = EMPTY
    missing: str = ""
    label: str = ""
    note: str = ""
    is_folded: bool = False
    start: int = 0  # the number of the first line, where lines are numbered
    tail_start: int = 0

    @property
    def n_bytes(self) -> int:
        """About how much HTML it makes."""
        return len(self.html) + len(self.tail) + len(self.label) + 150


@dataclass(frozen=True, slots=True)
class Fact:
    """A short remark at the end of a card's first line, such as an exit code; a tone colours it."""

    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Todo:
    """One item of a todo list; `state` is done, doing, dropped or open."""

    text: str
    state: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image that a step names. `file` is its path in the trial directory, empty where it isn't among its files."""

    name: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class Subagent:
    """A delegated run as a step names it; where the trial has its trajectory, that and its first and last words."""

    name: str
    trajectory_pk: int | None
    n_steps: int = 0
    first: str = ""
    last: str = ""
    first_number: int = 0
    last_number: int = 0


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a call; a block is shown under its name, not beside it."""

    name: str
    text: str
    block: Block | None = None


@dataclass(frozen=True, slots=True)
class CallCard:
    """One tool call and what came back. `kind` says which card it is, `title` what the call is about."""

    kind: str
    name: str
    title: str = ""
    note: str = ""
    facts: tuple[Fact, ...] = ()
    arguments: tuple[Argument, ...] = ()
    blocks: tuple[Block, ...] = ()
    todos: tuple[Todo, ...] = ()
    result: Block | None = None
    more_results: tuple[Block, ...] = ()
    is_error: bool = False
    images: tuple[Image, ...] = ()
    subagents: tuple[Subagent, ...] = ()

    @property
    def n_bytes(self) -> int:
        """About how much HTML it makes."""
        blocks = [*self.blocks, *([self.result] if self.result else []), *self.more_results]
        given = sum(argument.block.n_bytes if argument.block else len(argument.text) for argument in self.arguments)
        rest = sum(len(todo.text) + 60 for todo in self.todos) + 300 * (len(self.images) + len(self.subagents))
        return sum(block.n_bytes for block in blocks) + given + rest + len(self.title) + 400


def _cut(text: str, max_chars: int, max_lines: int = 10_000) -> Cut:
    """The text within limits. What is only a little longer stays whole: to leave out three lines helps nobody."""
    if len(text) <= max_chars * 5 // 4 and text.count("\n") < max_lines * 5 // 4:
        return Cut(text)
    return cut(text, max_chars=max_chars, max_lines=max_lines)


def output_block(text: str, limits: Limits, *, label: str = "", is_folded: bool = False) -> Block:
    """What a program printed, with its colours."""
    part = _cut(text, limits.output_chars, limits.output_lines)
    head, tail = terminal_html(part.head), terminal_html(part.tail) if part.tail else EMPTY
    return Block("output", head, tail, _missing(text, part), label, is_folded=is_folded)


def command_block(text: str, limits: Limits) -> Block:
    """A command line that needs room of its own."""
    block = output_block(text, limits)
    return Block("command", block.html, block.tail, block.missing)


def prose_block(text: str, limits: Limits, *, label: str = "", is_folded: bool = False) -> Block:
    """Markdown."""
    part = _cut(text, limits.message_chars)
    head, tail = markdown_html(part.head), markdown_html(part.tail) if part.tail else EMPTY
    return Block("prose", head, tail, _missing(text, part), label, is_folded=is_folded)


def code_block(
    text: str, language: str, limits: Limits, *, start: int = 0, label: str = "", style: str = "code"
) -> Block:
    """Lines of a file: highlighted, and numbered from `start`, where that isn't 0."""
    part = _cut(text, 2 * limits.output_chars, limits.file_lines)
    head = highlighted_lines(part.head, language)
    tail = highlighted_lines(part.tail, language) if part.tail else []
    n_lines = text.count("\n") + 1
    # A cut inside one long line leaves parts of a line, which have no numbers of their own.
    is_numbered = start > 0 and len(head) + len(tail) <= n_lines
    return Block(
        style,
        _code_html(head, is_numbered=is_numbered),
        _code_html(tail, is_numbered=is_numbered),
        _missing(text, part),
        label,
        start=start if is_numbered else 0,
        tail_start=start + n_lines - len(tail) if is_numbered and tail else 0,
    )


def _code_html(lines: list[str], *, is_numbered: bool) -> SafeString:
    html = "".join(f"<li>{line}" for line in lines) if is_numbered else "\n".join(lines)
    return mark_safe(html)  # noqa: S308 - lines are highlighted_lines' output


def diff_block(lines: Sequence[DiffLine], limits: Limits, *, label: str = "", note: str = "") -> Block:
    """The lines of a diff."""
    most, chars, kept = limits.file_lines, 3 * limits.output_chars, 0
    for line in lines[:most]:
        chars -= len(line.text)
        if chars < 0 and kept:
            break
        kept += 1
    missing = f"{len(lines) - kept:,} lines" if kept < len(lines) else ""
    shown = [_shortened(line, limits.output_chars) for line in lines[:kept]]
    return Block("diff", diff_html(shown), EMPTY, missing, label, note)


def _shortened(line: DiffLine, most: int) -> DiffLine:
    if len(line.text) <= most:
        return line
    return DiffLine(line.sign, f"{line.text[:most]} …", line.old, line.new)


def _missing(text: str, part: Cut) -> str:
    """How much of a text is cut out: in lines where it is lines."""
    n_lines = text.count("\n") - part.head.count("\n") - part.tail.count("\n") - 1
    if n_lines > 1:
        return f"{n_lines:,} lines"
    return f"{part.missing_chars:,} characters" if part.missing_chars else ""
