import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.calls.tools import edits_of
from viewer.cards.files import drawn_changes, file_block, numbered_lines, printed_diff, printed_file, told_diff
from viewer.cards.model import ALONE, TIGHT

LINES = st.lists(st.text(alphabet=st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=12), min_size=1)
ANY = st.text(alphabet=st.characters(codec=None), max_size=60)
PARTS = st.sampled_from(
    [
        *("*** Begin Patch\n", "*** Update File: x.py\n", "*** Add File: ", "*** Delete File: y\n", "*** Move to: z\n"),
        *("@@\n", "@@ -1,2 +1,2 @@ f\n", "diff --git a/x b/x\n", "--- a/x\n", "+++ b/x\n"),
        *("+a\n", "-b\n", " c\n", "\n", "*** End Patch"),
    ]
)


@pytest.mark.parametrize("mark", ["→", "\t", ": ", "| "])
@given(LINES, st.integers(1, 9_000))
def test_lines_that_a_tool_numbered_are_read_back(mark: str, lines: list[str], start: int) -> None:
    text = "\n".join(f"{n:>6}{mark}{line}" for n, line in enumerate(lines, start))
    assert numbered_lines(text) == (list(range(start, start + len(lines))), lines)


@pytest.mark.parametrize("text", ["", "\n", "plain\nlines", "1\ta\n7\tb\n3\tc", "12:30 meeting\n9:00 tea\n"])
def test_lines_without_numbers_in_one_order_are_not_numbered(text: str) -> None:
    assert numbered_lines(text) == ([], [])


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("cat x.py", ("x.py", 1)),
        ("cd /app && sed -n '5,9p' src/x.py", ("src/x.py", 5)),
        ("head -n 20 x.py", ("x.py", 1)),
        ("nl -ba x.py", ("x.py", 1)),
        ("cat x.py y.py", None),
        ("cat x.py; rm x.py", None),
        ("cat > x.py", None),
        ("cat 'a b'", None),
    ],
)
def test_a_command_that_prints_one_file_is_known(command: str, found: tuple[str, int] | None) -> None:
    assert printed_file(command) == found


def test_an_output_with_other_lines_is_no_diff() -> None:
    text = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"
    assert len(printed_diff("git diff", text, ALONE)) == 1
    assert printed_diff("git diff", f"{text}… 90 lines truncated …\n", ALONE) == []


@settings(deadline=None)
@given(st.lists(st.one_of(PARTS, ANY)).map("".join))
def test_any_torn_patch_is_drawn(text: str) -> None:
    for limits in (TIGHT, ALONE):
        changes = drawn_changes(edits_of("apply_patch", {"input": text}), text, limits)
        for block in (*changes.blocks, *printed_diff("git diff", f"diff --git {text}", limits)):
            block.html.encode()
            assert "<script" not in block.html


@given(st.one_of(ANY, st.recursive(ANY, lambda inner: st.lists(inner) | st.dictionaries(ANY, inner)).map(json.dumps)))
def test_any_answer_of_an_editor_is_read(result: str) -> None:
    told_diff(result)
    told_diff(f'{{"diff_block": {result}}}')
    told_diff(
        json.dumps({"diff_block": [{"start_line": result, "lines": [{"text": result, "action": result}, result]}]})
    )


@given(ANY, ANY, st.one_of(st.none(), st.integers(1, 100)))
def test_any_file_is_shown(text: str, path: str, start: Any) -> None:
    block = file_block(text, path, TIGHT, start=start)
    block.html.encode()
