"""What a shell tool was told to run, and what its command line does to files, as far as the text alone tells it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from runs.calls.apply_patch import BEGIN, patch_edits
from runs.calls.edits import EditKind, FileEdit

_COMMAND_KEYS = ("command", "cmd", "script", "keystrokes", "command_line")
_SHELLS = re.compile(r"(?:/\S*/)?(?:ba|z|da)?sh")
# Longer command lines are read up to here: what follows is data more often than commands.
MAX_CHARS = 64_000
MAX_EDITS = 50
_WORD = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*"|[^\s'";|&<>()]+|>>|[0-9]?>|<+|[;|&()]+|\n""")
_HEREDOC = re.compile(r"""(?<!<)<<(?!<)-?[ \t]*(['"]?)([A-Za-z_]\w*)\1""")
_ENDS = frozenset(";|&()\n")
_EXPANDS = re.compile(r"[$`\\]")


def shell_command(arguments: Mapping[str, Any] | str) -> str | None:
    """The command line of a shell call. None for other calls: an editor's `command` beside a path is a verb."""
    if isinstance(arguments, str) or any(key in arguments for key in ("path", "file_path", "filePath")):
        return None
    for key in _COMMAND_KEYS:
        value = arguments.get(key)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
            is_wrapped = len(value) == 3 and _SHELLS.fullmatch(value[0]) and value[1].startswith("-")
            return value[2] if is_wrapped else " ".join(value)
    return None


def shell_edits(command: str) -> list[FileEdit]:
    """The files that a command line writes: with their content where a here-document has it, else as touched."""
    if BEGIN in command:
        return patch_edits(command)
    command = command[:MAX_CHARS]
    found: list[FileEdit] = []
    rest: list[str] = []
    for line, body, is_literal in _with_heredocs(command):
        edit = _heredoc_edit(line, body, is_literal) if body is not None else None
        if edit:
            found.append(edit)
        else:
            rest.append(line)
    if ">" in command or _MAY_WRITE.search(command):
        for argv, targets in _simple_commands("\n".join(rest)):
            found += [FileEdit(path, EditKind.TOUCH) for path in targets]
            found += _command_edits(argv)
            if len(found) >= MAX_EDITS:
                break
    return found[:MAX_EDITS]


def _with_heredocs(command: str) -> Iterator[tuple[str, str | None, bool]]:
    """Each line that is no data, with the here-document that follows it, and whether the shell leaves that as it is."""
    lines = iter(command.split("\n"))
    for line in lines:
        opened = _HEREDOC.search(line)
        if not opened:
            yield line, None, False
            continue
        body: list[str] = []
        is_ended = False
        for data in lines:
            if data.strip() == opened[2]:
                is_ended = True
                break
            body.append(data)
        text = "".join(f"{data}\n" for data in body)
        yield line, text if is_ended else None, bool(opened[1]) or not _EXPANDS.search(text)


def _heredoc_edit(line: str, body: str, is_literal: bool) -> FileEdit | None:
    """`cat > path <<EOF`, `cat >> path <<EOF` and `tee path <<EOF`."""
    for argv, targets in _simple_commands(_HEREDOC.sub(" ", line)):
        if not argv or argv[0] not in ("cat", "tee"):
            continue
        path = targets[0] if targets else next((word for word in argv[1:] if not word.startswith("-")), "")
        if not path or path.startswith("/dev/"):
            return None
        if not is_literal:
            return FileEdit(path, EditKind.TOUCH)
        is_append = ">>" in line or "-a" in argv
        return FileEdit(path, EditKind.APPEND if is_append else EditKind.WRITE, content=body)
    return None


def _simple_commands(text: str) -> Iterator[tuple[list[str], list[str]]]:
    """The words of each simple command, and the files that its output is redirected to."""
    argv: list[str] = []
    targets: list[str] = []
    redirects = ""
    for word in _WORD.findall(text):
        if word[0] in _ENDS:
            if argv or targets:
                yield argv, targets
            argv, targets, redirects = [], [], ""
        elif word in (">", ">>", "1>"):
            redirects = ">"
        elif word[0] in "<>" or (word.endswith(">") and len(word) == 2):
            redirects = "<"
        elif redirects:
            if redirects == ">" and not word.startswith(("/dev/", "&", "$")):
                targets.append(_bare(word))
            redirects = ""
        else:
            argv.append(_bare(word))
    if argv or targets:
        yield argv, targets


def _bare(word: str) -> str:
    return word[1:-1] if len(word) > 1 and word[0] in "'\"" and word[-1] == word[0] else word


_MAY_WRITE = re.compile(r"\b(?:sed|perl|rm|mv|cp|git|tee)\s")


def _command_edits(argv: list[str]) -> list[FileEdit]:
    """What a few well-known commands do to the files that they name; options with values may hide some."""
    if not argv:
        return []
    name, words = argv[0].rpartition("/")[2], [word for word in argv[1:] if not word.startswith("-")]
    options = [word for word in argv[1:] if word.startswith("-")]
    if name == "rm":
        return [FileEdit(word, EditKind.DELETE) for word in words if "*" not in word]
    if name == "mv" and len(words) == 2:
        return [FileEdit(words[0], EditKind.REPLACE, moved_to=words[1])]
    if name in ("sed", "perl") and any("i" in option.split(".")[0] for option in options if option[:2] != "--"):
        n_scripts = sum(option == "-f" or option.endswith("e") for option in options)
        return _touched(words[max(1, n_scripts) :])
    if name == "git" and words[:1] in (["checkout"], ["restore"]):
        return _touched([word for word in words[1:] if "." in word.rpartition("/")[2]])
    if (name == "cp" and len(words) == 2) or name == "tee":
        return _touched(words[-1:])
    return []


def _touched(words: list[str]) -> list[FileEdit]:
    paths = (word for word in words if word and "*" not in word and not word.startswith("/dev/"))
    return [FileEdit(path, EditKind.TOUCH) for path in paths]
