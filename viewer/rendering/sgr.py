"""Terminal output as HTML: SGR colours become classes, every other escape sequence is dropped, the rest is escaped."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from viewer.rendering.marks import with_marks

# CSI sequences, OSC and other strings up to their terminator (or the end of a line, for torn ones), then lone escapes.
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)([0-?]*)[ -/]*([@-~])"
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\|(?=[\x1b\n])|\Z)"
    r"|\x1b[ -/]*[0-~]?"
)
_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_FLAGS = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike"}
_FLAGS_OFF = {22: ("bold", "dim"), 23: ("italic",), 24: ("underline",), 27: ("inverse",), 29: ("strike",)}


MAX_HTML_CHARS = 400_000


@dataclass(frozen=True, slots=True)
class Style:
    """What the terminal is set to: a foreground and a background colour by name, and flags."""

    colour: str = ""
    background: str = ""
    flags: frozenset[str] = frozenset()

    @property
    def classes(self) -> str:
        """The CSS classes for it, in a fixed order."""
        names = [self.colour, f"on-{self.background}" if self.background else "", *sorted(self.flags)]
        return " ".join(f"ansi-{name}" for name in names if name)


def _nearest(red: int, green: int, blue: int) -> str:
    """The named colour that is meant by an RGB triple: themes decide how it looks."""
    strongest = max(red, green, blue)
    if strongest < 48:
        return "black"
    bits = sum(bit for bit, part in ((1, red), (2, green), (4, blue)) if part * 2 > strongest)
    return _COLOURS[bits]


def _from_palette(number: int) -> str:
    if number < 16:
        return _COLOURS[number % 8]
    if number < 232:
        cube = number - 16
        return _nearest(cube // 36 * 51, cube // 6 % 6 * 51, cube % 6 * 51)
    return "black" if number < 244 else "white"


def _extended(codes: Iterator[int]) -> str:
    """The colour after a 38 or 48; what is torn is no colour."""
    kind = next(codes, -1)
    if kind == 5:
        return _from_palette(min(next(codes, 0), 255))
    if kind == 2:
        return _nearest(next(codes, 0), next(codes, 0), next(codes, 0))
    return ""


def _basic(code: int) -> str:
    """The colour of 30-37, 40-47 and their bright kin; none for 39 and 49, the defaults."""
    return _COLOURS[code % 10] if code % 10 < 8 else ""


def _applied(style: Style, code: int, rest: Iterator[int]) -> Style:
    if code == 0:
        return Style()
    if code in _FLAGS:
        return replace(style, flags=style.flags | {_FLAGS[code]})
    if code in _FLAGS_OFF:
        return replace(style, flags=style.flags - set(_FLAGS_OFF[code]))
    if 30 <= code <= 39 or 90 <= code <= 97:
        return replace(style, colour=_extended(rest) if code == 38 else _basic(code))
    if 40 <= code <= 49 or 100 <= code <= 107:
        return replace(style, background=_extended(rest) if code == 48 else _basic(code))
    return style


def _after(style: Style, parameters: str) -> Style:
    # Numbers of more than three digits mean nothing; int() of a very long one would be slow or refused.
    parts = re.split("[;:]", parameters)[:32]
    codes = iter([int(part) if part.isdecimal() and len(part) < 4 else 0 for part in parts])
    for code in codes:
        style = _applied(style, code, codes)
    return style


def terminal_html(text: str) -> SafeString:
    """`text` as terminal output: escaped, coloured by spans of `ansi-…` classes, unseen characters as marks.

    Colours can make a text twenty times longer; above MAX_HTML_CHARS the rest is left out, with a mark.
    """
    style = Style()
    parts: list[str] = []
    length = position = 0
    for found in _ESCAPE.finditer(text):
        parts.append(_span(style, text[position : found.start()]))
        position = found.end()
        length += len(parts[-1])
        if length > MAX_HTML_CHARS:
            break
        if found.group(2) == "m" and not found.group(1).startswith(("?", ">", "<", "=")):
            style = _after(style, found.group(1))
    else:
        parts.append(_span(style, text[position:]))
    html = "".join(parts)
    if len(html) > MAX_HTML_CHARS:
        html = _shortened(html)
    return mark_safe(html)  # noqa: S308 - each part went through escape() in _span


def _shortened(html: str) -> str:
    """The beginning of `html`, ended where no tag and no character reference is open."""
    head = html[:MAX_HTML_CHARS]
    head = head[: head.rfind("<")] if head.rfind("<") > head.rfind(">") else head
    head = head[: head.rfind("&")] if head.rfind("&") > head.rfind(";") else head
    is_open = head.rfind("<span") > head.rfind("</span")
    return f"{head}{'</span>' if is_open else ''}\n[… the rest is left out here …]"


def _span(style: Style, text: str) -> str:
    if not text:
        return ""
    shown = escape(with_marks(text))
    return f'<span class="{style.classes}">{shown}</span>' if style.classes else shown
