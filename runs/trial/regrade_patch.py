"""Reads a `changes.patch` that was made against an image, and applies it to single files; exactly, or not at all.

Only the form that `runs.trial.patches` writes is read. Nothing here opens a file.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from runs.errors import InputInvalid
from runs.sandboxes.trees import FileEntry

_HUNK: Final = re.compile(rb"@@ -(\d+),(\d+) \+(\d+),(\d+) @@\n?")
_MODE: Final = re.compile(rb"(new file|deleted file|old|new) mode ([0-7]{6})\n?")
_ESCAPED: Final = re.compile(rb'\\([0-7]{3}|[tnr"\\])')
_PLAIN: Final = {b"t": b"\t", b"n": b"\n", b"r": b"\r", b'"': b'"', b"\\": b"\\"}
_NO_NEWLINE: Final = b"\\ No newline at end of file\n"


class PatchInvalid(InputInvalid):
    """A patch is not of the expected form, or does not fit the file it is for."""


@dataclass(slots=True)
class Hunk:
    """Lines that are replaced: from which line on (counted from 0), the old ones and the new ones."""

    start: int
    old: list[bytes] = field(default_factory=list)
    new: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class FileChange:
    """What became of one absolute path. `mode` is None where it stayed; `is_binary`: what it became is not told."""

    path: str
    mode: int | None = None
    is_new: bool = False
    is_deleted: bool = False
    is_binary: bool = False
    hunks: list[Hunk] = field(default_factory=list)

    def applied_to(self, before: FileEntry | None) -> FileEntry | None:
        """The file after the change, None where it is gone. Raises PatchInvalid where `before` is another file."""
        if self.is_deleted:
            return None
        if self.is_binary or (before is None) != self.is_new or (before is not None and before.data is None):
            raise PatchInvalid(f"{self.path} cannot be restored: the patch does not fit the file in the image")
        lines = ((before.data or b"") if before else b"").splitlines(keepends=True)
        for hunk in reversed(self.hunks):
            if lines[hunk.start : hunk.start + len(hunk.old)] != hunk.old:
                raise PatchInvalid(f"{self.path} cannot be restored: the image has another file than the agent had")
            lines[hunk.start : hunk.start + len(hunk.old)] = hunk.new
        mode = self.mode if self.mode is not None else before.mode if before else 0o100644
        return FileEntry(mode, b"".join(lines))


def changes_in(patch: bytes) -> list[FileChange]:
    """The changes of a patch in order; of a link that became a file there are two. Raises PatchInvalid."""
    lines = patch.split(b"\n")
    ended = [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    found: list[FileChange] = []
    at = 0
    while at < len(ended):
        if not ended[at].startswith(b"diff --git "):
            raise PatchInvalid(f"the patch is damaged at line {at + 1}")
        change = FileChange(_path_of(ended[at]))
        at = _read_hunks(ended, _read_header(ended, at + 1, change), change)
        found.append(change)
    return found


def _read_header(lines: Sequence[bytes], at: int, change: FileChange) -> int:
    while at < len(lines) and not lines[at].startswith((b"diff --git ", b"@@ ")):
        if mode := _MODE.fullmatch(lines[at]):
            change.is_new |= mode[1] == b"new file"
            change.is_deleted |= mode[1] == b"deleted file"
            change.mode = None if mode[1] == b"old" else int(mode[2], 8)
        elif lines[at].startswith(b"Binary files "):
            change.is_binary = True
        elif not lines[at].startswith((b"--- ", b"+++ ")):
            raise PatchInvalid(f"the patch is damaged at line {at + 1}")
        at += 1
    return at


def _read_hunks(lines: Sequence[bytes], at: int, change: FileChange) -> int:
    while at < len(lines) and (head := _HUNK.fullmatch(lines[at])):
        start, n_old, _, n_new = map(int, head.groups())
        hunk = Hunk(start - 1 if n_old else start)
        at += 1
        while len(hunk.old) < n_old or len(hunk.new) < n_new:
            if at >= len(lines) or lines[at][:1] not in (b" ", b"-", b"+"):
                raise PatchInvalid(f"the patch of {change.path} ends too early")
            sign, content = lines[at][:1], lines[at][1:]
            at += 1
            if at < len(lines) and lines[at] == _NO_NEWLINE:
                content = content.removesuffix(b"\n")
                at += 1
            if sign in b" -":
                hunk.old.append(content)
            if sign in b" +":
                hunk.new.append(content)
        change.hunks.append(hunk)
    return at


def _path_of(line: bytes) -> str:
    """The path in `diff --git a/PATH b/PATH`, absolute; both names are the same one, quoted or not."""
    names = line.removeprefix(b"diff --git ").removesuffix(b"\n")
    half = (len(names) - 1) // 2
    first, second = names[:half], names[half + 1 :]
    if first[:1] == b'"':
        first, second = _unquoted(first), _unquoted(second)
    if first[:2] != b"a/" or second[:2] != b"b/" or first[2:] != second[2:]:
        raise PatchInvalid("the patch names a file in a form that is not known")
    path = first[2:].decode("utf-8", "surrogateescape")
    if ".." in path.split("/") or "\0" in path:
        raise PatchInvalid(f"the patch leads out of the sandbox: {path}")
    return f"/{path}"


def _unquoted(name: bytes) -> bytes:
    return _ESCAPED.sub(lambda match: _PLAIN.get(match[1]) or bytes([int(match[1], 8) & 0xFF]), name[1:-1])
