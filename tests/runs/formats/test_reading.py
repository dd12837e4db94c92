"""The one reader: limits, numbers, links, and that nothing else than its named errors comes out."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.errors import FileUnreadable
from runs.formats.reading import JsonInvalid, TomlInvalid, clean_text, parse_json, parse_toml, read_json, read_text


def test_a_torn_file_is_reported_with_its_path(tmp_path: Path) -> None:
    torn = tmp_path / "result.json"
    torn.write_text('{"a": [1, 2')
    with pytest.raises(FileUnreadable, match=r"result\.json: not JSON at line 1, column 12") as caught:
        read_json(torn)
    assert caught.value.path == torn


def test_a_missing_file_is_reported_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match=r"nothing\.json: does not exist"):
        read_json(tmp_path / "nothing.json")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match="not a regular file"):
        read_json(tmp_path)


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileUnreadable, match="not a regular file"):
        read_text(tmp_path / "pipe", 100)


def test_a_file_over_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.truncate(500 * 1024 * 1024)
    started = time.process_time()
    with pytest.raises(FileUnreadable, match="over the limit"):
        read_json(huge)
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000, '[{"a":' * 50_000])
def test_deep_nesting_is_refused_quickly(text: str) -> None:
    started = time.process_time()
    with pytest.raises(JsonInvalid, match="deep"):
        parse_json(text)
    assert time.process_time() - started < 0.5


def test_brackets_in_strings_are_not_nesting() -> None:
    text = "[" * 5_000 + '\\"{'
    assert parse_json(json.dumps([text, "]" * 300, "\\"])) == [text, "]" * 300, "\\"]


def test_nesting_up_to_the_limit_is_read() -> None:
    assert parse_json("[" * 200 + "]" * 200)
    with pytest.raises(JsonInvalid):
        parse_json("[" * 201 + "]" * 201)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 301, "9" * 5_000])
def test_what_no_double_holds_is_refused_or_null(number: str) -> None:
    with pytest.raises(JsonInvalid, match="not a number that can be stored"):
        parse_json(f"[{number}]")
    assert parse_json(f"[{number}]", lenient=True) == [None]


def test_of_duplicate_keys_the_last_counts() -> None:
    assert parse_json('{"a": 1, "a": 2}') == {"a": 2}


def test_strings_that_no_database_takes_are_cleaned_when_lenient() -> None:
    text = r'{"k\u0000": ["\ud800", "\ud83d\ude00"]}'
    assert parse_json(text) == {"k\0": ["\ud800", "😀"]}
    assert parse_json(text, lenient=True) == {"k\ufffd": ["\ufffd", "😀"]}


def test_bytes_that_are_not_utf8_are_an_error_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "latin.json"
    path.write_bytes(b'["caf\xe9"]')
    with pytest.raises(FileUnreadable, match="byte 5 is not UTF-8"):
        read_json(path)
    assert read_json(path, lenient=True) == ["caf\ufffd"]


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "bom.json"
    path.write_bytes(b"\xef\xbb\xbf{}")
    assert read_json(path) == {}


def test_a_link_out_of_the_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    trial = tmp_path / "trial"
    trial.mkdir()
    (trial / "result.json").symlink_to("../secret.json")
    (trial / "outside").symlink_to("..")
    (trial / "own.json").write_text("[1]")
    (trial / "alias.json").symlink_to("own.json")
    (trial / "loop.json").symlink_to("loop.json")
    for name in ("result.json", "outside/secret.json", "../secret.json", "loop.json"):
        with pytest.raises(FileUnreadable):
            read_json(trial / name, within=trial)
    assert read_json(trial / "alias.json", within=trial) == [1]
    assert read_json(trial / "result.json") == {}


def test_a_name_with_nul_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable):
        read_json(tmp_path / "a\0b")


@given(st.text())
def test_any_text_is_json_or_the_named_error(text: str) -> None:
    with suppress(JsonInvalid):
        parse_json(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_whatever_is_read_leniently_can_be_written_strictly(value: object) -> None:
    read = parse_json(json.dumps(value), lenient=True)
    json.dumps(read, allow_nan=False, ensure_ascii=False).encode()


@given(st.text(st.characters()))
def test_clean_text_can_be_stored(text: str) -> None:
    assert "\0" not in clean_text(text)
    clean_text(text).encode()


@given(st.text(alphabet="ab.=[]{}\"'\n \\#,-_1:T+xo"))
def test_any_text_is_toml_or_the_named_error(text: str) -> None:
    with suppress(TomlInvalid):
        parse_toml(text)


@pytest.mark.parametrize(
    "text",
    [
        "a." * 400_000 + "a=1",
        "[" + "a." * 400_000 + "a]",
        '"a".' * 200_000 + "a=1",
        "a=" + "[" * 100_000,
        "a" * 1_000_000,
        "a=" + "9" * 5_000,
        "a=" + "{b=" * 50_000,
    ],
)
def test_toml_made_to_hang_is_refused_quickly(text: str) -> None:
    started = time.monotonic()
    with pytest.raises(TomlInvalid):
        parse_toml(text)
    assert time.monotonic() - started < 2


def test_a_toml_error_names_line_and_column() -> None:
    with pytest.raises(TomlInvalid, match="line 2, column 5"):
        parse_toml("a = 1\nb = = 2")
    with pytest.raises(TomlInvalid, match="line 2, column 5"):
        parse_toml("a = 1\nb = ")
