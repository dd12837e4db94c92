"""Makes what cannot be seen visible: control, bidirectional and zero-width characters become marks, text stays text."""

import re

# Newline and tab are layout. Everything else here hides, reorders or moves text, or cannot be encoded at all.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e"
    "\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\ud800-\udfff\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def _mark(found: re.Match[str]) -> str:
    code = ord(found.group())
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return f"\u00abU+{code:04X}\u00bb"


def with_marks(text: str) -> str:
    """`text` with every unseen character replaced by a visible mark (NUL by a control picture, U+202E by its number).

    A carriage return is a new line: what a progress bar wrote over stays readable, and nothing can be hidden by it.
    """
    return _UNSEEN.sub(_mark, text.replace("\r\n", "\n").replace("\r", "\n"))
