"""The colours of the style sheet are far enough apart to be read (WCAG 2.2 AA), in both themes."""

import re
from pathlib import Path

import pytest

TOKENS = Path(__file__).resolve().parents[2] / "pier_site" / "static" / "pier" / "tokens.css"
COLOUR = re.compile(r"--([\w-]+): light-dark\(#([0-9a-f]{6}), #([0-9a-f]{6})\)")
AA = 4.5

ON_SURFACES = ("text", "muted", "accent", "agent", "user", "system", "think", "good", "bad", "warn", "part")
ON_THEIR_OWN = ("good", "bad", "warn", "part", "accent")
TERMINAL = ("red", "green", "yellow", "blue", "magenta", "cyan", "white")
PAIRS = [
    *((text, surface) for text in ON_SURFACES for surface in ("page", "surface")),
    *((tone, f"{tone}-soft") for tone in ON_THEIR_OWN),
    *((f"ansi-{name}", "sunken") for name in TERMINAL),
    ("muted", "quiet-soft"),
    ("muted", "sunken"),
    ("on-accent", "accent"),
]


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_measured_as_the_standard_does() -> None:
    assert contrast("ffffff", "000000") == pytest.approx(21)
    assert contrast("777777", "ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_on_what_it_stands_on(theme: str) -> None:
    colours = {name: light if theme == "light" else dark for name, light, dark in COLOUR.findall(TOKENS.read_text())}
    low = {f"{a} on {b}": round(contrast(colours[a], colours[b]), 2) for a, b in PAIRS}
    assert {pair: ratio for pair, ratio in low.items() if ratio < AA} == {}
