"""Quotes in files: read once for all quotes of a file, in windows, and with the lines in which they stand."""

import codecs
import os
import stat
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from critique.citations.folding import MAX_UNESCAPED, folded, spellings
from critique.citations.quotes import FOLDING, MAX_PLACES, Effort, Quote, Search
from runs.errors import FileUnreadable
from runs.formats.reading import stays_within

INPUT: Final = PurePosixPath("/critique/input")
MAX_FILE_BYTES: Final = 64 * 1024 * 1024
WINDOW_BYTES: Final = 1024 * 1024
_PROBED_BYTES: Final = 8192


@dataclass(frozen=True, slots=True)
class Found:
    """What came of looking for a quote in a file; `is_whole`: the file was searched to its end."""

    is_found: bool
    first_line: int = 0
    last_line: int = 0
    is_whole: bool = True


@dataclass(slots=True)
class Wanted:
    """A quote that is looked for in a file, the line on which the critic saw it, and the lines on which it stands."""

    quote: Quote
    line: int | None = None
    lines: list[tuple[int, int]] = field(default_factory=list)

    @property
    def is_settled(self) -> bool:
        """Whether no other place could be a better one."""
        line = self.line
        return bool(self.lines) and (line is None or any(first <= line <= last for first, last in self.lines))

    def result(self, *, is_whole: bool) -> Found:
        """The place that holds the line, else the one that is nearest to it."""
        if not self.lines:
            return Found(is_found=False, is_whole=is_whole)
        near = self.line or 0
        first, last = min(self.lines, key=lambda place: max(place[0] - near, near - place[1], 0))
        return Found(is_found=True, first_line=first, last_line=last)


def place_in(root: Path, name: str) -> Path:
    """The file that a critic names, absolute or below /critique/input. Raises FileUnreadable with the reason."""
    path = PurePosixPath(name)
    if path.is_absolute() and path.is_relative_to(INPUT):
        path = path.relative_to(INPUT)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise FileUnreadable(Path(name), f"is not below {INPUT}")
    found = root / path
    if not stays_within(found, root):
        raise FileUnreadable(Path(name), f"leads out of {INPUT}")
    return found.resolve()


def find_in_file(path: Path, wanted: Sequence[Wanted], effort: Effort) -> list[Found]:
    """Look for quotes in a text file whose links have been followed. Raises FileUnreadable with the reason.

    Reads 64 MiB at most, a window at a time.
    """
    with _opened(path) as file:
        is_whole = os.fstat(file.fileno()).st_size <= MAX_FILE_BYTES
        if b"\0" in file.read(_PROBED_BYTES):
            raise FileUnreadable(path, "is not text")
        file.seek(0)
        readers = [_Reader(wanted) for _ in range(MAX_UNESCAPED + 1)]
        for window in _windows(file):
            texts = list(spellings(window.text))
            if not effort.spend(FOLDING * len(texts) * len(window.text)):
                break
            folds = [folded(text) for text in texts]
            for depth, reader in enumerate(readers):
                spelled = min(depth, len(texts) - 1)
                reader.feed(window, texts[spelled], folds[spelled], effort)
            if effort.is_used_up or all(one.is_settled for one in wanted):
                break
    return [one.result(is_whole=is_whole) for one in wanted]


def _opened(path: Path) -> BinaryIO:
    """The regular file at a path without links. Raises FileUnreadable."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise FileUnreadable(path, reason) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileUnreadable(path, "is not a file")
    return os.fdopen(descriptor, "rb")


@dataclass(frozen=True, slots=True)
class _Window:
    """A part of a file. `joint` is what parts it from the next one in the folded text."""

    text: str
    joint: str
    is_last: bool


def _windows(file: BinaryIO) -> Iterator[_Window]:
    """The file's first 64 MiB, cut after lines, else after words; what is not UTF-8 is replaced."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    pending, n_left = "", MAX_FILE_BYTES
    while data := file.read(min(WINDOW_BYTES, n_left)):
        n_left -= len(data)
        pending += decoder.decode(data)
        cut = (pending.rfind("\n") + 1) or (pending.rfind(" ") + 1)
        if not cut and len(pending) < WINDOW_BYTES:
            continue
        yield _Window(pending[: cut or None], " " if cut else "", is_last=False)
        pending = pending[cut:] if cut else ""
    yield _Window(pending + decoder.decode(b"", final=True), "", is_last=True)


class _Page:
    """Which words stand on which lines, of one window; counted when that is first asked."""

    def __init__(self, text: str, n_words: int, first_word: int, first_line: int) -> None:
        self._text = text
        self._n_folded = n_words
        self.first_word = first_word
        self._first_line = first_line

    def line_of(self, word: int) -> int:
        return self._first_line + bisect_right(self._n_words, word - self.first_word)

    @cached_property
    def _n_words(self) -> list[int]:
        """How many words there are up to the end of each line."""
        lines = self._text.split("\n")
        # Where no word is made of unseen characters alone, lines need not be folded one by one.
        as_they_are = len(self._text.split()) == self._n_folded
        return list(accumulate(len((line if as_they_are else folded(line)).split()) for line in lines))


class _Reader:
    """All searches in one spelling of a file, which comes window by window."""

    def __init__(self, wanted: Sequence[Wanted]) -> None:
        self._searches = [
            (one, Search(way, limit=1 if one.line is None else MAX_PLACES), list[int]())
            for one in wanted
            for way in one.quote.ways
        ]
        # The windows in which a part of a quote may begin that ends in this one.
        self._pages: deque[_Page] = deque()
        self._longest = max((len(part) for one in wanted for way in one.quote.ways for part in way.parts), default=0)
        self._n_words = 0
        self._line = 1

    def feed(self, window: _Window, text: str, fold: str, effort: Effort) -> None:
        self._pages.append(_Page(text, len(fold.split()), self._n_words, self._line))
        fed = fold + window.joint if fold else fold
        for wanted, search, first_lines in self._searches:
            if wanted.is_settled or search.is_done:
                continue
            n_known = len(search.last_words)
            search.feed(fed, effort, is_last=window.is_last)
            first_lines.extend(map(self._line_of, search.first_words[len(first_lines) :]))
            last_lines = map(self._line_of, search.last_words[n_known:])
            wanted.lines += zip(first_lines[n_known:], last_lines, strict=False)
        self._n_words += fed.count(" ")
        self._line += text.count("\n")
        # A part has fewer words than characters.
        while len(self._pages) > 1 and self._pages[1].first_word < self._n_words - self._longest:
            self._pages.popleft()

    def _line_of(self, word: int) -> int:
        page = next((page for page in reversed(self._pages) if page.first_word <= word), self._pages[0])
        return page.line_of(max(word, page.first_word))
