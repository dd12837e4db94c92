"""On which line of a TOML text a key stands: the standard parser does not tell.

A scan by lines, good enough to point at a place; it never fails, and what a key means is nothing to it.
"""

import re
from typing import Final

_PART: Final = r"""(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')"""
_DOTTED: Final = rf"{_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{0,32}}+"
_HEADER: Final = re.compile(rf"[ \t]*+(\[\[?+)[ \t]*+({_DOTTED})[ \t]*+\]")
_KEY: Final = re.compile(rf"[ \t]*+({_DOTTED})[ \t]*+=[ \t]*+")
_PARTS: Final = re.compile(_PART)
_LONG_QUOTES: Final = re.compile(r'"""|' + "'''")
_LAST_STEP: Final = re.compile(r"(?:\.[^.\[\]]+|\[\d+\]|^[^.\[\]]+)$")


class TomlLines:
    """The places of the keys of one text; paths are written as in `environment.cpus` and `steps[0].verifier`."""

    def __init__(self, text: str) -> None:
        self._lines: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._scan(text)

    def line_of(self, path: str) -> int | None:
        """The line of a key, or of the nearest table around it; None where nothing of it is there."""
        while path:
            if path in self._lines:
                return self._lines[path]
            shorter = _LAST_STEP.sub("", path)
            path = shorter if shorter != path else ""
        return None

    def has(self, path: str) -> bool:
        """Whether the key itself is written there."""
        return path in self._lines

    def _scan(self, text: str) -> None:
        table, quotes = "", ""
        for number, line in enumerate(text.split("\n"), start=1):
            if quotes:
                quotes = "" if quotes in line else quotes
                continue
            if header := _HEADER.match(line):
                table = self._enter(header[2], is_array=header[1] == "[[")
                self._lines.setdefault(table, number)
            elif key := _KEY.match(line):
                path = ".".join(filter(None, [table, *_parts(key[1])]))
                self._lines.setdefault(path, number)
                quotes = _left_open(line[key.end() :])

    def _enter(self, dotted: str, *, is_array: bool) -> str:
        """The path of a table: one inside an array of tables belongs to the last entry so far."""
        parts = _parts(dotted)
        path = ""
        for number, part in enumerate(parts, start=1):
            path = f"{path}.{part}" if path else part
            if is_array and number == len(parts):
                self._counts[path] = self._counts.get(path, 0) + 1
            if path in self._counts:
                path = f"{path}[{self._counts[path] - 1}]"
        return path


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PARTS.findall(dotted)]


def _left_open(value: str) -> str:
    """The long quotes that a value opens and does not close on its line."""
    opening = _LONG_QUOTES.match(value)
    return opening[0] if opening and opening[0] not in value[3:] else ""
