"""Citations of files: where the quote stands, and what is no file of the critic's input."""

import os
from pathlib import Path

import pytest

from critique.citations import files
from tests.critique.citations.trials import check_one, make_input


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """An input folder with a small file in the workspace."""
    folder = make_input(tmp_path / "input", ["Hello."])
    (folder / "workspace").mkdir()
    (folder / "workspace" / "main.py").write_text(
        "import os\n\n\ndef main() -> None:\n    print('all is well')\n\nmain()\n"
    )
    return folder


@pytest.mark.parametrize(
    "name",
    ["workspace/main.py", "./workspace/main.py", "workspace//main.py", "/critique/input/workspace/main.py"],
)
def test_a_quote_is_found_with_its_line(given: Path, name: str) -> None:
    checked = check_one(given, {"file": name, "quote": "print('all is well')"})
    assert (checked.kind, checked.is_verified, checked.line, checked.note) == ("file", True, 5, "")


def test_a_quote_over_several_lines_holds_any_of_them(given: Path) -> None:
    quote = "def main() -> None: print('all is well')"
    for line in (4, 5):
        checked = check_one(given, {"file": "workspace/main.py", "quote": quote, "line": line})
        assert (checked.is_verified, checked.line, checked.note) == (True, 4, "")


def test_another_line_than_named_is_noted(given: Path) -> None:
    checked = check_one(given, {"file": "workspace/main.py", "quote": "import os", "line": 40})
    assert (checked.is_verified, checked.line, checked.note) == (True, 1, "found on line 1")


def test_of_several_places_the_one_nearest_to_the_line_counts(given: Path) -> None:
    (given / "many.txt").write_text("".join(f"{'the same words' if n % 10 == 0 else 'other'}\n" for n in range(1, 101)))
    for line, nearest in ((50, 50), (53, 50), (57, 60), (1, 10), (5000, 100)):
        checked = check_one(given, {"file": "many.txt", "quote": "the same words", "line": line})
        assert (checked.is_verified, checked.line) == (True, nearest)


def test_a_quote_that_is_not_in_the_file_is_unverified(given: Path) -> None:
    checked = check_one(given, {"file": "workspace/main.py", "quote": "print('all is lost')", "line": 5})
    assert (checked.is_verified, checked.line, checked.note) == (False, None, "not in this file")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/passwd", "the file is not below /critique/input"),
        ("../secret.txt", "the file is not below /critique/input"),
        ("workspace/../../secret.txt", "the file is not below /critique/input"),
        ("/critique/input/../../etc/passwd", "the file is not below /critique/input"),
        ("out.txt", "the file leads out of /critique/input"),
        ("folder/secret.txt", "the file leads out of /critique/input"),
        ("loop", "the file cannot be read: Too many levels of symbolic links"),
        ("gone.txt", "the file does not exist"),
        ("workspace", "the file is not a file"),
        ("pipe", "the file is not a file"),
        ("program", "the file is not text"),
        ("a\0b", "the file is not below /critique/input"),
        ("x" * 1024, "the file cannot be read: File name too long"),
        ("//", "the file is not below /critique/input"),
        (".", "the file is not a file"),
    ],
)
def test_what_is_no_file_of_the_input_is_unverified_with_the_reason(given: Path, name: str, reason: str) -> None:
    (given.parent / "secret.txt").write_text("the quoted words")
    (given / "out.txt").symlink_to(given.parent / "secret.txt")
    (given / "folder").symlink_to(given.parent)
    (given / "loop").symlink_to(given / "loop")
    (given / "program").write_bytes(b"\x7fELF\0\0 the quoted words")
    os.mkfifo(given / "pipe")
    checked = check_one(given, {"file": name, "quote": "the quoted words"})
    assert (checked.is_verified, checked.note) == (False, reason)


def test_a_link_inside_the_input_is_followed(given: Path) -> None:
    (given / "workspace" / "link.py").symlink_to("main.py")
    assert check_one(given, {"file": "workspace/link.py", "quote": "import os"}).is_verified


def test_text_in_another_encoding_is_searched_as_far_as_it_can_be_read(given: Path) -> None:
    (given / "latin.txt").write_bytes("caf\xe9 is closed today".encode("latin-1"))
    assert check_one(given, {"file": "latin.txt", "quote": "is closed today"}).is_verified
    (given / "bom.txt").write_bytes(b"\xef\xbb\xbffirst words of it")
    assert check_one(given, {"file": "bom.txt", "quote": "first words of it"}).is_verified


@pytest.mark.parametrize("window", [7, 64, 1000])
def test_windows_change_neither_what_is_found_nor_its_line(
    given: Path, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(files, "WINDOW_BYTES", window)
    lines = [f"line {n} says wörd{n}\u200b and \\u0041 number {n}" for n in range(1, 60)]
    (given / "long.txt").write_text("\n".join(lines))
    for n in (1, 2, 31, 58, 59):
        checked = check_one(given, {"file": "long.txt", "quote": f"wörd{n} and A number {n}", "line": n})
        assert (checked.is_verified, checked.line, checked.note) == (True, n, "")
    across = check_one(given, {"file": "long.txt", "quote": "number 30 line 31 says"})
    assert (across.is_verified, across.line) == (True, 30)
    parted = check_one(given, {"file": "long.txt", "quote": "line 3 says … number 41"})
    assert (parted.is_verified, parted.line) == (True, 3)
    assert not check_one(given, {"file": "long.txt", "quote": "wörd3 and A number 4"}).is_verified


def test_only_the_beginning_of_a_huge_file_is_searched_and_that_is_said(
    given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 1024 * 1024)
    monkeypatch.setattr("critique.citations.checking.MAX_FILE_BYTES", 1024 * 1024)
    (given / "huge.txt").write_text("the first words\n" + "filling\n" * 200_000 + "the last words\n")
    assert check_one(given, {"file": "huge.txt", "quote": "the first words"}).is_verified
    last = check_one(given, {"file": "huge.txt", "quote": "the last words"})
    assert (last.is_verified, last.note) == (False, "not in the first 1 MiB of this file")


def test_a_file_without_any_space_is_searched_too(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WINDOW_BYTES", 100)
    (given / "one.json").write_text("[" + ",".join(f'"item-{n}"' for n in range(500)) + "]")
    assert check_one(given, {"file": "one.json", "quote": '"item-77","item-78"'}).is_verified
    assert not check_one(given, {"file": "one.json", "quote": '"item-77","item-79"'}).is_verified
