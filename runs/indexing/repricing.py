"""repricing.json of a job directory to its rows: what trials would have cost at other prices."""

from typing import Final

from runs.indexing.values import Json, amount, mappings, text
from runs.models import Job, Trial

REPRICING: Final = "repricing.json"
MAX_NAME_CHARS: Final = 255


def index_repricing(job: Job, document: Json) -> None:
    """Bring the figures of a job and its trials up to date; nothing is written where they are."""
    told = {
        "prices": text(document.get("prices"), MAX_NAME_CHARS),
        "at": text(document.get("at"), 40),
        "recorded_usd": amount(document.get("recorded_usd")),
        "repriced_usd": amount(document.get("repriced_usd")),
    }
    repricing = told if told["prices"] else {}
    if job.repricing == repricing:
        return
    costs = {text(trial.get("name"), MAX_NAME_CHARS): amount(trial.get("repriced_usd")) for trial in _trials(document)}
    changed = []
    for trial in Trial.objects.filter(job=job).only("pk", "name", "repriced_usd"):
        cost = costs.get(trial.name)
        if trial.repriced_usd != cost:
            trial.repriced_usd = cost
            changed.append(trial)
    Trial.objects.bulk_update(changed, ["repriced_usd"], batch_size=1000)
    Job.objects.filter(pk=job.pk).update(repricing=repricing)
    job.repricing = repricing


def _trials(document: Json) -> list[Json]:
    return list(mappings(document.get("trials")))
