import html
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from viewer.rendering.diffs import DiffLine, counts, diff_html, line_diff, lines_of
from viewer.rendering.marks import with_marks

LINES = st.lists(st.sampled_from(["a", "b", "  c = f(x)", "  c = f(y)", "", "}"]), max_size=20)
ANY = st.text(alphabet=st.characters(codec=None), max_size=80)


def signs(lines: list[DiffLine]) -> list[tuple[str, str]]:
    return [(line.sign, line.text) for line in lines]


def test_lines_that_stay_are_context() -> None:
    assert signs(line_diff("a\nb\nc", "a\nx\nc")) == [(" ", "a"), ("-", "b"), ("+", "x"), (" ", "c")]


def test_what_differs_inside_a_line_is_marked() -> None:
    removed, added = line_diff("  if p.is(COLON) {", "  if p.is(COLON) || p.is(DOUBLE) {")
    assert removed.marks == ()
    assert [added.text[start:end] for start, end in added.marks] == ["|| p.is(DOUBLE) "]


def test_lines_that_have_little_in_common_have_no_marks() -> None:
    assert {line.marks for line in line_diff("return 1", "while True: x()")} == {()}


def test_numbers_count_on_both_sides() -> None:
    lines = line_diff("a\nb", "a\nx\ny", old_start=10, new_start=20)
    assert [(line.old, line.new) for line in lines] == [(10, 20), (11, None), (None, 21), (None, 22)]


def test_an_edit_that_changes_nothing_says_so() -> None:
    assert signs(line_diff("a", "a\n")) == [("@", "nothing changes")]


def test_far_context_is_left_out_and_counted() -> None:
    lines = line_diff("\n".join("abcdefghij"), "\n".join("abcdefghiX"))
    assert (lines[0].sign, lines[0].text) == ("@", "6 unchanged lines")
    assert counts(lines) == (1, 1)


@given(LINES, LINES)
def test_both_texts_can_be_read_off_the_diff(old: list[str], new: list[str]) -> None:
    assume(lines_of("\n".join(old)) != lines_of("\n".join(new)))
    lines = line_diff("\n".join(old), "\n".join(new), context=100)
    assert [line.text for line in lines if line.sign != "+"] == lines_of("\n".join(old))
    assert [line.text for line in lines if line.sign != "-"] == lines_of("\n".join(new))


@given(ANY, ANY)
def test_any_two_texts_give_known_elements_and_all_their_text(old: str, new: str) -> None:
    assume(lines_of(old) != lines_of(new))
    drawn = diff_html(line_diff(old, new, old_start=1, new_start=1, context=1000))
    drawn.encode()
    tags = set(re.findall(r"<[^>]*>", drawn))
    assert all(re.fullmatch(r'</?(?:ins|del|span|i|mark)(?: data-(?:old|new)="\d+")*>', tag) for tag in tags)
    text = html.unescape(re.sub(r"<ins.*?</ins>|<[^>]*>", "", drawn, flags=re.DOTALL))
    assert text.removesuffix("\n") == with_marks(old).removesuffix("\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a\nb\n" * 2_000, "b\na\n" * 2_000),
        ("x\n" * 50_000, "y\n" * 50_000),
        ("(" * 100_000, "(" * 100_001),
        ("a b " * 200, "b a " * 200),
        ("\n".join("ab" * n for n in range(400)), "\n".join("ba" * n for n in range(400))),
    ],
)
def test_hostile_texts_do_not_take_long(old: str, new: str) -> None:
    assert line_diff(old, new)  # the suite's own time limit is the assertion
