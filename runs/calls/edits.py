"""What a call does to one file, in one form for the tools of all agents, and how it changes the file's text."""

from dataclasses import dataclass
from enum import StrEnum


class EditKind(StrEnum):
    """How a file changes. `touch`: it is written, and the call does not say with what."""

    WRITE = "write"
    APPEND = "append"
    INSERT = "insert"
    REPLACE = "replace"
    DELETE = "delete"
    TOUCH = "touch"


@dataclass(frozen=True, slots=True)
class Change:
    """`old` becomes `new`, once or everywhere. `is_whole_lines`: both are lines without the last one's line break."""

    old: str
    new: str
    is_everywhere: bool = False
    is_whole_lines: bool = False

    def applied(self, text: str) -> str | None:
        """`text` after the change, or None where it isn't what the change was made for."""
        if self.is_whole_lines:
            return self._applied_to_lines(text)
        if not self.old:
            return self.new if not text else None
        if self.old not in text:
            return None
        return text.replace(self.old, self.new, -1 if self.is_everywhere else 1)

    def _applied_to_lines(self, text: str) -> str | None:
        if not self.old:
            return f"{text}{self.new}\n"
        framed, wanted = f"\n{text}", f"\n{self.old}\n"
        if wanted not in framed:
            return None
        return framed.replace(wanted, f"\n{self.new}\n" if self.new else "\n", 1)[1:]


@dataclass(frozen=True, slots=True)
class FileEdit:
    """One call's edit of one file. `content` is what is written, appended or inserted (after line `line`)."""

    path: str
    kind: EditKind
    content: str = ""
    changes: tuple[Change, ...] = ()
    line: int = 0
    moved_to: str = ""

    def applied(self, text: str | None) -> str | None:
        """The file's text after the edit; None where it is unknown or the file is gone."""
        if self.kind is EditKind.WRITE:
            return self.content
        if text is None or self.kind in (EditKind.DELETE, EditKind.TOUCH):
            return None
        if self.kind is EditKind.APPEND:
            return text + self.content
        if self.kind is EditKind.INSERT:
            lines = text.splitlines(keepends=True)
            content = self.content if self.content.endswith("\n") else f"{self.content}\n"
            return "".join([*lines[: self.line], content, *lines[self.line :]])
        for change in self.changes:
            text = change.applied(text)
            if text is None:
                return None
        return text

    @property
    def written(self) -> list[str]:
        """The lines that the edit puts into the file and that are not in what it replaces."""
        if self.kind is not EditKind.REPLACE:
            return self.content.splitlines()
        found: list[str] = []
        for change in self.changes:
            before = set(change.old.splitlines())
            found += [line for line in change.new.splitlines() if line not in before]
        return found
