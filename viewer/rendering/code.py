"""Program text as highlighted lines: Pygments by file name, in a handful of classes, with caps on size and time.

What is too long, too slow or of no known kind comes out as plain escaped lines: colours are a help, never needed.
"""

import re
import time
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache

from django.utils.html import escape
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Name, Number, String, _TokenType
from pygments.util import ClassNotFound

from viewer.rendering.marks import with_marks

# One text of more is shown plain: a page would spend more time on its colours than on all the rest.
MAX_CHARS = 8_000
# Lines of minified files hold nothing for people, and are what lexers are slowest at.
_LONG_LINE = re.compile(r"[^\n]{400}")
# A lexer that is slow all along is stopped; the rest of the text stays plain.
MAX_SEC = 0.03
# Long runs of blanks, and of words with nothing between them, are where lexers of C-like languages try every split.
_SLOW = re.compile(r"\s{120}|(?:\w{1,60}\s{1,60}){50}")

# The one list of what is highlighted: a lexer that is guessed may be any of six hundred, some of them very slow.
_LEXERS: Mapping[str, str] = {
    "bash": "bash", "c": "c", "cc": "cpp", "cpp": "cpp", "cs": "csharp", "css": "css", "cxx": "cpp", "dart": "dart",
    "dockerfile": "docker", "ex": "elixir", "exs": "elixir", "go": "go", "h": "cpp", "hpp": "cpp", "hs": "haskell",
    "htm": "html", "html": "html", "ini": "ini", "java": "java", "javascript": "javascript", "js": "javascript",
    "json": "json", "jsx": "javascript", "kt": "kotlin", "lua": "lua", "makefile": "make", "mjs": "javascript",
    "ml": "ocaml", "php": "php", "pl": "perl", "proto": "protobuf", "py": "python", "pyi": "python",
    "python": "python", "r": "r", "rb": "ruby", "rs": "rust", "ruby": "ruby", "rust": "rust", "scala": "scala",
    "scss": "scss", "sh": "bash", "shell": "bash", "sql": "sql", "svelte": "html", "swift": "swift", "toml": "toml",
    "ts": "typescript", "tsx": "typescript", "typescript": "typescript", "vue": "html", "xml": "xml", "yaml": "yaml",
    "yml": "yaml", "zig": "zig", "zsh": "bash",
}  # fmt: skip
# Few classes mean few elements: names and punctuation, most of a program, stay bare text.
_CLASSES: tuple[tuple[_TokenType, str], ...] = (
    (Comment.Preproc, "k"),
    (Comment, "c"),
    (String, "s"),
    (Number, "m"),
    (Keyword, "k"),
    (Name.Function, "f"),
    (Name.Class, "f"),
    (Name.Decorator, "f"),
    (Name.Tag, "k"),
    (Name.Attribute, "f"),
)


def language_of(path: str) -> str:
    """The language that a file's name tells, as `highlighted_lines` takes it; empty where it tells none."""
    name = path.rpartition("/")[2].lower()
    stem, dot, suffix = name.rpartition(".")
    known = _LEXERS.get(suffix if dot and stem else name, "")
    return known or ("docker" if name.startswith("dockerfile") else "")


def language_named(name: str) -> str:
    """The language of a markdown fence."""
    return _LEXERS.get(name.lower(), "")


def highlighted_lines(text: str, language: str) -> list[str]:
    """The lines of `text` as HTML: escaped, unseen characters as marks, tokens in spans of `tok-…` classes."""
    shown = with_marks(text)
    if not language or len(shown) > MAX_CHARS or _LONG_LINE.search(shown) or _SLOW.search(shown):
        return escape(shown).split("\n")
    return list(_highlighted(shown, language))


@lru_cache(maxsize=512)
def _highlighted(text: str, language: str) -> tuple[str, ...]:
    lexer = _lexer(language)
    if lexer is None:
        return tuple(escape(text).split("\n"))
    lines: list[str] = []
    line: list[str] = []
    for name, value in _merged(lexer, text):
        first, *rest = value.split("\n")
        line.append(_span(name, first))
        for part in rest:
            lines.append("".join(line))
            line = [_span(name, part)]
    lines.append("".join(line))
    return tuple(lines)


def _span(name: str, text: str) -> str:
    words = text.rstrip()
    if not name or not words:
        return str(escape(text))
    return f'<span class="tok-{name}">{escape(words)}</span>{text[len(words) :]}'


def _merged(lexer: Lexer, text: str) -> Iterator[tuple[str, str]]:
    """Runs of one class, all of `text` in order; what the clock doesn't allow is one plain run."""
    stop_at = time.monotonic() + MAX_SEC
    position = 0
    current, start = "", 0
    # The lexer's own clean-up of line breaks is left out, so that its lines are those of the text.
    for index, kind, value in lexer.get_tokens_unprocessed(text):
        name = _class_of(kind)
        if name != current and value.strip():
            yield current, text[start:index]
            current, start = name, index
            if time.monotonic() > stop_at:
                current = ""
                break
        position = index + len(value)
    yield current, text[start:position] if current else text[start:]
    if current:
        yield "", text[position:]


@cache
def _class_of(kind: _TokenType) -> str:
    return next((name for parent, name in _CLASSES if kind[: len(parent)] == parent), "")


@cache
def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language)
    except ClassNotFound:
        return None
