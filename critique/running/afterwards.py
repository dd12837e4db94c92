"""What follows once the critics of a run have ended: the checks that they suggest, the report on the whole run."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from critique.checks.running import run_checks, unchecked
from critique.formats.config import ChecksConfig, CritiqueRunConfig
from critique.formats.contract import CritiqueResult
from critique.formats.reading import ContractBroken
from critique.formats.records import RECORD, read_record
from critique.indexing.critique import index_critique
from critique.models import CritiqueRun
from critique.running.items import Item
from critique.running.output import read_output
from critique.running.planning import Plan
from critique.summary import save_analysis
from runs.errors import FileUnreadable, InputInvalid
from runs.models import Trial
from runs.scheduling.holding import held
from runs.scheduling.patience import in_database
from runs.trial.sandbox import OpenSandbox


def is_unchecked(config: CritiqueRunConfig, item: Item) -> bool:
    """Whether a valid critique of a trial suggests a check that was never run, and is to be."""
    result = _valid_result(config.path / item.name) if item.source else None
    return result is not None and any(unchecked(result, config.path / item.name, config.checks))


async def check_claims(plan: Plan, items: Sequence[Item], row: CritiqueRun, open_sandbox: OpenSandbox) -> None:
    """Run those suggested checks of these critiques that were not yet, each in a fresh sandbox, and index them."""
    config = plan.config
    free = asyncio.Semaphore(config.n_concurrent)

    async def check(item: Item) -> None:
        async with free:
            if item.source and await _check(config.path / item.name, item.source, config.checks, open_sandbox):
                await in_database(_index, row, item.name)

    async with asyncio.TaskGroup() as group:
        for item in items:
            group.create_task(check(item))


async def _check(directory: Path, source: Path, config: ChecksConfig, open_sandbox: OpenSandbox) -> bool:
    """Run those of one critique; whether there were any."""
    result = await asyncio.to_thread(_valid_result, directory)
    if result is None:
        return False
    try:
        with held(directory):
            records = await run_checks(source, result, folder=directory, open_sandbox=open_sandbox, config=config)
    except InputInvalid:  # somebody has asked for them on a page
        return False
    return bool(records)


def _valid_result(directory: Path) -> CritiqueResult | None:
    try:
        if read_record(directory / RECORD).is_valid:
            return read_output(directory / "artifacts", {})
    except (FileUnreadable, ContractBroken):
        pass
    return None


def _index(row: CritiqueRun, name: str) -> None:
    trial = Trial.objects.select_related("job").filter(job=row.job_id, name=name).first()
    if trial:
        index_critique(trial)


def report(plan: Plan, critiques: Sequence[Path]) -> None:
    """Write analysis.json and analysis.md where a critic looked at all `critiques`, and its answer is valid."""
    for item in plan.items:
        if item.subject == "run":
            save_analysis(plan.config.path, critiques, plan.config.path / item.name)
