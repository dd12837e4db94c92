"""The proxy on loopback, without a container: what reaches the server, what the client sees, what is written down."""

import asyncio
import base64
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from runs.sandboxes.egress.carry import forwarder
from runs.sandboxes.egress.journal import Journal, Passage
from runs.sandboxes.egress.listener import BURST, MAX_CONNECTIONS, Handler, Listener, closed
from runs.sandboxes.egress.proxy import EgressProxy, Patience
from runs.sandboxes.egress.rules import Allowlist, Endpoint
from tests.runs.sandboxes.egress.test_parsers import hello_of
from tests.support.internet import make_authority, web_server

TOKEN = "t0k"
AUTH = f"Proxy-Authorization: Basic {base64.b64encode(b'pier:t0k').decode()}\r\n"
MACHINE = "host.docker.internal"


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[int]:
    sock = socket.create_server(("127.0.0.1", 0))
    listener = Listener(sock, handler)
    try:
        yield sock.getsockname()[1]
        assert listener.failure is None
    finally:
        await listener.close()


@asynccontextmanager
async def proxy(*entries: str, log: Path | None = None, patience: Patience | None = None) -> AsyncIterator[int]:
    made = EgressProxy(Allowlist(entries), Journal(log), token=TOKEN, patience=patience)
    async with listening(made.handle) as port:
        yield port
    made.close()


