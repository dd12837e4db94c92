from hypothesis import given
from hypothesis import strategies as st

from viewer.rendering.marks import with_marks


def test_control_characters_become_pictures() -> None:
    assert with_marks("a\0b\x1bc\x7f") == "a␀b␛c␡"


def test_text_that_reorders_or_hides_itself_shows_its_numbers() -> None:
    assert with_marks("user\u202enimda\u200b") == "user«U+202E»nimda«U+200B»"
    assert with_marks("\U000e0041") == "«U+E0041»"


def test_a_carriage_return_hides_nothing() -> None:
    assert with_marks("ran rm -rf\rran ls\r\n") == "ran rm -rf\nran ls\n"


def test_ordinary_text_stays_as_it_is() -> None:
    text = "Tabs\tand lines\n café 日本語 👩‍💻 שלום"
    assert with_marks(text) == text


def test_lone_surrogates_can_be_encoded_afterwards() -> None:
    assert with_marks("\ud800").encode() == "\ufffd".encode()


@given(st.text(alphabet=st.characters(codec=None)))
def test_any_text_can_be_sent_to_a_browser(text: str) -> None:
    shown = with_marks(text)
    shown.encode()
    assert with_marks(shown) == shown
