"""Suggested checks that people ask for: queued on a claim's row, run one after the other by a process of their own.

Who holds the critique's directory runs its checks; what is under way and held by nobody has been abandoned.
"""

import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet
from pydantic import ValidationError

from critique.checks.records import CheckRecord, read_check, write_record
from critique.digests import trial_directory_of
from critique.formats.config import ChecksConfig, CritiqueRunConfig
from critique.formats.contract import ClaimModel, SuggestedCheck
from critique.models import Claim, Critique
from critique.starting import start_command
from pier_site.accounts.models import User
from runs.errors import FileUnreadable, InputInvalid
from runs.formats.job import EnvironmentConfig
from runs.indexing.cleaning import clean_json
from runs.owner import is_alive
from runs.scheduling.holding import held

# A process that was started has taken what is queued by then, or never will.
START_SEC: Final = 60.0
N_TRIES: Final = 20
ABANDONED: Final = "the process that was to run it has died"
Outcome = Claim.CheckOutcome
UNDER_WAY: Final = (Outcome.QUEUED, Outcome.RUNNING)


def queue_check(claim: Claim, user: User | None) -> None:
    """Have a claim's suggested check run, in a process that outlives this one. Whether `user` may is the caller's.

    Raises InputInvalid where there is none, it is under way already, its trial is gone, or no process can be started.
    """
    enqueue(claim, user)
    try:
        start_command("piercritique", "--check", str(claim.critique_id), "--queued", log=log_of(claim.critique))
    except InputInvalid:
        _set_back(claim)
        raise


def enqueue(claim: Claim, user: User | None) -> None:
    """Queue a claim's check, and start nothing. Raises InputInvalid as `queue_check`."""
    end_abandoned(claim.critique)
    _check_of(claim)
    source_of(claim.critique)
    _mark_queued(Claim.objects.filter(pk=claim.pk), user)


def queue_all(critique: Critique) -> int:
    """Queue every suggested check of a critique that was never run; how many. Raises InputInvalid where its trial is
    gone. Nothing is started.
    """
    end_abandoned(critique)
    source_of(critique)
    never_run = critique.claims.filter(check_outcome=Outcome.NONE).exclude(suggested_check__isnull=True)
    wanted = [claim.pk for claim in never_run if _has_check(claim)]
    return _mark_queued(Claim.objects.filter(pk__in=wanted), None) if wanted else 0


def cancel_check(claim: Claim) -> None:
    """Stop a claim's check: one that is queued is not run, one that runs is stopped within seconds.

    Raises InputInvalid where it is not under way.
    """
    end_abandoned(claim.critique)
    row = Claim.objects.filter(pk=claim.pk)
    if row.filter(check_outcome=Outcome.QUEUED).exists():
        _set_back(claim)
        return
    claim.refresh_from_db()
    now = {**_told(claim), "cancel_requested_at": datetime.now(UTC).isoformat()}
    if not row.filter(check_outcome=Outcome.RUNNING).update(check_result=now):
        raise InputInvalid("its check is not under way")


def end_abandoned(critique: Critique) -> int:
    """Say of checks whose process died that they could not be run; how many. One query where nothing is under way."""
    under_way = list(critique.claims.filter(check_outcome__in=UNDER_WAY))
    if not under_way:
        return 0
    directory = directory_of(critique)
    try:
        if directory.is_dir():
            with held(directory):
                return sum(_end_if_abandoned(claim, directory) for claim in under_way)
        return sum(_end_if_abandoned(claim, None) for claim in under_way)
    except InputInvalid:  # somebody is at work
        return 0


def hold(stack: ExitStack, directory: Path) -> bool:
    """Hold a critique's directory for as long as `stack`; false where another process is at work in it.

    Tried for a second: who only looks whether anybody is at work holds it for some milliseconds.
    """
    for _ in range(N_TRIES):
        try:
            stack.enter_context(held(directory))
            return True
        except InputInvalid:
            time.sleep(1 / N_TRIES)
    return False


def put_back(critique: Critique) -> None:
    """Take back what is queued: it is as if nobody had asked for it."""
    for claim in critique.claims.filter(check_outcome=Outcome.QUEUED):
        _set_back(claim)


def directory_of(critique: Critique) -> Path:
    """The critique's own directory."""
    return Path(critique.run.directory, critique.trial.name)


def log_of(critique: Critique) -> Path:
    """Where a process that was started for its checks says what it says."""
    return Path(settings.DATA_DIR) / "logs" / f"checks-of-critique-{critique.pk}.log"


def settings_of(critique: Critique) -> tuple[EnvironmentConfig, ChecksConfig]:
    """The kind of sandbox and the limits of the critique's run; those by default where they are not known."""
    try:
        config = CritiqueRunConfig.model_validate(critique.run.config)
    except ValidationError:
        return EnvironmentConfig(), ChecksConfig()
    return config.environment, config.checks