async def answer(port: int, request: str) -> str:
    """Everything that the proxy says to a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode())
    async with asyncio.timeout(10):
        data = await reader.read()
    await closed(writer)
    return data.decode()


async def test_a_name_that_lies_on_this_machine_is_refused_after_it_was_resolved(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with proxy("localhost", "10.0.0.0/8", "127.0.0.1", log=log) as port:
        for host in ("localhost", "10.1.2.3", "127.0.0.1"):
            request = f"CONNECT {host}:443 HTTP/1.1\r\n{AUTH}\r\n"
            assert (await answer(port, request)).startswith("HTTP/1.1 403")
    reasons = {json.loads(line)["reason"] for line in log.read_text().splitlines()}
    assert reasons == {"the host's address is not in the internet"}


async def test_a_name_without_an_address_is_a_failure_and_not_a_refusal(tmp_path: Path) -> None:
    async with proxy("nowhere.invalid", log=tmp_path / "log") as port:
        request = f"GET http://nowhere.invalid/ HTTP/1.1\r\nHost: nowhere.invalid\r\n{AUTH}\r\n"
        assert (await answer(port, request)).startswith("HTTP/1.1 502")
    line = json.loads((tmp_path / "log").read_text())
    assert (line["verdict"], line["reason"]) == ("failed", "the host's name has no address")


async def test_the_challenge_for_a_token_is_one_that_clients_understand() -> None:
    async with proxy("a.test") as port:
        said = await answer(port, "CONNECT a.test:443 HTTP/1.1\r\n\r\n")
    assert said.startswith("HTTP/1.1 407 ")
    assert 'Proxy-Authenticate: Basic realm="pier"' in said


async def test_tls_passes_untouched_when_its_name_is_the_one_of_the_tunnel(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    trusting = ssl.create_default_context(cadata=authority.pem.decode())
    async with web_server("tls", context=authority.context(MACHINE)) as server:
        async with proxy(f"{MACHINE}:{server.port}", log=tmp_path / "log") as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"CONNECT {MACHINE}:{server.port} HTTP/1.1\r\n{AUTH}\r\n".encode())
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            await writer.start_tls(trusting, server_hostname=MACHINE)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.read()).endswith(b"hello from tls\n")
            writer.close()
            await writer.wait_closed()
    line = json.loads((tmp_path / "log").read_text())
    assert (line["method"], line["verdict"]) == ("CONNECT", "allowed")
    assert TOKEN not in (tmp_path / "log").read_text()


async def test_direct_tls_goes_where_its_hello_says_if_that_is_allowed_and_in_the_internet(tmp_path: Path) -> None:
    log = tmp_path / "log"
    made = EgressProxy(
        Allowlist(["localhost", "gw.test:8443"]), Journal(log), token=TOKEN, patience=Patience(handshake_sec=0.3)
    )
    async with listening(made.handle_tls) as port:
        for first in (hello_of("localhost"), hello_of("evil.test"), hello_of("gw.test"), hello_of(None), b"GET /", b""):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(first)
            async with asyncio.timeout(5):
                assert await reader.read() == b""
            await closed(writer)
    made.close()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {(line["method"], line["port"], line["verdict"]) for line in lines} == {("TLS", 443, "refused")}
    assert [(line["host"], line["reason"]) for line in lines] == [
        ("localhost", "the host's address is not in the internet"),
        ("evil.test", "the host is not on the allowlist"),
        ("gw.test", "port 443 is not allowed for this host (https)"),
        ("", "the TLS hello names no server"),
        ("", "not TLS"),
        ("", "no TLS hello in time"),
    ]
    assert [made.is_direct(host) for host in ("localhost", "evil.test", "gw.test")] == [True, False, False]


async def test_a_request_that_never_comes_is_given_up() -> None:
    async with proxy("a.test", patience=Patience(handshake_sec=0.1)) as port:
        assert (await answer(port, "GET http://a.test/ HTTP/1.1\r\n")).startswith("HTTP/1.1 408")


async def test_a_head_without_end_is_given_up() -> None:
    async with proxy("a.test") as port:
        assert (await answer(port, "GET http://a.test/ HTTP/1.1\r\nX: " + "y" * 100_000)).startswith("HTTP/1.1 431")


async def test_a_connection_on_which_nothing_moves_is_closed(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    at = server.sockets[0].getsockname()[1]
    async with proxy(f"127.0.0.1:{at}", log=tmp_path / "log", patience=Patience(idle_sec=0.2)) as port:
        said = await answer(port, f"GET http://127.0.0.1:{at}/ HTTP/1.1\r\nHost: 127.0.0.1:{at}\r\n{AUTH}\r\n")
    server.close()
    assert said == ""
    assert json.loads((tmp_path / "log").read_text())["reason"] == "closed: nothing moved for too long"


async def test_large_bodies_pass_both_ways_whole() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    at = server.sockets[0].getsockname()[1]
    async with listening(forwarder(Endpoint("127.0.0.1", at), Journal(None))) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        sent = bytes(range(256)) * 20_000

        async def send() -> None:
            writer.write(sent)
            await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        assert await reader.read(-1) == sent
        await sending
        writer.close()
    server.close()


async def test_more_connections_than_allowed_wait_and_are_then_served() -> None:
    served = 0
    gate = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        served += 1
        await gate.wait()

    async with listening(handle) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS + 20)]
        await asyncio.sleep(0.1 + (MAX_CONNECTIONS - BURST) / 100)
        assert served == MAX_CONNECTIONS
        gate.set()
        await asyncio.sleep(0.5)
        assert served == MAX_CONNECTIONS + 20
        for _, writer in held:
            writer.close()
            await writer.wait_closed()


async def test_a_handler_that_breaks_ends_the_listener_and_says_why() -> None:
    async def broken(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        raise ZeroDivisionError("of ours")

    sock = socket.create_server(("127.0.0.1", 0))
    listener = Listener(sock, broken)
    reader, writer = await asyncio.open_connection(*sock.getsockname())
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.1)
    assert listener.failure is not None
    assert "of ours" in listener.failure
    await listener.close()


def test_a_full_journal_ends_with_a_line_that_says_so(tmp_path: Path) -> None:
    for _ in range(100):
        Journal(tmp_path / "log", limit=1000).add(Passage(host="a\n\x1b[31m"))
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["verdict"] for line in lines[-2:]] == ["refused", "cut"]
    assert (tmp_path / "log").stat().st_size < 1500
    assert "\x1b" not in (tmp_path / "log").read_text()
