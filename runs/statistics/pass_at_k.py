"""pass@k: the chance that at least one of k attempts at a task succeeds, averaged over tasks.

The unbiased estimator of Chen et al., "Evaluating Large Language Models Trained on Code" (2021): with c successes in n
attempts, 1 - C(n-c, k) / C(n, k).
"""

from collections.abc import Iterable, Mapping, Sequence
from math import comb


def pass_at_k(n: int, c: int, k: int) -> float:
    """The estimate for one task with `c` successes in `n` attempts. Raises ValueError where it is not defined."""
    if not 1 <= k <= n or not 0 <= c <= n:
        raise ValueError(f"pass@{k} of {c} successes in {n} attempts is not defined")
    return 1.0 - comb(n - c, k) / comb(n, k)


def ks_of(n: int) -> list[int]:
    """The k that are reported for n attempts: 1, powers of two, and multiples of five, as in Pier but with pass@1."""
    powers = {1 << exponent for exponent in range(n.bit_length()) if 1 << exponent <= n}
    return sorted(powers | set(range(5, n + 1, 5)))


def mean_pass_at_k(attempts: Mapping[str, Sequence[float]]) -> dict[int, float]:
    """pass@k for each k up to the least attempts that a task has; `attempts` are rewards by task.

    Empty unless every reward is 0 or 1: for other rewards success is not defined.
    """
    if not attempts or not all(reward in (0.0, 1.0) for rewards in attempts.values() for reward in rewards):
        return {}
    fewest = min(len(rewards) for rewards in attempts.values())
    return {
        k: _mean(pass_at_k(len(rewards), int(sum(rewards)), k) for rewards in attempts.values()) for k in ks_of(fewest)
    }


def _mean(values: Iterable[float]) -> float:
    collected = list(values)
    return sum(collected) / len(collected)
