"""The form in which quotes are compared: runs of white space are one space; escapes, controls and unseen characters are
gone; typographic marks are plain; Unicode is in NFC. Case counts. Every function takes time in proportion to its text.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Final

from critique.inputs.step_text import plain

# What no reader sees and no quote has to repeat: soft hyphens, zero width marks, what could not be decoded.
_IGNORED: Final = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff\ufffd]")
_PLAIN: Final = {
    **dict.fromkeys("‘’‚‛ʼ", "'"),  # noqa: RUF001 - the characters themselves
    **dict.fromkeys("“”„‟", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
    # They part words, and are written with and without space.
    **dict.fromkeys("\u2014\u2015", " - "),
    "…": "...",
}
_TYPOGRAPHIC: Final = re.compile(f"[{''.join(_PLAIN)}]")
_ESCAPE: Final = re.compile(
    r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|([ntrbf\"'/\\]))"
)
# How deep JSON in JSON is followed.
MAX_UNESCAPED: Final = 2
# Ordinary text has a few combining marks on a letter; of a long run Python's normalisation takes quadratic time.
_LONG_RUN: Final = 30
_UNICODE_MARKS: Final = range(0x300, 0x1F000)


def folded(text: str) -> str:
    """The text as quotes are compared in it."""
    text = plain(text)
    if not text.isascii():
        text = _normal(_IGNORED.sub("", text))
        text = _TYPOGRAPHIC.sub(lambda found: _PLAIN[found[0]], text)
    return " ".join(text.split())


def unescaped(text: str) -> str:
    """With JSON's escapes resolved once; escaped white space becomes a space, so that lines stay lines."""
    return _ESCAPE.sub(_character, text)


def spellings(text: str) -> Iterator[str]:
    """The text as it is, then unescaped, as often as that makes a difference."""
    yield text
    for _ in range(MAX_UNESCAPED):
        if "\\" not in text:
            return
        before, text = text, unescaped(text)
        if text == before:
            return
        yield text


def n_alphanumeric(text: str) -> int:
    """How many letters and digits there are."""
    return sum(map(str.isalnum, text))


def _character(found: re.Match[str]) -> str:
    high, low, code, sign = found.groups()
    if sign:
        return " " if sign in "ntrbf" else sign
    if high:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00))
    character = chr(int(code, 16))
    return " " if character.isspace() else character


def _normal(text: str) -> str:
    """NFC; runs of marks that no writing has are put in order beforehand, in the time of sorting them."""
    return unicodedata.normalize("NFC", _long_runs().sub(_ordered, text))


def _ordered(run: re.Match[str]) -> str:
    marks = "".join(unicodedata.normalize("NFD", mark) for mark in run[0])
    return "".join(sorted(marks, key=unicodedata.combining))


@cache
def _long_runs() -> re.Pattern[str]:
    """Runs of characters that combine with what is before them. Made once: it looks at all of them."""
    marks = (chr(code) for code in _UNICODE_MARKS if not 0xD800 <= code < 0xE000)
    combining = "".join(mark for mark in marks if unicodedata.combining(unicodedata.normalize("NFD", mark)[0]))
    return re.compile(f"[{re.escape(combining)}]{{{_LONG_RUN},}}")
