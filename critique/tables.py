"""What a critique run came to: counts, distributions, the rating against the reward, and critics against each other."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from django.db.models import Count, Q, QuerySet, Sum

from critique.models import VALID_OUTCOMES, Claim, Critique, CritiqueQuerySet, CritiqueRun, CritiqueTag, Outcome
from critique.shown import Verdict, verdict_of
from runs.models import Trial
from runs.queries import Reader

MAX_TAGS = 40
MAX_COMPARED = 5_000
MAX_IN_A_CELL = 10


@dataclass(frozen=True, slots=True)
class Bar:
    """One value of a distribution; `share` is of the longest, in percent, for drawing."""

    name: str
    count: int
    share: float
    tone: str = ""


@dataclass(frozen=True, slots=True)
class RewardRow:
    """How often one rating was given to trials with reward 1, with less, and without one."""

    rating: str
    passed: int
    failed: int
    without: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What critics took: their labels, all that is known of their cost, and means over those it is known of."""

    critics: list[str]
    cost_usd: float | None
    mean_cost_usd: float | None
    n_costed: int
    mean_sec: float | None


@dataclass(frozen=True, slots=True)
class RunTables:
    """A run in numbers, over the critiques that its reader may see."""

    n_critiques: int
    n_valid: int
    n_stale: int
    n_claims: int
    n_citations: int
    n_unverified: int
    ratings: list[Bar]
    outcomes: list[Bar]
    tags: list[Bar]
    severities: list[Bar]
    checks: list[Bar]
    rewards: list[RewardRow]
    n_alike: int
    n_rewarded: int
    spent: Spent

    @property
    def unverified_percent(self) -> float | None:
        """Of all citations, those whose quote was not found."""
        return 100 * self.n_unverified / self.n_citations if self.n_citations else None


def bars(counts: Iterable[tuple[str, int]], tones: Mapping[str, str] | None = None) -> list[Bar]:
    """Counts as bars in their order, without those that are zero."""
    listed = [(name, count) for name, count in counts if count]
    most = max((count for _, count in listed), default=1)
    return [Bar(name, count, round(100 * count / most, 1), (tones or {}).get(name, "")) for name, count in listed]


def tables_of(reader: Reader, run: CritiqueRun) -> RunTables:
    """Count a run; eight queries, whatever its size."""
    critiques = Critique.objects.visible_to(reader).filter(run=run)
    # What stayed invalid is listed, and counts for nothing.
    counted = critiques.counted()
    sums = critiques.aggregate(n=Count("pk"), stale=Count("pk", filter=Q(is_stale=True)))
    sums |= counted.aggregate(claims=Sum("n_claims"), citations=Sum("n_citations"), unverified=Sum("n_unverified"))
    ratings = Counter(dict(_counted(counted, "rating")))
    outcomes = Counter(dict(_counted(critiques, "outcome")))
    claims = Claim.objects.filter(critique__in=counted)
    severities = Counter(dict(claims.order_by().values_list("severity").annotate(Count("pk"))))
    checks = Counter(dict(claims.order_by().values_list("check_outcome").annotate(Count("pk"))))
    tags = CritiqueTag.objects.filter(critique__in=counted).order_by().values_list("name").annotate(n=Count("pk"))
    rewards, n_alike, n_rewarded = _against_rewards(critiques)
    return RunTables(
        n_critiques=sums["n"],
        n_valid=outcomes[Outcome.VALID] + outcomes[Outcome.REPAIRED],
        n_stale=sums["stale"],
        n_claims=sums["claims"] or 0,
        n_citations=sums["citations"] or 0,
        n_unverified=sums["unverified"] or 0,
        ratings=bars([("good", ratings["good"]), ("bad", ratings["bad"])], {"good": "good", "bad": "bad"}),
        outcomes=bars([(value, outcomes[value]) for value in Outcome.values], {"failed": "warn", "invalid": "warn"}),
        tags=bars(sorted(tags.order_by("-n", "name")[:MAX_TAGS], key=lambda pair: (-pair[1], pair[0]))),
        severities=bars(
            [(value, severities[value]) for value in reversed(Claim.Severity.values)],
            {"critical": "bad", "major": "warn", "minor": "info"},
        ),
        checks=bars(
            [(value.replace("_", " "), checks[value]) for value in Claim.CheckOutcome.values if value],
            {"confirmed": "good", "refuted": "bad", "not runnable": "warn"},
        ),
        rewards=rewards,
        n_alike=n_alike,
        n_rewarded=n_rewarded,
        spent=_spent(critiques),
    )


def _counted(critiques: CritiqueQuerySet, column: str) -> Iterable[tuple[str, int]]:
    return critiques.order_by().values_list(column).annotate(Count("pk"))


