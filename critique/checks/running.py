"""Runs what a critic suggests: a command in a fresh sandbox with the trial's final state, and nothing of the critic's.

The network is closed; no variable of the agent, of the verifier or of the job is given.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from critique.checks.output import Output
from critique.checks.records import (
    TAIL_CHARS,
    CheckRecord,
    Outcome,
    output_path,
    record_path,
    write_record,
)
from critique.formats.config import ChecksConfig
from critique.formats.contract import ClaimModel, CritiqueResult, Expectation, SuggestedCheck
from critique.inputs.masking import Masker, known_secrets
from critique.inputs.step_text import plain
from critique.running.sandbox import critics_task
from runs.errors import EnvironmentStartTimeoutError, PierError, SandboxFailed
from runs.files import is_disk_full, write_atomically
from runs.formats.job import DEFAULT_AGENT, AgentConfig
from runs.formats.network import CLOSED
from runs.formats.result import ImageInfo
from runs.formats.task_directory import verifier_is_separate
from runs.sandboxes.base import Sandbox, SandboxSpec
from runs.trial.deadlines import deadline, environment_seconds
from runs.trial.plan import TrialPlan
from runs.trial.regrade_source import Source, TaskOf, read_final_state
from runs.trial.regrade_state import RESTORE_SEC, restore_final_state
from runs.trial.result import image_info
from runs.trial.sandbox import OpenSandbox, agent_spec, opened, waiting_told
from runs.trial.verifier import lay_tests, verifier_section

# What a shell ends with where a command is not there, or may not be run.
NOT_RUN_CODES: Final = (126, 127)
AS_EXPECTED: Final = "it ended as the critic expected"
CANCELLED: Final = "it was stopped before it ended"

type OnRecord = Callable[[CheckRecord], None]


class CheckNotRunnable(PierError):
    """The command of a check says nothing about the claim: it could not be run, or not to its end."""


async def run_check(
    source: Path,
    claim: ClaimModel,
    *,
    number: int,
    folder: Path,
    open_sandbox: OpenSandbox,
    limit_sec: float,
) -> CheckRecord:
    """Run the check that a claim suggests, and write record and output to `folder`, the critique's directory.

    `source` is the directory of the trial that the claim is about, `number` the claim's position. The command gets the
    time that it asks for, `limit_sec` at most. A sandbox that fails is told in the record; only a full disk is raised.
    """
    check = claim.suggested_check
    if check is None:
        raise ValueError(f"claim {number} suggests no check")
    run = _Run(source, check, number, min(check.timeout_sec, limit_sec), open_sandbox, folder)
    record_path(folder, number).parent.mkdir(parents=True, exist_ok=True)
    try:
        outcome, reason = await run.judge()
    except asyncio.CancelledError:
        run.write("not_runnable", CANCELLED)
        raise
    except (PierError, OSError) as error:
        if is_disk_full(error):
            raise
        outcome, reason = "not_runnable", str(error)
    return run.write(outcome, reason)


def unchecked(result: CritiqueResult, folder: Path, config: ChecksConfig) -> Iterator[tuple[int, ClaimModel]]:
    """The first `max_per_critique` claims that suggest a check, without those whose check left a record in `folder`."""
    suggesting = [(number, claim) for number, claim in enumerate(result.claims, start=1) if claim.suggested_check]
    for number, claim in suggesting[: config.max_per_critique]:
        if not record_path(folder, number).exists():
            yield number, claim


async def run_checks(
    source: Path,
    result: CritiqueResult,
    *,
    folder: Path,
    open_sandbox: OpenSandbox,
    config: ChecksConfig,
    on_record: OnRecord | None = None,
) -> list[CheckRecord]:
    """Run the checks of a critique's claims that were not run yet, one after the other, as `unchecked` says."""
    records: list[CheckRecord] = []
    for number, claim in list(unchecked(result, folder, config)):
        record = await run_check(
            source, claim, number=number, folder=folder, open_sandbox=open_sandbox, limit_sec=config.timeout_sec
        )
        records.append(record)
        if on_record:
            on_record(record)
    return records


