"""Secrets are masked wherever they stand, however the bytes come, and nothing else is touched."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from critique.inputs.masking import HELD_BYTES, Masker, known_secrets, masked_record, masked_settings

KNOWN = 'hunter2-hunter2/+"quoted"\nand a line'
LOOKS = [
    "sk-ant-api03-abcdefghijklmnopqrst",
    "ghp_0123456789abcdefghijABCDEFGHIJ",
    "github_pat_0123456789abcdefghijABCDEFGHIJ",
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyA0123456789abcdefghijklmnopqrstuv",
    "xoxb-1234567890-abcdef",
    "hf_0123456789abcdefghijABCDEFGHIJ",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "glpat-0123456789abcdefghij",
]
HARMLESS = st.text(alphabet="abcdefgh \n{}[]:,", max_size=200).map(str.encode)


def pieces(data: bytes, size: int) -> list[bytes]:
    """The bytes in pieces of a size."""
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("secret", LOOKS)
def test_what_looks_like_a_credential_is_masked(secret: str) -> None:
    masker = Masker()
    assert masker.text(f"before {secret} after") == "before **** after"
    assert masker.text(json.dumps({"said": f"export X={secret}"})) == '{"said": "export X=****"}'


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("OPENAI_API_KEY=abc123def456ghi", "OPENAI_API_KEY=****"),
        ('"MY_TOKEN": "abc123def456ghi"', '"MY_TOKEN": "****"'),
        ('{"out": "{\\"MY_SECRET\\": \\"abc123def456\\"}"}', '{"out": "{\\"MY_SECRET\\": \\"****\\"}"}'),
        ("Authorization: Bearer abcdef0123456789xyz", "Authorization: Bearer ****"),
        ("postgres://user:pa55word@host/db", "postgres://user:****@host/db"),
        ("https://0123456789abcdefghijXYZ@git.example/x", "https://****@git.example/x"),
        (
            "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----****-----END PRIVATE KEY-----",
        ),
    ],
)
def test_values_beside_telling_names_are_masked(text: str, masked: str) -> None:
    assert Masker().text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "the disk-usage-of-a-rather-long-name stays",
        "MAX_TOKENS=4096 and KEY_PATH=/home/user1/.ssh/id_ed25519",
        'for key in keys: print(key, "PRIMARY KEY", token)',
        "https://example.org:8080/path and http://user@host/",
        "API_KEY=$OPENAI_API_KEY",
        "eyJust words here, no token.",
        "software-as-a-service-of-the-future, hf_text_generation_models, npm_config_registry_address",
        "authorization = request.headers.get(name)",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    masker = Masker()
    assert masker.text(text) == text
    assert not masker.finds([text.encode()])


def test_a_known_value_is_masked_in_each_spelling() -> None:
    masker = Masker([KNOWN])
    for text in (KNOWN, json.dumps({"x": KNOWN}), json.dumps(["ü", KNOWN], ensure_ascii=False)):
        assert "hunter2" not in masker.text(f"a {text} b")
    assert json.loads(masker.text(json.dumps({"x": KNOWN}))) == {"x": "****"}


def test_of_known_values_only_those_are_masked_where_looks_do_not_count() -> None:
    masker = Masker([KNOWN]).without_looks()
    assert masker.text(f"{LOOKS[0]} {KNOWN}") == f"{LOOKS[0]} ****"


@given(before=HARMLESS, after=HARMLESS, size=st.integers(1, 50), repeats=st.integers(1, 4))
def test_a_secret_is_masked_wherever_pieces_end(before: bytes, after: bytes, size: int, repeats: int) -> None:
    masker = Masker([KNOWN])
    masker._held = 120
    secrets = [LOOKS[0].encode(), b" ", KNOWN.encode(), b" ", LOOKS[3].encode(), b" "]
    data = b"".join([before, b" ", *secrets, after, b" "] * repeats)
    found = b"".join(masker.stream(pieces(data, size)))
    assert found == b"".join([before, b" ", *[b"****", b" "] * 3, after, b" "] * repeats)


@given(st.binary(max_size=2_000), st.integers(1, 300))
def test_bytes_without_secrets_come_out_as_they_went_in(data: bytes, size: int) -> None:
    masker = Masker([KNOWN])
    masker._held = 100
    whole = pieces(data, size)
    if not masker.finds(whole):
        assert b"".join(masker.stream(whole)) == data


def test_a_secret_across_the_border_of_large_pieces_is_masked() -> None:
    secret = LOOKS[0].encode()
    for shift in range(-len(secret) - 2, 3):
        data = b"x " * HELD_BYTES + b" " * (40 + shift) + secret + b" y" * HELD_BYTES
        assert secret not in b"".join(Masker().stream(pieces(data, HELD_BYTES + 20)))


@pytest.mark.parametrize(
    "evil", ["-eyJ", "eyJ", "://a:", "KEY", "KEY=a1", "earer  ", "sk-", "PRIVATE KEY-----", "PRIVATE KEY-----\\n", "\\"]
)
def test_hostile_bytes_take_the_time_of_their_length(evil: str) -> None:
    data = evil.encode() * (2_000_000 // len(evil))
    began = time.process_time()
    Masker([KNOWN]).data(data)
    assert time.process_time() - began < 10.0


def test_secrets_of_the_environment_are_known_by_name_by_look_and_by_reference() -> None:
    environ = {
        "MY_API_KEY": "plain-words-only",
        "DATABASE_URL": "postgres://me:pa55word99@host/db",
        "INNOCENT": LOOKS[0],
        "WORK_LOGIN": "some-value-here",
        "HOME": "/home/somebody",
        "SHORT_TOKEN": "abc",
        "AUTH_ENABLED": "true",
    }
    config = {"agents": [{"env": {"OPENAI_API_KEY": "${WORK_LOGIN}", "HOME": "${HOME}"}}]}
    assert known_secrets([config], environ) == {"plain-words-only", "pa55word99", LOOKS[0], "some-value-here"}


def test_a_record_loses_values_of_variables_and_under_secret_names() -> None:
    record = {
        "agent": {"env": {"FOO": "bar-value", "DEBUG": "1", "REF": "${FOO}"}, "kwargs": {"api_key": "value"}},
        "mcp": {"headers": {"X-Anything": "some header"}},
        "compose": {"environment": ["A"], "env": ["FOO=bar-value", "DEBUG=true"]},
        "n_tokens": 5,
        "name": "trial",
    }
    assert masked_record(record) == {
        "agent": {"env": {"FOO": "****", "DEBUG": "1", "REF": "${FOO}"}, "kwargs": {"api_key": "****"}},
        "mcp": {"headers": {"X-Anything": "****"}},
        "compose": {"environment": ["A"], "env": ["FOO=****", "DEBUG=true"]},
        "n_tokens": 5,
        "name": "trial",
    }


def test_settings_lose_values_of_secret_names_or_of_all() -> None:
    text = 'model = "gpt"\napi_key = "abc def"\n  password: x y z\n'
    assert masked_settings(text) == 'model = "gpt"\napi_key = ****\n  password: ****\n'
    assert masked_settings("FOO=bar baz\nN=1\n", all_values=True) == "FOO=****\nN=1\n"
