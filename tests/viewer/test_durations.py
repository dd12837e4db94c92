"""How long something took, in words of the size that it has."""

import pytest

from viewer.templatetags.pier import seconds


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0.0 s"), (0.0001, "0 ms"), (0.012, "12 ms"), (0.0949, "95 ms"), (0.0951, "0.1 s"), (1.5, "1.5 s"),
     (42.4, "42 s"), (315, "5m 15s"), (7440, "2h 04m"), (None, "–")],
)  # fmt: skip
def test_a_duration_is_told_in_fitting_units(value: float | None, shown: str) -> None:
    assert seconds(value) == shown
