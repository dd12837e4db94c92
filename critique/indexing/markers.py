"""Claims as markers of the steps that they cite, so that outlines and filters of the trial have them."""

from collections.abc import Iterable

from django.contrib.auth.models import AnonymousUser
from django.db.models import CharField, Q, Value
from django.db.models.functions import Cast, Concat

from critique.models import Citation, Claim, Critique
from pier_site.accounts.models import User
from pier_site.accounts.visibility import Hideable, hidden_from
from runs.indexing.cleaning import clip
from runs.models import Marker, Trajectory

# The page of a critique. Markers are known by it: whose they are is nowhere else.
ADDRESS = "/critiques/"
MAX_LABEL_CHARS = 200
TONES = {
    Claim.Severity.CRITICAL: Marker.Tone.BAD,
    Claim.Severity.MAJOR: Marker.Tone.WARN,
    Claim.Severity.MINOR: Marker.Tone.INFO,
    Claim.Severity.INFO: Marker.Tone.NONE,
}


def replace_claim_markers(
    critique: Critique, citations: Iterable[Citation], trajectories: dict[int, Trajectory], *, before: int | None
) -> None:
    """Write the markers of a critique instead of those that it has; two queries. `before`: the trial that has them.

    `citations` have their claims; those of steps that are not there get no marker. The caller has a transaction.
    """
    remove_claim_markers(critique.pk, {before, critique.source_trial_id} - {None})
    rows: dict[tuple[int, int, int], Marker] = {}
    # What was found last: of several citations of a step by one claim that one is shown.
    for citation in sorted(citations, key=lambda one: one.is_verified):
        trajectory = trajectories.get(citation.trajectory_id or 0)
        if trajectory is None or not citation.step or citation.step > trajectory.n_steps:
            continue
        place = (trajectory.pk, citation.step - 1, citation.claim.position)
        rows[place] = _marker(critique, citation, trajectory)
    Marker.objects.bulk_create([rows[place] for place in sorted(rows)], batch_size=500)


def remove_claim_markers(critique_id: int, trial_ids: Iterable[int | None]) -> None:
    """Remove the markers that a critique's claims have in the trials."""
    mine = Marker.objects.filter(trial__in=list(trial_ids), kind=Marker.Kind.CLAIM)
    mine.filter(url__startswith=f"{ADDRESS}{critique_id}/").delete()


def hidden_claims(reader: User | AnonymousUser) -> Q:
    """The markers of critiques that are hidden from `reader`: what hides a critique hides these."""
    hidden = Critique.objects.filter(hidden_from(reader, Hideable.CRITIQUE))
    claims = Claim.objects.filter(critique__in=hidden)
    number, position = Cast("critique", CharField()), Cast("position", CharField())
    parts = (Value(ADDRESS), number, Value("/?claim="), position, Value("#claim-"), position)
    addresses = claims.annotate(address=Concat(*parts, output_field=CharField())).values("address")
    return Q(kind=Marker.Kind.CLAIM, url__in=addresses)


def _marker(critique: Critique, citation: Citation, trajectory: Trajectory) -> Marker:
    claim = citation.claim
    words = " ".join(claim.text.split())
    return Marker(
        trial_id=trajectory.trial_id,
        trajectory=trajectory,
        index=(citation.step or 1) - 1,
        kind=Marker.Kind.CLAIM,
        label=clip(words if citation.is_verified else f"unverified: {words}", MAX_LABEL_CHARS),
        tone=TONES[Claim.Severity(claim.severity)] if citation.is_verified else Marker.Tone.WARN,
        # A page has some thirty claims: this one's begins with it.
        url=f"{ADDRESS}{critique.pk}/?claim={claim.position}#claim-{claim.position}",
    )
