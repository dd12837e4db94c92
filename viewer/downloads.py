"""Sends a file of a trial as an attachment, in chunks, under WSGI, ASGI and tests alike; a picture also inline."""

import os
from collections.abc import AsyncIterator, Iterator
from typing import BinaryIO
from urllib.parse import quote

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from viewer.files import picture_type

CHUNK_BYTES = 256 * 1024
# Larger pictures are for downloading: browsers would hold them unpacked.
MAX_PICTURE_BYTES = 20 * 1024 * 1024


class _Chunks:
    """The file in pieces. Django closes it with the response, also when nobody read it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.file.read(CHUNK_BYTES):
            yield chunk


class _AsyncChunks:
    """The same for ASGI, where Django would first collect a plain iterator in memory: gigabytes, for some artifacts."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = sync_to_async(self.file.read, thread_sensitive=False)
        while chunk := await read(CHUNK_BYTES):
            yield chunk


def attachment(request: HttpRequest, file: BinaryIO, name: str) -> StreamingHttpResponse:
    """`file` as a download called `name`; what it contains is not guessed, so that no browser runs it."""
    content = _AsyncChunks(file) if isinstance(request, ASGIRequest) else _Chunks(file)
    response = StreamingHttpResponse(content, content_type="application/octet-stream")
    response["Content-Length"] = str(os.fstat(file.fileno()).st_size)
    return as_attachment(response, name)


def as_attachment(response: StreamingHttpResponse, name: str) -> StreamingHttpResponse:
    """The response as one that browsers save under `name` and never open."""
    safe = quote(name.encode("utf-8", "replace"), safe="")
    response["Content-Disposition"] = f"attachment; filename*=UTF-8''{safe}"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def inline_picture(request: HttpRequest, file: BinaryIO) -> StreamingHttpResponse | None:
    """`file` as a picture for a page; None, with the file closed, for one that isn't or is too large."""
    kind = picture_type(file.read(16))
    size = os.fstat(file.fileno()).st_size
    if kind is None or size > MAX_PICTURE_BYTES:
        file.close()
        return None
    file.seek(0)
    content = _AsyncChunks(file) if isinstance(request, ASGIRequest) else _Chunks(file)
    response = StreamingHttpResponse(content, content_type=kind)
    response["Content-Length"] = str(size)
    response["Content-Disposition"] = "inline"
    response["X-Content-Type-Options"] = "nosniff"
    return response
