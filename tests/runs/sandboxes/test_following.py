"""Files in a sandbox, followed while they grow; the same for every sandbox, tried in two."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from runs.sandboxes.base import AGENT_LOGS, Sandbox
from runs.sandboxes.following import Followed, follow
from tests.runs.sandboxes.conftest import SANDBOXES

pytestmark = [pytest.mark.asyncio, pytest.mark.parametrize("sandbox", SANDBOXES[:2], indirect=True)]

FILES = Followed(growing=("*.jsonl", "deep/*/*.log"), rewritten=("state.json",))
PATIENCE_SEC = 10.0


class Received:
    """What was told so far: growing files as one piece of bytes, rewritten ones as their versions."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.versions: dict[str, list[bytes]] = {}
        self.news = asyncio.Event()

    def __call__(self, path: str, offset: int | None, data: bytes) -> None:
        self.news.set()
        if offset is None:
            self.versions.setdefault(path, []).append(data)
            return
        assert offset == len(self.files.get(path, b"")), "a gap or a repetition"
        self.files[path] = self.files.get(path, b"") + data


async def until(received: Received, holds: Callable[[], bool], sandbox: Sandbox) -> None:
    """Follow until the condition holds."""
    task = asyncio.create_task(follow(sandbox, AGENT_LOGS, FILES, received))
    try:
        async with asyncio.timeout(PATIENCE_SEC):
            while not holds():
                received.news.clear()
                await received.news.wait()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_file_that_grows_is_told_piece_by_piece_without_gaps(sandbox: Sandbox) -> None:
    received = Received()
    write = "for i in 1 2 3 4 5; do echo line $i >> /logs/agent/a.jsonl; sleep 0.15; done"
    writer = asyncio.create_task(sandbox.exec(write))
    await until(received, lambda: received.files.get("a.jsonl", b"").count(b"\n") == 5, sandbox)
    await writer
    assert received.files["a.jsonl"] == b"line 1\nline 2\nline 3\nline 4\nline 5\n"


async def test_any_bytes_and_any_folder_that_fits_a_pattern_arrive_whole(sandbox: Sandbox) -> None:
    await sandbox.exec(
        "cd /logs/agent && mkdir -p 'deep/a b' && head -c 6000000 /dev/zero | tr '\\0' x > 'deep/a b/big.log'"
        " && printf 'NUL \\000 and \\377\\n' > 'odd $(name).jsonl'"
        " && echo no > other.txt && ln -s /etc/passwd link.jsonl"
    )
    received = Received()
    whole = {"deep/a b/big.log": 6_000_000, "odd $(name).jsonl": 12}
    await until(received, lambda: {name: len(data) for name, data in received.files.items()} == whole, sandbox)
    assert received.files["odd $(name).jsonl"] == b"NUL \x00 and \xff\n"


async def test_a_rewritten_file_is_told_whole_whenever_it_differs(sandbox: Sandbox) -> None:
    received = Received()
    rewrite = "cd /logs/agent; for i in 1 2; do echo version $i > new && mv new state.json; sleep 1; done"
    writer = asyncio.create_task(sandbox.exec(rewrite))
    await until(received, lambda: len(received.versions.get("state.json", ())) == 2, sandbox)
    await writer
    assert received.versions["state.json"] == [b"version 1\n", b"version 2\n"]