def _spent(critiques: QuerySet[Critique]) -> Spent:
    """What the critics cost, failures too."""
    trials = Trial.objects.filter(critique__in=critiques)
    rows = trials.values_list("agent_name", "model_name", "cost_usd", "started_at", "finished_at")
    labels, costs, seconds = set(), [], []
    for agent, model, cost, start, end in rows:
        labels.add(f"{agent} · {model}" if model else agent)
        if cost is not None:
            costs.append(cost)
        if start and end:
            seconds.append((end - start).total_seconds())
    total = sum(costs) if costs else None
    mean_sec = sum(seconds) / len(seconds) if seconds else None
    return Spent(sorted(labels), total, total / len(costs) if total is not None else None, len(costs), mean_sec)


def _against_rewards(critiques: CritiqueQuerySet) -> tuple[list[RewardRow], int, int]:
    """Ratings by the reward of the trial that was looked at; how many go together, of how many that have both."""
    of_trials = critiques.valid().exclude(source_trial=None).exclude(rating="").order_by()
    rows = of_trials.values_list("rating").annotate(
        passed=Count("pk", filter=Q(source_trial__reward__gte=1)),
        failed=Count("pk", filter=Q(source_trial__reward__lt=1)),
        without=Count("pk", filter=Q(source_trial__reward=None)),
    )
    found = {row[0]: RewardRow(*row) for row in rows}
    good, bad = (found.get(rating, RewardRow(rating, 0, 0, 0)) for rating in ("good", "bad"))
    both = good.passed + good.failed + bad.passed + bad.failed
    return [good, bad] if found else [], good.passed + bad.failed, both


@dataclass(frozen=True, slots=True)
class Cell:
    """What one critic said of one trial: its critiques, one a sample."""

    critiques: list[Critique] = field(default_factory=list)

    @property
    def shown(self) -> list[tuple[Critique, Verdict]]:
        """The first few with what became of them."""
        return [(critique, verdict_of(critique)) for critique in self.critiques[:MAX_IN_A_CELL]]

    @property
    def rating(self) -> str:
        """The rating of most samples; empty where there is none, or a tie."""
        valid = [critique for critique in self.critiques if critique.outcome in VALID_OUTCOMES]
        counts = Counter(critique.rating for critique in valid if critique.rating).most_common(2)
        if not counts or (len(counts) == 2 and counts[0][1] == counts[1][1]):
            return ""
        return counts[0][0]


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One trial, with a cell a critic."""

    trial: Trial
    cells: list[Cell]

    @property
    def is_disputed(self) -> bool:
        """Whether critics differ in rating."""
        return len({cell.rating for cell in self.cells if cell.rating}) > 1


@dataclass(frozen=True, slots=True)
class Pair:
    """How often two critics give the same rating to a trial that both rated."""

    one: str
    other: str
    n_alike: int
    n_both: int

    @property
    def percent(self) -> float | None:
        """Raw agreement; not corrected for chance."""
        return 100 * self.n_alike / self.n_both if self.n_both else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Trials × critics, those that critics dispute first."""

    critics: list[str]
    rows: list[ComparedRow]
    pairs: list[Pair]
    n_disputed: int
    n_left_out: int


def compare(reader: Reader, runs: Sequence[CritiqueRun], *, limit: int = 200) -> Comparison:
    """The critics of these runs on the trials that they looked at; two queries. Of many critiques the newest count."""
    critiques = (
        Critique.objects.visible_to(reader)
        .filter(run__in=runs, source_trial__isnull=False)
        .select_related("source_trial", "trial", "run")
        .prefetch_related("tags")
        .defer("feedback", "extra", "digests", "criteria", "run__config", "run__plan", "run__prompt")
        .order_by("-id")[:MAX_COMPARED]
    )
    several = len(runs) > 1
    by_trial: dict[int, dict[str, Cell]] = defaultdict(dict)
    trials: dict[int, Trial] = {}
    labels: dict[str, None] = {}
    for critique in reversed(critiques):
        label = f"{critique.trial.agent_label}{f' ({critique.run.name})' if several else ''}"
        labels[label] = None
        source = critique.source_trial
        if source is not None:
            trials[source.pk] = source
            by_trial[source.pk].setdefault(label, Cell()).critiques.append(critique)
    critics = sorted(labels)
    rows = [ComparedRow(trials[pk], [cells.get(label, Cell()) for label in critics]) for pk, cells in by_trial.items()]
    rows.sort(key=lambda row: (not row.is_disputed, row.trial.task_name, row.trial.attempt, row.trial.pk))
    pairs = [_pair(rows, critics, one, other) for one, other in combinations(range(len(critics)), 2)]
    n_disputed = sum(row.is_disputed for row in rows)
    return Comparison(critics, rows[:limit], pairs, n_disputed, max(0, len(rows) - limit))


def _pair(rows: Sequence[ComparedRow], critics: Sequence[str], one: int, other: int) -> Pair:
    both = [row for row in rows if row.cells[one].rating and row.cells[other].rating]
    alike = sum(row.cells[one].rating == row.cells[other].rating for row in both)
    return Pair(critics[one], critics[other], alike, len(both))
