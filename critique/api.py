"""Critiques over the REST API: the read functions of the pages in other clothes."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema

from critique.models import Citation, Claim, Critique, CritiqueRun
from critique.queries import (
    ClaimFilter,
    RowFilter,
    claims_of,
    critiques_in,
    critiques_of,
    get_critique_for,
    get_rubric_for,
    get_run_for,
    rubrics_of,
    runs_page,
    summary_for,
)
from pier_site.api_parts import ERRORS, Cursor, Limit, reader_of
from runs.queries import get_trial_for

router = Router()


class RubricOut(Schema):
    """One version of a rubric."""

    id: int
    name: str
    version: int
    subject: str
    title: str
    digest: str
    is_builtin: bool
    note: str


class RubricWhole(RubricOut):
    """The same with what a critic gets of it."""

    text: str
    criteria: list[Any]
    tags: list[Any]
    output_schema: dict[str, Any]
    critic: dict[str, Any]


class RunOut(Schema):
    """A critique run. `job_id` is the job whose trials are its critics; a plan has none, and no `approved_at`."""

    id: int
    name: str
    directory: str
    subject: str
    source_job_id: int | None
    job_id: int | None
    rubric_id: int | None
    parent_id: int | None
    question: str
    plan: dict[str, Any]
    created_at: datetime
    approved_at: datetime | None


class RunWhole(RunOut):
    """The same with what a summarising critic said of it."""

    summary: str

    @staticmethod
    def resolve_summary(row: CritiqueRun, context: dict[str, Any]) -> str:
        """What the reader may see of it."""
        return summary_for(reader_of(context["request"]), row)


class CritiqueOut(Schema):
    """A critique. `trial_id` is the critic's own trial, `source_trial_id` the one that it looked at."""

    id: int
    run_id: int
    trial_id: int
    source_trial_id: int | None
    source_name: str
    critic: str
    sample: int
    outcome: str
    failure: str
    rating: str
    tags: list[str]
    confidence: float | None
    is_stale: bool
    stale_reasons: list[Any]
    n_claims: int
    n_citations: int
    n_unverified: int
    cost_usd: float | None

    @staticmethod
    def resolve_critic(row: Critique) -> str:
        """Agent and model."""
        return row.trial.agent_label

    @staticmethod
    def resolve_tags(row: Critique) -> list[str]:
        """In the critic's order."""
        return [tag.name for tag in row.tags.all()]

    @staticmethod
    def resolve_cost_usd(row: Critique) -> float | None:
        """What the critic cost."""
        return row.trial.cost_usd


class CritiqueWhole(CritiqueOut):
    """The same with what was said. `digests` tell what it was made of."""

    feedback: str
    criteria: Any
    digests: Any
    extra: Any


class CitationOut(Schema):
    """A citation; `is_verified`: the quote was found there. Quotes are cut where pages cut them."""

    kind: str
    step: int | None
    trajectory_id: int | None
    path: str
    line: int | None
    test: str
    quote: str
    is_verified: bool
    note: str

    @staticmethod
    def resolve_quote(row: Citation) -> str:
        """As much as was read."""
        return str(vars(row)["shown_quote"])


class ClaimOut(Schema):
    """A claim with its citations, and what running its check came to."""

    id: int
    position: int
    text: str
    category: str
    severity: str
    confidence: float | None
    suggested_check: Any
    check_outcome: str
    check_result: Any
    citations: list[CitationOut]

    @staticmethod
    def resolve_text(row: Claim) -> str:
        """As much as was read."""
        return str(vars(row)["shown_text"])

    @staticmethod
    def resolve_citations(row: Claim) -> list[Citation]:
        """In the critic's order."""
        return list(row.citations.all())


class RunPage(Schema):
    """A window of runs, newest first."""

    items: list[RunOut]
    next: str | None


class CritiquePage(Schema):
    """A window of critiques."""

    items: list[CritiqueOut]
    next: str | None


class ClaimPage(Schema):
    """A window of a critique's claims, in order."""

    items: list[ClaimOut]
    next: str | None


@router.get("/rubrics", response={200: list[RubricOut], **ERRORS})
def list_rubrics(request: HttpRequest) -> Any:
    """The newest version of each rubric that you may use."""
    return rubrics_of(reader_of(request))


@router.get("/rubrics/{int:pk}", response={200: RubricWhole, **ERRORS})
def get_rubric(request: HttpRequest, pk: int) -> Any:
    """One version of a rubric."""
    return get_rubric_for(reader_of(request), pk)


@router.get("/critique-runs", response={200: RunPage, **ERRORS})
def list_critique_runs(request: HttpRequest, after: Cursor = "", limit: Limit = 50, job: int | None = None) -> Any:
    """Critique runs and plans of your projects, newest first; with `job` those over that job's trials."""
    return runs_page(reader_of(request), cursor=after, limit=limit, job=job)


@router.get("/critique-runs/{int:pk}", response={200: RunWhole, **ERRORS})
def get_critique_run(request: HttpRequest, pk: int) -> CritiqueRun:
    """One run or plan."""
    return get_run_for(reader_of(request), pk)


@router.get("/critique-runs/{int:pk}/critiques", response={200: CritiquePage, **ERRORS})
def list_critiques_of_run(
    request: HttpRequest, pk: int, after: Cursor = "", limit: Limit = 50, rating: str = "", tag: str = ""
) -> Any:
    """A run's critiques by what they are of; with `rating` good, bad or none, with `tag` those that have it."""
    reader = reader_of(request)
    only = RowFilter(rating=rating, tag=tag)
    return critiques_in(reader, get_run_for(reader, pk), only=only, cursor=after, limit=limit)


@router.get("/trials/{int:pk}/critiques", response={200: CritiquePage, **ERRORS})
def list_critiques_of_trial(request: HttpRequest, pk: int, after: Cursor = "", limit: Limit = 50) -> Any:
    """The critiques of a trial, newest first, without answers to follow-up questions."""
    reader = reader_of(request)
    return critiques_of(reader, get_trial_for(reader, pk), only=ClaimFilter(), cursor=after, limit=limit)


@router.get("/critiques/{int:pk}", response={200: CritiqueWhole, **ERRORS})
def get_critique(request: HttpRequest, pk: int) -> Critique:
    """One critique."""
    return get_critique_for(reader_of(request), pk)


@router.get("/critiques/{int:pk}/claims", response={200: ClaimPage, **ERRORS})
def list_claims(request: HttpRequest, pk: int, after: int = 0, limit: Limit = 50, unverified: bool = False) -> Any:
    """A critique's claims behind the position `after`; with `unverified` those with a citation that was not found."""
    critique = get_critique_for(reader_of(request), pk)
    return claims_of(critique, after=after, only=ClaimFilter(unverified=unverified), limit=limit)
