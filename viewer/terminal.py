"""A terminal's screen, as far as recordings of shells and tmux need one: text, cursor, scrolling, colours as SGR codes.

It draws nothing: rows come out as text with SGR sequences, for the one renderer of terminal output.
"""

import re
from collections.abc import Callable

MAX_COLUMNS = 400
MAX_ROWS = 200
_TOKEN = re.compile(
    r"\x1b\[(?P<private>[?>=!]?)(?P<parameters>[0-9;:]{0,60})[ -/]*(?P<final>[@-~])"
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b(?P<lone>[ -/]{0,3}[0-~])"
    r"|(?P<text>[^\x00-\x1f\x7f]+)"
    r"|(?P<control>[\x00-\x1f\x7f])"
)
_MAX_SGR_CHARS = 80

type _Row = tuple[list[str], list[str]]  # characters, and the SGR parameters of each


class Screen:
    """A screen of `columns` × `rows`; feed it what the program printed, then read its rows."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns = min(MAX_COLUMNS, max(2, columns))
        self.rows = min(MAX_ROWS, max(2, rows))
        self._clear()

    def feed(self, data: str) -> None:
        """Show what was printed; sequences that are not known change nothing."""
        for found in _TOKEN.finditer(data):
            if (text := found["text"]) is not None:
                self._print(text)
            elif (control := found["control"]) is not None:
                self._control(control)
            elif (final := found["final"]) is not None:
                self._sequence(final, found["private"], found["parameters"])
            elif (lone := found["lone"]) is not None:
                self._lone(lone)

    def text(self) -> str:
        """The rows as text with SGR sequences, without blank rows at the end."""
        lines = [_line(characters, styles) for characters, styles in self._lines]
        while lines and not lines[-1]:
            lines.pop()
        return "\n".join(lines)

    def _clear(self) -> None:
        self._lines: list[_Row] = [self._blank() for _ in range(self.rows)]
        self._x = self._y = 0
        self._top, self._bottom = 0, self.rows - 1
        self._sgr = ""
        self._saved = (0, 0, "")

    def _blank(self) -> _Row:
        return [" "] * self.columns, [""] * self.columns

    def _print(self, text: str) -> None:
        while text:
            if self._x >= self.columns:
                self._x = 0
                self._feed_line()
            part = text[: self.columns - self._x]
            characters, styles = self._lines[self._y]
            end = self._x + len(part)
            characters[self._x : end] = part
            styles[self._x : end] = [self._sgr] * len(part)
            self._x = end
            text = text[len(part) :]

    def _control(self, control: str) -> None:
        if control == "\r":
            self._x = 0
        elif control in "\n\v\f":
            self._feed_line()
        elif control == "\b":
            self._x = max(0, min(self._x, self.columns - 1) - 1)
        elif control == "\t":
            self._x = min(self.columns - 1, (self._x // 8 + 1) * 8)

    def _lone(self, lone: str) -> None:
        if lone == "c":
            self._clear()
        elif lone == "7":
            self._saved = (self._x, self._y, self._sgr)
        elif lone == "8":
            self._x, self._y, self._sgr = self._saved
        elif lone in "DE":
            self._x = 0 if lone == "E" else self._x
            self._feed_line()
        elif lone == "M":
            if self._y == self._top:
                self._scroll(-1)
            else:
                self._y = max(0, self._y - 1)

    def _feed_line(self) -> None:
        if self._y == self._bottom:
            self._scroll(1)
        else:
            self._y = min(self.rows - 1, self._y + 1)

    def _scroll(self, n_lines: int) -> None:
        """Move the region's lines up, or down where it is negative."""
        for _ in range(min(abs(n_lines), self.rows)):
            gone, new = (self._top, self._bottom) if n_lines > 0 else (self._bottom, self._top)
            del self._lines[gone]
            self._lines.insert(new, self._blank())

    def _sequence(self, final: str, private: str, parameters: str) -> None:
        if final == "m" and not private:
            self._colour(parameters)
            return
        numbers = [int(part) if part.isdecimal() else 0 for part in re.split("[;:]", parameters[:24])]
        if private == "?" and final in "hl":
            if numbers[0] in (47, 1047, 1049):
                self._clear()
            return
        if not private and final in "ABCDEFGdHfJKX@PLMSTrsu":
            self._act(final, min(10_000, max(1, numbers[0])), numbers)

    def _colour(self, parameters: str) -> None:
        if parameters in ("", "0"):
            self._sgr = ""
        elif parameters.startswith("0;"):
            self._sgr = parameters[2:]
        else:
            self._sgr = f"{self._sgr};{parameters}".strip(";")[-_MAX_SGR_CHARS:].lstrip(";")

    def _move(self, x: int, y: int) -> None:
        self._x, self._y = min(self.columns - 1, max(0, x)), min(self.rows - 1, max(0, y))

    def _erase_line(self, start: int, end: int) -> None:
        characters, styles = self._lines[self._y]
        start, end = max(0, start), min(self.columns, end)
        characters[start:end] = [" "] * max(0, end - start)
        styles[start:end] = [""] * max(0, end - start)

    def _erase_in_line(self, mode: int) -> None:
        self._erase_line(0 if mode else self._x, self._x + 1 if mode == 1 else self.columns)

    def _erase_in_screen(self, mode: int) -> None:
        if mode in (0, 1):
            self._erase_in_line(mode)
        first, last = {0: (self._y + 1, self.rows), 1: (0, self._y)}.get(mode, (0, self.rows))
        for y in range(first, last):
            self._lines[y] = self._blank()

    def _shift(self, n_cells: int) -> None:
        """Insert blank cells at the cursor, or take cells out where it is negative."""
        x, n = min(self._x, self.columns - 1), min(abs(n_cells), self.columns)
        for cells, blank in zip(self._lines[self._y], (" ", ""), strict=True):
            if n_cells > 0:
                cells[x:x] = [blank] * n
                del cells[self.columns :]
            else:
                del cells[x : x + n]
                cells.extend([blank] * (self.columns - len(cells)))

    def _shift_lines(self, n_lines: int) -> None:
        """Insert blank lines at the cursor, or take lines out, within the region."""
        if not self._top <= self._y <= self._bottom:
            return
        top, self._top = self._top, self._y
        self._scroll(n_lines)
        self._top = top

    def _region(self, numbers: list[int]) -> None:
        top = max(1, numbers[0])
        bottom = min(self.rows, numbers[1] if len(numbers) > 1 and numbers[1] else self.rows)
        if top < bottom:
            self._top, self._bottom = top - 1, bottom - 1
            self._x = self._y = 0

    def _save(self) -> None:
        self._saved = (self._x, self._y, self._sgr)

    def _restore(self) -> None:
        self._x, self._y, self._sgr = self._saved

    def _act(self, final: str, n: int, numbers: list[int]) -> None:
        """What each final letter of a control sequence does; `n` counts, a missing one is 1."""
        second = numbers[1] if len(numbers) > 1 else 0
        actions: dict[str, Callable[[], None]] = {
            "A": lambda: self._move(self._x, self._y - n),
            "B": lambda: self._move(self._x, self._y + n),
            "C": lambda: self._move(self._x + n, self._y),
            "D": lambda: self._move(min(self._x, self.columns - 1) - n, self._y),
            "E": lambda: self._move(0, self._y + n),
            "F": lambda: self._move(0, self._y - n),
            "G": lambda: self._move(n - 1, self._y),
            "d": lambda: self._move(self._x, n - 1),
            "H": lambda: self._move(second - 1, n - 1),
            "f": lambda: self._move(second - 1, n - 1),
            "J": lambda: self._erase_in_screen(numbers[0]),
            "K": lambda: self._erase_in_line(numbers[0]),
            "X": lambda: self._erase_line(self._x, self._x + n),
            "@": lambda: self._shift(n),
            "P": lambda: self._shift(-n),
            "L": lambda: self._shift_lines(-n),
            "M": lambda: self._shift_lines(n),
            "S": lambda: self._scroll(n),
            "T": lambda: self._scroll(-n),
            "r": lambda: self._region(numbers),
            "s": self._save,
            "u": self._restore,
        }
        actions[final]()


def _line(characters: list[str], styles: list[str]) -> str:
    text, parts, current = "".join(characters).rstrip(), list[str](), ""
    for position, character in enumerate(text):
        if styles[position] != current:
            current = styles[position]
            parts.append(f"\x1b[0;{current}m" if current else "\x1b[0m")
        parts.append(character)
    return "".join([*parts, "\x1b[0m"] if current else parts)
