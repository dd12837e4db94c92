from pathlib import Path

import pytest
from django.test import AsyncRequestFactory, RequestFactory

from viewer.downloads import CHUNK_BYTES, attachment

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
