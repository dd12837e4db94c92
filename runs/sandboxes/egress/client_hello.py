"""The first message of a TLS client, read for the one thing that is not secret: the name of the server it wants."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_HELLO_BYTES: Final = 16 * 1024

_HANDSHAKE_RECORD: Final = 22
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_HOST_NAME: Final = 0
_RECORD_HEADER_BYTES: Final = 5
_VERSION_AND_RANDOM_BYTES: Final = 2 + 32


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client says first; `server_name` is None where it names no server."""

    server_name: str | None


def read_client_hello(data: bytes) -> ClientHello | None:
    """The hello at the beginning of a connection, or None while more bytes are needed.

    Raises ValueError for what is not TLS, and for a hello that servers could read in more than one way.
    """
    message = _handshake_bytes(data)
    if message and message[0] != _CLIENT_HELLO:
        raise ValueError("not the first message of a TLS client")
    length = int.from_bytes(message[1:4])
    if length > MAX_HELLO_BYTES or len(data) > 2 * MAX_HELLO_BYTES:
        raise ValueError("the TLS hello is too long")
    if len(message) < 4 or len(message) < 4 + length:
        return None
    names = [_name_in(body) for kind, body in _extensions(_Cursor(message[4 : 4 + length])) if kind == _SERVER_NAME]
    if len(names) > 1:
        raise ValueError("the TLS hello names two servers")
    return ClientHello(names[0] if names else None)


def _handshake_bytes(data: bytes) -> bytes:
    """The contents of the handshake records so far. Raises ValueError where the first bytes are of something else."""
    message = bytearray()
    position = 0
    while position < len(data):
        if data[position] != _HANDSHAKE_RECORD:
            if message:
                break
            raise ValueError("not TLS")
        header = data[position : position + _RECORD_HEADER_BYTES]
        if len(header) >= 2 and header[1] != 3:
            raise ValueError("not TLS")
        if len(header) < _RECORD_HEADER_BYTES:
            break
        length = int.from_bytes(header[3:5])
        if length == 0:
            raise ValueError("an empty TLS record")
        position += _RECORD_HEADER_BYTES
        message += data[position : position + length]
        position += length
    return bytes(message)


class _Cursor:
    """Reads length-prefixed fields; reading past the end raises ValueError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def is_at_end(self) -> bool:
        return self._position == len(self._data)

    def take(self, count: int) -> bytes:
        end = self._position + count
        if end > len(self._data):
            raise ValueError("a torn TLS hello")
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, length_size: int) -> bytes:
        return self.take(self.number(length_size))


def _extensions(hello: _Cursor) -> Iterator[tuple[int, bytes]]:
    hello.take(_VERSION_AND_RANDOM_BYTES)
    hello.vector(1)  # session
    hello.vector(2)  # cipher suites
    hello.vector(1)  # compression
    if hello.is_at_end:
        return
    extensions = _Cursor(hello.vector(2))
    while not extensions.is_at_end:
        yield extensions.number(2), extensions.vector(2)


def _name_in(extension: bytes) -> str:
    names = _Cursor(_Cursor(extension).vector(2))
    kind, name = names.number(1), names.vector(2)
    if kind != _HOST_NAME or not names.is_at_end:
        raise ValueError("the TLS hello names two servers")
    return name.decode("ascii").lower().removesuffix(".")
