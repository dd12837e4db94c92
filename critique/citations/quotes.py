"""A quote, the ways in which it may be written, and the search for it in a text that comes window by window."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from critique.citations.folding import folded, n_alphanumeric, spellings

MIN_ALPHANUMERIC: Final = 4
MIN_OF_PART: Final = 8
# Bringing a character into comparable form takes about as long as looking at it so often.
FOLDING: Final = 4
# How many places of a quote in one file are looked at for the one that is nearest to the line named.
MAX_PLACES: Final = 1000
TOO_SHORT: Final = f"too short to be evidence: fewer than {MIN_ALPHANUMERIC} letters or digits"
NOT_CHECKED: Final = "not checked: the citations of this critique ask for too much searching"
_GAP: Final = re.compile(r"\[\.{3,}\]|\(\.{3,}\)|\.{3,}")
_WRAPPING: Final = "\"'`"
# `empty` is not what `non-empty` says, and `can` not what `can't` does; `b'text'` has a whole word in quotes.
_JOINING_BEFORE: Final = "_.,-"
_JOINING_AFTER: Final = "_.,'"
# How many characters beside a place say whether it begins and ends with whole words.
_BESIDE: Final = 2
# Of scripts that are written without spaces between words, or with endings attached.
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\ud7ff\uf900-\uffff\U00020000-\U0003ffff]"
)


@dataclass(slots=True)
class Effort:
    """How many characters may still be looked at for one critique: hostile output must not keep the checker busy."""

    left: int
    spent: int = 0

    def spend(self, n_chars: int) -> bool:
        """Take note of work that is about to be done; false where it is too much, and not to be done."""
        if n_chars > self.left:
            self.left = 0
            return False
        self.left -= n_chars
        self.spent += n_chars
        return True

    @property
    def is_used_up(self) -> bool:
        return self.left <= 0


@dataclass(frozen=True, slots=True)
class Way:
    """One way to write a quote: parts that follow one another with anything between them, or after the last."""

    parts: tuple[str, ...]
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Quote:
    """What a critic quoted, in all ways in which the words may be written.

    `has_short_part`: a gap splits it into parts that are too little to be evidence, so it is only looked for as one.
    """

    ways: tuple[Way, ...]
    has_short_part: bool


def quote_of(text: str) -> Quote | None:
    """The quote in a text, or None where that is too little to be evidence."""
    ways: dict[Way, None] = {}
    has_short_part = False
    for spelling in spellings(text):
        whole = folded(spelling)
        if n_alphanumeric(whole) < MIN_ALPHANUMERIC:
            continue
        ways[Way((whole,))] = None
        if whole[0] == whole[-1] and whole[0] in _WRAPPING:
            ways[Way((whole[1:-1].strip(),))] = None
        pieces = [piece.strip() for piece in _GAP.split(whole)]
        parts = tuple(piece for piece in pieces if n_alphanumeric(piece))
        if len(pieces) > 1:
            enough = MIN_OF_PART if len(parts) > 1 else MIN_ALPHANUMERIC
            if all(n_alphanumeric(part) >= enough for part in parts):
                ways[Way(parts, goes_on=parts[-1] != pieces[-1])] = None
            else:
                has_short_part = True
    return Quote(tuple(ways), has_short_part) if ways else None


def is_found(quote: Quote, texts: Sequence[str], effort: Effort) -> bool:
    """Whether a folded text, in one of its spellings, has the quote."""
    for text in texts:
        for way in quote.ways:
            search = Search(way)
            search.feed(text, effort, is_last=True)
            if search.is_done:
                return True
    return False


def folds_of(text: str, effort: Effort) -> list[str]:
    """The spellings of a text as quotes are compared in them; none where that is too much work."""
    found = list(spellings(text))
    return [folded(one) for one in found] if effort.spend(FOLDING * len(found) * len(text)) else []


def why_not_found(quote: Quote, effort: Effort) -> str:
    """Why a quote may not have been found although it is there, or nothing."""
    if effort.is_used_up:
        return NOT_CHECKED
    return "a part of the quote is too short to be evidence by itself" if quote.has_short_part else ""


@dataclass(slots=True)
class Search:
    """Looks for the parts of a quote, in order, in a folded text of any length. Finds `limit` places at most.

    Of each place the first and the last word is kept, counted from 0; one that is under way has only a first word.
    """

    way: Way
    limit: int = 1
    first_words: list[int] = field(default_factory=list)
    last_words: list[int] = field(default_factory=list)
    _part: int = 0
    _tail: str = ""
    # Where in the tail the search goes on, and how many words lie before it.
    _at: int = 0
    _words: int = 0

    @property
    def is_done(self) -> bool:
        return len(self.last_words) >= self.limit

    def feed(self, text: str, effort: Effort, *, is_last: bool) -> None:
        """Search on in what follows. The windows together are the folded text; the work is in proportion to them."""
        buffer = self._tail + text if self._tail else text
        at, counted, words = self._at, 0, self._words
        parts = self.way.parts
        # What ends close to the end is judged when the next window shows how it goes on.
        end = len(buffer) if is_last else len(buffer) - _BESIDE
        while not self.is_done:
            part = parts[self._part]
            may_cut = self.way.goes_on or self._part < len(parts) - 1
            start = _find_whole(buffer, part, at, end, effort, may_cut=may_cut)
            if start < 0:
                break
            words, counted = words + buffer.count(" ", counted, start), start
            at = start + len(part)
            if self._part == 0:
                self.first_words.append(words)
            self._part = (self._part + 1) % len(parts)
            if self._part == 0:
                self.last_words.append(words + part.count(" "))
        keep = max(0, max(at, end - len(parts[self._part])) - _BESIDE)
        self._words = words + buffer.count(" ", counted, keep)
        self._tail, self._at = buffer[keep:], max(0, at - keep)


def _find_whole(text: str, part: str, at: int, end: int, effort: Effort, *, may_cut: bool) -> int:
    """Where the part stands as whole words, or -1. Places inside of words cost the length of the part each, and as
    much as searching the text in all.
    """
    allowed = 2 * (len(text) + len(part))
    while effort.spend(len(part)):
        start = text.find(part, at, end)
        if start < 0:
            effort.spend(max(0, end - at))
            return -1
        after = start + len(part)
        is_whole = not _is_inside(text, after, _JOINING_AFTER) or (may_cut and _is_cut(text, after))
        if is_whole and not _is_inside(text, start, _JOINING_BEFORE):
            return start
        effort.spend(start - at)
        allowed -= len(part)
        if allowed < 0:
            return -1
        at = start + 1
    return -1


def _is_inside(text: str, at: int, joining: str) -> bool:
    """Whether a word or number goes on here: then what begins or ends here is another one than the text has."""
    before, after = text[at - 1 : at], text[at : at + 1]
    if not before or not after:
        return False
    if before.isalnum() and after.isalnum():
        return not (_UNSPACED.match(before) or _UNSPACED.match(after))
    if before in joining:
        return _joins(text[at - 2 : at - 1], before, after)
    return after in joining and _joins(before, after, text[at + 1 : at + 2])


def _joins(before: str, mark: str, after: str) -> bool:
    """Whether the mark makes one word of what is on both sides: `test_slug`, `1,234`, `3.5`, `can't`, `non-empty`."""
    if mark in ".,":
        return before.isdigit() and after.isdigit()
    return before.isalnum() and after.isalnum()


def _is_cut(text: str, end: int) -> bool:
    """Whether a word of letters goes on here: before a gap a critic may have cut it."""
    return text[end - 1].isalpha() and text[end].isalpha()
