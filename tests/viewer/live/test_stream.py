"""The endless feed: woken by writes of others, told at once, ended with the trial or the server."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from pier_site.accounts.models import Membership
from runs.formats.trajectory import Step
from runs.indexing.live import LiveIndex, ThreadUpdate
from runs.models import Phase, Status, Trial
from tests.support.factories import World, make_trial, make_world
from viewer.live import stream
from viewer.live.news import LAST, Cursor, Following
from viewer.live.watcher import Watcher
from viewer.narrowing import Narrowing

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def trial(world: World) -> Trial:
    return make_trial(
        world.job, status=Status.RUNNING, phase=Phase.AGENT_EXECUTION, owner="me", reward=None, finished_at=None
    )


@pytest.fixture
def watcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watcher]:
    """A watcher of this test's own, whose thread is gone afterwards, as are the connections that streams used."""
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
    watcher = Watcher()
    monkeypatch.setattr(stream, "watcher", watcher)
    yield watcher
    watcher.close()
    until(lambda: all(thread.name != "trial-watcher" for thread in threading.enumerate()))


def until(holds: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def elsewhere(write: Callable[[], object]) -> None:
    """Run in a thread of its own, with a connection of its own: what another process would do."""

    def run() -> None:
        try:
            write()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def following(trial: Trial) -> Following:
    row = trial.trajectories.first()
    return Following(trial.pk, row.pk if row else None, Cursor(0), 0, LAST, Narrowing())


async def until_event(body: AsyncIterator[bytes], name: str) -> str:
    async with asyncio.timeout(5):
        async for chunk in body:
            if f"event: {name}\n" in chunk.decode():
                return chunk.decode()
    raise AssertionError(f"the stream ended without {name}")


async def test_a_step_is_told_well_within_a_second_of_its_write(world: World, trial: Trial, watcher: Watcher) -> None:
    index = LiveIndex(trial.pk, 1, "me", "agent/trajectory.json", "", "codex", "gpt")

    def write(number: int) -> None:
        elsewhere(lambda: index.write([ThreadUpdate("", [Step(step_id=number, source="agent", message="m")])], {}))

    await asyncio.to_thread(write, 1)
    reading = await sync_to_async(following)(trial)
    waits = []
    async with aclosing(stream.endless(world.owner, reading)) as body:
        await until_event(body, "state")
        for number in range(2, 7):
            await asyncio.to_thread(write, number)
            written_at = time.monotonic()
            assert f'id="step-{number}"' in await until_event(body, "step")
            waits.append(time.monotonic() - written_at)
    assert sorted(waits)[2] < 0.5  # the middle one: a loaded machine may be late once


async def test_the_stream_ends_with_the_trial(world: World, trial: Trial, watcher: Watcher) -> None:
    async with aclosing(stream.endless(world.owner, await sync_to_async(following)(trial))) as body:
        await until_event(body, "state")
        finished = Trial.objects.filter(pk=trial.pk)
        await asyncio.to_thread(elsewhere, lambda: finished.update(status=Status.FINISHED, phase="", reward=1.0))
        await until_event(body, "end")
        assert [chunk async for chunk in body] == []


async def test_the_stream_ends_when_the_server_goes(world: World, trial: Trial, watcher: Watcher) -> None:
    async with aclosing(stream.endless(world.owner, await sync_to_async(following)(trial))) as body:
        await until_event(body, "state")
        watcher.close()
        async with asyncio.timeout(5):
            assert [chunk async for chunk in body] == []


async def test_who_may_not_see_it_any_more_is_told_no_more(world: World, trial: Trial, watcher: Watcher) -> None:
    async with aclosing(stream.endless(world.owner, await sync_to_async(following)(trial))) as body:
        await until_event(body, "state")

        def leave() -> None:
            Membership.objects.filter(user=world.owner).delete()
            Trial.objects.filter(pk=trial.pk).update(phase=Phase.VERIFIER)

        await asyncio.to_thread(elsewhere, leave)
        async with asyncio.timeout(5):
            assert [chunk async for chunk in body] == []


async def test_nobody_is_watched_when_nobody_reads(world: World, trial: Trial, watcher: Watcher) -> None:
    with watcher.waiting_for(trial.pk) as waiter:
        await asyncio.wait_for(waiter.woken.wait(), 5)
    await asyncio.to_thread(until, lambda: all(thread.name != "trial-watcher" for thread in threading.enumerate()))
