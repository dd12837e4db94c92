"""What a fixed calculator does. The module is loaded by path: nothing else in /app can take its place."""

import importlib.util

import pytest

spec = importlib.util.spec_from_file_location("calculator", "/app/calculator.py")
calculator = importlib.util.module_from_spec(spec)
spec.loader.exec_module(calculator)


def test_add_still_adds():
    assert calculator.add(2, 3) == 5


def test_multiply_still_multiplies():
    assert calculator.multiply(4, 2.5) == 10


@pytest.mark.parametrize(("left", "right", "difference"), [(5, 3, 2), (3, 5, -2), (0, 0, 0), (1.5, 0.5, 1.0)])
def test_subtract_takes_the_second_number_from_the_first(left, right, difference):
    assert calculator.subtract(left, right) == difference


def test_divide_gives_the_quotient():
    assert calculator.divide(7, 2) == 3.5
    assert calculator.divide(0, 4) == 0


def test_divide_by_zero_raises():
    with pytest.raises(ZeroDivisionError):
        calculator.divide(1, 0)


@pytest.mark.parametrize(("values", "mean"), [([4], 4), ([1, 2, 3], 2), ([0, 10], 5), ([-1, 1, 3, 5], 2)])
def test_average_is_the_arithmetic_mean(values, mean):
    assert calculator.average(values) == mean


def test_average_of_nothing_raises():
    with pytest.raises(ValueError):
        calculator.average([])
