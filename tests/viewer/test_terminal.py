import pytest
from hypothesis import given
from hypothesis import strategies as st

from viewer.terminal import Screen


def shown(data: str, columns: int = 10, rows: int = 4) -> str:
    screen = Screen(columns, rows)
    screen.feed(data)
    return screen.text()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("one\r\ntwo", "one\ntwo"),
        ("10%\r50%\r100%", "100%"),
        ("abc\b\bX", "aXc"),
        ("a\tb", "a       b"),
        ("0123456789ab", "0123456789\nab"),
        ("1\r\n2\r\n3\r\n4\r\n5", "2\n3\n4\n5"),
        ("\x1b[2;3Hx", "\n  x"),
        ("abcdef\x1b[3D\x1b[K", "abc"),
        ("abc\r\ndef\x1b[2Jx", "\n   x"),
        ("abc\x1b[1G\x1b[2@", "  abc"),
        ("abcd\x1b[1G\x1b[2P", "cd"),
        ("1\r\n2\r\n3\x1b[1;1H\x1b[L", "\n1\n2\n3"),
        ("1\r\n2\r\n3\x1b[1;1H\x1b[M", "2\n3"),
        ("s\r\n\x1b[1;2ra\r\nb\r\nc", "b\nc"),
        ("shell\x1b[?1049hvim\x1b[?1049lback", "back"),
        ("\x1b]0;title\x07text\x1b(B", "text"),
        ("\x1b[31mred\x1b[0m plain", "\x1b[0;31mred\x1b[0m plain"),
        ("\x1b7abc\x1b8X", "Xbc"),
    ],
)
def test_the_screen_is_as_a_terminal_would_show_it(data: str, text: str) -> None:
    assert shown(data) == text


@given(
    st.text(alphabet=st.characters(max_codepoint=0x7F)) | st.text(alphabet="\x1b[]0123456789;?HJKmLMPX@rhABCDST\n\r\b")
)
def test_nothing_that_was_printed_breaks_the_screen(data: str) -> None:
    screen = Screen(7, 3)
    screen.feed(data)
    lines = screen.text().split("\n")
    assert len(lines) <= 3
    for characters, styles in screen._lines:
        assert (len(characters), len(styles)) == (7, 7)
