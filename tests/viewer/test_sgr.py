import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viewer.rendering.sgr import terminal_html

ESCAPES = st.sampled_from(["\x1b[", "\x1b]8;;", "\x1b]52;c;", "\x07", "\x1b\\", "m", "31", ";", "\x9b", "<b>", "38;5;"])


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain <b>", "plain &lt;b&gt;"),
        ("\x1b[31mred\x1b[0m.", '<span class="ansi-red">red</span>.'),
        ("\x1b[1;32mok\x1b[22m!", '<span class="ansi-green ansi-bold">ok</span><span class="ansi-green">!</span>'),
        ("\x1b[38;5;196mx\x1b[39my", '<span class="ansi-red">x</span>y'),
        ("\x1b[38;2;0;200;0mx", '<span class="ansi-green">x</span>'),
        ("\x1b[97;44mx", '<span class="ansi-white ansi-on-blue">x</span>'),
        ("\x1b[mx", "x"),
        ("\x1b[2K\x1b[1;1Hx", "x"),
        ("\x1b]8;;https://evil.example\x07link\x1b]8;;\x07", "link"),
        ("\x1b]52;c;ZXZpbA==\x07x", "x"),
        ("\x1b]0;title never closed\nnext", "\nnext"),
        ("\x1b[38mx", "x"),
        ("\x1b[999999999999999999999999mx", "x"),
    ],
)
def test_terminal_text(text: str, html: str) -> None:
    assert terminal_html(text) == html


def test_an_attribute_cannot_be_broken_out_of() -> None:
    assert '"><img' not in terminal_html('\x1b[31m"><img src=x onerror=alert(1)>')


@given(st.lists(st.one_of(ESCAPES, st.text(alphabet=st.characters(codec=None), max_size=8))).map("".join))
def test_only_spans_of_known_classes_come_out(text: str) -> None:
    html = terminal_html(text)
    html.encode()
    tags = set(re.findall(r"<[^>]*>", html))
    assert all(tag == "</span>" or re.fullmatch(r'<span class="(ansi-[a-z-]+ ?)+">', tag) for tag in tags)


@pytest.mark.parametrize("unit", ["x\x1b[1;3;31m", '"', "\x1b[31mx\x1b[32m<", "\x80"])
def test_colours_cannot_blow_a_text_up_without_end(unit: str) -> None:
    html = terminal_html(unit * 200_000)
    assert len(html) < 420_000
    assert html.count("<span") == html.count("</span>")
    assert html.endswith("left out here …]")
