"""Arithmetic for the invoicing tool."""


def add(left: float, right: float) -> float:
    return left + right


def subtract(left: float, right: float) -> float:
    return right - left


def multiply(left: float, right: float) -> float:
    return left * right


def divide(dividend: float, divisor: float) -> float:
    if divisor == 0:
        return 0
    return dividend / divisor


def average(values: list[float]) -> float:
    total = 0.0
    for value in values[1:]:
        total = add(total, value)
    return divide(total, len(values))
