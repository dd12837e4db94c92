"""The life of a critic, top to bottom: input, sandbox, agent, its output read, one round of repair, citations, files.

What it shares with a trial's life comes from there; no verifier judges it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from critique.citations.checking import check_citations
from critique.citations.formats import write_citations
from critique.digests import Digests, MadeBy, digests_of
from critique.formats.config import CritiqueRunConfig
from critique.formats.contract import CritiqueResult
from critique.formats.reading import ContractBroken
from critique.formats.records import REPAIR
from critique.inputs.staging import Staged
from critique.prompt import repair_prompt, rubric_prompt, template_prompt
from critique.rubrics.loading import RubricText
from critique.running.inputs import Inputs
from critique.running.items import Item, load_critics_task
from critique.running.output import CritiqueInvalid, bring_output_home, keep_broken, read_output
from critique.running.pier_files import write_files
from critique.running.sandbox import critic_spec, critics_task, lay_input, takes_mounts
from runs.agents.registry import create_agent
from runs.errors import AgentFailed
from runs.files import is_disk_full, write_atomically
from runs.formats.job import dump_config
from runs.formats.result import TrialResult, dump_json
from runs.formats.task_directory import Task
from runs.models import Phase
from runs.sandboxes.base import AGENT_LOGS, Sandbox
from runs.scheduling.locking import write_trial_lock
from runs.trial.agent import AgentStage, Stage
from runs.trial.lifecycle import TrialLife
from runs.trial.live import OpenIndex
from runs.trial.plan import TrialPlan
from runs.trial.record import OnPhase, StageRecord, TrialRecord, exception_info
from runs.trial.result import combined_usage, trial_result
from runs.trial.sandbox import OpenSandbox, dump_network, not_enforced, opened

# A correction is small work, also where the critique had hours.
REPAIR_SEC = 900.0


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one critic is to do, and by what. `rubric` is None where the run has a prompt."""

    item: Item
    config: CritiqueRunConfig
    rubric: RubricText | None
    inputs: Inputs

    @property
    def schema(self) -> Mapping[str, Any] | None:
        """What the output must be like; None is Pier's contract."""
        return self.rubric.output_schema if self.rubric else None

    @property
    def timeout_sec(self) -> float | None:
        """The run's word, then the rubric's; None leaves it to the task."""
        own: float | None = self.rubric.critic.get("timeout_sec") if self.rubric else None
        return self.config.timeout_sec or own

    @property
    def seed(self) -> int | None:
        """Of this sample: several by one critic are to differ."""
        return None if self.config.seed is None else self.config.seed + self.item.sample - 1

    def prompt(self, staged: Staged, task_name: str) -> str:
        """What the critic is told."""
        config, item = self.config, self.item
        if self.rubric:
            return rubric_prompt(
                self.rubric,
                subject=self.inputs.subject_of(item),
                staged=staged,
                question=config.question,
                seed=self.seed,
            )
        return template_prompt(config.prompt or "", source_trial_name=item.source_name, task_name=task_name)


@dataclass(slots=True)
class Findings:
    """What came of a critic. `problems` are those of its first output, `partial` what could be read of the last."""

    prompt: str = ""
    result: CritiqueResult | None = None
    was_repaired: bool = False
    problems: list[str] = field(default_factory=list)
    partial: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    digests: Digests = field(default_factory=Digests)


async def run_critique(
    plan: TrialPlan,
    assignment: Assignment,
    open_sandbox: OpenSandbox,
    on_phase: OnPhase,
    open_index: OpenIndex | None = None,
) -> TrialResult:
    """Have a critic do its work, and write its directory. Failures are in the result, as a trial's; none is raised."""
    record = TrialRecord(plan, on_phase)
    plan.directory.mkdir(parents=True, exist_ok=True)
    write_atomically(record.directory.config, dump_config(plan.config))
    write_trial_lock(plan)
    life = CriticLife(plan, assignment, open_sandbox, record, open_index)
    try:
        await life.run()
    except asyncio.CancelledError as error:
        record.fail(error)
    except Exception as error:  # noqa: BLE001 - a critic may fail in any way; its run goes on
        if is_disk_full(error):
            record.directory.remove_copies()
        record.fail(error)
    result = trial_result(record, life.agent)
    if len(record.stages) > 1:
        result.agent_result = combined_usage(record.stages)
        result.n_agent_steps = result.agent_result.n_agent_steps if result.agent_result else None
    await asyncio.to_thread(write_files, plan, assignment, life.findings, result)
    write_atomically(record.directory.result, dump_json(result))
    return result


