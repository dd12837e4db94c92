"""Running a job's trials in this process: a few at a time, each its own affair, cancelled together."""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Protocol
from uuid import UUID, uuid4

from asgiref.sync import sync_to_async

from pier_site.accounts.models import Project
from runs.checkpoints import Checkpoint, checkpoint
from runs.errors import ExecutionSuperseded
from runs.files import is_disk_full
from runs.formats.job import JobConfig
from runs.formats.result import CANCELLED, TrialResult
from runs.indexing.job import refresh_counters
from runs.indexing.live import LiveIndex, forget_steps
from runs.models import Job, Phase, Status
from runs.owner import this_owner
from runs.scheduling.expand import expand, refuse_unsupported
from runs.scheduling.history import history_of
from runs.scheduling.holding import held
from runs.scheduling.job_directory import JobDirectory, claim_directory
from runs.scheduling.locking import write_job_lock
from runs.scheduling.patience import in_database
from runs.scheduling.retries import delay_sec, wants_retry
from runs.scheduling.rows import create_rows, end_job
from runs.trial.directory import TrialDirectory
from runs.trial.lifecycle import run_trial
from runs.trial.live import OpenIndex
from runs.trial.plan import TrialPlan
from runs.trial.record import OnPhase
from runs.trial.rows import Claim, beat, claim, finish, keep_result, queue_again, set_phase, withdrawn
from runs.trial.sandbox import OpenSandbox, sandbox_opener

HEARTBEAT_SEC = 3.0
FORCED_EXIT_CODE = 130


class Watcher(Protocol):
    """Someone who is told how a job goes: the progress display."""

    def trial_began(self, plan: TrialPlan) -> None: ...
    def phase_began(self, plan: TrialPlan, phase: Phase, task_step: str) -> None: ...
    def step_came(self, plan: TrialPlan, line: str, cost_usd: float | None) -> None: ...
    def trial_ended(self, plan: TrialPlan, result: TrialResult) -> None: ...
    def trial_waits(self, plan: TrialPlan, result: TrialResult, seconds: float) -> None: ...


type Announce = Callable[[JobConfig, Sequence[TrialPlan]], Watcher]
"""Told what is about to be run; answers who is told how it goes."""


