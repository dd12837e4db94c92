"""The simple commands of a shell text with their lines: enough to see what is installed or fetched.

It reads quotes, comments, continuations, redirections and here-documents; nothing is expanded and nothing is run.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(
    r"""
      (?P<space>(?:[ \t\r]|\\\r?\n)++)
    | (?P<comment>\#[^\n]*+)
    | (?P<heredoc><<-?[ \t]*+(?P<quote>['"]?)(?P<end>\w++)(?P=quote))
    | (?P<redirect>&>{1,2}|[0-9]?[<>]{1,3}(?:&[0-9-]++)?)
    | (?P<separator>&&|\|\||;;|[;&|\n()])
    | (?P<word>(?:\\.|'[^']*+'|"(?:[^"\\]|\\.)*+"|\$\{[^}\n]{0,200}+\}|[^\s;&|()<>'"\\])++)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENING: Final = frozenset({"if", "for", "while", "until", "case"})
_CLOSING: Final = frozenset({"fi", "done", "esac"})
_CONDITION: Final = frozenset({"if", "elif", "while", "until", "!"})
_BLOCKS: Final = _OPENING | _CLOSING
_LEADING: Final = _CONDITION | {"then", "else", "do", "{", "time", "sudo", "exec", "command", "env", "nohup"}
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*+\+?=", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Command:
    """The words of one simple command without quotes, and the line on which it begins.

    `is_certain` is false for one that runs only under a condition, or whose failure is dealt with.
    """

    line: int
    words: tuple[str, ...]
    is_certain: bool


def commands_of(text: str, *, first_line: int = 1) -> Iterator[Command]:
    """The commands of a text in their order; `first_line` is the number of its first line."""
    reader = _Reader(text, first_line)
    yield from reader.read()


class _Reader:
    """One pass over a text. `depth` counts the compound commands that are open."""

    def __init__(self, text: str, line: int) -> None:
        self.text = text
        self.line = line
        self.depth = 0
        self.words: list[str] = []
        self.began = line
        self.before = ""
        self.ends_of_heredocs: list[str] = []

    def read(self) -> Iterator[Command]:
        position, skips_target = 0, False
        while token := _TOKEN.match(self.text, position):
            kind, position = token.lastgroup, token.end()
            kind = "heredoc" if token["heredoc"] else kind
            if kind == "separator":
                yield from self._finish(token[0])
                skips_target = False
            elif kind == "heredoc":
                self.ends_of_heredocs.append(token["end"])
            elif kind == "redirect":
                skips_target = "&" not in token[0][1:]
            elif kind == "word" and skips_target:
                skips_target = False
            elif kind == "word":
                self.began = self.began if self.words else self.line
                self.words.append(token[0])
            self.line += token[0].count("\n")
            if token[0] == "\n":
                position = self._skip_heredocs(position)
        yield from self._finish("")

    def _finish(self, separator: str) -> Iterator[Command]:
        words, self.words = self.words, []
        start, is_condition = 0, False
        for word in words:
            if not (word in _LEADING or word in _BLOCKS or _ASSIGNMENT.match(word)):
                break
            start += 1
            self.depth += (word in _OPENING) - (word in _CLOSING)
            is_condition = is_condition or word in _CONDITION
        if words[start:]:
            certain = self.depth <= 0 and not is_condition and "||" not in (self.before, separator)
            yield Command(self.began, tuple(map(_unquoted, words[start:])), certain)
        if words or separator in ("||", "&&", ";"):
            self.before = separator

    def _skip_heredocs(self, position: int) -> int:
        for end in self.ends_of_heredocs:
            closing = re.compile(rf"^[ \t]*{re.escape(end)}[ \t]*$", re.MULTILINE).search(self.text, position)
            stop = closing.end() if closing else len(self.text)
            self.line += self.text.count("\n", position, stop)
            position = stop
        self.ends_of_heredocs.clear()
        return position


def _unquoted(word: str) -> str:
    return _ESCAPED.sub(r"\1", word.replace("'", "").replace('"', ""))
