"""What pages and the API read of critiques: what a person may see, in keyset pages, in fixed numbers of queries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q, QuerySet
from django.db.models.functions import Left
from django.shortcuts import get_object_or_404

from critique.models import COUNTED, Citation, Claim, Critique, CritiqueRun, Outcome, Rubric
from pier_site.accounts.visibility import Hideable, hidden_from
from runs.models import Purpose, Trial
from runs.queries import Key, Page, Reader, keyset_page, storable

CRITIQUES_ON_A_PAGE = 10
# Of each critique in a list; and on the page of one.
CLAIMS_OF_EACH = 30
CLAIMS_OF_ONE = 100
ROWS_ON_A_PAGE = 50
MAX_THREAD = 200
# What pages show of a critic's texts: the whole is in critique-result.json.
FEEDBACK_CHARS = 6_000
CLAIM_CHARS = 2_000
QUOTE_CHARS = 400
SEVERITIES = tuple(reversed(Claim.Severity.values))

NEWEST = (Key("id", int, is_descending=True),)
BY_SOURCE = (Key("source_name", storable), Key("id", int))


@dataclass(frozen=True, slots=True)
class ClaimFilter:
    """Which claims of a trial are shown; unknown words mean all. `severity` is the least, `critic` a label."""

    unverified: bool = False
    severity: str = ""
    critic: str = ""

    @property
    def is_of_claims(self) -> bool:
        """Whether some claims of a critique may be left out."""
        return self.unverified or bool(self.severity)

    def claims(self) -> Q:
        """The claims that are shown."""
        wanted = Q()
        if self.severity in SEVERITIES:
            wanted &= Q(severity__in=SEVERITIES[: SEVERITIES.index(self.severity) + 1])
        if self.unverified:
            wanted &= Q(Exists(Citation.objects.filter(claim=OuterRef("pk"), is_verified=False)))
        return wanted

    def parameters(self) -> dict[str, str]:
        """What brings it back in an address."""
        given = {"unverified": "1" if self.unverified else "", "severity": self.severity, "critic": self.critic}
        return {name: value for name, value in given.items() if value}


def _read(claims: QuerySet[Claim]) -> QuerySet[Claim]:
    """Claims in order with their citations, whose texts are cut in the database: `shown_text`, `shown_quote`."""
    quotes = Citation.objects.select_related("trajectory").defer("quote")
    quotes = quotes.annotate(shown_quote=Left("quote", QUOTE_CHARS + 1)).order_by("position")
    claims = claims.defer("text").annotate(shown_text=Left("text", CLAIM_CHARS + 1))
    return claims.order_by("position").prefetch_related(Prefetch("citations", quotes))


def _with_critic(critiques: QuerySet[Critique]) -> QuerySet[Critique]:
    """With run, rubric and the critic's trial, without what lists don't show."""
    few = critiques.select_related("run__rubric", "trial", "source_trial").prefetch_related("tags")
    return few.annotate(shown_feedback=Left("feedback", FEEDBACK_CHARS + 1)).defer(
        "feedback", "extra", "digests", "run__config", "run__plan", "run__prompt", "run__summary", "run__problems",
        "trial__file_stamps", "trial__problems", "trial__step_results", "trial__rewards", "trial__exception_message",
        "source_trial__file_stamps", "source_trial__problems", "source_trial__step_results", "source_trial__rewards",
        "source_trial__exception_message",
    )  # fmt: skip


def critiques_of(
    reader: Reader, trial: Trial, *, only: ClaimFilter, cursor: str = "", limit: int = CRITIQUES_ON_A_PAGE
) -> Page[Critique]:
    """The critiques of a trial, newest first, each with the first of its claims as `shown_claims`.

    Answers to follow-up questions are left to the critique that was asked about.
    """
    critiques = Critique.objects.visible_to(reader).filter(source_trial=trial, run__parent=None)
    if only.critic:
        critiques = critiques.filter(_is_by(only.critic))
    if only.is_of_claims:
        critiques = critiques.filter(Exists(Claim.objects.filter(only.claims(), critique=OuterRef("pk"))))
    claims = Prefetch("claims", _read(Claim.objects.filter(only.claims()))[:CLAIMS_OF_EACH], to_attr="shown_claims")
    page = keyset_page(_with_critic(critiques).prefetch_related(claims), NEWEST, cursor=cursor, limit=limit)
    _add_threads(reader, page.items)
    return page


def _is_by(label: str) -> Q:
    """Critiques of the critic with that label."""
    agent, _, model = label.replace("\0", "").partition(" · ")
    return Q(trial__agent_name=agent, trial__model_name=model)


def _add_threads(reader: Reader, critiques: Iterable[Critique]) -> None:
    """Give each critique its `answers` to follow-up questions, oldest first; one query."""
    by_parent: dict[int | None, list[Critique]] = {critique.pk: [] for critique in critiques}
    answers = Critique.objects.visible_to(reader).filter(run__parent__in=list(by_parent))
    for answer in _with_critic(answers).order_by("id")[:MAX_THREAD] if by_parent else ():
        by_parent[answer.run.parent_id].append(answer)
    for critique in critiques:
        vars(critique)["answers"] = by_parent[critique.pk]


def critics_of(reader: Reader, trial: Trial) -> list[str]:
    """Labels of the critics that looked at a trial; one query."""
    critiques = Critique.objects.visible_to(reader).filter(source_trial=trial, run__parent=None)
    pairs = critiques.order_by().values_list("trial__agent_name", "trial__model_name").distinct()
    return sorted(f"{agent} · {model}" if model else agent for agent, model in pairs[:100])


def get_critique_for(reader: Reader, pk: int) -> Critique:
    """The critique with all of its columns, or Http404 when it does not exist or `reader` may not see it."""
    critiques = Critique.objects.visible_to(reader).select_related(
        "run__rubric", "run__project", "run__source_job", "run__parent", "trial__job", "source_trial__job"
    )
    return get_object_or_404(critiques.prefetch_related("tags"), pk=pk)


def claims_of(critique: Critique, *, after: int = 0, only: ClaimFilter, limit: int = CLAIMS_OF_ONE) -> Page[Claim]:
    """A window of the critique's claims behind a position; `next` is the last position shown. Two queries."""
    claims = _read(critique.claims.filter(only.claims(), position__gt=after))
    found = list(claims[: limit + 1])
    return Page(found[:limit], str(found[limit - 1].position) if len(found) > limit else None)


