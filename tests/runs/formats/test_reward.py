"""Reward files: a finite number or a named error, never a guess."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.errors import VerifierFailed
from runs.formats.reward import (
    RewardFileEmptyError,
    VerifierOutputParseError,
    is_crash_sentinel,
    parse_reward_json,
    parse_reward_text,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("0.5\n", 0.5),
        (" \t-1 \r\n", -1.0),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("2.", 2.0),
        ("+1", 1.0),
        ("\n1\n", 1.0),
    ],
)
def test_one_decimal_number_is_a_reward(text: str, value: float) -> None:
    assert parse_reward_text(text) == {"reward": value}


@pytest.mark.parametrize(
    "text",
    [
        "nan",
        "inf",
        "-Infinity",
        "1e999",
        "1_0",
        "0x1p3",
        "0x10",
        "\u0661",
        "\uff11",
        "true",
        "1 2",
        "1,5",
        "one",
        "[1]",
        '"1"',
        "1\u00a0",
        "\ufeff1",
        "1\0",
        "9" * 2_000_000,
    ],
)
def test_anything_else_is_the_named_error(text: str) -> None:
    with pytest.raises(VerifierOutputParseError, match=r"reward\.txt"):
        parse_reward_text(text)


@pytest.mark.parametrize("text", ["", " ", "\n\t\r\n"])
def test_an_empty_file_has_its_own_error(text: str) -> None:
    with pytest.raises(RewardFileEmptyError):
        parse_reward_text(text)
    with pytest.raises(RewardFileEmptyError):
        parse_reward_json(text)


def test_an_object_of_numbers_is_a_set_of_rewards() -> None:
    assert parse_reward_json('{"reward": 1, "partial": 0.25, "ok": true, "late": false}') == {
        "reward": 1.0,
        "partial": 0.25,
        "ok": 1.0,
        "late": 0.0,
    }


@pytest.mark.parametrize(
    "text",
    [
        *("{}", "1", "[1]", "null", "true", '"1"', "{", '{"a": }'),
        *('{"a": NaN}', '{"a": 1e999}', '{"a": -Infinity}', '{"a": "1"}', '{"a": null}', '{"a": {}}', '{"a": [1]}'),
        '{"a": ' + "9" * 400 + "}",
        '{"a": ' + "9" * 10_000 + "}",
        '{"a": ' + "[" * 100_000,
        '{"a": 1, "b": "' + "x" * 1024 * 1024 + '"}',
    ],
)
def test_json_that_is_no_set_of_finite_numbers_is_the_named_error(text: str) -> None:
    with pytest.raises(VerifierOutputParseError, match=r"reward\.json"):
        parse_reward_json(text)


def test_an_error_message_stays_short() -> None:
    with pytest.raises(VerifierOutputParseError) as caught:
        parse_reward_text("x" * 100_000)
    assert len(str(caught.value)) < 200


def test_minus_one_alone_is_the_crash_sentinel() -> None:
    assert is_crash_sentinel(parse_reward_text("-1"))
    assert not is_crash_sentinel({"reward": 0.0})
    assert not is_crash_sentinel({"reward": -1.0, "partial": 0.0})


@given(st.text() | st.from_regex(r"\s*[+-]?[0-9.eE_]+\s*"))
def test_any_text_gives_finite_rewards_or_a_verifier_failure(text: str) -> None:
    for parse in (parse_reward_text, parse_reward_json):
        try:
            rewards = parse(text)
        except VerifierFailed:
            continue
        assert rewards
        assert all(type(value) is float and math.isfinite(value) for value in rewards.values())