@dataclass(slots=True)
class _Run:
    """One check under way."""

    source: Path
    check: SuggestedCheck
    number: int
    timeout_sec: float
    open_sandbox: OpenSandbox
    folder: Path
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    output: Output = field(init=False)
    masker: Masker = field(default_factory=Masker)
    notes: list[str] = field(default_factory=list)
    image: ImageInfo | None = None
    exit_code: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        expect = self.check.expect
        self.output = Output(contains=expect.output_contains, lacks=expect.output_lacks)

    async def judge(self) -> tuple[Outcome, str]:
        """Restore, run, compare. Raises CheckNotRunnable, and what sandboxes and sources raise."""
        source = await asyncio.to_thread(read_final_state, self.source, TaskOf(None))
        self.notes += source.notes
        if source.task.checksum() != source.result.task_checksum:
            self.notes.append("the task's files, tests among them, are not those of the trial any more")
        self.masker = Masker(known_secrets([source.result.config]))
        async with self._restored(source) as sandbox:
            await self._execute(source, sandbox)
            n_memory_kills = sandbox.n_memory_kills
        if self.exit_code and n_memory_kills:
            raise CheckNotRunnable("its processes were ended for want of memory")
        expected = self.check.expect.exit_code
        if self.exit_code in NOT_RUN_CODES and self.exit_code != expected:
            raise CheckNotRunnable(f"the shell could not run it: it ended with {self.exit_code}")
        unmet = list(unmet_of(self.check.expect, self.exit_code or 0, self.output))
        return ("refuted", "; ".join(unmet)) if unmet else ("confirmed", AS_EXPECTED)

    @asynccontextmanager
    async def _restored(self, source: Source) -> AsyncIterator[Sandbox]:
        """A fresh sandbox as the verifier would find it, with the tests in their place."""
        plan = self._plan(source)
        build_seconds = environment_seconds(plan, source.task.config.environment.build_timeout_sec)
        async with opened(self.open_sandbox(check_spec(plan, source)), self.notes.append) as sandbox:
            late = deadline(build_seconds, EnvironmentStartTimeoutError, "starting the sandbox")
            async with waiting_told(sandbox), late:
                await sandbox.start(log=lambda _stream, _data: None)
            self.image = image_info(sandbox.image)
            then = source.result.image
            if then and self.image and then.id != self.image.id:
                self.notes.append(f"the agent worked in another image: {then.reference} ({then.id})")
            if sandbox.kind == "host":
                self.notes.append("the host sandbox has no isolation: the network was not closed")
            async with deadline(RESTORE_SEC, SandboxFailed, "restoring the final state"):
                await restore_final_state(sandbox, source, scratch=self.folder / f".check-{self.number}")
                await lay_tests(sandbox, source.task, source.step)
            yield sandbox

    async def _execute(self, source: Source, sandbox: Sandbox) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with deadline(self.timeout_sec, CheckNotRunnable, "the command"):
                # A separate verifier's user is one of another image.
                is_separate = verifier_is_separate(source.task, source.step)
                user = None if is_separate else verifier_section(source.task, source.step).user
                ended = await sandbox.exec(self.check.command, user=user, on_output=self.output.take)
        finally:
            self.seconds = round(loop.time() - began, 3)
        self.exit_code = ended.exit_code

    def _plan(self, source: Source) -> TrialPlan:
        """A trial that never is: what a sandbox is made by, without what the job gave its agent."""
        environment = source.config.environment.model_copy(
            update={"env": {}, "mounts": [], "extra_allowed_hosts": [], "force_build": False}
        )
        if source.config.environment.env:
            self.notes.append("not given: the variables that the job set")
        if source.config.environment.mounts:
            self.notes.append("not there: what the job mounted")
        name = f"{source.directory.root.name[:60]}__check-{self.number}-{uuid4().hex[:12]}"
        changes = {
            "agent": AgentConfig(name=DEFAULT_AGENT),
            "environment": environment,
            "trial_name": name,
            "trials_dir": self.folder,
        }
        return TrialPlan(source.config.model_copy(update=changes), attempt=1)

    def write(self, outcome: Outcome, reason: str) -> CheckRecord:
        """Write the output, then the record."""
        kept = self.masker.data(self.output.kept())
        output = output_path(self.folder, self.number)
        write_atomically(output, kept)
        record = CheckRecord(
            claim=self.number,
            command=self.check.command,
            expect=self.check.expect,
            outcome=outcome,
            reason=self.masker.text(reason),
            exit_code=self.exit_code,
            seconds=self.seconds,
            timeout_sec=self.timeout_sec,
            started_at=self.began_at,
            finished_at=datetime.now(UTC),
            image=self.image,
            notes=self.notes,
            output=output.relative_to(self.folder).as_posix(),
            output_bytes=self.output.n_bytes,
            is_cut=self.output.is_cut,
            tail=plain(kept[-4 * TAIL_CHARS :].decode("utf-8", "replace"))[-TAIL_CHARS:],
        )
        write_record(self.folder, record)
        return record


def check_spec(plan: TrialPlan, source: Source) -> SandboxSpec:
    """The sandbox: the task's image and its own variables, no network, nothing of this machine."""
    spec = agent_spec(plan, critics_task(source.task, None))
    hosts_words = [os.environ.get(name) for name in (spec.compose.host_variables if spec.compose else ())]
    env = {name: value for name, value in spec.env.items() if not any(word and word in value for word in hosts_words)}
    return replace(spec, env=env, network=CLOSED, mounts=(), network_log=None, service_logs=None)


def unmet_of(expect: Expectation, exit_code: int, output: Output) -> list[str]:
    """What is not as it was expected, a sentence each."""
    unmet = []
    if expect.exit_code is not None and exit_code != expect.exit_code:
        unmet.append(f"it ended with {exit_code}, not with {expect.exit_code}")
    if expect.output_contains is not None and not output.wanted.was_seen:
        unmet.append("its output lacks what it was to contain")
    if expect.output_lacks is not None and output.unwanted.was_seen:
        unmet.append("its output contains what it was to lack")
    return unmet
