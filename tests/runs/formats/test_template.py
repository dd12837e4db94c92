"""References to the environment, and that no literal secret is ever written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.formats.template import (
    VariableMissing,
    holds_literal_secret,
    looks_secret,
    missing_variables,
    redact,
    redact_tree,
    resolve,
    resolve_all,
)

SECRET = "sk-proj-0123456789abcdefghij"


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        ("${A}", "1"),
        ("Bearer ${A}", "Bearer 1"),
        ("${A}-${B:-two}", "1-two"),
        ("${B:-}", ""),
        ("${EMPTY:-x}", ""),
        ("$A ${} ${1x} ${A", "$A ${} ${1x} ${A"),
        ("${NESTED}", "${A}"),
    ],
)
def test_references_are_resolved_anywhere_in_a_value(value: str, resolved: str) -> None:
    assert resolve(value, {"A": "1", "EMPTY": "", "NESTED": "${A}"}) == resolved


def test_missing_variables_are_all_named_at_once() -> None:
    with pytest.raises(VariableMissing, match="A, B") as caught:
        resolve_all({"x": "${B}", "y": "${A}${C:-}"}, {})
    assert caught.value.names == ["A", "B"]
    assert missing_variables(["${A}", "${A}"], {"A": ""}) == []


@pytest.mark.parametrize(
    "name",
    [
        "OPENAI_API_KEY",
        "GITHUB_TOKEN",
        "Authorization",
        "ANTHROPIC_CUSTOM_HEADERS",
        "DB_PASSWORD",
        "Cookie",
        "apiKey",
        "GH_PAT",
    ],
)
def test_names_of_credentials_look_secret(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name", ["CLAUDE_CODE_MAX_OUTPUT_TOKENS", "GIT_AUTHOR_NAME", "PATH", "CODEX_AUTH_JSON_PATH", "MODEL"]
)
def test_names_of_other_things_do_not(name: str) -> None:
    assert not looks_secret(name)


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("API_KEY", "${OTHER}", "${OTHER}"),
        ("API_KEY", SECRET, "${API_KEY}"),
        ("MY_KEY", SECRET, "${API_KEY}"),
        ("API_KEY", "hunter2", "****"),
        ("API_KEY", "not-used", "not-used"),
        ("API_KEY", "${X:-hunter2}", "${X}"),
        ("API_KEY", "${X:-}", "${X:-}"),
        ("AUTH", "Bearer ${X}", "Bearer ${X}"),
        ("HEADERS", "Authorization: Bearer ${X}", "Authorization: Bearer ${X}"),
        ("API_KEY", "hunter2${X}", "****${X}"),
        ("BASE_URL", "http://gateway.test/v1", "http://gateway.test/v1"),
        ("BASE_URL", "http://me:hunter2@gateway.test/v1", "http****gateway.test/v1"),
        ("CONFIG", f'key = "{SECRET}"', 'key = "${API_KEY}"'),
        ("CONFIG", "ghp_abcdefghijklmnopqrstuvwxyz", "****"),
    ],
)
def test_what_is_written_of_an_environment(name: str, value: str, written: str) -> None:
    assert redact({name: value}, {"API_KEY": SECRET}) == {name: written}


def test_arguments_are_redacted_however_deep() -> None:
    tree = {"model": {"api_key": "hunter2", "list": [{"token": "hunter2"}], "timeout": 3}, "note": SECRET}
    assert "hunter2" not in str(redact_tree(tree, {}))
    assert SECRET not in str(redact_tree(tree, {}))
    assert redact_tree(tree, {})["model"]["timeout"] == 3


def test_a_header_with_a_default_or_a_literal_holds_a_secret() -> None:
    assert holds_literal_secret("Authorization", "Bearer hunter2")
    assert holds_literal_secret("Authorization", "Bearer ${X:-hunter2}")
    assert not holds_literal_secret("Authorization", "Bearer ${X}")
    assert not holds_literal_secret("Accept", "text/html")


@given(st.text(alphabet="ABC_${}:- abc", max_size=60), st.dictionaries(st.sampled_from("ABC"), st.text(max_size=5)))
def test_a_value_resolves_exactly_when_nothing_is_missing(value: str, environ: dict[str, str]) -> None:
    missing = missing_variables([value], environ)
    try:
        resolve(value, environ)
    except VariableMissing as error:
        named = error.names
    else:
        named = []
    assert named == missing


@given(st.text(alphabet="hunter2SECRETxyz${}:-AB ", min_size=1, max_size=60))
def test_redacting_twice_changes_nothing_more(value: str) -> None:
    once = redact({"MY_TOKEN": value}, {})
    assert redact(once, {}) == once or once["MY_TOKEN"] == "****"


@pytest.mark.parametrize("piece", ["${A:-", "-eyJ"])
def test_a_long_value_of_beginnings_without_an_end_is_left_alone_at_once(piece: str) -> None:
    # Time by the square of it would be minutes.
    value = piece * 100_000
    assert resolve(value, {"A": "a"}) == value
    assert redact_tree(value) == value
