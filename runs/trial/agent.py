"""The agent's part of a trial: what it is asked and given, its run under a timeout, and its logs brought home."""

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass

from asgiref.sync import sync_to_async

from runs.agents.base import Agent, AgentRun
from runs.agents.skills import skills_in
from runs.checkpoints import Checkpoint, checkpoint
from runs.errors import AgentFailed, AgentTimeoutError, SandboxFailed
from runs.formats.job import DEFAULT_AGENT, TrialConfig
from runs.formats.network import NetworkMode
from runs.formats.reading import read_text
from runs.formats.task import AgentSection
from runs.formats.task_directory import Task, TaskStep
from runs.formats.template import resolve_all
from runs.indexing.live import LiveIndex
from runs.models import Phase
from runs.sandboxes.base import AGENT_LOGS, Sandbox
from runs.sandboxes.extraction import ExtractionLimitReached, SourceMissing
from runs.trial.deadlines import agent_seconds, deadline
from runs.trial.limits import agent_limits
from runs.trial.live import LIVE_FILE, LiveTrajectory, OpenIndex
from runs.trial.plan import TrialPlan
from runs.trial.record import StageRecord, TrialRecord
from runs.trial.sandbox import agent_network

SAVE_LOGS_SEC = 10.0
MAX_INSTRUCTION_BYTES = 1024 * 1024
TRAJECTORY = "agent/trajectory.json"


@dataclass(frozen=True, slots=True)
class Stage:
    """What the agent is asked in one go: a single-step task, or one TaskStep."""

    step: TaskStep | None
    instruction: str
    record: StageRecord
    is_last: bool


@dataclass(frozen=True, slots=True)
class AgentStage:
    """One agent at one stage of one trial."""

    plan: TrialPlan
    record: TrialRecord
    task: Task
    agent: Agent
    stage: Stage
    sandbox: Sandbox
    open_index: OpenIndex | None

    async def run(self, extra_instructions: list[str]) -> None:
        """Run the agent under its timeout; then nothing it started lives on, its logs and its trajectory are here."""
        plan, record, stage = self.plan, self.record, self.stage
        run = self._agent_run(extra_instructions)
        try:
            async with (
                record.phase(Phase.AGENT_EXECUTION, stage.record),
                deadline(agent_seconds(plan, self._section), AgentTimeoutError, "the agent"),
                agent_limits(self.sandbox, record.warn),
            ):
                stage.record.agent_result = await self.agent.run(run)
                checkpoint(Checkpoint.AGENT_ENDED)
        except asyncio.CancelledError:
            with suppress(SandboxFailed, TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._save(run)), SAVE_LOGS_SEC)
            raise
        except (AgentFailed, SandboxFailed):
            await self._end(run)
            raise
        await self._end(run)

    @property
    def _section(self) -> AgentSection:
        return agent_section(self.task, self.stage.step)

    def _agent_run(self, extra_instructions: list[str]) -> AgentRun:
        plan, task, step = self.plan, self.task, self.stage.step
        config = plan.config.agent
        logs = self.record.directory.folders(self.stage.record.task_step).agent
        solution = step.directory / "solution" if step else task.solution_dir
        is_oracle = self.agent.name == DEFAULT_AGENT
        return AgentRun(
            instruction="\n\n".join((self.stage.instruction, *extra_instructions)),
            sandbox=self.sandbox,
            logs=logs,
            env=resolve_all({**(task.config.solution.env if is_oracle else {}), **config.env}, os.environ),
            user=self._section.user,
            solution=solution if solution.is_dir() else task.solution_dir,
            task_name=task.name,
            task_config=task.path / "task.toml",
            mcp_servers=(*task.config.environment.mcp_servers, *config.mcp_servers),
            skills=skills_in(config.skills),
            skills_dir=task.config.environment.skills_dir,
            is_closed=agent_network(plan, task, step, self.agent).mode is not NetworkMode.OPEN,
            live=LiveTrajectory(logs, self._index()),
        )

    def _index(self) -> LiveIndex | None:
        task_step = self.stage.record.task_step or ""
        place = f"steps/{task_step}/{TRAJECTORY}" if task_step else TRAJECTORY
        return self.open_index(place, task_step) if self.open_index else None

    async def _save(self, run: AgentRun) -> None:
        """What is saved of a trial that somebody cancelled, and waits."""
        await self._after(run, SAVE_LOGS_SEC / 3)
        await self._bring_home(run)

    async def _after(self, run: AgentRun, seconds: float) -> None:
        with suppress(SandboxFailed, TimeoutError):
            async with asyncio.timeout(seconds):
                await self.agent.after(run)

    async def _end(self, run: AgentRun) -> None:
        await self._after(run, self.agent.after_sec)
        if not keeps_processes(self.task):
            await self.sandbox.end_processes()
        await self._bring_home(run)

    async def _bring_home(self, run: AgentRun) -> None:
        """Copy the agent's logs out of the sandbox and make its trajectory of them."""
        try:
            own = (*self.agent.own_logs(), LIVE_FILE)
            extraction = await self.sandbox.download(AGENT_LOGS, run.logs, exclude=own)
            for refused in extraction.refused:
                self.record.log(f"agent log {refused.name!r} refused: {refused.reason}")
        except SourceMissing as missing:
            self.record.log(str(missing))
        except ExtractionLimitReached as error:
            # The agent's own doing, and no way out of being judged.
            self.record.warn(f"the agent's logs are not complete: {error}")
        try:
            used = await sync_to_async(self.agent.finish, thread_sensitive=False)(run)
        except Exception as error:  # noqa: BLE001 - whatever an agent logged, its work is judged
            self.record.warn(f"there is no trajectory of the agent's logs: {type(error).__name__}: {error}")
            return
        if used:
            self.stage.record.agent_result = used


def extra_instructions(config: TrialConfig) -> list[str]:
    """What the job adds to every instruction: its texts, then its files."""
    return [
        *config.extra_instructions,
        *(read_text(path, MAX_INSTRUCTION_BYTES) for path in config.extra_instruction_paths),
    ]


def agent_section(task: Task, step: TaskStep | None) -> AgentSection:
    """The task's [agent] with what the step's own says on top."""
    if step is None:
        return task.config.agent
    said = step.config.agent.model_dump(exclude_unset=True)
    return task.config.agent.model_copy(update=said)


def keeps_processes(task: Task) -> bool:
    """Whether the task says that services which the agent started must live on until they are verified.

    Neither Pier nor Harbor has a key for it, so it stands in the free table both leave alone:
    `[metadata.pier_site] keep_processes = true`.
    """
    own = task.config.metadata.get("pier_site")
    return isinstance(own, dict) and own.get("keep_processes") is True
