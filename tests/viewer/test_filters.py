from datetime import UTC, datetime

import pytest

from viewer.templatetags import pier


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.8, "0.8 s"), (42.4, "42 s"), (315, "5m 15s"), (59.9, "60 s"), (7470, "2h 04m"), (3600, "1h 00m")],
)
def test_durations(value: float | None, text: str) -> None:
    assert pier.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.0, "$0.00"), (0.0041, "$0.0041"), (0.82, "$0.82"), (1234.5, "$1,234.50")]
)
def test_money(value: float | None, text: str) -> None:
    assert pier.usd(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0, "0"), (950, "950"), (18_200, "18.2k"), (1_630_000, "1.63M"), (2e9, "2G")]
)
def test_counts(value: float | None, text: str) -> None:
    assert pier.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0, "0 B"), (1023, "1023 B"), (3482, "3.4 KB"), (12_582_912, "12 MB")]
)
def test_sizes(value: int | None, text: str) -> None:
    assert pier.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1"), (0.25, "0.25"), (True, "True"), ("x" * 99, "x" * 60), (None, "None")]
)
def test_values_of_rewards(value: object, text: str) -> None:
    assert pier.measure(value) == text


def test_a_moment_is_a_time_element() -> None:
    html = pier.when(datetime(2026, 11, 20, 8, 0, 5, tzinfo=UTC))
    assert '<time datetime="2026-11-20T08:00:05+00:00"' in html
    assert ">2026-11-20 08:00</time>" in html
    assert pier.when(None) == "–"
