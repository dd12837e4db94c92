"""`piertask smoke`: one trial of a task by a job's first agent, and a line for each thing that must be right about it.

Nothing goes to the database. The trial is a normal one; then its sandbox is started once more, to see what was kept.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID, uuid4

from runs.agents.registry import create_agent
from runs.errors import PierError
from runs.formats.job import JobConfig, RetryConfig, TaskSource
from runs.formats.result import TrialResult
from runs.formats.task_directory import load_task
from runs.models import Phase
from runs.sandboxes.base import Stream
from runs.scheduling.expand import expand, refuse_unsupported
from runs.scheduling.host_environment import confirm_host_variables
from runs.scheduling.job_directory import JobDirectory, claim_directory
from runs.scheduling.locking import write_job_lock
from runs.tasks.smoke_checks import Again, Check, checks, mounts_check, variables_check
from runs.trial.deadlines import environment_seconds
from runs.trial.lifecycle import run_trial
from runs.trial.plan import TrialPlan
from runs.trial.sandbox import OpenSandbox, agent_spec, opened, sandbox_opener


@dataclass(slots=True)
class Smoke:
    """What came of it. `directory` is the trial's, None where there is none or where it was removed."""

    checks: list[Check] = field(default_factory=list)
    directory: Path | None = None

    def note(self, check: Check, watch: "Watch") -> None:
        """Add a check and tell of it."""
        self.checks.append(check)
        watch.check(check)

    @property
    def failures(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if check.verdict == "failed"]


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told of each check as it is made, and of each phase of the trial."""

    check: Callable[[Check], object]
    phase: Callable[[str], object]


def smoke(task: Path, config: JobConfig, watch: Watch, *, jobs_dir: Path | None, assume_yes: bool) -> Smoke:
    """Run one trial of the task by the job's first agent and look at it. Raises InputInvalid for what cannot be run.

    Where mounts or variables are missing, the trial is not begun. Without a `jobs_dir` the job's directory is a
    temporary one, which stays when a check failed.
    """
    config = _of_one_trial(task, config)
    refuse_unsupported(config)
    done = Smoke()
    for check in (mounts_check(config), variables_check(config)):
        done.note(check, watch)
    if done.failures:
        return done
    confirm_host_variables(config, assume_yes=assume_yes)
    folder = jobs_dir or Path(tempfile.mkdtemp(prefix="pier-smoke-"))
    try:
        _look(config.model_copy(update={"jobs_dir": folder}), done, watch)
    finally:
        if jobs_dir is None and not done.failures:
            shutil.rmtree(folder, ignore_errors=True)
            done.directory = None
    return done


def _of_one_trial(task: Path, config: JobConfig) -> JobConfig:
    changes = {
        "tasks": [TaskSource(path=task.resolve())],
        "datasets": [],
        "agents": config.agents[:1],
        "n_attempts": 1,
        "retry": RetryConfig(),
    }
    return config.model_copy(update=changes)


def _look(config: JobConfig, done: Smoke, watch: Watch) -> None:
    open_sandbox, close = sandbox_opener(config.environment)
    try:
        expand(config, config.path, uuid4())
        config, job_id = claim_directory(config), uuid4()
        [plan] = expand(config, config.path, job_id)
        result = asyncio.run(_trial(config, plan, job_id, open_sandbox, watch.phase))
        done.directory = plan.directory
        again = asyncio.run(_started_again(plan, open_sandbox))
    finally:
        close()
    for check in checks(config, plan, result, again):
        done.note(check, watch)


async def _trial(
    config: JobConfig, plan: TrialPlan, job_id: UUID, open_sandbox: OpenSandbox, tell: Callable[[str], object]
) -> TrialResult:
    files = JobDirectory(config, job_id, 1)
    write_job_lock(config, [plan])

    async def on_phase(phase: Phase, task_step: str) -> None:
        tell(f"{phase.label}{f' of {task_step}' if task_step else ''} …")

    result = await run_trial(plan, open_sandbox, on_phase)
    files.add(result)
    files.write(finished=True, is_last=True)
    return result


async def _started_again(plan: TrialPlan, open_sandbox: OpenSandbox) -> Again:
    """Start the agent's sandbox once more, and remove it."""
    output = bytearray()

    def keep(_: Stream, data: bytes) -> None:
        output.extend(data[: max(0, 64 * 1024 - len(output))])

    began, failure = time.monotonic(), ""
    try:
        task = load_task(plan.task_path, lenient_names=plan.config.lenient_names, verification=False)
        spec = agent_spec(plan, task, create_agent(plan.config.agent))
        # Building anew, as a job may ask for, would say nothing about what is kept.
        spec = replace(spec, image=replace(spec.image, force_build=False), network_log=None, service_logs=None)
        async with opened(open_sandbox(spec), lambda message: output.extend(message.encode())) as sandbox:
            async with asyncio.timeout(environment_seconds(plan, task.config.environment.build_timeout_sec)):
                await sandbox.start(log=keep)
    except (PierError, TimeoutError) as error:
        failure = str(error) or type(error).__name__
    lines = bytes(output).decode(errors="replace").splitlines()
    return Again(time.monotonic() - began, [line for line in lines if line.strip()], failure)