class JobRun:
    """A job under way in this process."""

    def __init__(
        self,
        job: Job,
        config: JobConfig,
        files: JobDirectory,
        plans: Sequence[TrialPlan],
        trial_ids: dict[str, int],
        open_sandbox: OpenSandbox,
        watcher: Watcher,
    ) -> None:
        self.job = job
        self.files = files
        self.was_cancelled = False
        self._disk_error: OSError | None = None
        self._plans = plans
        self._trial_ids = trial_ids
        self.open_sandbox = open_sandbox
        self._watcher = watcher
        self._owner = this_owner()
        self._config = config
        self._queue: asyncio.Queue[TrialPlan] = asyncio.Queue()
        self._running: dict[int, asyncio.Task[TrialResult]] = {}
        # Trials between two executions.
        self._waiting: dict[str, tuple[asyncio.TimerHandle, TrialPlan]] = {}
        self._n_open = len(plans)
        self._n_retries = 0
        # Trials that ended without a result of ours: cancelled while they were queued, or taken over.
        self._n_withheld = 0
        self._all_ended = asyncio.Event()
        self._counters_are_stale = asyncio.Event()

    @property
    def results(self) -> Sequence[TrialResult]:
        """The results of the trials that have ended."""
        return self.files.results

    async def run(self, n_concurrent: int) -> None:
        """Run all trials. The first SIGINT or SIGTERM cancels what runs and starts nothing more; a second one exits."""
        for plan in self._plans:
            self._queue.put_nowait(plan)
        if not self._plans:
            self._all_ended.set()
        with self._signals():
            heart = asyncio.create_task(self._heartbeat())
            try:
                async with asyncio.TaskGroup() as group:
                    workers = [group.create_task(self._work()) for _ in range(min(n_concurrent, len(self._plans)))]
                    # A trial that waits for its next execution holds no worker, so an empty queue is not the end.
                    await self._all_ended.wait()
                    for worker in workers:
                        worker.cancel()
            finally:
                heart.cancel()
                with suppress(asyncio.CancelledError):
                    await heart
        if self._disk_error:
            await sync_to_async(end_job)(self.job, Status.CANCELLED)
            raise self._disk_error
        self.was_cancelled |= self._n_withheld > 0 or any(is_cancelled(result) for result in self.results)
        is_finished = self.files.is_complete and not self.was_cancelled
        self._write_result(finished=is_finished, is_last=True)
        checkpoint(Checkpoint.JOB_RESULT_WRITTEN)
        await in_database(end_job, self.job, self._status(is_finished=is_finished))

    def _status(self, *, is_finished: bool) -> Status:
        if self.was_cancelled:
            return Status.CANCELLED
        # Only some trials were run again, and others still have no result.
        return Status.FINISHED if is_finished else Status.INTERRUPTED

    async def _work(self) -> None:
        while True:
            plan = await self._queue.get()
            self._waiting.pop(plan.name, None)
            try:
                if await self._run_one(plan):
                    continue
            except ExecutionSuperseded:
                self._n_withheld += 1
                await self._leave(plan)
            except OSError as error:
                if not is_disk_full(error):
                    raise
                # Not even a result can be written: every other trial would end the same way.
                self._disk_error = error
                self.cancel()
            self._n_open -= 1
            if not self._n_open:
                self._all_ended.set()

    async def _run_one(self, plan: TrialPlan) -> bool:
        """Run one execution of a trial; whether there will be another."""
        if self.was_cancelled:
            await self._leave(plan)
            return False
        mine = await in_database(claim, self._trial_ids[plan.name], self._owner)
        checkpoint(Checkpoint.TRIAL_CLAIMED)
        if plan.execution > 1:
            TrialDirectory(plan.directory).put_aside(plan.execution - 1)
            await in_database(forget_steps, mine.trial_id)
            checkpoint(Checkpoint.EXECUTION_PUT_ASIDE)
        result = await self._result_of(mine, plan)
        if self.wants_another(plan, result) and not self.was_cancelled:
            await self._retry_later(mine, plan, result)
            return True
        await self._record(mine, plan, result)
        return False

    def wants_another(self, plan: TrialPlan, result: TrialResult) -> bool:
        """Whether there is to be another execution after this one."""
        return wants_retry(result, self._config.retry, execution=plan.n_tries)

    async def _leave(self, plan: TrialPlan) -> None:
        """Don't begin the trial any more: what it came to in its latest execution, if there was one, is its result."""
        if result := history_of(plan.directory).result:
            is_mine = await in_database(keep_result, self.job, plan, result, self._owner)
            if is_mine:
                self.files.add(result)

    async def _result_of(self, mine: Claim, plan: TrialPlan) -> TrialResult:
        self._watcher.trial_began(plan)
        self._counters_are_stale.set()

        async def on_phase(phase: Phase, task_step: str) -> None:
            self._watcher.phase_began(plan, phase, task_step)
            await in_database(set_phase, mine, phase)

        def open_index(path: str, task_step: str) -> LiveIndex:
            agent = plan.config.agent
            label, model = agent.label, agent.model_name or ""
            tell = partial(self._watcher.step_came, plan)
            return LiveIndex(mine.trial_id, mine.execution, mine.owner, path, task_step, label, model, tell)

        task = asyncio.create_task(self.life_of(plan, on_phase, open_index))
        self._running[mine.trial_id] = task
        if self.was_cancelled:
            task.cancel()
        try:
            return await task
        finally:
            del self._running[mine.trial_id]

    def life_of(self, plan: TrialPlan, on_phase: OnPhase, open_index: OpenIndex) -> Coroutine[Any, Any, TrialResult]:
        """One execution of a trial."""
        return run_trial(plan, self.open_sandbox, on_phase, open_index)

    async def _record(self, mine: Claim, plan: TrialPlan, result: TrialResult) -> None:
        await in_database(finish, mine, self.job, plan, cancelled=is_cancelled(result))
        checkpoint(Checkpoint.ROW_FINISHED)
        self.files.add(result)
        self._write_result(finished=False)
        self._watcher.trial_ended(plan, result)
        self._counters_are_stale.set()

    async def _retry_later(self, mine: Claim, plan: TrialPlan, result: TrialResult) -> None:
        """Queue the trial again, for its next execution, after a while."""
        seconds = delay_sec(self._config.retry, execution=plan.n_tries)
        await in_database(queue_again, mine)
        self._n_retries += 1
        failure = result.exception_info.exception_type if result.exception_info else "no exception"
        self.files.log(f"{plan.name}: {failure} in execution {plan.execution}, tried again in {seconds:.1f} s")
        self._watcher.trial_waits(plan, result, seconds)
        again = replace(plan, execution=plan.execution + 1)
        timer = asyncio.get_running_loop().call_later(seconds, self._queue.put_nowait, again)
        self._waiting[plan.name] = (timer, again)

    def _write_result(self, *, finished: bool, is_last: bool = False) -> None:
        self.files.write(
            n_running=len(self._running), n_retries=self._n_retries, finished=finished, is_last=is_last or finished
        )

    async def _heartbeat(self) -> None:
        """Every few seconds: say that we live, cancel what people asked to, bring the job's counters up to date."""
        while True:
            for trial_id in await in_database(beat, self._owner):
                if task := self._running.get(trial_id):
                    task.cancel()
            await self._wake_withdrawn()
            if self._counters_are_stale.is_set():
                self._counters_are_stale.clear()
                await in_database(refresh_counters, self.job)
            await asyncio.sleep(HEARTBEAT_SEC)

    async def _wake_withdrawn(self) -> None:
        """Let trials that were cancelled while they wait for their next execution end now."""
        waiting = {self._trial_ids[name]: name for name in self._waiting}
        for trial_id in await in_database(withdrawn, list(waiting)) if waiting else ():
            if found := self._waiting.pop(waiting[trial_id], None):
                timer, plan = found
                timer.cancel()
                self._queue.put_nowait(plan)

    def cancel(self) -> None:
        """Cancel all running trials and begin no more."""
        self.was_cancelled = True
        for task in self._running.values():
            task.cancel()
        for timer, plan in self._waiting.values():
            timer.cancel()
            self._queue.put_nowait(plan)
        self._waiting.clear()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()

        def interrupted() -> None:
            if self.was_cancelled:
                os._exit(FORCED_EXIT_CODE)
            self.cancel()

        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, interrupted)
        except (NotImplementedError, RuntimeError, ValueError):  # not the main thread: the caller has the signals
            yield
            return
        yield
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def is_cancelled(result: TrialResult) -> bool:
    """Whether a person stopped the trial."""
    return result.exception_info is not None and result.exception_info.exception_type == CANCELLED


