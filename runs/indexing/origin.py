"""Which program wrote a job directory, and in which zone its naive times are: from what the files give away."""

import contextlib
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from runs.indexing.values import MAX_MOMENT_CHARS, Json, moment
from runs.models import Origin

LOCK = "lock.json"
WRITERS = {"pier_site": Origin.PIER_SITE, "pier": Origin.PIER, "harbor": Origin.HARBOR}
# Keys that only Harbor's own generations without a usable lock.json have.
HARBOR_JOB_KEYS = {"orchestrator", "registry"}
# Of a critique run, which has no lock.json.
PIER_CRITIQUE_KEYS = {"run_name", "source_job_dir"}
PIER_USAGE_KEYS = {"peak_context_tokens", "summarization_count"}
QUARTER = timedelta(minutes=15)
MAX_OFFSET = timedelta(hours=14)
MAX_START_LAG = timedelta(minutes=5)


def origin_of(config: Json, result: Json, lock: Json) -> Origin:
    """The writer: as lock.json names it, else by marks of a generation, else unknown."""
    for key, origin in WRITERS.items():
        if key in lock:
            return origin
    if "pier_site" in config or "pier_site" in result:
        return Origin.PIER_SITE
    if config.keys() >= PIER_CRITIQUE_KEYS:
        return Origin.PIER
    if HARBOR_JOB_KEYS & config.keys() or "trial_results" in result:
        return Origin.HARBOR
    if config and not lock and any(key.endswith("_timeout_multiplier") for key in config):
        return Origin.HARBOR
    return Origin.UNKNOWN


def zone_of(result: Json, lock: Json) -> tzinfo:
    """The zone of the job's naive times: peers write local time without saying which.

    lock.json is written as the job starts and its time is in UTC, so the difference of the two is the zone.
    """
    naive, aware = _naive(result.get("started_at")), moment(lock.get("created_at"))
    if naive is None or aware is None:
        return UTC
    difference = naive.replace(tzinfo=UTC) - aware
    offset = round(difference / QUARTER) * QUARTER
    if abs(offset) > MAX_OFFSET or abs(difference - offset) > MAX_START_LAG:
        return UTC
    return timezone(offset)


def _naive(value: object) -> datetime | None:
    if not isinstance(value, str) or len(value) > MAX_MOMENT_CHARS:
        return None
    with contextlib.suppress(ValueError):
        parsed = datetime.fromisoformat(value)
        return parsed if parsed.tzinfo is None else None
    return None
