"""Reads trials in several processes when there is much to read; this process writes meanwhile.

For commands: a process that serves pages or runs trials must not start others for this.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from types import TracebackType
from typing import Self

import django

from runs.indexing.draft import Draft, DraftTask, draft_of, one_by_one

# Below this, starting the processes takes longer than the reading.
START_BYTES = 16 * 1024 * 1024
# How many drafts may wait for each process: memory is that of this many trials.
AHEAD = 2


class DraftPool:
    """Drafts trials here until they are many, then in `n_workers` processes. Use it as a context."""

    def __init__(self, n_workers: int) -> None:
        self._n_workers = n_workers
        self._n_bytes = 0
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def drafts(self, tasks: Sequence[DraftTask]) -> Iterator[Draft]:
        """The drafts of `tasks`, in their order, each as soon as it and those before it are ready."""
        self._n_bytes += sum(task.size_bytes for task in tasks)
        if self._executor is None and (self._n_workers < 2 or self._n_bytes < START_BYTES):
            yield from one_by_one(tasks)
            return
        if self._executor is None:
            # Not a fork: this process may have threads and has an open database.
            self._executor = ProcessPoolExecutor(
                self._n_workers, mp_context=get_context("spawn"), initializer=django.setup
            )
        waiting: deque[tuple[DraftTask, Future[Draft]]] = deque()
        for task in tasks:
            waiting.append((task, self._submit(self._executor, task)))
            if len(waiting) >= AHEAD * self._n_workers:
                yield self._result(*waiting.popleft())
        while waiting:
            yield self._result(*waiting.popleft())

    @staticmethod
    def _submit(executor: ProcessPoolExecutor, task: DraftTask) -> "Future[Draft]":
        try:
            return executor.submit(draft_of, task)
        except BrokenProcessPool as error:
            broken: Future[Draft] = Future()
            broken.set_exception(error)
            return broken

    def _result(self, task: DraftTask, future: "Future[Draft]") -> Draft:
        """The draft from its process; if the system killed that one (memory), the trial is read here instead."""
        try:
            return future.result()
        except BrokenProcessPool:
            return draft_of(task)
