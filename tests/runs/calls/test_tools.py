from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.calls.edits import Change, EditKind, FileEdit
from runs.calls.tools import edits_of

BEFORE = "one\ntwo\nthree\n"
PATCH = "*** Begin Patch\n*** Update File: a.py\n@@ def f\n one\n-two\n+2\n*** End Patch\n"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Edit", {"file_path": "a.py", "old_string": "two", "new_string": "2"}),
        ("MultiEdit", {"file_path": "a.py", "edits": [{"old_string": "two", "new_string": "2"}]}),
        ("edit", {"filePath": "a.py", "oldString": "two", "newString": "2"}),
        ("replace", {"file_path": "a.py", "old_string": "two", "new_string": "2"}),
        ("str_replace_editor", {"command": "str_replace", "path": "a.py", "old_str": "two", "new_str": "2"}),
        ("Write", {"file_path": "a.py", "content": "one\n2\nthree\n"}),
        ("create", {"path": "a.py", "file_text": "one\n2\nthree\n"}),
        ("apply_patch", {"input": PATCH}),
        ("apply_patch", {"patchText": PATCH}),
        ("apply_patch", PATCH),
        ("shell", {"command": ["bash", "-lc", f"apply_patch <<'EOF'\n{PATCH}EOF\n"]}),
        ("bash", {"command": "cat > a.py <<'EOF'\none\n2\nthree\nEOF\necho done"}),
        ("bash", {"command": "cd /app && cat <<EOF >a.py\none\n2\nthree\nEOF"}),
        ("bash_command", {"keystrokes": "tee a.py <<'X'\none\n2\nthree\nX\n"}),
        ("run_command", {"command_line": "cat > a.py <<'EOF'\none\n2\nthree\nEOF"}),
    ],
)
def test_every_editor_of_every_agent_gives_the_same_text(name: str, arguments: Any) -> None:
    (edit,) = edits_of(name, arguments)
    assert edit.path == "a.py"
    assert edit.applied(BEFORE) == "one\n2\nthree\n"
    assert "2" in edit.written


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Read", {"file_path": "a.py"}),
        ("str_replace_editor", {"command": "view", "path": "a.py"}),
        ("bash", {"command": "cat a.py 2>/dev/null | grep -n two > /dev/null 2>&1"}),
        ("bash", {"command": "sed -n 1,20p a.py"}),
        ("bash", {"command": "if [ 1 -lt 2 ]; then git log --oneline; fi"}),
        ("think", "two becomes 2"),
        ("Grep", {"pattern": "a", "path": "src"}),
    ],
)
def test_calls_that_only_look_edit_nothing(name: str, arguments: Any) -> None:
    assert edits_of(name, arguments) == []


@pytest.mark.parametrize(
    ("command", "edits"),
    [
        ("sed -i 's/two/2/' src/a.py b.py", [("src/a.py", "touch"), ("b.py", "touch")]),
        ("sed -i -e 's/a/b/' -e 's/c/d/' a.py && tail a.py", [("a.py", "touch")]),
        ("rm -f old.py; echo x > new.txt", [("old.py", "delete"), ("new.txt", "touch")]),
        ('cat > a.sh <<EOF\necho "$HOME"\nEOF', [("a.sh", "touch")]),
        ("cat >> log.txt <<'EOF'\nmore\nEOF", [("log.txt", "append")]),
        ("git checkout -- src/a.py", [("src/a.py", "touch")]),
        ("python - <<'EOF'\nopen('x', 'w')\nEOF", []),
    ],
)
def test_a_command_line_tells_which_files_it_writes(command: str, edits: list[tuple[str, str]]) -> None:
    assert [(edit.path, str(edit.kind)) for edit in edits_of("bash", {"command": command})] == edits


def test_a_patch_may_add_move_and_delete() -> None:
    patch = (
        "*** Begin Patch\n*** Add File: new.py\n+x = 1\n+\n*** Update File: a.py\n*** Move to: b.py\n@@\n-one\n+1\n"
        "*** Delete File: gone.py\n*** End Patch"
    )
    added, moved, deleted = edits_of("apply_patch", {"input": patch})
    assert (added.kind, added.applied(None)) == (EditKind.WRITE, "x = 1\n\n")
    assert (moved.moved_to, moved.applied(BEFORE)) == ("b.py", "1\ntwo\nthree\n")
    assert (deleted.kind, deleted.applied(BEFORE)) == (EditKind.DELETE, None)


def test_an_edit_that_does_not_fit_leaves_the_text_unknown() -> None:
    assert FileEdit("a", EditKind.REPLACE, changes=(Change("four", "4"),)).applied(BEFORE) is None
    # Lines are matched as lines: "one" of a patch isn't the beginning of "one hundred".
    assert Change("one", "1", is_whole_lines=True).applied("one hundred\none\n") == "one hundred\n1\n"
    assert Change("two", "2", is_everywhere=True).applied("two two") == "2 2"
    assert Change("two", "", is_whole_lines=True).applied(BEFORE) == "one\nthree\n"


def test_an_insertion_goes_after_its_line() -> None:
    arguments = {"command": "insert", "path": "a", "insert_line": 1, "new_str": "1.5"}
    (edit,) = edits_of("str_replace_editor", arguments)
    assert edit.applied(BEFORE) == "one\n1.5\ntwo\nthree\n"


@given(
    st.text(), st.dictionaries(st.sampled_from(["path", "command", "edits", "input", "old_str", "new_str"]), st.text())
)
def test_nothing_that_a_model_sends_breaks_it(text: str, arguments: dict[str, str]) -> None:
    for edit in (*edits_of("edit", arguments), *edits_of("apply_patch", f"*** Begin Patch\n{text}")):
        edit.applied(text)
        assert edit.written is not None
