import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viewer.rendering.markdown import ALLOWED_TAGS, MAX_CHARS, markdown_html

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '<div hx-get="/logout/" hx-trigger="load">x</div>',
    "<svg onload=alert(1)>",
    "<style>body{display:none}</style>",
    "<iframe src=//evil.example></iframe>",
    "<form action=/logout/ method=post><button>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x)",
    "[x](//evil.example)",
    "[x](/logout/)",
    "![pixel](https://evil.example/pixel.png)",
    '[x](https://ok.example "onmouseover=alert(1)")',
    '<https://ok.example/?a="onclick=alert(1)>',
    '```"><script>alert(1)</script>\nx\n```',
    "`<b>`",
    "<!-- --><b>--!><script>",
    "{{ 7|add:7 }} {% load x %}",
    "\0<scr\0ipt>",
    "| a |\n|-|\n| <td onclick=x> |",
    "[ref]\n\n[ref]: javascript:alert(1)",
    "&lt;script&gt; &#60;script&#62;",
]  # fmt: skip


class Collector(HTMLParser):
    """Notes each tag and attribute, as a browser's parser would find them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]


def check(html: str) -> None:
    html.encode()
    found = Collector()
    found.feed(html)
    assert found.tags <= ALLOWED_TAGS
    for tag, name, value in found.attributes:
        assert name in {"href", "title", "class", "start", "rel"}, (tag, name)
        if name == "href":
            assert re.match(r"(https?://|mailto:)", value, re.IGNORECASE), value
        if name == "class":
            assert re.fullmatch(r"language-[\w+-]+|image-note|tok-[a-z]", value), value


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markdown_is_harmless(text: str) -> None:
    check(markdown_html(text))


@given(st.text(alphabet=st.characters(codec=None)))
def test_any_text_gives_allowed_tags_only(text: str) -> None:
    check(markdown_html(text))


@given(
    st.lists(st.sampled_from([*HOSTILE, "> ", "- ", "1. ", "\n", "    ", "`", "*", "_", "[", "](", ")"])).map("".join)
)
def test_any_mixture_of_hostile_parts_gives_allowed_tags_only(text: str) -> None:
    check(markdown_html(text))


@pytest.mark.parametrize("unit", ["[", "![", "> ", "*", "_a", "`", "- ", "<", "&", "[a](", "| ", "\\", "**a", "1. "])
def test_repeated_marks_do_not_take_long(unit: str) -> None:
    check(markdown_html(unit * (MAX_CHARS // len(unit))))


def test_prose_keeps_its_form() -> None:
    html = markdown_html("# Head\n\n**bold** `code`\n\n- a\n\n```python\nx < 1\n```\n\n| a |\n|---|\n| b |")
    for part in ("<h3>Head</h3>", "<strong>bold</strong>", "<code>code</code>", "<li>a</li>", "<td>b</td>"):
        assert part in html
    assert '<code class="language-python">x &lt; <span class="tok-m">1</span>\n</code>' in html


def test_a_fence_of_an_unknown_language_is_plain() -> None:
    assert '<code class="language-nosuch">x &lt; 1\n</code>' in markdown_html("```nosuch\nx < 1\n```")


def test_links_say_nothing_of_the_reader() -> None:
    html = markdown_html("[x](https://ok.example)")
    assert html == '<p><a href="https://ok.example" rel="noopener nofollow noreferrer">x</a></p>\n'


def test_an_image_is_named_and_not_loaded() -> None:
    html = markdown_html("![a plot](https://evil.example/p.png)")
    assert "<img" not in html
    assert "image: a plot · https://evil.example/p.png" in html


def test_very_long_text_is_plain() -> None:
    html = markdown_html("*a* " * MAX_CHARS)
    assert html.startswith("<pre>")
    assert "<em>" not in html
