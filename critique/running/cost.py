"""What critics will probably cost, told with how that is known: from earlier critiques, else from sizes and prices."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.db.models import Avg, Count, Max, Min

from runs.agents.conversion.usage import Usage
from runs.agents.registry import agent_name
from runs.formats.job import AgentConfig
from runs.formats.result import model_info_of
from runs.indexing.columns import label_of
from runs.models import Purpose, Trial
from runs.prices.table import PriceTable, list_prices

# Fewer than these are chance.
LEAST_EARLIER = 3
BYTES_PER_TOKEN = 4
MAX_TOKENS = 5_000_000
# What a critic reads beside the trajectory: prompt, task, outline.
OTHER_TOKENS = 15_000


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """US dollars for all critiques together; None where it cannot be told. `basis` says how it is known."""

    usd: float | None
    low: float | None
    high: float | None
    basis: str


def estimate(critics: Sequence[AgentConfig], sizes_bytes: Sequence[Sequence[int]]) -> CostEstimate:
    """What all critiques cost: of each critic, `sizes_bytes` has the size of what it reads, one for each critique.

    Costs one query a critic.
    """
    parts = [_of_critic(critic, sizes) for critic, sizes in zip(critics, sizes_bytes, strict=True) if sizes]
    basis = "; ".join(dict.fromkeys(part.basis for part in parts)) or "nothing is to be run"
    sums = [[value for part in parts if (value := getattr(part, name)) is not None] for name in ("usd", "low", "high")]
    if any(len(values) < len(parts) for values in sums):
        return CostEstimate(None, None, None, basis)
    usd, low, high = (sum(values) for values in sums)
    return CostEstimate(usd, low, high, basis)


def reading_bytes(trial: Path | None) -> int:
    """The size of a trial's trajectories, which a critic reads; only looks at their sizes."""
    if trial is None:
        return 0
    patterns = ("agent/trajectory*.json", "steps/*/agent/trajectory*.json", "trajectory.json")
    return sum(_size(path) for pattern in patterns for path in trial.glob(pattern))


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _of_critic(critic: AgentConfig, sizes: Sequence[int]) -> CostEstimate:
    model = model_info_of(critic.model_name)
    label = label_of(agent_name(critic), model.name if model else "")
    return _from_earlier(critic, label, len(sizes)) or _from_prices(critic.model_name, label, sizes)


def _from_earlier(critic: AgentConfig, label: str, n_critiques: int) -> CostEstimate | None:
    model = model_info_of(critic.model_name)
    earlier = Trial.objects.filter(
        job__purpose=Purpose.CRITIQUE,
        agent_name=agent_name(critic),
        model_name=model.name if model else "",
        cost_usd__isnull=False,
    ).aggregate(n=Count("pk"), mean=Avg("cost_usd"), low=Min("cost_usd"), high=Max("cost_usd"))
    if earlier["n"] < LEAST_EARLIER:
        return None
    usd, low, high = (earlier[name] * n_critiques for name in ("mean", "low", "high"))
    return CostEstimate(usd, low, high, f"{label}: the mean of {earlier['n']} earlier critiques")


def _from_prices(model: str | None, label: str, sizes: Iterable[int]) -> CostEstimate:
    table = list_prices()
    if not model:
        return CostEstimate(None, None, None, f"{label}: not known, no model is named")
    tokens = [min(size // BYTES_PER_TOKEN, MAX_TOKENS) + OTHER_TOKENS for size in sizes]
    costs = [[_cost(table, model, one, thorough) for one in tokens] for thorough in (1.0, 0.3, 3.0)]
    known = [[cost for cost in column if cost is not None] for column in costs]
    if any(len(column) < len(tokens) for column in known):
        return CostEstimate(None, None, None, f"{label}: not known, there is no price for {model}")
    usd, low, high = (sum(column) for column in known)
    told = "the trajectories' size at list prices, read once and sent again from the cache ten times"
    return CostEstimate(usd, low, high, f"{label}: {told} ({table.name})")


def _cost(table: PriceTable, model: str, tokens: int, thorough: float) -> float | None:
    """Of one critique that reads `thorough` times the text, and sends half of it again with each of ten calls."""
    read = int(tokens * thorough)
    first = table.cost_usd(model, Usage(uncached_tokens=read, output_tokens=int(2_000 * thorough)))
    again = table.cost_usd(model, Usage(uncached_tokens=500, cache_read_tokens=read // 2, output_tokens=400))
    return None if first is None or again is None else first + 10 * again
