"""Requests and TLS hellos from programs that mean no good: read in one way, or refused, and never anything else."""

import base64
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.sandboxes.egress.client_hello import read_client_hello
from runs.sandboxes.egress.request import MAX_HEAD_BYTES, Refused, parse_inner_request, parse_request


def hello_of(name: str | None) -> bytes:
    """What Python's own TLS says first."""
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


HELLO = hello_of("Api.Example.test")


def in_records(message: bytes, size: int) -> bytes:
    """The same handshake message in records of `size` bytes."""
    parts = [message[start : start + size] for start in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2) + part for part in parts)


def name_in(data: bytes) -> str | None:
    hello = read_client_hello(data)
    assert hello is not None
    return hello.server_name


def test_the_name_in_a_real_hello_is_read() -> None:
    assert name_in(HELLO) == "api.example.test"
    assert name_in(hello_of(None)) is None
    assert name_in(HELLO + b"more") == "api.example.test"


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_hello_in_many_records_is_read(size: int) -> None:
    assert name_in(in_records(HELLO[5:], size)) == "api.example.test"


def test_a_hello_is_waited_for_until_it_is_whole() -> None:
    assert [read_client_hello(HELLO[:end]) for end in range(1, len(HELLO))] == [None] * (len(HELLO) - 1)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"SSH-2.0",
        b"\x16\x02\x00",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x16\x03\x01\x00\x00",
    ],
)
def test_what_is_no_hello_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the reason is of no matter
        read_client_hello(data)


def test_an_endless_hello_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        read_client_hello(b"\x16\x03\x01\x00\x04\x01\xff\xff\xff")


def test_a_hello_that_names_two_servers_is_refused() -> None:
    name = b"\x00\x00" + b"\x00\x0d" + b"\x00\x0b\x00\x00\x08evi.test"
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    for extensions in (name * 2, b"\x00\x00\x00\x18\x00\x16" + b"\x00\x00\x08evi.test" * 2):
        whole = body + len(extensions).to_bytes(2) + extensions
        message = b"\x01" + len(whole).to_bytes(3) + whole
        with pytest.raises(ValueError, match="two servers"):
            read_client_hello(in_records(message, 16000))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_hello_or_not_yet_or_refused(data: bytes) -> None:
    for candidate in (data, HELLO[:3] + data, HELLO[:43] + data):
        try:
            read_client_hello(candidate)
        except ValueError:
            continue


@given(st.integers(0, len(HELLO) - 1), st.integers(0, 255))
def test_a_hello_with_one_byte_changed_never_breaks_the_reader(position: int, value: int) -> None:
    try:
        read_client_hello(HELLO[:position] + bytes([value]) + HELLO[position + 1 :])
    except ValueError:
        return


def test_a_tunnel_is_read() -> None:
    credentials = base64.b64encode(b"pier:t0k").decode()
    request = parse_request(
        f"CONNECT Api.Test.:443 HTTP/1.1\r\nProxy-Authorization: Basic {credentials}\r\n\r\n".encode()
    )
    assert (request.is_tunnel, request.host, request.port, request.token) == (True, "api.test", 443, "t0k")


def test_a_plain_request_is_sent_on_without_what_concerns_the_proxy() -> None:
    request = parse_request(
        b"POST http://A.test/p?q=1#f HTTP/1.1\r\nHost: a.test:80\r\nProxy-Authorization: Basic eDp5\r\n"
        b"Connection: keep-alive, X-Hop, Content-Length\r\nX-Hop: 1\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\n"
    )
    assert (request.host, request.port, request.token) == ("a.test", 80, "y")
    assert request.head == (
        b"POST /p?q=1 HTTP/1.1\r\nHost: a.test:80\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
    )


def test_an_address_without_a_path_asks_for_the_root() -> None:
    request = parse_request(b"GET http://a.test:81?x HTTP/1.1\r\nHost: a.test:81\r\n\r\n")
    assert request.head.startswith(b"GET /?x HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET http://a.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n", "403"),
        (b"GET http://a.test/ HTTP/1.1\r\nHost: a.test:81\r\n\r\n", "403"),
        (b"GET http://a.test/ HTTP/1.1\r\n\r\n", "400"),
        (b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nhost: b.test\r\n\r\n", "400"),
        (b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n folded\r\n\r\n", "400"),
        (b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\nX: y\r\n\r\n", "400"),
        (b"GET http://a.test/ HTTP/1.1\r\nHost : a.test\r\n\r\n", "400"),
        (b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nX: \x00\r\n\r\n", "400"),
        (
            b"POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400",
        ),
        (b"POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", "400"),
        (b"GET http://u:p@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "400"),
        (b"GET http://a.test\\@b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "400"),
        (b"GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "400"),
        (b"GET http://a.test/ HTTP/2\r\nHost: a.test\r\n\r\n", "400"),
        (b"get http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "400"),
        (b"CONNECT a.test HTTP/1.1\r\n\r\n", "400"),
        (b"CONNECT a.test:0 HTTP/1.1\r\n\r\n", "400"),
        (b"CONNECT a.test:443/x HTTP/1.1\r\n\r\n", "400"),
        (b"CONNECT 2130706433:443 HTTP/1.1\r\n\r\n", "403"),
        (b"CONNECT ::1:443 HTTP/1.1\r\n\r\n", "400"),
        (b"\x16\x03\x01\x00\r\n\r\n", "400"),
        (b"X: " + b"y" * MAX_HEAD_BYTES + b"\r\n\r\n", "431"),
    ],
)
def test_a_request_that_could_mean_two_things_is_refused(head: bytes, status: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_request(head)
    assert caught.value.status.startswith(status)


@pytest.mark.parametrize(
    "value", ["Basic", "Basic !!!", "Basic w6k=", "Bearer eDp5", "Basic eDp5\r\nProxy-Authorization: Basic eDp5"]
)
def test_credentials_that_cannot_be_read_are_none(value: str) -> None:
    assert parse_request(f"CONNECT a.test:443 HTTP/1.1\r\nProxy-Authorization: {value}\r\n\r\n".encode()).token is None


@given(st.binary(max_size=400), st.sampled_from([b"", b"CONNECT ", b"GET http://a.test", b"GET / HTTP/1.1\r\nHost: a"]))
def test_any_bytes_are_a_request_or_refused(data: bytes, start: bytes) -> None:
    for parse in (parse_request, lambda head: parse_inner_request(head, "a", 1)):
        try:
            parse(start + data + b"\r\n\r\n")
        except Refused:
            continue
