"""The name server of a sandbox: allowed names are here, all others don't exist, and no bytes break it."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.sandboxes.egress.names import answer_to

A, AAAA, MX = 1, 28, 15
NO_ERROR, NO_SUCH_NAME, NOT_IMPLEMENTED = 0, 3, 4


def question(name: str, kind: int = A, *, flags: int = 0x0100, count: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">6H", 0x1234, flags, count, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", kind, 1)


def is_named(name: str) -> bool:
    return name == "api.test" or name.endswith(".api.test")


def answered(message: bytes) -> tuple[int, int, bytes]:
    """The code, the number of answers and the last four bytes of an answer that belongs to its question."""
    answer = answer_to(message, is_named)
    assert answer is not None
    number, flags, _, n_answers, _, _ = struct.unpack_from(">6H", answer)
    assert number == 0x1234
    assert flags & 0x8180 == 0x8180
    return flags & 15, n_answers, answer[-4:]


@pytest.mark.parametrize("name", ["api.test", "API.Test", "deep.api.test"])
def test_an_allowed_name_is_at_the_loopback(name: str) -> None:
    assert answered(question(name)) == (NO_ERROR, 1, bytes([127, 0, 0, 1]))
    answer = answer_to(question(name), is_named)
    assert answer
    # The question comes back as it was written: some clients compare.
    assert question(name)[12:] in answer


@pytest.mark.parametrize("kind", [AAAA, MX])
def test_an_allowed_name_has_nothing_else(kind: int) -> None:
    assert answered(question("api.test", kind))[:2] == (NO_ERROR, 0)


@pytest.mark.parametrize("name", ["evil.test", "api.test.evil.test", "xapi.test", "127.0.0.1", "a b.api.test"])
def test_no_other_name_exists(name: str) -> None:
    assert answered(question(name))[:2] == (NO_SUCH_NAME, 0)


def test_what_is_no_question_gets_no_answer_and_what_is_a_strange_one_is_refused() -> None:
    assert answer_to(question("api.test", flags=0x8180), is_named) is None
    assert answer_to(b"short", is_named) is None
    assert answered(question("api.test", count=2))[0] == NOT_IMPLEMENTED
    assert answered(question("api.test", flags=0x2900))[0] == NOT_IMPLEMENTED
    assert answered(question("api.test")[:-3])[0] == NOT_IMPLEMENTED


@given(st.binary(max_size=512))
def test_no_bytes_break_it_and_no_answer_is_much_longer_than_its_question(message: bytes) -> None:
    answer = answer_to(message, is_named)
    assert answer is None or len(answer) <= len(message) + 16
