"""pass@k against its definition."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.statistics.pass_at_k import ks_of, mean_pass_at_k, pass_at_k


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_it_is_the_share_of_k_subsets_with_a_success(drawn: tuple[int, int, int]) -> None:
    n, c, k = drawn
    attempts = [True] * c + [False] * (n - c)
    subsets = list(combinations(attempts, k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(any(subset) for subset in subsets) / len(subsets))


def test_what_is_not_defined_is_refused() -> None:
    for n, c, k in ((3, 1, 4), (3, 4, 1), (3, 1, 0), (3, -1, 1)):
        with pytest.raises(ValueError, match="not defined"):
            pass_at_k(n, c, k)


def test_the_reported_k_are_one_powers_of_two_and_multiples_of_five() -> None:
    assert ks_of(1) == [1]
    assert ks_of(20) == [1, 2, 4, 5, 8, 10, 15, 16, 20]


def test_tasks_are_averaged_up_to_the_fewest_attempts() -> None:
    assert mean_pass_at_k({"a": [1.0, 0.0], "b": [0.0, 0.0, 0.0]}) == {1: 0.25, 2: 0.5}


def test_rewards_between_zero_and_one_have_no_pass_at_k() -> None:
    assert mean_pass_at_k({"a": [0.5, 1.0]}) == {}
    assert mean_pass_at_k({}) == {}
