"""Reading a request's JSON body: with a length or in chunks, plain or compressed, and never more than 64 MiB."""

import gzip
import json
import zlib
from email.message import Message
from io import BufferedIOBase, BytesIO

import zstandard

from tests.support.model_server.exchange import Json

MAX_BODY_BYTES = 64 * 2**20


class BadRequest(Exception):
    """A body that is too large, or that isn't a JSON object."""


def read_body(headers: Message, source: BufferedIOBase) -> Json:
    """The body as an object; an empty one is `{}`.

    Raises:
        BadRequest: it is something else. The connection can't be used further.
    """
    encoding = headers.get("Content-Encoding", "")
    try:
        chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        raw = _chunks(source) if chunked else _exactly(source, int(headers.get("Content-Length", "0")))
        body = json.loads(_plain(raw, encoding) or b"{}")
    except (ValueError, RecursionError, EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError):
        raise BadRequest("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise BadRequest("The body is not a JSON object.")
    return body


def _exactly(source: BufferedIOBase, size_bytes: int) -> bytes:
    if not 0 <= size_bytes <= MAX_BODY_BYTES:
        raise BadRequest("The body is too large.")
    return source.read(size_bytes)


def _chunks(source: BufferedIOBase) -> bytes:
    body = bytearray()
    while size_bytes := int(source.readline(64).split(b";")[0], 16):
        body += _exactly(source, size_bytes)
        if len(body) > MAX_BODY_BYTES:
            raise BadRequest("The body is too large.")
        source.readline(64)
    source.readline(64)
    return bytes(body)


def _plain(body: bytes, encoding: str) -> bytes:
    """The body uncompressed, as far as it may go."""
    if encoding == "gzip":
        return gzip.GzipFile(fileobj=BytesIO(body)).read(MAX_BODY_BYTES)
    if encoding == "zstd":
        return zstandard.ZstdDecompressor().stream_reader(BytesIO(body)).read(MAX_BODY_BYTES)
    return body
