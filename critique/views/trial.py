"""Critiques beside the trajectory that they are about: all of a trial, or one with all that is known of it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from critique.digests import look_again
from critique.formats.records import RECORD, read_record
from critique.models import Citation, Claim, Critique
from critique.queries import (
    CLAIMS_OF_ONE,
    SEVERITIES,
    ClaimFilter,
    answers_to,
    claims_of,
    critics_of,
    critique_by,
    critiques_of,
    get_citation_for,
    get_critique_for,
)
from critique.shown import Claims, percent, shown_critiques, verdict_of
from pier_site.accounts.visibility import may_run
from runs.errors import FileUnreadable
from runs.models import Trajectory, Trial
from runs.queries import get_trial_for, trajectories_of

MAX_JSON_CHARS = 100_000
MAX_ARTIFACTS = 50
# Words of an address that say which steps are shown.
PLACES = frozenset({"trajectory", "at", "after", "before"})


@dataclass(frozen=True, slots=True)
class Beside:
    """What is beside the critiques: a trajectory, at the step `number`; where that is 0, where the address says.

    `here` is the page's query without a place, `kept` the same without the trajectory too.
    """

    trajectories: Sequence[Trajectory]
    chosen: Trajectory | None
    number: int
    citation: int | None
    here: str
    kept: str


def beside(request: HttpRequest, trial: Trial, kept: dict[str, str], default: Citation | None = None) -> Beside:
    """The trajectory that the address chooses, by a citation (`?cite=`) or by itself, else where `default` is.

    Raises Http404.
    """
    trajectories = trajectories_of(trial)
    cited = _cited(request, trial) or (None if PLACES & request.GET.keys() else default)
    wanted = str(cited.trajectory_id) if cited else request.GET.get("trajectory", "")
    chosen = next((each for each in trajectories if str(each.pk) == wanted), None) if wanted else None
    if wanted and chosen is None:
        raise Http404("This trial has no such trajectory.")
    chosen = chosen or (trajectories[0] if trajectories else None)
    place = {"trajectory": str(chosen.pk)} if chosen else {}
    number = (cited.step or 0) if cited else 0
    return Beside(
        trajectories, chosen, number, cited.pk if cited else None, f"?{urlencode(kept | place)}", f"?{urlencode(kept)}"
    )


def _cited(request: HttpRequest, trial: Trial) -> Citation | None:
    if not request.GET.get("cite"):
        return None
    cited = get_citation_for(request.user, number_in(request.GET["cite"]))
    if cited.trajectory is None or cited.trajectory.trial_id != trial.pk:
        raise Http404("This trial has no such citation.")
    return cited


def number_in(text: str) -> int:
    """A row's or a claim's number from an address. Raises BadRequest."""
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise BadRequest("A number in this address is damaged.")
    return int(text)


def claim_filter(request: HttpRequest) -> ClaimFilter:
    """Which claims the address asks for."""
    severity = request.GET.get("severity", "")
    return ClaimFilter(
        unverified=request.GET.get("unverified") == "1",
        severity=severity if severity in SEVERITIES else "",
        critic=request.GET.get("critic", "")[:400],
    )


def filter_links(only: ClaimFilter, critics: Sequence[str]) -> dict[str, Any]:
    """Addresses of the same page with one filter changed."""
    kept = only.parameters()

    def address(name: str, value: str) -> str:
        return "?" + urlencode({key: text for key, text in (kept | {name: value}).items() if text})

    severities = [
        ("", "any severity"),
        ("critical", "critical"),
        ("major", "major +"),
        ("minor", "minor +"),
    ]
    return {
        "severities": [(label, value == only.severity, address("severity", value)) for value, label in severities],
        "critics": [
            (label or "all critics", label == only.critic, address("critic", label)) for label in ("", *critics)
        ]
        if len(critics) > 1
        else [],
        "unverified_address": address("unverified", "" if only.unverified else "1"),
    }


@require_safe
def trial_critiques(request: HttpRequest, pk: int) -> HttpResponse:
    """The critiques of a trial, and beside them the steps that they cite."""
    trial = get_trial_for(request.user, pk)
    only = claim_filter(request)
    cursor = request.GET.get("page", "")
    look_again(Critique.objects.visible_to(request.user).filter(source_trial=trial))
    page = critiques_of(request.user, trial, only=only, cursor=cursor)
    kept = only.parameters()
    place = beside(request, trial, kept | ({"page": cursor} if cursor else {}))
    is_owner = may_run(request.user, trial.job.project)
    claims = Claims(trial, here=place.kept, may_run=is_owner)
    context = filter_links(only, critics_of(request.user, trial)) | {
        "trial": trial,
        "beside": place,
        "critiques": shown_critiques(page, claims, n_claims_known=not only.is_of_claims),
        "next": urlencode(kept | {"page": page.next}) if page.next else "",
        "own": critique_by(request.user, trial),
        "only": only,
        "is_narrowed": bool(kept) or bool(cursor),
        "is_owner": is_owner,
    }
    return render(request, "critique/trial.html", context)


@require_safe
def critique_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One critique: its claims beside the trajectory, and all that is known of it and of how it was made."""
    look_again(Critique.objects.visible_to(request.user).filter(pk=pk))
    critique = get_critique_for(request.user, pk)
    only = claim_filter(request)
    source = critique.source_trial
    wanted = number_in(request.GET.get("claim") or "0")
    # One that is not among the first has a page that begins with it.
    after = number_in(request.GET.get("after_claim") or "0") or (wanted - 1 if wanted > CLAIMS_OF_ONE else 0)
    page = claims_of(critique, after=after, only=only)
    kept = only.parameters() | ({"after_claim": str(after)} if after else {})
    place = beside(request, source, kept, _evidence(page, wanted, source)) if source else None
    is_owner = may_run(request.user, critique.run.project)
    claims = Claims(source, here=place.kept if place else "?", may_run=is_owner, has_anchors_of_one=True)
    shown = list(claims.shown(page))
    last = shown[-1].number if shown else after
    context = filter_links(only, ()) | {
        "critique": critique,
        "run": critique.run,
        "verdict": verdict_of(critique),
        "trial": source,
        "beside": place,
        "claims": shown,
        "next_claims": urlencode(only.parameters() | {"after_claim": last})
        if page.next or len(shown) < len(page)
        else "",
        "is_from_start": not after,
        "answers": [(answer, verdict_of(answer)) for answer in answers_to(request.user, critique)],
        "confidence": percent(critique.confidence),
        "criteria": _criteria(critique),
        "digests": _pairs(critique.digests),
        "extra": _pretty(critique.extra),
        "only": only,
        "is_owner": is_owner,
        "record": _record(critique),
        "artifacts": list(critique.trial.artifacts.order_by("path")[:MAX_ARTIFACTS]),
    }
    return render(request, "critique/critique.html", context)