class CriticLife(TrialLife):
    """The steps of `run_critique`, in order."""

    def __init__(
        self,
        plan: TrialPlan,
        assignment: Assignment,
        open_sandbox: OpenSandbox,
        record: TrialRecord,
        open_index: OpenIndex | None,
    ) -> None:
        super().__init__(plan, open_sandbox, record, open_index)
        self.assignment = assignment
        self.findings = Findings()
        self.folders = record.directory.folders()

    async def run(self) -> None:
        """Lay out what is looked at, let the critic work beside it, then check what it says against it."""
        plan, record, item = self.plan, self.record, self.assignment.item
        whole = load_critics_task(plan.task_path)
        record.task_name, record.task_checksum = whole.name, whole.checksum()
        for warning in (*whole.warnings, *not_enforced(whole, plan.config.environment.type or "")):
            record.warn(warning)
        self.agent = create_agent(plan.config.agent)
        task = critics_task(whole, self.assignment.timeout_sec)
        write_atomically(record.directory.network, dump_network(plan, task, self.agent))
        async with self.assignment.inputs.of(item) as staged:
            self.findings.notes += staged.notes
            self.findings.prompt = self.assignment.prompt(staged, whole.name)
            self.findings.digests = await asyncio.to_thread(self._digests)
            spec = critic_spec(plan, task, self.agent, staged.folder)
            try:
                async with opened(self.open_sandbox(spec), record.log) as sandbox:
                    await self._set_up(task, sandbox)
                    if not takes_mounts(plan):
                        await lay_input(sandbox, staged.folder)
                    await self._criticise(task, sandbox)
            except CritiqueInvalid:
                await asyncio.to_thread(self._check, staged, self._readable())
                raise
            await asyncio.to_thread(self._check, staged, self.findings.result)

    async def _criticise(self, task: Task, sandbox: Sandbox) -> None:
        """The work, and where its output is not what was asked for, one round more. Raises CritiqueInvalid."""
        stage = Stage(None, self.findings.prompt, StageRecord(None), is_last=True)
        failure = await self._work(task, stage, sandbox)
        if failure:
            self.record.fail(failure, stage.record)
        problems = await self._read(sandbox, stage)
        self.findings.problems = problems
        if not problems or failure:
            return
        for problem in problems:
            self.record.log(f"output: {problem}")
        problems = await self._repair(task, sandbox, problems)
        if problems:
            raise CritiqueInvalid(f"the critic's output stayed invalid: {'; '.join(problems[:3])}")
        self.findings.was_repaired = True

    async def _work(self, task: Task, stage: Stage, sandbox: Sandbox) -> AgentFailed | None:
        """Let the agent work; how it failed, if it did. What it had written by then counts all the same."""
        assert self.agent is not None  # noqa: S101 - run() made it
        self.record.stages.append(stage.record)
        self.record.directory.folders(stage.record.task_step).make()
        try:
            await AgentStage(self.plan, self.record, task, self.agent, stage, sandbox, self.open_index).run([])
        except AgentFailed as error:
            return error
        return None

    async def _read(self, sandbox: Sandbox, stage: Stage) -> list[str]:
        """Bring the output home and read it; what is wrong with it, in sentences."""
        async with self.record.phase(Phase.ARTIFACTS, stage.record):
            for trouble in await sandbox.troubles():
                self.record.warn(trouble)
            await bring_output_home(sandbox, self.folders.artifacts, self.record)
        try:
            self.findings.result = await asyncio.to_thread(read_output, self.folders.artifacts, self.assignment.schema)
        except ContractBroken as broken:
            self.findings.partial = broken.partial
            return broken.problems
        self.findings.partial = None
        return []

    async def _repair(self, task: Task, sandbox: Sandbox, problems: list[str]) -> list[str]:
        """Tell the critic what is wrong, in the same sandbox; what still is."""
        folders = self.record.directory.folders(REPAIR)
        keep_broken(self.folders.artifacts, folders.root)
        await sandbox.empty(AGENT_LOGS)
        stage = Stage(None, repair_prompt(problems, prompt=self.findings.prompt), StageRecord(REPAIR), is_last=True)
        failure = await self._work(_hurried(task), stage, sandbox)
        if failure:
            stage.record.exception = exception_info(failure)
            self.record.warn(f"the round of repair ended early: {failure}")
        return await self._read(sandbox, stage)

    def _digests(self) -> Digests:
        """Of all that the critic is given."""
        assignment, item = self.assignment, self.assignment.item
        rubric = assignment.rubric
        made_by = MadeBy(
            rubric=rubric.label if rubric else "",
            rubric_digest=rubric.digest if rubric else "",
            model=self.plan.config.agent.model_name or "",
            prompt=self.findings.prompt,
            seed=assignment.seed,
        )
        return digests_of(task=item.task if item.subject != "run" else None, trial=item.source, made_by=made_by)

    def _check(self, staged: Staged, result: CritiqueResult | None) -> None:
        """Look for every quote where the critic says that it is, in what it was given."""
        if result:
            source = self.assignment.item.source
            checked = check_citations(result, input_folder=staged.folder, trial_directory=source)
            write_citations(self.record.directory.root, checked)

    def _readable(self) -> CritiqueResult | None:
        """Of an output that is not what the rubric asks for, what can be shown all the same."""
        try:
            return read_output(self.folders.artifacts, {})
        except ContractBroken:
            return None


def _hurried(task: Task) -> Task:
    """The task with less time for its agent."""
    seconds = min(task.config.agent.timeout_sec or REPAIR_SEC, REPAIR_SEC)
    agent = task.config.agent.model_copy(update={"timeout_sec": seconds})
    return replace(task, config=task.config.model_copy(update={"agent": agent}))
