"""Running a planned critique run to its end, in this process: a job whose trials are critics, beside what they see."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from critique.formats.contract import RESULT_FILE
from critique.formats.records import RECORD, CritiqueRecord, read_record
from critique.inputs.staging import Subject
from critique.models import SUMMARY, CritiqueRun
from critique.running.afterwards import check_claims, is_unchecked, report
from critique.running.directory import RunDirectory, make_directory, move_aside, write_settings
from critique.running.inputs import Inputs
from critique.running.items import Item
from critique.running.life import Assignment, run_critique
from critique.running.planning import Plan, job_config_of, trial_plan_of
from critique.running.rows import begin_rows, run_row
from critique.summary import save_telemetry
from pier_site.accounts.models import Project, User
from runs.errors import FileUnreadable, InputInvalid
from runs.formats.result import TrialResult
from runs.indexing.scan import trials_in
from runs.scheduling.history import history_of
from runs.scheduling.holding import held
from runs.scheduling.job_directory import Earlier
from runs.scheduling.local import Announce, JobRun
from runs.trial.live import OpenIndex
from runs.trial.plan import TrialPlan
from runs.trial.record import OnPhase
from runs.trial.sandbox import OpenSandbox, sandbox_opener

# How soon the critic of the whole run looks again whether the others are done.
LOOK_AGAIN_SEC = 0.2


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run that has ended. `run` is None where every critique was there already; `records` are all that there are."""

    row: CritiqueRun
    run: "CritiqueJobRun | None"
    records: tuple[CritiqueRecord, ...]


def run_plan(
    plan: Plan,
    project: Project,
    announce: Announce,
    *,
    run: CritiqueRun | None = None,
    approved_by: User | None = None,
) -> Outcome:
    """Have the critics of an approved plan do their work; `run` is its row, where it has one.

    What an earlier start of the run has left that is valid stays. Raises InputInvalid where the run can't be begun.
    """
    config = plan.config
    open_sandbox, close = sandbox_opener(config.environment)
    try:
        if config.overwrite and config.path.exists():
            with held(config.path):
                move_aside(config.path)
        make_directory(config.path)
        with held(config.path):
            return _run_held(plan, project, announce, open_sandbox, run=run, approved_by=approved_by)
    finally:
        close()


def _run_held(
    plan: Plan,
    project: Project,
    announce: Announce,
    open_sandbox: OpenSandbox,
    *,
    run: CritiqueRun | None,
    approved_by: User | None,
) -> Outcome:
    config, run_id = plan.config, uuid4()
    plans, kept = _plans(plan, run_id)
    chosen = [one for one in plans if one.name not in kept]
    row = run_row(plan, project, run=run, approved_by=approved_by)
    if not chosen:
        # It may have been stopped before what follows its critics was done.
        with suppress(KeyboardInterrupt):
            _follow_up(plan, row, open_sandbox)
        return Outcome(row, None, records_of(plan))
    trial_ids = begin_rows(row, plan, plans, chosen, run_id)
    write_settings(plan)
    files = RunDirectory(config, run_id, len(plans), plan.refused, Earlier(results=list(kept.values())))
    files.log(f"{len(chosen)} of {len(plans)} critiques are to be made")
    for refusal in plan.refused:
        files.log(f"refused: {refusal.name}: {refusal.reason}")
    running = _running(plan, row, files, chosen, trial_ids, open_sandbox, announce)
    try:
        asyncio.run(running.run(config.n_concurrent))
    finally:
        running.inputs.remove()
    if not running.was_cancelled:
        try:
            _follow_up(plan, row, open_sandbox)
        except KeyboardInterrupt:
            running.was_cancelled = True
    return Outcome(row, running, records_of(plan))


def _running(
    plan: Plan,
    row: CritiqueRun,
    files: RunDirectory,
    chosen: Sequence[TrialPlan],
    trial_ids: dict[str, int],
    open_sandbox: OpenSandbox,
    announce: Announce,
) -> "CritiqueJobRun":
    config, job = plan.config, job_config_of(plan.config)
    if row.source_job and any(item.subject == "run" for item in plan.wanted):
        save_telemetry(row.source_job, config.path)
    assert row.job is not None  # noqa: S101 - begin_rows() gave it one
    running = CritiqueJobRun(row.job, job, files, chosen, trial_ids, open_sandbox, announce(job, chosen))
    running.inputs = Inputs(config.path, plan.wanted, partial(subject_of, plan))
    running.inputs.remove()
    running.assignments = {
        item.name: Assignment(item, config, plan.rubric_of(item), running.inputs) for item in plan.wanted
    }
    return running


