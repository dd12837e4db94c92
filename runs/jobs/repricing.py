"""`pierjob reprice`: a job at other prices, in its directory and in the database where it is there."""

from collections.abc import Iterator
from pathlib import Path

from runs.errors import InputInvalid
from runs.formats.reading import read_json
from runs.indexing.job import directory_of
from runs.indexing.repricing import REPRICING, index_repricing
from runs.jobs.naming import find_job
from runs.models import Job
from runs.prices.repricing import Repricing, reprice_job


def reprice(name: str, pricing: Path) -> Repricing:
    """Reprice the job of a name, or the one in a directory, indexed or not. Raises InputInvalid."""
    if Path(name).is_dir():
        directory = Path(directory_of(Path(name)))
        jobs = list(Job.objects.filter(directory=str(directory)))
    else:
        job = find_job(name)
        jobs, directory = [job], Path(job.directory)
    if not directory.is_dir():
        raise InputInvalid(f"{directory} is gone: prices are applied to the files of a job")
    repricing = reprice_job(directory, pricing)
    document = read_json(directory / REPRICING)
    for job in jobs:
        index_repricing(job, document)
    return repricing


def lines_of(repricing: Repricing) -> Iterator[str]:
    """What is printed: the totals, then the trials that could not be priced, with the reason."""
    yield f"prices: {repricing.prices}"
    n_priced = sum(trial.repriced_usd is not None for trial in repricing.trials)
    yield (
        f"{n_priced} of {len(repricing.trials)} trials priced: "
        f"recorded {repricing.recorded_usd:.4f} USD, at these prices {repricing.repriced_usd:.4f} USD"
    )
    for trial in repricing.trials:
        if trial.repriced_usd is not None:
            recorded = "nothing" if trial.recorded_usd is None else f"{trial.recorded_usd:.4f} USD"
            yield f"{trial.name}: {trial.repriced_usd:.4f} USD (recorded {recorded}; by {trial.basis})"
        elif trial.unpriced:
            yield f"{trial.name}: no price for {', '.join(trial.unpriced)}"
        else:
            yield f"{trial.name}: no tokens are recorded"
