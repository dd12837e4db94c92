"""The life of one trial, top to bottom: sandbox, agent, artifacts, verifier, result. Here alone is caught broadly."""

import asyncio
from collections.abc import Sequence

from runs.agents.base import Agent
from runs.agents.registry import create_agent
from runs.checkpoints import Checkpoint, checkpoint
from runs.errors import (
    AgentSetupTimeoutError,
    EnvironmentStartTimeoutError,
    SandboxFailed,
    VerifierFailed,
)
from runs.files import is_disk_full, write_atomically
from runs.formats.job import ArtifactConfig, dump_config
from runs.formats.result import TrialResult, dump_json
from runs.formats.task_directory import Task, TaskStep, load_task, verifier_is_separate
from runs.models import Phase
from runs.sandboxes.base import LOG_FOLDERS, Sandbox
from runs.scheduling.locking import write_trial_lock
from runs.trial.agent import AgentStage, Stage, extra_instructions
from runs.trial.artifacts import PRE_ARTIFACTS, Collected, collect_artifacts, run_collect_hooks, run_pre_artifacts
from runs.trial.deadlines import agent_setup_seconds, deadline, environment_seconds
from runs.trial.directory import PATCH, WORKSPACE
from runs.trial.final_state import StateFiles, capture_final_state
from runs.trial.limits import VERIFIED_ALL_THE_SAME
from runs.trial.live import OpenIndex
from runs.trial.plan import TrialPlan
from runs.trial.record import OnPhase, StageRecord, TrialRecord
from runs.trial.result import minimum_reached, trial_result
from runs.trial.sandbox import (
    OpenSandbox,
    agent_network,
    agent_spec,
    build_log_writer,
    dump_network,
    loose_files,
    not_enforced,
    opened,
    wait_until_healthy,
    waiting_told,
    without_effect,
)
from runs.trial.verifier import verify_separate, verify_shared


async def run_trial(
    plan: TrialPlan, open_sandbox: OpenSandbox, on_phase: OnPhase, open_index: OpenIndex | None = None
) -> TrialResult:
    """Run a trial to its end and write its directory. Every failure is in the result; nothing but it is raised.

    Steps of a running agent go to the index that `open_index` makes.
    When the surrounding task is cancelled the sandbox goes, the result says CancelledError, and it is returned.
    """
    record = TrialRecord(plan, on_phase)
    plan.directory.mkdir(parents=True, exist_ok=True)
    checkpoint(Checkpoint.TRIAL_DIRECTORY_MADE)
    write_atomically(record.directory.config, dump_config(plan.config))
    checkpoint(Checkpoint.CONFIG_WRITTEN)
    write_trial_lock(plan)
    life = TrialLife(plan, open_sandbox, record, open_index)
    try:
        await life.run()
    except asyncio.CancelledError as error:
        record.fail(error)
    except Exception as error:  # noqa: BLE001 - a trial may fail in any way; its job goes on
        if is_disk_full(error):
            # What was being copied out of the sandbox is torn anyway, and the result needs room.
            record.directory.remove_copies()
        record.fail(error)
    checkpoint(Checkpoint.SANDBOX_STOPPED)
    result = trial_result(record, life.agent)
    write_atomically(record.directory.result, dump_json(result))
    checkpoint(Checkpoint.RESULT_WRITTEN)
    return result


