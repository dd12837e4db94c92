"""Reads a patch of any length and origin into files, hunks and numbered lines, within limits. It applies nothing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from viewer.rendering.diffs import DiffLine, line_diff
from viewer.rendering.marks import with_marks

MAX_FILES = 500
MAX_LINES = 4_000
MAX_FILE_LINES = 800
MAX_LINE_CHARS = 1_000
# Inside longer runs of changed lines nothing is marked.
MAX_MARKED_LINES = 60
_HUNK = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@ ?(.*)")
_ESCAPED = re.compile(r"\\([0-7]{3}|.)")
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


@dataclass(slots=True)
class Hunk:
    """Consecutive lines around changes. `heading` is what the patch says stands above them."""

    heading: str
    lines: list[DiffLine] = field(default_factory=list)


@dataclass(slots=True)
class FilePatch:
    """What a patch does to one file. Counts are of the whole patch, also of lines that are not in `hunks`."""

    path: str
    old_path: str = ""
    status: str = "changed"
    is_binary: bool = False
    n_added: int = 0
    n_removed: int = 0
    n_left_out: int = 0
    mode: str = ""
    hunks: list[Hunk] = field(default_factory=list)


@dataclass(slots=True)
class Patch:
    """The files of a patch in its order. `is_cut`: there are more than MAX_FILES."""

    files: list[FilePatch]
    is_cut: bool = False

    @property
    def n_added(self) -> int:
        """Added lines of all files."""
        return sum(file.n_added for file in self.files)

    @property
    def n_removed(self) -> int:
        """Removed lines of all files."""
        return sum(file.n_removed for file in self.files)


def read_patch(text: str) -> Patch:
    """The patch in `text`; what belongs to no file is passed over. Never raises."""
    return _Parser().read(text.split("\n"))


class _Parser:
    def __init__(self) -> None:
        self._patch = Patch([])
        self._file: FilePatch | None = None
        self._n_lines = 0
        self._is_open = False  # whether headers still belong to the file

    def read(self, lines: list[str]) -> Patch:
        """Go through the lines once: a hunk takes as many as its header says."""
        position = 0
        while position < len(lines):
            line = lines[position]
            position += 1
            if line.startswith("diff --git "):
                self._begin(_git_name(line.removeprefix("diff --git ")))
            elif line.startswith("--- ") and position < len(lines) and lines[position].startswith("+++ "):
                self._named(_name(line[4:]), _name(lines[position][4:]))
                position += 1
            elif (hunk := _HUNK.match(line)) and self._file:
                position = self._hunk(hunk, lines, position)
            elif self._file and self._is_open:
                self._header(self._file, line)
        for file in self._patch.files:
            _mark_changes(file)
        return self._patch

    def _begin(self, path: str) -> None:
        if len(self._patch.files) >= MAX_FILES:
            self._patch.is_cut, self._file = True, None
            return
        self._file = FilePatch(path)
        self._patch.files.append(self._file)
        self._is_open = True

    def _named(self, old: str, new: str) -> None:
        if self._file is None or not self._is_open:
            self._begin("")
        if self._file is None:
            return
        self._is_open = False
        if new == "/dev/null":
            self._file.status, self._file.path = "deleted", old
        else:
            self._file.path = new
            if old == "/dev/null":
                self._file.status = "added"

    @staticmethod
    def _header(file: FilePatch, line: str) -> None:
        word, _, rest = line.partition(" ")
        if line.startswith("new file mode "):
            file.status = "added"
        elif line.startswith("deleted file mode "):
            file.status = "deleted"
        elif line.startswith("new mode "):
            file.mode = rest[5:20]
        elif line.startswith(("rename from ", "copy from ")):
            file.status, file.old_path = "renamed" if word == "rename" else "copied", _name(rest[5:], prefix="")
        elif line.startswith(("rename to ", "copy to ")):
            file.path = _name(rest[3:], prefix="")
        elif line.startswith(("Binary files ", "GIT binary patch")):
            file.is_binary = True

    def _hunk(self, header: re.Match[str], lines: list[str], position: int) -> int:
        """Take the lines of one hunk; returns where the next begins."""
        file = self._file
        if file is None:
            return position
        old, new = int(header[1]), int(header[3])
        n_old, n_new = int(header[2] or 1), int(header[4] or 1)
        hunk = Hunk(with_marks(header[5][:200]))
        n_shown = sum(len(known.lines) for known in file.hunks)
        while (n_old > 0 or n_new > 0) and position < len(lines):
            line = lines[position]
            sign = line[:1] or " "
            if sign not in " +-\\":
                break
            position += 1
            if sign == "\\":
                continue
            file.n_added += sign == "+"
            file.n_removed += sign == "-"
            if n_shown < MAX_FILE_LINES and self._n_lines < MAX_LINES:
                text = with_marks(line[1 : MAX_LINE_CHARS + 1]) + ("…" if len(line) > MAX_LINE_CHARS + 1 else "")
                hunk.lines.append(DiffLine(sign, text, None if sign == "+" else old, None if sign == "-" else new))
                n_shown += 1
                self._n_lines += 1
            else:
                file.n_left_out += 1
            old, n_old = (old + 1, n_old - 1) if sign != "+" else (old, n_old)
            new, n_new = (new + 1, n_new - 1) if sign != "-" else (new, n_new)
        if hunk.lines:
            file.hunks.append(hunk)
        return position


def _git_name(names: str) -> str:
    """The new name in what follows `diff --git`; other headers and the `+++` line tell it better."""
    if names.endswith('"') and (start := names.rfind(' "')) >= 0:
        return _name(names[start + 1 :])
    middle = len(names) // 2
    is_same = names[2:middle] == names[middle + 3 :]  # "a/x b/x"
    return _name(names[middle + 1 :] if is_same else names)


def _name(text: str, prefix: str = "ab") -> str:
    """A path as git writes it, without quotes, escapes, the time behind a tab and the letter of its side."""
    text = text.rstrip("\r")
    if text.startswith('"') and text.endswith('"') and len(text) > 1:
        text = _unescaped(text[1:-1])
    else:
        text = text.partition("\t")[0]
    return text[2:] if prefix and text[1:2] == "/" and text[0] in prefix else text


def _unescaped(text: str) -> str:
    data = bytearray()
    position = 0
    for found in _ESCAPED.finditer(text):
        data += text[position : found.start()].encode("utf-8", "replace")
        code = found[1]
        data += bytes([int(code, 8) & 255]) if len(code) == 3 else _LETTERS.get(code, code).encode("utf-8", "replace")
        position = found.end()
    data += text[position:].encode("utf-8", "replace")
    return data.decode("utf-8", "replace")


def _mark_changes(file: FilePatch) -> None:
    """Mark what differs inside lines, where removed lines are followed by about as many added ones."""
    for hunk in file.hunks:
        hunk.lines = [line for block in _blocks(hunk.lines) for line in _marked(block)]


def _blocks(lines: list[DiffLine]) -> Iterator[list[DiffLine]]:
    """Stretches of changed lines, and of unchanged ones."""
    block: list[DiffLine] = []
    for line in lines:
        if block and (line.sign == " ") != (block[-1].sign == " "):
            yield block
            block = []
        block.append(line)
    if block:
        yield block


def _marked(block: list[DiffLine]) -> list[DiffLine]:
    removed = [line for line in block if line.sign == "-"]
    added = [line for line in block if line.sign == "+"]
    if not removed or not added or len(block) > MAX_MARKED_LINES:
        return block
    old, new = ("".join(f"{line.text}\n" for line in lines) for lines in (removed, added))
    marked = line_diff(old, new, old_start=removed[0].old, new_start=added[0].new, context=len(block))
    # A line that is on both sides is no change for line_diff, but the patch says that it is one: its order then counts.
    return marked if all(line.sign in "+-" for line in marked) else block
