from hypothesis import given
from hypothesis import strategies as st

from viewer.patches import MAX_FILE_LINES, MAX_FILES, read_patch

PATCH = """\
diff --git a/a.py b/a.py
index 04593c9..e7839ca 100644
--- a/a.py
+++ b/a.py
@@ -3,4 +3,4 @@ def f():
 one
--- a comment
+++ a comment
 three
@@ -20 +20,2 @@
+new
 last
\\ No newline at end of file
diff --git a/gone.py b/gone.py
deleted file mode 100644
--- a/gone.py
+++ /dev/null
@@ -1,2 +0,0 @@
-a
-b
diff --git a/logo.png b/logo.png
index 1..2 100644
Binary files a/logo.png and b/logo.png differ
diff --git "a/old \\303\\244.py" "b/new\\tname.py"
similarity index 90%
rename from "old \\303\\244.py"
rename to "new\\tname.py"
diff --git a/run.sh b/run.sh
old mode 100644
new mode 100755
"""


def test_files_hunks_and_counts_are_read() -> None:
    changed, gone, logo, moved, script = read_patch(PATCH).files
    assert (changed.path, changed.status, changed.n_added, changed.n_removed) == ("a.py", "changed", 2, 1)
    assert [(line.sign, line.text, line.old, line.new) for line in changed.hunks[0].lines] == [
        (" ", "one", 3, 3),
        ("-", "-- a comment", 4, None),
        ("+", "++ a comment", None, 4),
        (" ", "three", 5, 5),
    ]
    assert changed.hunks[0].heading == "def f():"
    assert (gone.path, gone.status, gone.n_removed) == ("gone.py", "deleted", 2)
    assert (logo.path, logo.is_binary) == ("logo.png", True)
    assert (moved.old_path, moved.path, moved.status) == ("old ä.py", "new\tname.py", "renamed")
    assert (script.path, script.mode) == ("run.sh", "100755")


def test_a_plain_diff_without_gits_headers_is_read() -> None:
    patch = read_patch(
        "--- a/x\t2026-01-01\n+++ b/x\t2026-01-02\n@@ -1 +1 @@\n-a\n+b\n--- y\n+++ y\n@@ -0,0 +1 @@\n+c\n"
    )
    assert [(file.path, file.n_added, file.n_removed) for file in patch.files] == [("x", 1, 1), ("y", 1, 0)]


def test_what_changed_inside_a_line_is_marked() -> None:
    patch = read_patch("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-the quick brown fox\n+the quick red fox\n")
    removed, added = patch.files[0].hunks[0].lines
    assert [removed.text[start:end] for start, end in removed.marks] == ["brown"]
    assert [added.text[start:end] for start, end in added.marks] == ["red"]


def test_a_huge_patch_is_counted_whole_and_shown_in_part() -> None:
    lines = "".join(f"+line {n}\n" for n in range(5_000))
    (file,) = read_patch(f"--- /dev/null\n+++ b/x\n@@ -0,0 +1,5000 @@\n{lines}").files
    assert (file.status, file.n_added, file.n_left_out) == ("added", 5_000, 5_000 - MAX_FILE_LINES)
    many = read_patch("".join(f"diff --git a/{n} b/{n}\nnew mode 100755\n" for n in range(MAX_FILES + 5)))
    assert many.is_cut
    assert len(many.files) == MAX_FILES


def test_unseen_characters_of_a_patch_are_marks() -> None:
    (file,) = read_patch("--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+a\u202eb\x1b[31m\n").files
    assert file.hunks[0].lines[0].text == "a«U+202E»b␛[31m"


LINE = st.sampled_from(
    [
        "diff --git a/x b/x",
        'diff --git "a',
        "--- a/x",
        "+++ b/x",
        "@@ -1,9 +1,9 @@",
        "@@ -1 +1 @@",
        "+a",
        "-a",
        " a",
        "\\",
        "",
    ]
)


@given(st.lists(st.one_of(LINE, st.text(max_size=20))))
def test_no_text_breaks_the_reader(lines: list[str]) -> None:
    for file in read_patch("\n".join(lines)).files:
        assert file.n_added >= 0
