"""Many connections over one pair of byte streams: the runner has one end, a relay beside the sandbox the other.

The relay gets this file as its program: nothing but Python's own library, nothing newer than Python 3.9. What one
connection sends waits for what the other end takes of it, so none holds up another.
"""

import asyncio
import itertools
import struct
import sys
from contextlib import suppress
from typing import Awaitable, Callable, Dict, Optional, Tuple  # noqa: UP035 - the relay's Python may be older

HEADER = struct.Struct(">IBI")  # connection, kind, length of what follows
OPEN, DATA, END, CLOSE, CREDIT = range(5)
WINDOW_BYTES = 128 * 1024
CHUNK_BYTES = 32 * 1024
MAX_CONNECTIONS = 128
# Between two new connections: a flood of them must not keep the runner busy.
PAUSE_SEC = 0.005

Streams = Tuple[asyncio.StreamReader, asyncio.StreamWriter]  # noqa: UP006


class Channel:
    """One connection at this end."""

    def __init__(self) -> None:
        self.credit = WINDOW_BYTES
        self.credited = asyncio.Event()
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self.task: Optional[asyncio.Task[None]] = None  # noqa: UP045


class Multiplexer:
    """One end. `dial` gives the connection for each one that the other end opens; without it none may be opened."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        dial: Optional[Callable[[], Awaitable[Streams]]] = None,  # noqa: UP045
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.dial = dial
        self.channels: Dict[int, Channel] = {}  # noqa: UP006
        self.turn = asyncio.Lock()

    async def run(self) -> None:
        """Carry until the stream from the other end ends."""
        try:
            while True:
                number, kind, length = HEADER.unpack(await self.reader.readexactly(HEADER.size))
                self._received(number, kind, await self.reader.readexactly(length))
        except asyncio.IncompleteReadError:
            return
        finally:
            for channel in list(self.channels.values()):
                if channel.task:
                    channel.task.cancel()

    def _received(self, number: int, kind: int, payload: bytes) -> None:
        if kind == OPEN and self.dial is not None and number not in self.channels:
            self.start(number, self.dial)
            return
        channel = self.channels.get(number)
        if channel is None:
            return
        if kind in (DATA, END):
            channel.arrived.put_nowait(payload)
        elif kind == CREDIT:
            channel.credit += int.from_bytes(payload, "big")
            channel.credited.set()
        elif kind == CLOSE and channel.task:
            channel.task.cancel()

    def start(self, number: int, dial: Callable[[], Awaitable[Streams]]) -> "asyncio.Task[None]":
        """Carry a connection of this end under a number that is not in use."""
        channel = self.channels[number] = Channel()
        channel.task = asyncio.ensure_future(self._carry(number, channel, dial))
        return channel.task

    async def send(self, number: int, kind: int, payload: bytes = b"") -> None:
        """Send one message."""
        async with self.turn:
            self.writer.write(HEADER.pack(number, kind, len(payload)) + payload)
            await self.writer.drain()

    async def _carry(self, number: int, channel: Channel, dial: Callable[[], Awaitable[Streams]]) -> None:
        writer = None
        is_whole = False
        try:
            reader, writer = await dial()
            both = [
                asyncio.ensure_future(self._outward(number, channel, reader)),
                asyncio.ensure_future(self._inward(number, channel, writer)),
            ]
            try:
                await asyncio.gather(*both)
                is_whole = True
            finally:
                for half in both:
                    half.cancel()
        except (OSError, asyncio.CancelledError):
            # A connection that broke at one end is closed at both; the others go on.
            pass
        finally:
            del self.channels[number]
            if writer is not None:
                writer.close()
            if not is_whole:
                with suppress(OSError):
                    await self.send(number, CLOSE)

    async def _outward(self, number: int, channel: Channel, reader: asyncio.StreamReader) -> None:
        while True:
            while channel.credit <= 0:
                channel.credited.clear()
                await channel.credited.wait()
            data = await reader.read(min(CHUNK_BYTES, channel.credit))
            if not data:
                await self.send(number, END)
                return
            channel.credit -= len(data)
            await self.send(number, DATA, data)

    async def _inward(self, number: int, channel: Channel, writer: asyncio.StreamWriter) -> None:
        while True:
            data = await channel.arrived.get()
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
            await self.send(number, CREDIT, len(data).to_bytes(4, "big"))


async def relay(port: int) -> None:
    """Listen on the loopback here and carry each connection to the other end of stdin and stdout."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=CHUNK_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout.buffer)
    ends = Multiplexer(reader, asyncio.StreamWriter(transport, protocol, None, loop))
    slots = asyncio.Semaphore(MAX_CONNECTIONS)
    gate = asyncio.Lock()
    numbers = itertools.count(1)

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(numbers)
        async with slots:
            async with gate:
                await asyncio.sleep(PAUSE_SEC)
            await ends.send(number, OPEN)

            async def dial() -> Streams:
                return reader, writer

            await ends.start(number, dial)

    server = await asyncio.start_server(accepted, "127.0.0.1", port, backlog=MAX_CONNECTIONS, limit=CHUNK_BYTES)
    # The first message tells that the port is served.
    await ends.send(0, CREDIT)
    await ends.run()
    server.close()


if __name__ == "__main__":
    asyncio.run(relay(int(sys.argv[1])))
