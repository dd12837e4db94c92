"""A patch against an image is read back to what it was made from."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.sandboxes.trees import LINK_MODE, FileEntry
from runs.trial.patches import file_patch
from runs.trial.regrade_patch import PatchInvalid, changes_in

TEXTS = st.lists(
    st.sampled_from(
        [b"one\n", b"two\n", b"", b"diff --git a/x b/x\n", b"@@ -1,1 +1,1 @@\n", b"\r", b"a\r\n", b"\\ No\n"]
    )
).map(b"".join)
ENDS = st.sampled_from([b"", b"without an end", b"\xff"])
FILES = st.builds(
    lambda mode, text, end: FileEntry(mode, text + end), st.sampled_from([0o100644, 0o100755]), TEXTS, ENDS
)
NAMES = st.sampled_from(["etc/own.conf", "a b/b a", 'sp"ace\t', "ü/n", "etc/b/etc"])


@given(NAMES, FILES | st.none(), FILES | st.none())
def test_what_a_patch_says_can_be_repeated(name: str, old: FileEntry | None, new: FileEntry | None) -> None:
    entry = old
    for change in changes_in(file_patch(name, old, new)):
        assert change.path == f"/{name}"
        entry = change.applied_to(entry)
    assert entry == new


def test_a_file_that_became_a_link_is_two_changes() -> None:
    old, new = FileEntry(0o100644, b"1\n"), FileEntry(LINK_MODE, b"/etc/passwd")
    gone, link = changes_in(file_patch("x", old, new))
    assert gone.applied_to(old) is None
    assert link.applied_to(None) == new


def test_a_binary_file_is_named_and_not_made_up() -> None:
    [change] = changes_in(file_patch("x", None, FileEntry(0o100644, b"\0")))
    assert change.is_binary
    with pytest.raises(PatchInvalid, match="/x cannot be restored"):
        change.applied_to(None)


def test_another_file_than_the_agent_had_is_refused() -> None:
    [change] = changes_in(file_patch("x", FileEntry(0o100644, b"1\n"), FileEntry(0o100644, b"2\n")))
    with pytest.raises(PatchInvalid, match="another file"):
        change.applied_to(FileEntry(0o100644, b"3\n"))
    with pytest.raises(PatchInvalid, match="does not fit"):
        change.applied_to(None)


@given(st.binary(max_size=200).map(lambda end: b"diff --git a/x b/x\n" + end) | st.binary(max_size=200))
def test_a_damaged_patch_is_refused_or_read_and_nothing_else(patch: bytes) -> None:
    with suppress(PatchInvalid):
        changes_in(patch)


@pytest.mark.parametrize("patch", [b"diff --git a/../x b/../x\n", b"diff --git a/x b/y\n", b'diff --git "a/\n'])
def test_names_that_lead_elsewhere_are_refused(patch: bytes) -> None:
    with pytest.raises(PatchInvalid):
        changes_in(patch)
