"""When a quote is in a text, and when it is not."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from critique.citations.folding import folded, spellings
from critique.citations.quotes import Effort, Search, folds_of, is_found, quote_of

PLENTY = 10**12


def found(quote: str, text: str) -> bool:
    effort = Effort(PLENTY)
    wanted = quote_of(quote)
    return wanted is not None and is_found(wanted, folds_of(text, effort), effort)


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("two tests failed", "In all two  tests\n\tfailed."),
        ("two tests\nfailed", "two tests failed"),
        ("  two tests failed\n", "two tests failed"),
        ("caf\u00e9 is open", "cafe\u0301 is open"),
        ("cafe\u0301 is open", "caf\u00e9 is open"),
        ("it said “done” and didn’t stop", 'it said "done" and didn\'t stop'),
        ('it said "done" — so', "it said “done” - so"),
        ("\\x41 stays".replace("\\x41", "AAAA"), "AAAA\u200b stays"),
        ("all of them pass", "the tests\u2014all of them pass"),
        ("the tests - all of them", "the tests\u2014all of them pass"),
        ("Error: text", "b'Error: text'"),
        ("two red tests", "two \x1b[31mred\x1b[0m tests"),
        ("two red tests", "two re\x07d te\x00sts"),
        ('first line\\nsecond \\"line\\"', 'first line\nsecond "line"'),
        ('first line\nsecond "line"', '{"text": "first line\\nsecond \\"line\\""}'),
        ('say \\"hi there\\"', '{"a": "{\\"b\\": \\"say \\\\\\"hi there\\\\\\"\\"}"}'),
        ("snow \\u2603 man", "snow \u2603 man"),
        ("face \\ud83d\\ude00 here", "face \U0001f600 here"),
        ("face \U0001f600 here", '"face \\ud83d\\ude00 here"'),
        ("`two tests failed`", "two tests failed"),
        ("'two tests failed'", "so: two tests failed."),
        ("the beginning of … end of it all", "the beginning of the story and the end of it all"),
        ("the beginning of [...] end of it all", "the beginning of the story and the end of it all"),
        ("the beginning of (...) end of it all", "the beginning of the story and the end of it all"),
        ("the beginning of ... end of it all", "the beginning of the story and the end of it all"),
        ("… the beginning of", "now the beginning of the story"),
        ("the beginning of the sto…", "now the beginning of the story"),
        ("the beginn… end of it all", "the beginning of the story and the end of it all"),
        ("Running tests... ok", "Running tests... ok"),
        ("Running tests… ok", "Running tests... ok"),
        (r"re.sub(r'\n+', x)", r"y = re.sub(r'\n+', x)"),
        ("$ pytest -q", "$ pytest -q\n3 passed"),
        ("/app/main.py:12", "at /app/main.py:12: error"),
        ("測試失敗了", "結果是測試失敗了。"),
        ("失敗了三次", "測試失敗了三次以上"),
        ("a b c d", "a b c d"),
    ],
)
def test_what_differs_only_in_writing_is_found(quote: str, text: str) -> None:
    assert found(quote, text)


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("Two tests failed", "two tests failed"),
        ("two tests failed", "twotests failed"),
        ("two tests passed", "two tests failed"),
        ("1 passed in total", "11 passed in total"),
        ("it took 12", "it took 120 seconds"),
        ("it took 3", "it took 3.5 seconds"),
        ("it took 3.", "it took 3.5 seconds"),
        (".5 seconds in all", "it took 3.5 seconds in all"),
        ("_of_nothing failed", "test_slug_of_nothing failed"),
        ("234 tests ran", "1,234 tests ran"),
        ("able to run it", "unable to run it"),
        ("empty list given", "a non-empty list given"),
        ("so I can", "so I can't do it"),
        ("test_slug", "test_slug_of_nothing failed"),
        ("slug_of_nothing", "test_slug_of_nothing failed"),
        ("end of it all … the beginning of", "the beginning of the story and the end of it all"),
        ("the beginning of … the beginning of", "the beginning of the story"),
        ("…able to run it", "unable to run it"),
        ("it took 1…", "it took 120 seconds"),
        ("all of the tests … passed", "all of the tests failed, one passed"),
        ("abc", "abc"),
        ("...", "..."),
        ("", "anything"),
        ("{ } ( ) = ;", "{ } ( ) = ;"),
    ],
)
def test_what_differs_in_words_numbers_or_order_is_not_found(quote: str, text: str) -> None:
    assert not found(quote, text)


@given(st.text(), st.text())
def test_folding_and_searching_take_any_text(quote: str, text: str) -> None:
    assert folded(folded(text)) == folded(text) or "\x1b" in text
    found(quote, text)


@given(st.lists(st.text("ab \\n\"'.,-_\x1b[\n", max_size=12), max_size=8), st.text("ab .…", min_size=1, max_size=20))
def test_windows_give_what_the_whole_text_gives(pieces: list[str], words: str) -> None:
    quote = quote_of(words)
    if quote is None:
        return
    windows = [fold for piece in pieces if (fold := folded(piece))]
    for way in quote.ways:
        whole, parts = Search(way, limit=50), Search(way, limit=50)
        whole.feed(" ".join(windows), Effort(PLENTY), is_last=True)
        for number, window in enumerate(windows, start=1):
            is_last = number == len(windows)
            parts.feed(window if is_last else f"{window} ", Effort(PLENTY), is_last=is_last)
        assert (parts.first_words, parts.last_words) == (whole.first_words, whole.last_words)


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("aaaa", "a"),
        ("a" * 10_000 + "b" + "a" * 9_000, "a"),
        ("aaaa aaaa", "aaaa "),
        (" ".join(["aaaaaaaa ..."] * 1500) + " bbbbbbbbb", "aaaaaaaa "),
        ("\\" * 10_000 + "aaaa", "\\"),
        ("aaaa" + "[" * 9_000, "["),
        ("aaaa" + "." * 9_000, "."),
        ("aaaa" + "\u0345\u0300" * 3_000, "\u0345\u0300"),
        ("x" * 20_000, "\x1b]"),
    ],
)
def test_the_work_grows_with_the_text_and_no_faster(quote: str, text: str) -> None:
    spent = []
    for n_chars in (250_000, 500_000):
        effort, wanted = Effort(PLENTY), quote_of(quote)
        assert wanted is not None
        assert not is_found(wanted, folds_of(text * (n_chars // len(text)), effort), effort) or "b" not in quote
        spent.append(effort.spent)
    assert spent[1] <= 2.2 * spent[0]


def test_long_runs_of_marks_are_put_in_order_as_the_standard_has_it() -> None:
    # A few hundred are still quick to do the standard's way.
    for run in ("\u0345\u0300\u0f73" * 100, "\u0301\u0323" * 150, "\u3099\u0344" * 90):
        text = f"a{run}b cafe\u0301"
        assert folded(text) == folded(unicodedata.normalize("NFC", text)) == unicodedata.normalize("NFC", text)


def test_a_quote_that_asks_for_too_much_work_is_not_searched_on() -> None:
    effort = Effort(1_000_000)
    wanted = quote_of("aaaa")
    assert wanted is not None
    assert not is_found(wanted, folds_of("a" * 4_000_000, effort), effort)
    assert effort.is_used_up


def test_spellings_end_where_nothing_is_escaped() -> None:
    assert list(spellings("plain")) == ["plain"]
    assert list(spellings(r"C:\work")) == [r"C:\work"]
    assert list(spellings(r"a\nb")) == [r"a\nb", "a b"]
    assert len(list(spellings("\\" * 64))) == 3