def answers_to(reader: Reader, critique: Critique) -> list[Critique]:
    """Answers to questions about a critique, and to questions about those, oldest first; at most five queries."""
    found: list[Critique] = []
    asked = [critique.pk]
    for _ in range(5):
        answers = Critique.objects.visible_to(reader).filter(run__parent__in=asked)
        level = list(_with_critic(answers).order_by("id")[:MAX_THREAD])
        found += level
        asked = [answer.pk for answer in level]
        if not asked:
            break
    return sorted(found, key=lambda answer: answer.pk)


def get_citation_for(reader: Reader, pk: int) -> Citation:
    """A citation of a step with its claim and trajectory, or Http404."""
    critiques = Critique.objects.visible_to(reader)
    citations = Citation.objects.select_related("claim", "trajectory").exclude(trajectory=None)
    return get_object_or_404(citations.filter(claim__critique__in=critiques), pk=pk)


def get_claim_for(reader: Reader, pk: int) -> Claim:
    """A claim with its critique and run, or Http404."""
    claims = Claim.objects.select_related("critique__run__project", "critique__trial", "critique__source_trial")
    return get_object_or_404(claims.filter(critique__in=Critique.objects.visible_to(reader)), pk=pk)


def get_run_for(reader: Reader, pk: int) -> CritiqueRun:
    """The run or plan, or Http404."""
    runs = CritiqueRun.objects.visible_to(reader).select_related(
        "project", "source_job", "job", "rubric", "parent", "created_by", "approved_by"
    )
    return get_object_or_404(runs, pk=pk)


def summary_for(reader: Reader, run: CritiqueRun) -> str:
    """What was said of the whole run; nothing to whom some of it is hidden from. One query."""
    is_hidden = run.summary and run.critiques.filter(hidden_from(reader, Hideable.CRITIQUE)).exists()
    return "" if is_hidden else run.summary


def n_unchecked_in(reader: Reader, run: CritiqueRun) -> int:
    """How many suggested checks of a run that asks for them were not run yet; one query, or none."""
    checks = run.config.get("checks") if isinstance(run.config, dict) else None
    if not isinstance(checks, dict) or checks.get("enabled") is not True:
        return 0
    critiques = Critique.objects.visible_to(reader).filter(run=run).counted()
    claims = Claim.objects.filter(critique__in=critiques, check_outcome=Claim.CheckOutcome.NONE)
    return claims.exclude(suggested_check__isnull=True).count()


