"""Carrying bytes between a connection of a sandbox and a server outside, once it is clear that they may flow."""

import asyncio
from collections.abc import Sequence
from typing import Final

from runs.sandboxes.egress.journal import Journal, Passage
from runs.sandboxes.egress.listener import BUFFER_BYTES, Handler, closed
from runs.sandboxes.egress.rules import Endpoint

READ_BYTES: Final = 32 * 1024
DIAL_SEC: Final = 10.0
# A model may think for minutes before its first byte.
IDLE_SEC: Final = 900.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def dial(hosts: Sequence[str], port: int, *, seconds: float = DIAL_SEC) -> Connection | None:
    """A connection to the first host or address that answers, or None; the time is shared among them."""
    for host in hosts:
        try:
            async with asyncio.timeout(seconds / len(hosts)):
                return await asyncio.open_connection(host, port, limit=BUFFER_BYTES)
        except OSError:
            continue
    return None


async def exchange(client: Connection, server: Connection, passage: Passage, *, idle_sec: float = IDLE_SEC) -> None:
    """Carry bytes both ways until both sides have ended, one breaks, or nothing moves for too long."""
    loop = asyncio.get_running_loop()
    idle = asyncio.timeout(idle_sec)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_sent: bool) -> None:
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()
            idle.reschedule(loop.time() + idle_sec)
            if is_sent:
                passage.sent_bytes += len(data)
            else:
                passage.received_bytes += len(data)
        writer.write_eof()

    try:
        async with idle, asyncio.TaskGroup() as both:
            both.create_task(carry(client[0], server[1], is_sent=True))
            both.create_task(carry(server[0], client[1], is_sent=False))
    except* OSError:
        # One side hung up, which is how many connections end; or the time is over.
        if idle.expired():
            passage.reason = "closed: nothing moved for too long"


def forwarder(endpoint: Endpoint, journal: Journal) -> Handler:
    """A handler that carries every connection to one endpoint of this machine, which the job names by its loopback.

    Programs don't ask a proxy for 127.0.0.1, so the sandbox gets the same port on its own loopback.
    """

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passage = Passage("TCP", endpoint.host, endpoint.port)
        server = await dial([endpoint.host], endpoint.port)
        if server is None:
            passage.verdict, passage.reason = "failed", "the host does not answer"
            journal.add(passage)
            return
        passage.verdict = "allowed"
        try:
            await exchange((reader, writer), server, passage)
        finally:
            journal.add(passage)
            await closed(server[1])

    return handle
