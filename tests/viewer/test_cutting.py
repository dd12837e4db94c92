from hypothesis import given
from hypothesis import strategies as st

from viewer.rendering.cutting import cut


def test_short_text_is_whole() -> None:
    whole = cut("one\ntwo", max_chars=100)
    assert (whole.head, whole.tail, whole.missing_chars) == ("one\ntwo", "", 0)


def test_many_lines_keep_their_first_and_last() -> None:
    text = "\n".join(str(n) for n in range(100))
    part = cut(text, max_chars=1000, max_lines=9)
    assert part.head.split("\n") == ["0", "1", "2", "3", "4", "5"]
    assert part.tail.split("\n") == ["97", "98", "99"]


def test_one_huge_line_is_cut_inside_itself() -> None:
    part = cut("a" * 10_000, max_chars=300)
    assert len(part.head) == 200
    assert len(part.tail) == 100


@given(st.text(alphabet="ab\n", max_size=400), st.integers(3, 60), st.integers(3, 20))
def test_the_parts_and_what_is_missing_make_the_whole(text: str, max_chars: int, max_lines: int) -> None:
    part = cut(text, max_chars=max_chars, max_lines=max_lines)
    assert text.startswith(part.head)
    assert text.endswith(part.tail)
    assert len(part.head) + len(part.tail) + part.missing_chars == len(text)
    assert len(part.head) + len(part.tail) <= max(max_chars, 0)
