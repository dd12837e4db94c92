import html
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viewer.rendering.code import _LEXERS, MAX_CHARS, highlighted_lines, language_named, language_of
from viewer.rendering.marks import with_marks

LANGUAGES = sorted(set(_LEXERS.values()))


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("/app/x.py", "python"),
        ("Dockerfile", "docker"),
        ("Dockerfile.dev", "docker"),
        ("Makefile", "make"),
        ("a/b.TSX", "typescript"),
        ("x.unknown", ""),
        (".py", ""),
        ("", ""),
    ],
)
def test_the_name_of_a_file_tells_its_language(path: str, language: str) -> None:
    assert language_of(path) == language


def test_tokens_have_classes_and_text_is_escaped() -> None:
    assert highlighted_lines("if x < '<b>':", "python") == [
        '<span class="tok-k">if</span> x &lt; <span class="tok-s">&#x27;&lt;b&gt;&#x27;</span>:'
    ]


def test_a_string_of_several_lines_is_closed_on_each() -> None:
    lines = highlighted_lines('"""a\nb"""', "python")
    assert lines == ['<span class="tok-s">&quot;&quot;&quot;a</span>', '<span class="tok-s">b&quot;&quot;&quot;</span>']


@pytest.mark.parametrize("text", ["x = 1\n" * MAX_CHARS, "x" * 500])
def test_what_is_too_long_is_plain(text: str) -> None:
    assert "<span" not in "".join(highlighted_lines(text, "python"))


def test_every_language_of_the_list_is_known() -> None:
    for name in _LEXERS:
        assert language_named(name)
    for language in LANGUAGES:
        assert "".join(highlighted_lines("a = 1 # x", language))


@given(st.sampled_from(LANGUAGES), st.text(alphabet=st.characters(codec=None), max_size=60))
def test_any_text_in_any_language_keeps_its_lines_and_gives_spans_only(language: str, text: str) -> None:
    lines = highlighted_lines(text, language)
    tags = set(re.findall(r"<[^>]*>", "".join(lines)))
    assert all(tag == "</span>" or re.fullmatch(r'<span class="tok-[a-z]">', tag) for tag in tags)
    assert all(line.count("<span") == line.count("</span") for line in lines)
    assert html.unescape(re.sub(r"<[^>]*>", "", "\n".join(lines))) == with_marks(text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_hostile_text_does_not_take_long(language: str) -> None:
    for unit in ("(", "<!--", "0", " \n", "a ", "a,"):
        start = time.process_time()
        highlighted_lines("\n".join([unit * (300 // len(unit))] * 26), language)
        assert time.process_time() - start < 0.5, unit
