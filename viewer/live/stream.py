"""The live feed as text/event-stream: endless where the server is asynchronous, else what is new now, and goodbye.

A browser comes back to either by itself with the id of the last event it got (`Last-Event-ID`): an answer that ends
is followed by the next one after RETRY_MS, so a server without streams, or a proxy that holds them back, polls.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Final

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connections
from django.http import Http404

from runs.queries import Reader
from viewer.live.news import Following, News, news_for
from viewer.live.watcher import watcher

RETRY_MS: Final = 1_000
# A line that says nothing keeps proxies from closing a quiet stream.
QUIET_SEC: Final = 15.0
# Files have no watcher: while the verifier writes one it is looked at this often.
VERIFIER_SEC: Final = 0.5
# A stream ends after this long and is opened anew, which asks again who the reader is.
LIFETIME_SEC: Final = 300.0
_HELLO: Final = f"retry: {RETRY_MS}\n\n".encode()


def finite(reader: Reader, following: Following) -> Iterator[bytes]:
    """All that is new now."""
    yield _HELLO
    news = news_for(reader, following)
    while True:
        yield from (event.encode() for event in news.events)
        if not news.is_partial:
            return
        news = news_for(reader, news.following)


async def endless(reader: Reader, following: Following) -> AsyncGenerator[bytes]:
    """What is new, and what comes, until the trial ends, LIFETIME_SEC pass or the server goes."""
    yield _HELLO
    # The request's own connection would stay open as long as the stream does; reads below borrow one for a moment.
    await sync_to_async(connections.close_all)()
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + LIFETIME_SEC
    with watcher.waiting_for(following.trial_id) as waiter:
        while loop.time() < ends_at and not watcher.is_closed:
            waiter.woken.clear()
            try:
                news = await asyncio.to_thread(_read, reader, following)
            except Http404:
                return  # the trial is gone, or the reader may not see it any more
            following = news.following
            for event in news.events:
                yield event.encode()
            if news.is_over:
                return
            if news.is_partial:
                continue
            try:
                async with asyncio.timeout(VERIFIER_SEC if news.is_verifying else QUIET_SEC):
                    await waiter.woken.wait()
            except TimeoutError:
                yield b": quiet\n\n"


def _read(reader: Reader, following: Following) -> News:
    """One read in a thread that streams share: its connection is given back at once."""
    try:
        return news_for(reader, following)
    finally:
        close_old_connections()
