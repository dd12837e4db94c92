"""Long text is cut in the middle, at lines where it can be, and says how much is missing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cut:
    """The shown part of a text. `missing_chars` is 0 when it is whole."""

    head: str
    tail: str = ""
    missing_chars: int = 0


def cut(text: str, *, max_chars: int, max_lines: int = 10_000) -> Cut:
    """The first two thirds and the last third of what `max_chars` and `max_lines` allow."""
    if len(text) <= max_chars and text.count("\n") < max_lines:
        return Cut(text)
    head = _first(text, max_chars * 2 // 3, max_lines * 2 // 3)
    tail = _last(text[len(head) :], max_chars // 3, max_lines // 3)
    return Cut(head, tail, len(text) - len(head) - len(tail))


def _first(text: str, max_chars: int, max_lines: int) -> str:
    lines = text[:max_chars].split("\n", max_lines)
    kept = "\n".join(lines[:max_lines])
    if len(lines) <= max_lines and len(lines) > 1 and len(text) > max_chars:
        whole = kept.rpartition("\n")[0]
        # One very long line is cut inside itself: dropping it would show next to nothing.
        return whole if len(whole) * 2 > len(kept) else kept
    return kept


def _last(text: str, max_chars: int, max_lines: int) -> str:
    lines = text[max(0, len(text) - max_chars) :].rsplit("\n", max_lines)
    return "\n".join(lines[-max_lines:])
