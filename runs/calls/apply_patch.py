"""The patch format of apply_patch (`*** Begin Patch`): its files and hunks as edits, as far as it goes."""

from runs.calls.edits import Change, EditKind, FileEdit

BEGIN = "*** Begin Patch"
_END = "*** End Patch"
_ADD, _UPDATE, _DELETE, _MOVE = "*** Add File: ", "*** Update File: ", "*** Delete File: ", "*** Move to: "
MAX_FILES = 500


def patch_edits(text: str) -> list[FileEdit]:
    """The edits of the first patch in `text`, in its order."""
    body = text.partition(BEGIN)[2].partition(_END)[0]
    found: list[FileEdit] = []
    heading, lines = "", list[str]()
    for line in [*body.splitlines(), _DELETE]:
        if line.startswith((_ADD, _UPDATE, _DELETE)):
            if heading and len(found) < MAX_FILES:
                found.append(_edit(heading, lines))
            heading, lines = line, []
        else:
            lines.append(line)
    return found


def _edit(heading: str, lines: list[str]) -> FileEdit:
    if heading.startswith(_ADD):
        content = "".join(f"{line[1:]}\n" for line in lines if line.startswith("+"))
        return FileEdit(heading.removeprefix(_ADD).strip(), EditKind.WRITE, content=content)
    if heading.startswith(_DELETE):
        return FileEdit(heading.removeprefix(_DELETE).strip(), EditKind.DELETE)
    moved_to = ""
    if lines and lines[0].startswith(_MOVE):
        moved_to = lines.pop(0).removeprefix(_MOVE).strip()
    path = heading.removeprefix(_UPDATE).strip()
    return FileEdit(path, EditKind.REPLACE, changes=tuple(_hunks(lines)), moved_to=moved_to)


def _hunks(lines: list[str]) -> list[Change]:
    found: list[Change] = []
    old, new = list[str](), list[str]()
    for line in [*lines, "@@"]:
        if line.startswith("@@"):
            if old != new:
                found.append(Change("\n".join(old), "\n".join(new), is_whole_lines=True))
            old, new = [], []
        elif not line.startswith("***"):
            if not line.startswith("+"):
                old.append(line[1:])
            if not line.startswith("-"):
                new.append(line[1:])
    return found