def prepare_job(config: JobConfig) -> tuple[JobConfig, list[TrialPlan], UUID]:
    """Check a job and plan its trials, then claim its directory. Raises InputInvalid, with nothing written."""
    refuse_unsupported(config)
    job_id = uuid4()
    expand(config, config.path, job_id)
    config = claim_directory(config)
    checkpoint(Checkpoint.JOB_DIRECTORY_CLAIMED)
    return config, expand(config, config.path, job_id), job_id


def run_job(config: JobConfig, project: Project, announce: Announce) -> JobRun:
    """Run a job to its end and return it. Raises InputInvalid (nothing is written then)."""
    open_sandbox, close = sandbox_opener(config.environment)
    try:
        config, plans, job_id = prepare_job(config)
        job: Job | None = None
        try:
            # Rows first: what they name the reaper finds, should this process die while it writes files.
            job, trial_ids = create_rows(project, config, job_id, plans)
            checkpoint(Checkpoint.ROWS_WRITTEN)
            files = JobDirectory(config, job_id, len(plans))
            write_job_lock(config, plans)
        except BaseException:
            shutil.rmtree(config.path, ignore_errors=True)
            if job:
                job.delete()
            raise
        with held(config.path):
            run = JobRun(job, config, files, plans, trial_ids, open_sandbox, announce(config, plans))
            asyncio.run(run.run(config.n_concurrent_trials))
        return run
    finally:
        close()
