"""A costly thing is done once: by one in this process, by one process after the other, and stopped when unwanted."""

import asyncio
import sys
from pathlib import Path

import pytest

from runs.sandboxes.base import OnOutput
from runs.sandboxes.single_flight import SingleFlight, only_process

HOLDER = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def nothing(*_: object) -> None:
    """A log that nobody reads."""


def into(kept: bytearray) -> OnOutput:
    """A log that is read."""
    return lambda _, data: kept.extend(data)


async def test_fifty_get_the_result_and_the_output_of_one() -> None:
    flights, n_started = SingleFlight(), 0

    async def work(log: OnOutput) -> int:
        nonlocal n_started
        n_started += 1
        await asyncio.sleep(0.01)
        log("stdout", b"at work")
        return 42

    logs = [bytearray() for _ in range(50)]
    results = await asyncio.gather(*(flights.do("x", work, into(log)) for log in logs))
    assert (set(results), n_started) == ({42}, 1)
    assert {bytes(log) for log in logs} == {b"at work"}


async def test_all_who_wait_share_a_failure_and_the_next_one_tries_again() -> None:
    flights, n_started = SingleFlight(), 0

    async def work(_: OnOutput) -> None:
        nonlocal n_started
        n_started += 1
        await asyncio.sleep(0.01)
        raise ValueError("broken")

    waiting = (flights.do("x", work, nothing) for _ in range(3))
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["broken"] * 3
    with pytest.raises(ValueError, match="broken"):
        await flights.do("x", work, nothing)
    assert n_started == 2


async def test_work_goes_on_while_anybody_waits_and_ends_with_the_last() -> None:
    flights, events = SingleFlight(), []

    async def work(_: OnOutput) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    first, second = (asyncio.create_task(flights.do("x", work, nothing)) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.wait({first})
    assert events == []
    second.cancel()
    await asyncio.wait({second})
    assert events == ["cancelled"]


async def test_one_process_waits_for_the_other_and_goes_on_when_it_dies(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "build.lock")]
    pipe = asyncio.subprocess.PIPE
    holder = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2), only_process(tmp_path, "build"):
            pass
    holder.kill()
    async with asyncio.timeout(10), only_process(tmp_path, "build"):
        pass
    await holder.wait()


async def test_locks_of_other_names_are_free(tmp_path: Path) -> None:
    async with only_process(tmp_path, "one"), asyncio.timeout(1), only_process(tmp_path, "other"):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["one.lock", "other.lock"]
