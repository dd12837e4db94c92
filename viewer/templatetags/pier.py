"""Filters of the pages: numbers with their units, and the one door for text that agents wrote."""

from datetime import datetime
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from runs.models import Trial
from viewer.outcome import Outcome, number, outcome_of
from viewer.rendering.markdown import markdown_html
from viewer.rendering.marks import with_marks
from viewer.rendering.sgr import terminal_html

register = template.Library()
NOTHING = "–"


@register.filter
def seconds(value: float | None) -> str:
    """A duration: 12 ms, 0.8 s, 42 s, 5m 15s, 2h 04m."""
    if value is None:
        return NOTHING
    if 0 < value < 0.095:
        return f"{value * 1000:.0f} ms" if value >= 0.0005 else "0 ms"
    if value < 10:
        return f"{value:.1f} s"
    if value < 60:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    return f"{minutes // 60}h {minutes % 60:02d}m"


@register.filter
def usd(value: float | None) -> str:
    """Money: $0.82, $0.0041, $41.20; a missing cost is not zero."""
    if value is None:
        return NOTHING
    if value and abs(value) < 0.01:
        return f"${value:.4f}"
    return f"${value:,.2f}"


@register.filter
def count(value: float | None) -> str:
    """A large number in short: 950, 18.2k, 1.63M."""
    if value is None:
        return NOTHING
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}" if abs(value) < size * 1000 else f"{value / size:.0f}{unit}"
    return f"{value:.0f}"


@register.filter
def grouped(value: int) -> str:
    """A whole number with its thousands apart: 12,345."""
    return f"{value:,}"


@register.filter
def size(value: int | None) -> str:
    """Bytes: 512 B, 3.4 KB, 12 MB."""
    if value is None:
        return NOTHING
    amount = float(value)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1024 or unit == "GB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"


@register.filter
def reward(value: float | None) -> str:
    """A reward, or a dash: null is not zero."""
    return NOTHING if value is None else number(value)


@register.filter
def measure(value: Any) -> str:
    """One value of a verifier's rewards: a number like a reward, anything else as short text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    return with_marks(str(value)[:60])


@register.filter
def when(value: datetime | None) -> SafeString | str:
    """A moment as a time element, in UTC to the minute; the title has the second."""
    if value is None:
        return NOTHING
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>', value.isoformat(), f"{value:%F %T}", f"{value:%Y-%m-%d %H:%M}"
    )


@register.filter
def outcome(trial: Trial) -> Outcome:
    """How the trial ended."""
    return outcome_of(trial)


@register.filter
def agent_markdown(text: str) -> SafeString:
    """The one door for prose of agents, tasks and verifiers."""
    return markdown_html(text)


@register.filter
def terminal(text: str) -> SafeString:
    """The one door for output of programs."""
    return terminal_html(text)


@register.filter
def plain(value: Any) -> str:
    """A name or a short text from files, with unseen characters as marks; the template escapes it."""
    return with_marks(str(value)) if value not in (None, "") else ""
