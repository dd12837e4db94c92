"""The life of a trial that is judged again: a fresh sandbox with what another trial's agent left, hooks, the verifier.

No agent runs. What the agent said and used is copied, so that the trial can be read like any other.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from runs.errors import EnvironmentStartTimeoutError, SandboxFailed, VerifierFailed
from runs.files import is_disk_full, write_atomically
from runs.formats.job import DEFAULT_AGENT, AgentConfig, dump_config
from runs.formats.result import FinalState, StepResult, TrialResult, dump_json
from runs.formats.task_directory import verifier_is_separate
from runs.models import Phase
from runs.sandboxes.base import Sandbox
from runs.scheduling.locking import write_trial_lock
from runs.trial.artifacts import PRE_ARTIFACTS, Collected, collect_artifacts, run_collect_hooks, run_pre_artifacts
from runs.trial.deadlines import deadline, environment_seconds
from runs.trial.directory import PATCH
from runs.trial.plan import TrialPlan
from runs.trial.record import OnPhase, StageRecord, TrialRecord, write_traceback
from runs.trial.regrade_restore import copy_files
from runs.trial.regrade_source import Source, of_agent
from runs.trial.regrade_state import RESTORE_SEC, restore_final_state
from runs.trial.result import minimum_reached, trial_result
from runs.trial.sandbox import (
    OpenSandbox,
    agent_spec,
    build_log_writer,
    dump_network,
    not_enforced,
    opened,
    waiting_told,
)
from runs.trial.verifier import verify_separate, verify_shared


async def run_regrade(plan: TrialPlan, source: Source, open_sandbox: OpenSandbox, on_phase: OnPhase) -> TrialResult:
    """Judge what `source` left, and write the directory of the trial `plan`. Failures are in the result, as ever."""
    record = TrialRecord(plan, on_phase)
    plan.directory.mkdir(parents=True, exist_ok=True)
    write_atomically(record.directory.config, dump_config(plan.config))
    write_trial_lock(plan)
    life = RegradeLife(plan, source, open_sandbox, record)
    try:
        await life.run()
    except asyncio.CancelledError as error:
        record.fail(error)
    except Exception as error:  # noqa: BLE001 - a trial may fail in any way; its job goes on
        if is_disk_full(error):
            record.directory.remove_copies()
        record.fail(error)
    result = regraded(trial_result(record, None), source)
    result.regraded_from = source.origin(life.state_digest)
    if result.exception_info and record.exception is None:
        write_traceback(record.directory.exception, result.exception_info)
    write_atomically(record.directory.result, dump_json(result))
    return result


class RegradeLife:
    """The steps of `run_regrade`, in order."""

    def __init__(self, plan: TrialPlan, source: Source, open_sandbox: OpenSandbox, record: TrialRecord) -> None:
        self.plan = plan
        # The agent's variables and hosts are none of the verifier's.
        quiet = plan.config.model_copy(update={"agent": AgentConfig(name=DEFAULT_AGENT)})
        self.without_agent = replace(plan, config=quiet)
        self.source = source
        self.open_sandbox = open_sandbox
        self.record = record
        self.task, self.step = source.task, source.step
        self.stage = StageRecord(self.step.name if self.step else None)
        self.folders = record.directory.folders(self.stage.task_step)
        self.state_digest: str | None = None

    async def run(self) -> None:
        """Bring along what is known of the agent, then judge its work."""
        record, source, task = self.record, self.source, self.task
        record.task_name, record.task_checksum = task.name, task.checksum()
        record.verifier_mode = "separate" if verifier_is_separate(task, self.step) else "shared"
        record.reward_strategy = task.config.multi_step_reward_strategy or "mean"
        kind = self.plan.config.environment.type or ""
        for warning in (*task.warnings, *not_enforced(task, kind), *source.notes, *self._notes_on_steps()):
            record.warn(warning)
        record.stages += [_stage_of(step) for step in source.earlier_steps]
        record.stages.append(self.stage)
        self.folders.make()
        self.state_digest = await asyncio.to_thread(source.digest_of_state)
        write_atomically(record.directory.network, dump_network(self.without_agent, task, None))
        await asyncio.to_thread(self._copy)
        if source.state == "artifacts":
            await asyncio.to_thread(copy_files, source.folders.artifacts, self.folders.artifacts)
            await self._judged(None, source.collected)
            return
        async with opened(self.open_sandbox(agent_spec(self.without_agent, task)), record.log) as sandbox:
            await self._set_up(sandbox)
            collected = await self._collect(sandbox)
            await self._judged(sandbox, collected)

    def _notes_on_steps(self) -> list[str]:
        earlier = [step.step_name for step in self.source.earlier_steps]
        return [f"not judged again, for only the last state is kept: step {', '.join(earlier)}"] if earlier else []

    def _copy(self) -> None:
        """Logs and patches of the agent's time; nothing is linked, so that nothing done here reaches the source."""
        record, known = self.record.directory, {step.name for step in self.task.steps}
        for earlier in self.source.earlier_steps:
            if earlier.step_name in known:
                then = self.source.directory.folders(earlier.step_name)
                copy_files(then.root, record.folders(earlier.step_name).root)
        copy_files(self.source.folders.agent, self.folders.agent)
        patch = self.source.folders.root / PATCH
        if patch.is_file() and not patch.is_symlink():
            (self.folders.root / PATCH).write_bytes(patch.read_bytes())

    async def _set_up(self, sandbox: Sandbox) -> None:
        record, source = self.record, self.source
        seconds = environment_seconds(self.plan, self.task.config.environment.build_timeout_sec)
        async with record.phase(Phase.ENVIRONMENT_SETUP):
            async with waiting_told(sandbox), deadline(seconds, EnvironmentStartTimeoutError, "starting the sandbox"):
                await sandbox.start(log=build_log_writer(record.directory.build_log))
            record.image = sandbox.image
            then = source.result.image
            if then and sandbox.image and then.id != sandbox.image.id:
                record.warn(f"the agent worked in another image than it is judged in: {then.reference} ({then.id})")
            async with deadline(RESTORE_SEC, SandboxFailed, "restoring the final state"):
                await restore_final_state(sandbox, source, scratch=record.directory.root / ".logs")

    async def _collect(self, sandbox: Sandbox) -> list[Collected]:
        """What came after the final state when the agent had worked: hooks, then artifacts."""
        task, step, record = self.task, self.step, self.record
        extra = step.config if step else None
        hooks = [*task.config.verifier.collect, *(extra.verifier.collect if extra else [])]
        wanted = [*task.config.artifacts, *self.plan.config.artifacts, *(extra.artifacts if extra else [])]
        async with record.phase(Phase.ARTIFACTS, self.stage):
            await run_pre_artifacts(sandbox, task.path / PRE_ARTIFACTS, record)
            await run_collect_hooks(sandbox, hooks, record)
            return await collect_artifacts(sandbox, wanted, self.folders.artifacts, record)

    async def _judged(self, sandbox: Sandbox | None, collected: Sequence[Collected]) -> None:
        plan, task, step, record = self.without_agent, self.task, self.step, self.record
        try:
            async with record.phase(Phase.VERIFIER, self.stage):
                if sandbox is None or verifier_is_separate(task, step):
                    if sandbox:
                        await sandbox.stop()
                    verdict = await verify_separate(
                        self.open_sandbox, plan, task, step, self.folders, record, collected
                    )
                else:
                    verdict = await verify_shared(sandbox, plan, task, step, self.folders, record)
            self.stage.verifier_result = verdict
        except VerifierFailed as error:
            record.fail(error, self.stage)
            return
        minimum = step.config.min_reward if step else None
        is_last = step is None or step is task.steps[-1]
        if not is_last and minimum_reached(self.stage.rewards, minimum):
            record.warn("the last step that was run reaches its minimum now, and the steps after it were not run")


