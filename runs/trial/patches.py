"""A patch in git's format from two versions of single files, in bounded time. No diff of trees and no file access."""

from difflib import SequenceMatcher
from typing import Final

from runs.sandboxes.trees import LINK_MODE, FileEntry

CONTEXT_LINES: Final = 3
# Above so many pairs of lines that differ, all of them are replaced: exact comparison takes quadratic time.
MAX_PAIRS: Final = 1_000_000
_NO_NEWLINE: Final = b"\n\\ No newline at end of file\n"
_ESCAPES: Final = {ord("\t"): b"\\t", ord("\n"): b"\\n", ord("\r"): b"\\r", ord('"'): b'\\"', ord("\\"): b"\\\\"}

Opcode = tuple[str, int, int, int, int]


def file_patch(path: str, old: FileEntry | None, new: FileEntry | None) -> bytes:
    """What turns `old` into `new`, either of which may be absent; empty when they are the same.

    `path` is relative. Contents that are no text, or that were too large to be read, are only said to differ.
    """
    if old == new and (old is None or old.data is not None):
        return b""
    if old and new and (old.mode == LINK_MODE) != (new.mode == LINK_MODE):
        return file_patch(path, old, None) + file_patch(path, None, new)
    before, after = _name("a", path), _name("b", path)
    head = [b"diff --git %s %s" % (before, after)]
    if old is None and new:
        head.append(b"new file mode %06o" % new.mode)
    elif new is None and old:
        head.append(b"deleted file mode %06o" % old.mode)
    elif old and new and old.mode != new.mode:
        head += [b"old mode %06o" % old.mode, b"new mode %06o" % new.mode]
    before, after = before if old else b"/dev/null", after if new else b"/dev/null"
    contents = [entry.data if entry else b"" for entry in (old, new)]
    if any(data is None or b"\0" in data for data in contents):
        return b"\n".join([*head, b"Binary files %s and %s differ\n" % (before, after)])
    hunks = (
        _hunks(*((data or b"").splitlines(keepends=True) for data in contents)) if contents[0] != contents[1] else b""
    )
    if not hunks:
        return b"\n".join([*head, b""])
    return b"\n".join([*head, b"--- " + before, b"+++ " + after, hunks])


def _name(side: str, path: str) -> bytes:
    """A path as git writes it: quoted where it has control characters, quotes or bytes beyond ASCII."""
    raw = f"{side}/{path}".encode("utf-8", "surrogateescape")
    if all(0x20 <= byte < 0x7F and byte not in _ESCAPES for byte in raw):
        return raw
    plain = (_ESCAPES.get(byte, bytes([byte]) if 0x20 <= byte < 0x7F else b"\\%03o" % byte) for byte in raw)
    return b'"' + b"".join(plain) + b'"'


def _hunks(old: list[bytes], new: list[bytes]) -> bytes:
    return b"".join(_hunk(old, new, group) for group in _groups(_opcodes(old, new)))


def _opcodes(old: list[bytes], new: list[bytes]) -> list[Opcode]:
    """What is equal and what is replaced, line by line, with the equal beginning and end taken off first."""
    shortest = min(len(old), len(new))
    head = next((i for i in range(shortest) if old[i] != new[i]), shortest)
    tail = next((i for i in range(shortest - head) if old[-1 - i] != new[-1 - i]), shortest - head)
    ends = (len(old) - tail, len(new) - tail)
    codes: list[Opcode] = [("equal", 0, head, 0, head)]
    if (ends[0] - head) * (ends[1] - head) <= MAX_PAIRS:
        matcher = SequenceMatcher(None, old[head : ends[0]], new[head : ends[1]], autojunk=False)
        codes += [(tag, *(head + at for at in places)) for tag, *places in matcher.get_opcodes()]  # type: ignore[misc]  # four ints
    else:
        codes.append(("replace", head, ends[0], head, ends[1]))
    return [*codes, ("equal", ends[0], len(old), ends[1], len(new))]


def _groups(codes: list[Opcode]) -> list[list[Opcode]]:
    """Changes with their context; those with little between them share a hunk."""
    groups: list[list[Opcode]] = []
    gap: Opcode | None = None
    for code in codes:
        if code[0] == "equal":
            gap = (code[0], gap[1], code[2], gap[3], code[4]) if gap else code
            continue
        length = gap[2] - gap[1] if gap else 0
        if groups and gap and length <= 2 * CONTEXT_LINES:
            groups[-1].append(gap)
        elif gap or not groups:
            if groups and gap:
                groups[-1].append(_clipped(gap, end=CONTEXT_LINES))
            groups.append([_clipped(gap, start=CONTEXT_LINES)] if gap else [])
        groups[-1].append(code)
        gap = None
    if groups and gap:
        groups[-1].append(_clipped(gap, end=CONTEXT_LINES))
    return groups


def _clipped(code: Opcode, *, start: int | None = None, end: int | None = None) -> Opcode:
    """The last `start` lines of what is equal, or its first `end`."""
    tag, i1, i2, j1, j2 = code
    if start is not None:
        return (tag, max(i1, i2 - start), i2, max(j1, j2 - start), j2)
    return (tag, i1, min(i2, i1 + (end or 0)), j1, min(j2, j1 + (end or 0)))


def _hunk(old: list[bytes], new: list[bytes], group: list[Opcode]) -> bytes:
    first, last = group[0], group[-1]
    spans = (_span(first[1], last[2]), _span(first[3], last[4]))
    lines = [b"@@ -%s +%s @@\n" % spans]
    for tag, i1, i2, j1, j2 in group:
        if tag == "equal":
            lines += [_line(b" ", line) for line in old[i1:i2]]
        else:
            lines += [_line(b"-", line) for line in old[i1:i2]]
            lines += [_line(b"+", line) for line in new[j1:j2]]
    return b"".join(lines)


def _span(start: int, end: int) -> bytes:
    length = end - start
    return b"%d,%d" % (start + 1 if length else start, length)


def _line(sign: bytes, line: bytes) -> bytes:
    return sign + line if line.endswith(b"\n") else sign + line + _NO_NEWLINE
