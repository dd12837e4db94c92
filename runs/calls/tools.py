"""Which files a tool call reads and edits, whichever agent's tool it is. Nothing is read from disk."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from runs.calls.apply_patch import BEGIN, patch_edits
from runs.calls.edits import Change, EditKind, FileEdit
from runs.calls.shell import shell_command, shell_edits

type Arguments = Mapping[str, Any]

_PATHS = ("file_path", "filePath", "path", "notebook_path", "target_file", "filename", "absolute_path")
_OLD = ("old_string", "oldString", "old_str", "old_text", "search")
_NEW = ("new_string", "newString", "new_str", "new_text", "replace")
_EVERYWHERE = ("replace_all", "replaceAll", "allow_multiple")
_CONTENTS = ("content", "contents", "file_text", "fileText", "code_edit")
_PATCHES = ("input", "patch", "patchText", "patch_text")
_READERS = frozenset({"view", "read", "undo_edit", "cat", "open"})
_READ_TOOLS = frozenset({"read", "read_file", "view", "view_file", "cat", "open_file"})
# Arguments that ask for a part of a file.
_PARTS = ("offset", "limit", "view_range", "start_line", "end_line", "pages")
_WHOLE_CAT = re.compile(r"\s*cat\s+(?:-n\s+)?([^\s;|&<>*$-][^\s;|&<>*$]*)\s*")
MAX_CAT_CHARS = 1_000
MAX_CHANGES = 200


def edits_of(name: str, arguments: Arguments | str) -> list[FileEdit]:
    """The edits of one tool call, also those that its shell command makes; empty for calls that only look."""
    if isinstance(arguments, str):
        return patch_edits(arguments) if BEGIN in arguments else []
    command = shell_command(arguments)
    if command is not None:
        return shell_edits(command)
    patch = _first(arguments, _PATCHES)
    if patch is not None and BEGIN in patch:
        return patch_edits(patch)
    path = _first(arguments, _PATHS)
    if not path or "\n" in path:
        return []
    return _editor_edits(name, path, arguments)


def path_of(arguments: Arguments | str) -> str:
    """The one file that a call names, empty where it names none."""
    return "" if isinstance(arguments, str) else _first(arguments, _PATHS) or ""


def whole_file_read(name: str, arguments: Arguments | str) -> str:
    """The file that a call reads from its first line to its last, as far as the call tells; empty for other calls."""
    if isinstance(arguments, str):
        return ""
    command = shell_command(arguments)
    if command is not None:
        found = _WHOLE_CAT.fullmatch(command[:MAX_CAT_CHARS])
        return found[1] if found else ""
    is_reader = name.lower() in _READ_TOOLS or arguments.get("command") == "view"
    return path_of(arguments) if is_reader and not any(key in arguments for key in _PARTS) else ""


def _editor_edits(name: str, path: str, arguments: Arguments) -> list[FileEdit]:
    verb = arguments.get("command")
    if isinstance(verb, str) and verb in _EDITOR:
        return [_EDITOR[verb](path, arguments)]
    if isinstance(verb, str) and verb in _READERS:
        return []
    many = arguments.get("edits")
    if isinstance(many, list):
        changes = [change for item in many[:MAX_CHANGES] if isinstance(item, dict) and (change := _change(item))]
        return [FileEdit(path, EditKind.REPLACE, changes=tuple(changes))] if changes else []
    found = _plain_edit(name.lower(), path, arguments)
    return [found] if found else []


def _plain_edit(name: str, path: str, arguments: Arguments) -> FileEdit | None:
    """The edit of a tool that does one thing, known by its arguments before its name."""
    if change := _change(arguments):
        if not change.old:
            return FileEdit(path, EditKind.WRITE, content=change.new)
        return FileEdit(path, EditKind.REPLACE, changes=(change,))
    if "delete" in name or "remove" in name:
        return FileEdit(path, EditKind.DELETE)
    content = _first(arguments, _CONTENTS)
    if content is not None and any(word in name for word in ("write", "create", "edit", "save")):
        return FileEdit(path, EditKind.WRITE, content=content)
    return FileEdit(path, EditKind.TOUCH) if "notebook" in name and "edit" in name else None


def _created(path: str, arguments: Arguments) -> FileEdit:
    return FileEdit(path, EditKind.WRITE, content=_first(arguments, _CONTENTS) or "")


def _inserted(path: str, arguments: Arguments) -> FileEdit:
    line = arguments.get("insert_line")
    text = _first(arguments, ("new_str", "insert_text", "text")) or ""
    where = line if isinstance(line, int) and 0 <= line < 10**7 else 0
    return FileEdit(path, EditKind.INSERT, content=text, line=where)


def _replaced(path: str, arguments: Arguments) -> FileEdit:
    change = _change(arguments) or Change(_first(arguments, _OLD) or "", "")
    return FileEdit(path, EditKind.REPLACE, changes=(change,))


_EDITOR: Mapping[str, Callable[[str, Arguments], FileEdit]] = {
    "create": _created,
    "write": _created,
    "insert": _inserted,
    "str_replace": _replaced,
}


def _change(arguments: Arguments) -> Change | None:
    old, new = _first(arguments, _OLD), _first(arguments, _NEW)
    if old is None or new is None or (not old and not new):
        return None
    return Change(old, new, is_everywhere=any(arguments.get(key) is True for key in _EVERYWHERE))


def _first(arguments: Arguments, keys: tuple[str, ...]) -> str | None:
    return next((value for key in keys if isinstance(value := arguments.get(key), str)), None)