def critique_by(reader: Reader, trial: Trial) -> Critique | None:
    """The critique that a trial was for, where it is a critic's."""
    if trial.job.purpose != Purpose.CRITIQUE:
        return None
    return Critique.objects.visible_to(reader).filter(trial=trial).first()


def runs_page(reader: Reader, *, cursor: str = "", limit: int = ROWS_ON_A_PAGE, job: int | None = None) -> Page[Any]:
    """Runs and plans, newest first, each with `n_good`, `n_bad`, `n_invalid` and `n_all` of what `reader` sees."""
    runs = CritiqueRun.objects.visible_to(reader).select_related("source_job", "job", "rubric", "created_by")
    runs = runs.defer("config", "prompt", "summary", "problems")
    if job:
        runs = runs.filter(source_job=job)
    page = keyset_page(runs, NEWEST, cursor=cursor, limit=limit)
    counted = Critique.objects.visible_to(reader).filter(run__in=[run.pk for run in page]).order_by().values("run")
    counts: dict[int, dict[str, Any]] = {
        row["run"]: {**row}
        for row in counted.annotate(
            n_all=Count("pk"),
            n_good=Count("pk", filter=COUNTED & Q(rating=Critique.Rating.GOOD)),
            n_bad=Count("pk", filter=COUNTED & Q(rating=Critique.Rating.BAD)),
            n_invalid=Count("pk", filter=Q(outcome__in=(Outcome.INVALID, Outcome.FAILED))),
        )
    }
    for run in page:
        for name in ("n_all", "n_good", "n_bad", "n_invalid"):
            vars(run)[name] = counts.get(run.pk, {}).get(name, 0)
    return page


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which critiques of a run are listed; unknown words mean all."""

    rating: str = ""
    tag: str = ""
    outcome: str = ""
    critic: str = ""
    stale: bool = False
    unverified: bool = False

    def rows(self, critiques: QuerySet[Critique]) -> QuerySet[Critique]:
        """Those of `critiques` that are listed."""
        if self.rating:
            # What stayed invalid rates nothing, whatever it says.
            rated = COUNTED & ~Q(rating="")
            critiques = critiques.filter(~rated if self.rating == "none" else rated & Q(rating=self.rating))
        if self.tag:
            critiques = critiques.filter(COUNTED, tags__name=self.tag.replace("\0", ""))
        if self.outcome:
            critiques = critiques.filter(outcome=self.outcome)
        if self.critic:
            critiques = critiques.filter(_is_by(self.critic))
        if self.stale:
            critiques = critiques.filter(is_stale=True)
        if self.unverified:
            critiques = critiques.filter(n_unverified__gt=0)
        return critiques

    def parameters(self) -> dict[str, str]:
        """What brings it back in an address."""
        given = {
            "rating": self.rating, "tag": self.tag, "outcome": self.outcome, "critic": self.critic,
            "stale": "1" if self.stale else "", "unverified": "1" if self.unverified else "",
        }  # fmt: skip
        return {name: value for name, value in given.items() if value}


def critiques_in(
    reader: Reader, run: CritiqueRun, *, only: RowFilter, cursor: str = "", limit: int = ROWS_ON_A_PAGE
) -> Page[Critique]:
    """A run's critiques by what they are of; three queries."""
    critiques = only.rows(Critique.objects.visible_to(reader).filter(run=run))
    return keyset_page(_with_critic(critiques), BY_SOURCE, cursor=cursor, limit=limit)


def rubrics_of(reader: Reader) -> Sequence[Rubric]:
    """The newest version of every rubric that `reader` may use, the built-in ones first, by name."""
    rubrics = Rubric.objects.visible_to(reader).select_related("project").defer("text", "output_schema")
    newest: dict[tuple[int | None, str], Rubric] = {}
    for rubric in rubrics.order_by(F("project").asc(nulls_first=True), "name", "version"):
        newest[rubric.project_id, rubric.name] = rubric
    return list(newest.values())


def get_rubric_for(reader: Reader, pk: int) -> Rubric:
    """One version of a rubric, or Http404."""
    return get_object_or_404(Rubric.objects.visible_to(reader).select_related("project", "created_by"), pk=pk)


def versions_of(reader: Reader, rubric: Rubric) -> list[Rubric]:
    """All versions of the same rubric, the oldest first."""
    same = Rubric.objects.visible_to(reader).filter(project=rubric.project_id, name=rubric.name)
    return list(same.order_by("version"))