def take_next(critique: Critique, owner: str) -> Claim | None:
    """Make the next queued check of a critique this owner's; None where there is none left."""
    for claim in critique.claims.filter(check_outcome=Outcome.QUEUED).order_by("position"):
        now = {**_told(claim), "owner": owner, "started_at": datetime.now(UTC).isoformat()}
        queued = Claim.objects.filter(pk=claim.pk, check_outcome=Outcome.QUEUED)
        if queued.update(check_outcome=Outcome.RUNNING, check_result=now):
            claim.check_outcome, claim.check_result = Outcome.RUNNING, now
            return claim
    return None


def is_unwanted(claim: Claim) -> bool:
    """Whether somebody asked to stop the check, or the claim is not there any more."""
    now = Claim.objects.filter(pk=claim.pk).values_list("check_outcome", "check_result").first()
    return now is None or now[0] != Outcome.RUNNING or "cancel_requested_at" in now[1]


def finish(claim: Claim, record: CheckRecord) -> None:
    """Write what came of a check that was this owner's; nothing where another took it over."""
    owner = claim.check_result.get("owner")
    mine = Claim.objects.filter(pk=claim.pk, check_outcome=Outcome.RUNNING, check_result__owner=owner)
    mine.update(**columns_of(record))


def columns_of(record: CheckRecord) -> dict[str, Any]:
    """The claim's columns for a record, as indexing writes them."""
    told = clean_json(record.model_dump(mode="json", exclude={"outcome"}))
    return {"check_outcome": record.outcome, "check_result": told}


def claim_model(claim: Claim) -> ClaimModel:
    """The claim as `run_check` takes it. Raises InputInvalid where it suggests no check."""
    return ClaimModel(claim=claim.text[:20_000] or "-", suggested_check=_check_of(claim))


def _check_of(claim: Claim) -> SuggestedCheck:
    try:
        return SuggestedCheck.model_validate(claim.suggested_check)
    except ValidationError:
        raise InputInvalid("the critic suggested no check of this claim that can be run") from None


def _has_check(claim: Claim) -> bool:
    try:
        return bool(_check_of(claim))
    except InputInvalid:
        return False


def source_of(critique: Critique) -> Path:
    """The trial that is criticised. Raises InputInvalid where its directory is not there."""
    source = trial_directory_of(critique)
    if source is None or not source.is_dir():
        raise InputInvalid("a check needs the trial that is criticised, and its directory is not there")
    return source


def _mark_queued(claims: QuerySet[Claim], user: User | None) -> int:
    told = {"queued_at": datetime.now(UTC).isoformat(), "queued_by": user.pk if user else None}
    n_queued = claims.exclude(check_outcome__in=UNDER_WAY).update(check_outcome=Outcome.QUEUED, check_result=told)
    if not n_queued:
        raise InputInvalid("its check is being run already")
    return n_queued


def _set_back(claim: Claim) -> None:
    """To what an earlier run of the check came to, or to nothing."""
    try:
        record = read_check(directory_of(claim.critique), claim.position)
    except FileUnreadable:
        record = None
    columns = columns_of(record) if record else {"check_outcome": Outcome.NONE, "check_result": {}}
    Claim.objects.filter(pk=claim.pk, check_outcome=Outcome.QUEUED).update(**columns)


def _end_if_abandoned(claim: Claim, directory: Path | None) -> bool:
    told, now = _told(claim), datetime.now(UTC)
    if claim.check_outcome == Outcome.QUEUED:
        is_dead = now - _instant(told.get("queued_at"), now) >= timedelta(seconds=START_SEC)
    else:
        is_dead = not is_alive(str(told.get("owner", "")))
    if not is_dead:
        return False
    columns: dict[str, Any] = {"check_outcome": Outcome.NOT_RUNNABLE, "check_result": {"reason": ABANDONED}}
    if directory and (record := _record_of(claim, now)):
        write_record(directory, record)
        columns = columns_of(record)
    return bool(Claim.objects.filter(pk=claim.pk, check_outcome=claim.check_outcome).update(**columns))


def _record_of(claim: Claim, now: datetime) -> CheckRecord | None:
    """The record of a check whose process died, so that indexing finds it too."""
    try:
        check = _check_of(claim)
    except InputInvalid:
        return None
    told = _told(claim)
    return CheckRecord(
        claim=claim.position,
        command=check.command,
        expect=check.expect,
        outcome="not_runnable",
        reason=ABANDONED,
        timeout_sec=check.timeout_sec,
        started_at=_instant(told.get("started_at") or told.get("queued_at"), now),
        finished_at=now,
    )


def _told(claim: Claim) -> dict[str, Any]:
    return claim.check_result if isinstance(claim.check_result, dict) else {}


def _instant(text: object, default: datetime) -> datetime:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except ValueError:
        return default
