"""The allowlist proxy of one trial: tunnels (CONNECT) and plain requests to permitted hosts; TLS passes untouched.

A name is looked up here and nowhere else; the address that was looked at is the address that is dialled.
"""

import asyncio
import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from runs.sandboxes.egress.carry import DIAL_SEC, IDLE_SEC, Connection, dial, exchange
from runs.sandboxes.egress.client_hello import MAX_HELLO_BYTES, ClientHello, read_client_hello
from runs.sandboxes.egress.journal import Journal, Passage
from runs.sandboxes.egress.listener import closed
from runs.sandboxes.egress.request import ProxyRequest, Refused, parse_inner_request, parse_request
from runs.sandboxes.egress.rules import (
    DEFAULT_PORTS,
    MACHINE_NAME,
    Address,
    Allowlist,
    Permit,
    Scheme,
    address_of,
    is_public,
    normal_host,
)

# Names of one trial that are looked up at the same time: a thread each, and the resolver of the machine is shared.
LOOKUP_THREADS: Final = 2
MAX_ADDRESSES: Final = 4
TLS_FIRST_BYTE: Final = b"\x16"
TLS_PORT: Final = DEFAULT_PORTS["https"]

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Passage], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the proxy waits, in seconds: for a request and its TLS hello, for a server, for a silent connection."""

    handshake_sec: float = 10.0
    dial_sec: float = DIAL_SEC
    idle_sec: float = IDLE_SEC


class EgressProxy:
    """Serves the connections of one sandbox in one phase. `token` is what its commands know and nobody else."""

    def __init__(
        self, allowlist: Allowlist, journal: Journal, *, token: str | None, patience: Patience | None = None
    ) -> None:
        self._allowlist = allowlist
        self._journal = journal
        self._token = token
        self._patience = patience or Patience()
        self._lookups = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="egress")

    def close(self) -> None:
        """Let the threads go; lookups under way end on their own."""
        self._lookups.shutdown(wait=False, cancel_futures=True)

    def is_direct(self, host: str) -> bool:
        """Whether TLS to this host, without a word to the proxy, would be let through."""
        return self._allowlist.permit(host, TLS_PORT, "https") is not None

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of a client that knows the proxy to its end and write its line."""
        await self._noted(self._serve, reader, writer, Passage())

    async def handle_tls(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The same for a client that takes this for the server itself: the name in its TLS hello is what it asks for.

        It can have no token: whatever runs in the sandbox may use it.
        """
        await self._noted(self._serve_tls, reader, writer, Passage("TLS", port=TLS_PORT))

    async def _noted(
        self, serve: Serve, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passage: Passage
    ) -> None:
        try:
            await serve(reader, writer, passage)
        except Refused as refused:
            passage.reason = refused.reason
            if refused.status:
                await _answer(writer, refused)
        except (OSError, asyncio.IncompleteReadError) as error:
            passage.reason = passage.reason or f"the connection broke: {type(error).__name__}"
        finally:
            self._journal.add(passage)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passage: Passage) -> None:
        request = await self._request(reader)
        passage.method, passage.host, passage.port = request.method, request.host, request.port
        permit = self._judge(request.host, request.port, request.scheme)
        upstream_reader, upstream = await self._reach(request.host, request.port, permit, passage)
        try:
            first = request.head
            if request.is_tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                first = await self._first_of_tunnel(reader, request, permit)
            passage.verdict = "allowed"
            passage.sent_bytes += len(first)
            upstream.write(first)
            await exchange((reader, writer), (upstream_reader, upstream), passage, idle_sec=self._patience.idle_sec)
        finally:
            await closed(upstream)

    async def _request(self, reader: asyncio.StreamReader) -> ProxyRequest:
        request = parse_request(await self._head(reader))
        if self._token is not None and not hmac.compare_digest((request.token or "").encode(), self._token.encode()):
            raise Refused("407 Proxy Authentication Required", "no token, or not the one of this trial")
        return request

    async def _head(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(self._patience.handshake_sec):
                return await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            raise Refused("408 Request Timeout", "no whole request in time") from None
        except asyncio.LimitOverrunError:
            raise Refused("431 Request Header Fields Too Large", "the request's head is too long") from None
        except asyncio.IncompleteReadError as error:
            raise Refused("400 Bad Request" if error.partial else "", "a torn request") from None

    async def _serve_tls(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passage: Passage) -> None:
        try:
            async with asyncio.timeout(self._patience.handshake_sec):
                hello, first = await _hello(reader, await reader.read(1))
        except TimeoutError:
            raise Refused("", "no TLS hello in time") from None
        if not hello.server_name or address_of(hello.server_name):
            raise Refused("", "the TLS hello names no server")
        try:
            passage.host = normal_host(hello.server_name)
            permit = self._judge(passage.host, TLS_PORT, "https")
            server = await self._reach(passage.host, TLS_PORT, permit, passage)
        except ValueError as error:
            raise Refused("", f"the TLS hello names no server: {error}") from None
        except Refused as refused:
            # What is spoken here is TLS: an answer in HTTP would only confuse.
            raise Refused("", refused.reason) from None
        try:
            passage.verdict = "allowed"
            passage.sent_bytes += len(first)
            server[1].write(first)
            await exchange((reader, writer), server, passage, idle_sec=self._patience.idle_sec)
        finally:
            await closed(server[1])

    def _judge(self, host: str, port: int, scheme: Scheme) -> Permit:
        permit = self._allowlist.permit(host, port, scheme)
        if permit:
            return permit
        if self._allowlist.names(host):
            raise Refused("403 Forbidden", f"port {port} is not allowed for this host ({scheme})")
        raise Refused("403 Forbidden", "the host is not on the allowlist")

    async def _reach(self, host: str, port: int, permit: Permit, passage: Passage) -> Connection:
        """A connection to the host. Raises Refused where it lies in a place that the permit does not cover."""
        addresses = await self._addresses(host, port, passage)
        if not permit.may_be_local:
            addresses = [address for address in addresses if is_public(address)]
        if not addresses:
            raise Refused("403 Forbidden", "the host's address is not in the internet")
        texts = [str(address) for address in addresses[:MAX_ADDRESSES]]
        connection = await dial(texts, port, seconds=self._patience.dial_sec)
        if connection is None:
            passage.verdict = "failed"
            raise Refused("502 Bad Gateway", "the host does not answer")
        writer = connection[1]
        # Only a connection to the machine itself comes from the address that it goes to.
        own, peer = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
        if not permit.may_be_local and (not own or not peer or own[0] == peer[0]):
            writer.transport.abort()
            raise Refused("403 Forbidden", "the host's address is this machine")
        return connection

    async def _addresses(self, host: str, port: int, passage: Passage) -> list[Address]:
        literal = address_of(host)
        if literal:
            return [literal]
        if host == MACHINE_NAME:
            return [ipaddress.IPv4Address("127.0.0.1")]
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._patience.dial_sec):
                found = await loop.run_in_executor(self._lookups, _look_up, host, port)
        except (OSError, UnicodeError):
            passage.verdict = "failed"
            raise Refused("502 Bad Gateway", "the host's name has no address") from None
        return [address for text in found if (address := address_of(text))]

    async def _first_of_tunnel(self, reader: asyncio.StreamReader, request: ProxyRequest, permit: Permit) -> bytes:
        """The first bytes of a tunnel, once they have shown that they are meant for its host. Raises Refused."""
        try:
            async with asyncio.timeout(self._patience.handshake_sec):
                first = await reader.read(1)
                if first == TLS_FIRST_BYTE:
                    return await _checked_hello(reader, request.host)
                if not permit.may_be_local:
                    raise Refused("", "what came through the tunnel is not TLS")
                # Some clients tunnel plain requests too; the job named this host and port for all that it serves.
                head = first + await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            raise Refused("", "nothing came through the tunnel in time") from None
        except (asyncio.LimitOverrunError, asyncio.IncompleteReadError):
            raise Refused("", "what came through the tunnel is neither TLS nor a request") from None
        try:
            parse_inner_request(head, request.host, request.port)
        except Refused as refused:
            raise Refused("", f"in the tunnel: {refused.reason}") from None
        return head


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def _hello(reader: asyncio.StreamReader, data: bytes) -> tuple[ClientHello, bytes]:
    """The whole TLS hello, whose first byte was read already, and its bytes. Raises Refused."""
    try:
        while (hello := read_client_hello(data)) is None:
            more = await reader.read(MAX_HELLO_BYTES)
            if not more:
                raise Refused("", "the TLS hello is torn")
            data += more
    except ValueError as error:
        raise Refused("", str(error)) from None
    return hello, data


async def _checked_hello(reader: asyncio.StreamReader, host: str) -> bytes:
    """The whole TLS hello (its first byte was read already), if it asks for the tunnel's host. Raises Refused."""
    hello, data = await _hello(reader, TLS_FIRST_BYTE)
    # An address has no place in the hello: a client that reaches one names no server.
    wanted = None if address_of(host) else host
    if hello.server_name != wanted:
        raise Refused("", "the TLS hello names another server than the tunnel, or none")
    return data


async def _answer(writer: asyncio.StreamWriter, refused: Refused) -> None:
    """Tell the client, and in the body the agent or person who reads what its program prints."""
    challenge = 'Proxy-Authenticate: Basic realm="pier"\r\n' if refused.status.startswith("407") else ""
    body = f"Not let through by the network allowlist of this sandbox: {refused.reason}.\n"
    writer.write(
        f"HTTP/1.1 {refused.status}\r\n{challenge}Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\n\r\n{body}".encode("ascii", errors="replace")
    )
    await writer.drain()