class TrialLife:
    """The steps of `run_trial`, in order."""

    def __init__(
        self, plan: TrialPlan, open_sandbox: OpenSandbox, record: TrialRecord, open_index: OpenIndex | None
    ) -> None:
        self.plan = plan
        self.open_sandbox = open_sandbox
        self.record = record
        self.open_index = open_index
        self.agent: Agent | None = None
        self.extra_instructions: list[str] = []

    async def run(self) -> None:
        """Load the task, then live in its sandbox until the last stage is judged."""
        plan, record = self.plan, self.record
        task = load_task(
            plan.task_path,
            verification=not plan.config.verifier.disable,
            lenient_names=plan.config.lenient_names,
        )
        record.task_name = task.name
        record.task_checksum = task.checksum()
        record.verifier_mode = "separate" if verifier_is_separate(task) else "shared"
        record.reward_strategy = task.config.multi_step_reward_strategy or "mean"
        kind = plan.config.environment.type or ""
        for warning in (*task.warnings, *not_enforced(task, kind), *without_effect(task)):
            record.warn(warning)
        self.agent = create_agent(plan.config.agent)
        self.extra_instructions = extra_instructions(plan.config)
        write_atomically(record.directory.network, dump_network(plan, task, self.agent))
        async with opened(self.open_sandbox(agent_spec(plan, task, self.agent)), record.log) as sandbox:
            await self._set_up(task, sandbox)
            if plan.config.install_only:
                return
            for stage in self._stages(task):
                record.stages.append(stage.record)
                await self._run_stage(task, stage, sandbox)
                if not self._goes_on(stage):
                    break

    async def _set_up(self, task: Task, sandbox: Sandbox) -> None:
        plan, record = self.plan, self.record
        section = task.config.environment
        seconds = environment_seconds(plan, section.build_timeout_sec)
        if sandbox.spec.install:
            # The agent's programs are installed as the sandbox starts; the task's limit is for the task's own image.
            seconds += agent_setup_seconds(plan)
        async with record.phase(Phase.ENVIRONMENT_SETUP):
            async with waiting_told(sandbox), deadline(seconds, EnvironmentStartTimeoutError, "starting the sandbox"):
                await sandbox.start(log=build_log_writer(record.directory.build_log))
                record.image = sandbox.image
                checkpoint(Checkpoint.SANDBOX_STARTED)
                if files := loose_files(task):
                    await sandbox.upload(files, await sandbox.working_directory())
                if section.healthcheck:
                    await wait_until_healthy(sandbox, section.healthcheck)
        assert self.agent is not None  # noqa: S101 - run() made it
        async with record.phase(Phase.AGENT_SETUP):
            async with deadline(agent_setup_seconds(plan), AgentSetupTimeoutError, "setting the agent up"):
                await self.agent.setup(sandbox)
        record.agent_version = self.agent.version

    def _stages(self, task: Task) -> list[Stage]:
        if not task.steps:
            return [Stage(None, task.instruction or "", StageRecord(None), is_last=True)]
        return [
            Stage(step, step.instruction, StageRecord(step.name), is_last=step is task.steps[-1]) for step in task.steps
        ]

    async def _run_stage(self, task: Task, stage: Stage, sandbox: Sandbox) -> None:
        """Agent, then what it left, then the verifier. An agent that was stopped or failed is verified all the same."""
        record, step = self.record, stage.step
        folders = record.directory.folders(stage.record.task_step)
        folders.make()
        # The step before may have left the verifier's network, and a step may have one of its own.
        await sandbox.set_network(agent_network(self.plan, task, step, self.agent))
        if step:
            await self._prepare_step(step, sandbox)
        try:
            assert self.agent is not None  # noqa: S101 - run() made it
            part = AgentStage(self.plan, record, task, self.agent, stage, sandbox, self.open_index)
            await part.run(self.extra_instructions)
        except VERIFIED_ALL_THE_SAME as error:
            record.fail(error, stage.record)
        async with record.phase(Phase.ARTIFACTS, stage.record):
            for trouble in await sandbox.troubles():
                record.warn(trouble)
            if self.plan.config.final_state:
                files = StateFiles(folders.root / PATCH, record.directory.root / WORKSPACE)
                stage.record.final_state = await capture_final_state(
                    sandbox, files, laid=loose_files(task), log=record.log
                )
            hooks = [*task.config.verifier.collect, *(step.config.verifier.collect if step else [])]
            await run_pre_artifacts(sandbox, task.path / PRE_ARTIFACTS, record)
            await run_collect_hooks(sandbox, hooks, record)
            collected = await collect_artifacts(sandbox, self._artifacts(task, step), folders.artifacts, record)
            checkpoint(Checkpoint.ARTIFACTS_COLLECTED)
        if not self.plan.config.verifier.disable:
            await self._verify(task, stage, sandbox, collected)

    def _artifacts(self, task: Task, step: TaskStep | None) -> list[ArtifactConfig]:
        return [*task.config.artifacts, *self.plan.config.artifacts, *(step.config.artifacts if step else [])]

    async def _prepare_step(self, step: TaskStep, sandbox: Sandbox) -> None:
        """Empty the log folders of the step before, bring in the step's files, run its setup and health check."""
        await sandbox.empty(*LOG_FOLDERS)
        workdir = step.directory / "workdir"
        if workdir.is_dir():
            await sandbox.upload(workdir, await sandbox.working_directory())
            if (workdir / "setup.sh").is_file():
                result = await sandbox.exec("bash ./setup.sh")
                if result.exit_code:
                    raise SandboxFailed(f"setup.sh of step {step.name} ended with {result.exit_code}")
        if step.config.healthcheck:
            await wait_until_healthy(sandbox, step.config.healthcheck)

    async def _verify(self, task: Task, stage: Stage, sandbox: Sandbox, collected: Sequence[Collected]) -> None:
        plan, record, step = self.plan, self.record, stage.step
        folders = record.directory.folders(stage.record.task_step)
        try:
            async with record.phase(Phase.VERIFIER, stage.record):
                if verifier_is_separate(task, step):
                    if stage.is_last:
                        await sandbox.stop()
                    result = await verify_separate(self.open_sandbox, plan, task, step, folders, record, collected)
                else:
                    result = await verify_shared(sandbox, plan, task, step, folders, record)
            stage.record.verifier_result = result
            checkpoint(Checkpoint.VERIFIED)
        except VerifierFailed as error:
            record.fail(error, stage.record)

    def _goes_on(self, stage: Stage) -> bool:
        """Whether the next TaskStep is run: not after an exception without a reward, nor below the step's minimum."""
        if stage.record.exception and stage.record.rewards is None:
            return False
        minimum = stage.step.config.min_reward if stage.step else None
        return self.plan.config.verifier.disable or minimum_reached(stage.record.rewards, minimum)
