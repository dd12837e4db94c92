"""Works through the queued checks of a critique, one after the other, in this process, until a person stops it."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from critique.checks.queueing import (
    Outcome,
    claim_model,
    directory_of,
    end_abandoned,
    finish,
    hold,
    is_unwanted,
    put_back,
    queue_all,
    settings_of,
    source_of,
    take_next,
)
from critique.checks.records import CheckRecord, read_check
from critique.checks.running import run_check
from critique.models import Claim, Critique
from runs.errors import InputInvalid, PierError
from runs.owner import this_owner
from runs.scheduling.patience import in_database
from runs.scheduling.reap import reap_before
from runs.trial.sandbox import OpenSandbox, sandbox_opener

LOOK_SEC: Final = 2.0

type OnRecord = Callable[[CheckRecord], None]


def find_critique(name: str) -> Critique:
    """The critique of a number or a directory. Raises InputInvalid."""
    rows = Critique.objects.select_related("run", "trial__job")
    path = Path(name.replace("\0", "")).expanduser()
    if path.is_dir():
        place = path.resolve()
        found = rows.filter(trial__job__directory=str(place.parent), trial__name=place.name).first()
    else:
        found = rows.filter(pk=int(name)).first() if name.isdecimal() and len(name) < 19 else None
    if found is None:
        raise InputInvalid(f"there is no critique {name[:255]!r}: give its number or its directory")
    return found


def run_all_checks(critique: Critique, on_record: OnRecord | None = None) -> list[CheckRecord]:
    """Run every suggested check of a critique that was never run, and what is queued. Raises as `run_queued_checks`."""
    queue_all(critique)
    return run_queued_checks(critique, on_record)


def run_queued_checks(critique: Critique, on_record: OnRecord | None = None) -> list[CheckRecord]:
    """Run what is queued until nothing is left, and return the records; none where another process is at it already.

    What dead runners left is cleaned up first. Raises PierError where no sandbox can be opened, or the trial is gone:
    then nothing is queued any more.
    """
    end_abandoned(critique)
    records: list[CheckRecord] = []
    directory = directory_of(critique)
    try:
        # What is queued while the last one lets go finds the directory held, and relies on this second look.
        while critique.claims.filter(check_outcome=Outcome.QUEUED).exists():
            with ExitStack() as stack:
                if not hold(stack, directory):
                    break
                records += _run_held(critique, directory, on_record)
    except FileNotFoundError:
        put_back(critique)
        raise InputInvalid(f"{directory}: there is no such directory any more") from None
    return records


def _run_held(critique: Critique, directory: Path, on_record: OnRecord | None) -> list[CheckRecord]:
    environment, config = settings_of(critique)
    try:
        source = source_of(critique)
        reap_before(environment)
        open_sandbox, close = sandbox_opener(environment)
    except PierError:
        put_back(critique)
        raise
    try:
        work = _Work(critique, source, directory, open_sandbox, config.timeout_sec, on_record)
        asyncio.run(work.run())
        return work.records
    finally:
        close()


class _Work:
    """The queue of one critique under way."""

    def __init__(
        self,
        critique: Critique,
        source: Path,
        directory: Path,
        open_sandbox: OpenSandbox,
        limit_sec: float,
        on_record: OnRecord | None,
    ) -> None:
        self.records: list[CheckRecord] = []
        self._critique = critique
        self._source = source
        self._directory = directory
        self._open_sandbox = open_sandbox
        self._limit_sec = limit_sec
        self._on_record = on_record
        self._was_stopped = False
        self._running: asyncio.Task[CheckRecord] | None = None

    async def run(self) -> None:
        """Until nothing is queued, or a signal came: then what is left is not run."""
        with self._signals():
            while not self._was_stopped:
                claim = await in_database(take_next, self._critique, this_owner())
                if claim is None:
                    return
                await self._run_one(claim)
        await in_database(put_back, self._critique)

    async def _run_one(self, claim: Claim) -> None:
        check = run_check(
            self._source,
            claim_model(claim),
            number=claim.position,
            folder=self._directory,
            open_sandbox=self._open_sandbox,
            limit_sec=self._limit_sec,
        )
        task = self._running = asyncio.create_task(check)
        while not (await asyncio.wait({task}, timeout=LOOK_SEC))[0]:
            if await in_database(is_unwanted, claim):
                task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        record = read_check(self._directory, claim.position)
        if record:
            await in_database(finish, claim, record)
            self.records.append(record)
            if self._on_record:
                self._on_record(record)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end what runs, in good order."""
        loop = asyncio.get_running_loop()

        def stop() -> None:
            self._was_stopped = True
            if self._running:
                self._running.cancel()

        numbers = (signal.SIGINT, signal.SIGTERM)
        try:
            for number in numbers:
                loop.add_signal_handler(number, stop)
        except (NotImplementedError, RuntimeError, ValueError):  # not the main thread: the caller has the signals
            yield
            return
        yield
        for number in numbers:
            loop.remove_signal_handler(number)
