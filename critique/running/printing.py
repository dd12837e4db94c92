"""What the terminal is told of a plan, before it is agreed to, and of a run that has ended. Names are hostile text."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.db.models import Count, Q

from critique.formats.reading import ContractBroken
from critique.formats.records import RECORD, read_record
from critique.models import Citation, Claim, Critique
from critique.running.output import read_output
from critique.running.planning import Plan
from critique.running.run import Outcome
from runs.agents.registry import agent_name
from runs.errors import FileUnreadable
from runs.formats.result import TrialResult, model_info_of
from runs.indexing.columns import label_of
from runs.progress import printable

SHOWN = 10
ARTIFACTS = "artifacts"


def lines_of_plan(plan: Plan) -> Iterator[str]:
    """How many critiques of what by whom, the hosts, the cost, what is refused."""
    return map(printable, _of_plan(plan))


def _of_plan(plan: Plan) -> Iterator[str]:
    config, wanted = plan.config, plan.wanted
    sources = list(dict.fromkeys(item.source_name for item in wanted if not item.is_summary))
    by = config.rubric or "a prompt"
    of = f"of {_count(len(sources), config.subject)}" if sources else "of the whole run"
    yield f"{config.path}: {_count(len(wanted), 'critique')} {of}, by {by}"
    yield from _some("of", sources)
    n_of = Counter(item.critic for item in wanted)
    for number, critic in enumerate(config.critics, start=1):
        model = model_info_of(critic.model_name)
        yield f"  by {label_of(agent_name(critic), model.name if model else '')}: {n_of[number]}"
    if plan.kept:
        yield f"  {len(plan.kept)} are there already and stay"
    yield f"  network: {', '.join(plan.hosts) or 'closed'}"
    cost = plan.cost
    told = "not known" if cost.usd is None else f"about ${cost.usd:.2f} (${cost.low or 0:.2f} to ${cost.high or 0:.2f})"
    yield f"  cost: {told}: {cost.basis}"
    yield from _some("refused", [f"{refusal.name}: {refusal.reason}" for refusal in plan.refused])


def _count(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


def _some(word: str, names: list[str]) -> Iterator[str]:
    for name in names[:SHOWN]:
        yield f"  {word} {name}"
    if len(names) > SHOWN:
        yield f"  {word} {len(names) - SHOWN} more"


def told(result: TrialResult) -> str:
    """What came of one critic, in a few words."""
    directory = Path(unquote(urlsplit(result.trial_uri).path))
    words: list[str] = []
    with suppress(FileUnreadable, ContractBroken):
        words.append(read_record(directory / RECORD).outcome)
        words.append(read_output(directory / ARTIFACTS, {}).rating or "")
    failure = result.exception_info.exception_type if result.exception_info else ""
    return ", ".join(word for word in (*words, failure) if word)


def lines_of_outcome(outcome: Outcome) -> Iterator[str]:
    """What became of the critics, and what they say; four queries."""
    return map(printable, _of_outcome(outcome))


def _of_outcome(outcome: Outcome) -> Iterator[str]:
    n_of: Counter[str] = Counter(record.outcome for record in outcome.records)
    parts = [_count(n_of["valid"] + n_of["repaired"], "valid critique")]
    parts += [f"{n_of[name]} {word}" for name, word in WORDS.items() if n_of[name]]
    if outcome.run and outcome.run.was_cancelled:
        parts.append("cancelled")
    yield f"{', '.join(parts)}: {outcome.row.directory}"
    critiques = Critique.objects.filter(run=outcome.row).counted()
    ratings = critiques.exclude(rating="").order_by("rating").values_list("rating").annotate(n=Count("pk"))
    tags = critiques.exclude(tags=None).values_list("tags__name").annotate(n=Count("pk")).order_by("-n", "tags__name")
    told = [f"{name} {n}" for name, n in (*ratings, *tags[:SHOWN])]
    if told:
        yield ", ".join(told)
    cited = Citation.objects.filter(claim__critique__in=critiques)
    figures = cited.aggregate(n=Count("pk"), lost=Count("pk", filter=Q(is_verified=False)))
    if figures["n"]:
        yield f"{_count(figures['n'], 'citation')}, {figures['lost']} of them unverified"
    checked = Claim.objects.filter(critique__in=critiques).exclude(check_outcome=Claim.CheckOutcome.NONE)
    outcomes = list(checked.order_by("check_outcome").values_list("check_outcome").annotate(n=Count("pk")))
    if outcomes:
        words = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in outcomes)
        yield f"{_count(sum(n for _, n in outcomes), 'check')}: {words}"


WORDS = {"repaired": "of them repaired", "invalid": "invalid", "failed": "failed"}
