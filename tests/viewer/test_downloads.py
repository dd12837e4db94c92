from pathlib import Path

import pytest
from django.test import AsyncRequestFactory, RequestFactory

from viewer.downloads import CHUNK_BYTES, attachment, inline_picture

# Closing a response tells Django that a request has ended, and Django looks at its connections then.
pytestmark = pytest.mark.django_db

CONTENT = bytes(range(256)) * (CHUNK_BYTES // 100)


async def test_under_asgi_a_file_is_sent_in_chunks_and_closed(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(CONTENT)
    file = (tmp_path / "x.bin").open("rb")
    response = attachment(AsyncRequestFactory().get("/"), file, "x.bin")
    assert response.is_async
    chunks = [chunk async for chunk in response]
    assert b"".join(chunks) == CONTENT
    assert max(map(len, chunks)) == CHUNK_BYTES
    response.close()
    assert file.closed


def test_a_download_that_nobody_reads_is_closed_too(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(CONTENT)
    file = (tmp_path / "x.bin").open("rb")
    response = attachment(RequestFactory().get("/"), file, "x.bin")
    assert response["Content-Length"] == str(len(CONTENT))
    response.close()
    assert file.closed


@pytest.mark.parametrize(
    ("start", "kind"),
    [(b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff\xe0", "image/jpeg"), (b"RIFF....WEBP", "image/webp")],
)
def test_a_picture_is_what_its_first_bytes_say(start: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "x.svg").write_bytes(start + b"<svg onload=alert(1)>")
    response = inline_picture(RequestFactory().get("/"), (tmp_path / "x.svg").open("rb"))
    assert response is not None
    assert (response["Content-Type"], response["X-Content-Type-Options"]) == (kind, "nosniff")
    assert b"".join(response) == start + b"<svg onload=alert(1)>"
    response.close()


@pytest.mark.parametrize("content", [b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html>", b"RIFF....WAVE"])
def test_what_is_no_picture_is_not_shown(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(content)
    file = (tmp_path / "x.png").open("rb")
    assert inline_picture(RequestFactory().get("/"), file) is None
    assert file.closed
