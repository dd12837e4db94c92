"""The rows of one critique, written over those that it has: who refers to a critique or a claim finds it again."""

import re
from typing import Any

from critique.indexing.draft import ClaimDraft, CritiqueDraft
from critique.indexing.markers import replace_claim_markers
from critique.indexing.run_rows import run_of
from critique.models import VALID_OUTCOMES, Citation, Claim, Critique, CritiqueRun, CritiqueTag, Outcome, Subject
from runs.models import LIVE, Status, Trajectory, Trial

CLAIM_COLUMNS = [
    "text", "category", "severity", "confidence", "suggested_check", "check_outcome", "check_result",
]  # fmt: skip
CITATION_COLUMNS = ["kind", "step", "trajectory", "path", "line", "test", "quote", "is_verified", "note"]
UNDER_WAY = (Claim.CheckOutcome.QUEUED, Claim.CheckOutcome.RUNNING)
# Of several critics or samples each has the name of what it looked at, with its numbers.
NUMBERS = re.compile(r"__c\d+-s\d+\Z")


def write_critique(trial: Trial, draft: CritiqueDraft) -> Critique:
    """Write what was read about the critic's `trial`, in about twenty statements; the caller has a transaction."""
    run = run_of(trial.job)
    known = Critique.objects.filter(trial=trial).only("pk", "source_trial", "source_name").first()
    name = draft.source_name or (known.source_name if known else NUMBERS.sub("", trial.name))
    source = _source(run, draft, name)
    outcome, failure = _outcome(trial, draft)
    cited = [citation for claim in draft.claims for citation in claim.citations]
    critique, _ = Critique.objects.update_or_create(
        trial=trial,
        defaults={
            **draft.columns,
            "run": run,
            "source_trial": source,
            "source_name": name,
            "outcome": outcome,
            "failure": failure,
            "n_claims": len(draft.claims),
            "n_citations": len(cited),
            "n_unverified": sum(not citation.columns["is_verified"] for citation in cited),
        },
    )
    _write_tags(critique, draft.tags)
    trajectories = {row.pk: row for row in Trajectory.objects.filter(trial=source)} if source and cited else {}
    citations = _write_claims(critique, draft.claims, trajectories)
    replace_claim_markers(critique, citations, trajectories, before=known.source_trial_id if known else None)
    if draft.subject is Subject.RUN and run.subject != Subject.RUN:
        said = critique.feedback if outcome in VALID_OUTCOMES else ""
        CritiqueRun.objects.filter(pk=run.pk).update(summary=said)
    return critique


def _source(run: CritiqueRun, draft: CritiqueDraft, name: str) -> Trial | None:
    """The trial that was looked at, where it is one and is indexed."""
    if draft.subject is not Subject.TRIAL or run.source_job_id is None:
        return None
    return Trial.objects.filter(job=run.source_job_id, name=name).only("pk").first()


def _outcome(trial: Trial, draft: CritiqueDraft) -> tuple[Outcome, str]:
    """What came of the critic; where its files don't say, its trial does."""
    if trial.status in LIVE:  # its files may be those of an earlier execution
        return Outcome.PENDING, ""
    if draft.outcome is not None:
        return draft.outcome, draft.columns["failure"]
    if trial.exception_type:
        return Outcome.FAILED, f"{trial.exception_type}: {trial.exception_message[:2000]}"
    if trial.status == Status.FINISHED:
        return Outcome.FAILED, "what came of the critic was not recorded"
    return Outcome.FAILED, f"the critic was {trial.status} before it ended"


def _write_tags(critique: Critique, names: list[str]) -> None:
    known = set(critique.tags.values_list("name", flat=True))
    if known - set(names):
        critique.tags.exclude(name__in=names).delete()
    CritiqueTag.objects.bulk_create(
        [CritiqueTag(critique=critique, name=name) for name in dict.fromkeys(names) if name not in known]
    )


def _write_claims(critique: Critique, drafts: list[ClaimDraft], trajectories: dict[int, Trajectory]) -> list[Citation]:
    """Claims and citations by their positions; returns the citations, with their claims."""
    # Locked: whoever runs a check of one of them may be about to say so.
    rows = critique.claims.select_for_update().only("pk", "position", "check_outcome", "check_result")
    known = {claim.position: claim for claim in rows}
    gone = known.keys() - {draft.position for draft in drafts}
    if gone:
        critique.claims.filter(position__in=gone).delete()
    claims = Claim.objects.bulk_create(
        [Claim(critique=critique, position=draft.position, **_claim_columns(draft, known)) for draft in drafts],
        update_conflicts=True,
        unique_fields=["critique", "position"],
        update_fields=CLAIM_COLUMNS,
    )
    places = {(row.path, row.fragment): row for row in trajectories.values()}
    citations = [
        Citation(
            claim=claim,
            position=position,
            trajectory=places.get(citation.place) if citation.place else None,
            **citation.columns,
        )
        for claim, draft in zip(claims, drafts, strict=True)
        for position, citation in enumerate(draft.citations, start=1)
    ]
    written = Citation.objects.bulk_create(
        citations,
        update_conflicts=True,
        unique_fields=["claim", "position"],
        update_fields=CITATION_COLUMNS,
        batch_size=500,
    )
    if known:
        Citation.objects.filter(claim__critique=critique).exclude(pk__in=[one.pk for one in written]).delete()
    return written


def _claim_columns(draft: ClaimDraft, known: dict[int, Claim]) -> dict[str, Any]:
    """The claim's columns. Of a check that is under way the row knows, and a file has at best an earlier run of it."""
    row = known.get(draft.position)
    if row is None or row.check_outcome not in UNDER_WAY:
        return draft.columns
    return {**draft.columns, "check_outcome": row.check_outcome, "check_result": row.check_result}