def _follow_up(plan: Plan, row: CritiqueRun, open_sandbox: OpenSandbox) -> None:
    """Suggested checks that were not run yet, where the run asks for them; the report of a critic who looked at all."""
    config = plan.config
    if config.checks.enabled and (open_items := [item for item in plan.items if is_unchecked(config, item)]):
        asyncio.run(check_claims(plan, open_items, row, open_sandbox))
    if any(item.subject == "run" for item in plan.items):
        report(plan, valid_critiques(plan))


def _plans(plan: Plan, run_id: UUID) -> tuple[list[TrialPlan], dict[str, TrialResult]]:
    """The critics' trials, each with the number of its next execution; and the results of those that stay, by name.

    Among these are critiques of what can't be looked at any more: their files are there, and their rows stay.
    """
    job, plans, kept = job_config_of(plan.config), list[TrialPlan](), dict[str, TrialResult]()
    for item in plan.items:
        first = trial_plan_of(plan.config, job, item, run_id)
        history = history_of(first.directory)
        plans.append(replace(first, execution=history.next_execution, first_execution=history.next_execution))
        if item.name in plan.kept and history.result:
            kept[item.name] = history.result
    known = {one.name for one in plans}
    for folder in trials_in(plan.config.path):
        if folder.name not in known and (result := history_of(folder).result):
            config = plans[0].config.model_copy(update={"trial_name": folder.name})
            plans.append(replace(plans[0], config=config))
            kept[folder.name] = result
    return plans, kept


class CritiqueJobRun(JobRun):
    """A job under way whose trials are critics; one that looks at the whole run comes after all others."""

    assignments: dict[str, Assignment]
    inputs: Inputs

    def life_of(self, plan: TrialPlan, on_phase: OnPhase, open_index: OpenIndex) -> Coroutine[Any, Any, TrialResult]:
        """Have the critic do its work."""
        return run_critique(plan, self.assignments[plan.name], self.open_sandbox, on_phase, open_index)

    def wants_another(self, plan: TrialPlan, result: TrialResult) -> bool:
        """Not where there is a valid critique already, however its critic ended."""
        return super().wants_another(plan, result) and not _is_valid(plan.directory)

    async def _run_one(self, plan: TrialPlan) -> bool:
        if self.assignments[plan.name].item.is_summary and self._n_open > 1 and not self.was_cancelled:
            # Waiting holds no worker: the others may need them all.
            asyncio.get_running_loop().call_later(LOOK_AGAIN_SEC, self._queue.put_nowait, plan)
            return True
        return await super()._run_one(plan)


def subject_of(plan: Plan, item: Item) -> Subject:
    """What an item's critic is given; for a whole run, the valid results of it."""
    if item.subject == "run":
        valid = valid_critiques(plan)
        if not valid:
            raise InputInvalid("there is nothing to sum up: no critique is valid")
        return Subject(task=None, trial=None, critiques=valid)
    about = item.parent / "artifacts" / RESULT_FILE if item.parent else None
    return Subject(task=item.task, trial=item.source, critique=about)


def valid_critiques(plan: Plan) -> tuple[Path, ...]:
    """Those that a critic of a whole run is given: the run's own, or of a run about others, theirs."""
    config = plan.config
    if config.subject != "run":
        found = [config.path / item.name for item in plan.items if item.subject != "run"]
    else:
        found = [path for path in trials_in(config.critiques_dir / (config.parent or "")) if path.name != SUMMARY]
    return tuple(path for path in found if _is_valid(path))


def records_of(plan: Plan) -> tuple[CritiqueRecord, ...]:
    """What came of the run's critiques, as far as they ended."""
    found = (_record(plan.config.path / item.name) for item in plan.items)
    return tuple(record for record in found if record)


def _record(directory: Path) -> CritiqueRecord | None:
    try:
        return read_record(directory / RECORD)
    except FileUnreadable:
        return None


def _is_valid(directory: Path) -> bool:
    record = _record(directory)
    return record is not None and record.is_valid
