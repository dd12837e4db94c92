import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.indexing.cleaning import clean_json, clean_name, clip
from runs.indexing.values import amount, count, moment, number, seconds_of

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
)


@given(ANYTHING)
def test_any_json_becomes_storable(value: Any) -> None:
    text = json.dumps(clean_json(value), allow_nan=False, ensure_ascii=False)
    text.encode()
    assert "\\u0000" not in text


def test_nul_and_lone_surrogates_are_replaced_in_keys_and_values() -> None:
    assert clean_json({"a\x00": ["\ud800b"]}) == {"a\ufffd": ["\ufffdb"]}


def test_json_that_is_too_deep_is_cut_where_it_is_too_deep() -> None:
    deep: Any = "core"
    for _ in range(500):
        deep = [deep]
    assert "core" not in json.dumps(clean_json(deep))


def test_a_long_text_is_cut_with_a_mark_and_never_longer_than_asked() -> None:
    assert clip("x" * 300, 200) == "x" * 199 + "…"
    assert clip("x" * 200, 200) == "x" * 200


def test_two_names_that_are_no_utf_8_stay_two() -> None:
    assert clean_name("a\udcff") == r"a\xff"
    assert clean_name("a\udcfe") == r"a\xfe"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-08-01T10:00:00Z", "2026-08-01T10:00:00+00:00"),
        ("2026-08-01T12:00:00+02:00", "2026-08-01T10:00:00+00:00"),
        ("2026-08-01T10:00:00", "2026-08-01T10:00:00+00:00"),
    ],
)
def test_times_are_read_with_their_zone_and_naive_ones_in_the_zone_given(text: str, expected: str) -> None:
    at = moment(text)
    assert at is not None
    assert at.isoformat() == expected


@pytest.mark.parametrize("value", ["yesterday", "", None, 7, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_what_is_no_time_of_a_trial_is_no_time(value: object) -> None:
    assert moment(value) is None


def test_numbers_are_finite_and_counts_are_whole_and_fit_a_column() -> None:
    assert number(float("nan")) is None
    assert number(10**400) is None
    assert number("1") is None
    assert number(True) == 1.0
    assert count(3.0) == 3
    assert count(-1) is None
    assert count(True) is None
    assert count(2**63) is None
    assert amount(-0.5) is None


def test_a_clock_that_stepped_back_gives_zero_seconds() -> None:
    assert seconds_of({"started_at": "2026-08-01T10:00:01Z", "finished_at": "2026-08-01T10:00:00Z"}) == 0.0
    assert seconds_of({"started_at": "2026-08-01T10:00:01Z"}) is None
    assert seconds_of(None) is None