def _stage_of(step: StepResult) -> StageRecord:
    """An earlier TaskStep as it was judged then."""
    return StageRecord(
        step.step_name,
        agent_result=step.agent_result,
        verifier_result=step.verifier_result,
        exception=step.exception_info,
        final_state=step.final_state,
    )


def regraded(result: TrialResult, source: Source) -> TrialResult:
    """The result with what is known of the agent; an exception of its own stays, unless there is a newer one."""
    then = source.result
    result.agent_info, result.agent_result = then.agent_info, then.agent_result
    result.n_agent_steps = then.n_agent_steps
    result.image = result.image or then.image
    result.exception_info = result.exception_info or source.agent_exception
    state = _without_workspace(source)
    result.final_state = state
    if result.step_results and then.step_results:
        last, before = result.step_results[-1], then.step_results[-1]
        last.agent_result, last.final_state = before.agent_result, state
        last.exception_info = last.exception_info or of_agent(before.exception_info)
    return result


def _without_workspace(source: Source) -> FinalState | None:
    state = source.final_state
    if state is None:
        return None
    note = f"the working directory lies with the trial that was regraded: {source.directory.root}"
    return state.model_copy(
        update={"workspace_size_bytes": None, "workspace_tar_bytes": None, "notes": [*state.notes, note]}
    )