def _evidence(claims: Iterable[Claim], number: int, source: Trial) -> Citation | None:
    """The first step that the claim of a number cites, best one where its words were found."""
    found = [
        cited
        for claim in claims
        if claim.position == number
        for cited in claim.citations.all()
        if cited.trajectory is not None and cited.step and cited.trajectory.trial_id == source.pk
    ]
    return min(found, key=lambda cited: not cited.is_verified, default=None)


@dataclass(frozen=True, slots=True)
class ShownRecord:
    """What was wrong with the critic's output, and what could be read of it."""

    problems: list[str]
    partial: str
    notes: list[str]


def _record(critique: Critique) -> ShownRecord | None:
    """What critique.json tells of an output that broke the contract; None where there is no such file."""
    trial = critique.trial
    try:
        record = read_record(Path(trial.job.directory) / trial.name / RECORD)
    except FileUnreadable:
        return None
    return ShownRecord(record.problems[:50], _pretty(record.partial), record.notes[:50])


_CRITERION_TONES = {"pass": "good", "fail": "bad"}


def _criteria(critique: Critique) -> list[tuple[str, str, str, str]]:
    """Name, outcome, tone and explanation of each criterion."""
    criteria = critique.criteria if isinstance(critique.criteria, dict) else {}
    found = []
    for name, verdict in list(criteria.items())[:100]:
        parts = verdict if isinstance(verdict, dict) else {"outcome": verdict}
        outcome = str(parts.get("outcome", ""))[:40]
        explanation = str(parts.get("explanation") or "")[:2_000]
        found.append((name[:200], outcome.replace("_", " "), _CRITERION_TONES.get(outcome, "quiet"), explanation))
    return found


def _pairs(value: object) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        return []
    return [
        (str(name).replace("_", " ")[:60], str(text)[:300]) for name, text in value.items() if text not in (None, "")
    ]


def _pretty(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)[:MAX_JSON_CHARS] if value else ""
