"""What follows once the critics of a run have ended: the checks that they suggest, the report on the whole run."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from critique.checks.running import run_checks
from critique.formats.config import ChecksConfig
from critique.formats.reading import ContractBroken
from critique.indexing.critique import index_critique
from critique.running.items import Item
from critique.running.output import read_output
from critique.running.planning import Plan
from critique.summary import save_analysis
from runs.errors import InputInvalid
from runs.models import Trial
from runs.scheduling.holding import held
from runs.scheduling.patience import in_database
from runs.trial.sandbox import OpenSandbox


async def check_claims(plan: Plan, items: Sequence[Item], trial_ids: dict[str, int], open_sandbox: OpenSandbox) -> None:
    """Run the checks that the valid critiques of these items suggest, each in a sandbox of its own, and index them."""
    config = plan.config
    free = asyncio.Semaphore(config.n_concurrent)

    async def check(item: Item) -> None:
        async with free:
            if item.source and await _check(config.path / item.name, item.source, config.checks, open_sandbox):
                await in_database(_index, trial_ids[item.name])

    async with asyncio.TaskGroup() as group:
        for item in items:
            group.create_task(check(item))


async def _check(directory: Path, source: Path, config: ChecksConfig, open_sandbox: OpenSandbox) -> bool:
    """Run those of one critique; whether there were any."""
    try:
        result = await asyncio.to_thread(read_output, directory / "artifacts", {})
    except ContractBroken:
        return False
    try:
        with held(directory):
            records = await run_checks(source, result, folder=directory, open_sandbox=open_sandbox, config=config)
    except InputInvalid:  # somebody has asked for them on a page
        return False
    return bool(records)


def _index(trial_id: int) -> None:
    index_critique(Trial.objects.select_related("job").get(pk=trial_id))


def report(plan: Plan, critiques: Sequence[Path]) -> None:
    """Write analysis.json and analysis.md where a critic looked at all `critiques`, and its answer is valid."""
    for item in plan.items:
        if item.subject == "run":
            save_analysis(plan.config.path, critiques, plan.config.path / item.name)
