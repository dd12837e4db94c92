"""The colours that style sheets put on each other can be read: WCAG 2.2 AA, computed for both themes."""

import re
from itertools import product
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHEETS = sorted([*(ROOT / "pier_site/static/pier").rglob("*.css"), *(ROOT / "viewer/static/viewer").rglob("*.css")])
CSS = "\n".join(sheet.read_text() for sheet in SHEETS)
TOKENS = {
    name: values for name, *values in re.findall(r"(--[\w-]+):\s*light-dark\((#[0-9a-f]{6}),\s*(#[0-9a-f]{6})\)", CSS)
}
RULES = re.findall(r"([^{}]+)\{([^{}]*)\}", re.sub(r"/\*.*?\*/", "", CSS, flags=re.DOTALL))
# What text lies on where its own rule says nothing else.
GROUNDS = ("--page", "--surface", "--sunken")
# Text colours that rules take by another name: --tone of a step, say.
SPEAKERS = ("--agent", "--user", "--system", "--think")
TEXT, CONTROL = 4.5, 3.0
THEMES = ("light", "dark")


def luminance(colour: str) -> float:
    """Relative luminance as WCAG defines it."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """From 1 (the same) to 21 (black on white)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def token_of(declarations: str, properties: str) -> str | None:
    found = re.search(rf"(?:^|[;\s])(?:{properties}):\s*var\((--[\w-]+)\)\s*(?:;|$)", declarations)
    return found[1] if found and found[1] in TOKENS else None


def pairs() -> set[tuple[str, str]]:
    """Each text colour with the background of its own rule, or with every ground."""
    found = set(product(SPEAKERS, GROUNDS))
    for selector, declarations in RULES:
        colour, ground = token_of(declarations, "color"), token_of(declarations, "background|background-color")
        if colour:
            found |= {(colour, ground)} if ground else set(product([colour], GROUNDS))
        elif ground and "progress" not in selector:
            found |= {("--text", ground)}
    return found


def test_the_measure_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


def test_the_style_sheets_were_read() -> None:
    assert {("--on-accent", "--accent"), ("--muted", "--page"), ("--ansi-red", "--sunken")} <= pairs()
    assert len(pairs()) > 40


@pytest.mark.parametrize("theme", THEMES)
def test_text_can_be_read_on_what_it_lies_on(theme: str) -> None:
    here = THEMES.index(theme)
    decorative = {"--line"}  # never the colour of text that says something
    weak = {
        f"{colour} on {ground}": round(contrast(TOKENS[colour][here], TOKENS[ground][here]), 2)
        for colour, ground in pairs()
        if colour not in decorative and contrast(TOKENS[colour][here], TOKENS[ground][here]) < TEXT
    }
    assert weak == {}


@pytest.mark.parametrize("theme", THEMES)
def test_the_focus_and_the_fields_can_be_seen(theme: str) -> None:
    here = THEMES.index(theme)
    for colour, ground in product(("--accent", "--control"), ("--page", "--surface")):
        assert contrast(TOKENS[colour][here], TOKENS[ground][here]) >= CONTROL, f"{colour} on {ground}"


def test_no_rule_takes_the_focus_outline_away() -> None:
    assert not re.search(r"outline(?:-width|-style)?:\s*(?:0|none)", CSS)


def test_what_moves_stands_still_for_those_who_ask_for_it() -> None:
    for selector, declarations in RULES:
        moving = re.search(r"(?:^|[;\s])(transition|animation|scroll-behavior)[\w-]*:", declarations)
        if moving and "none" not in declarations:
            assert "prefers-reduced-motion" in CSS, f"{selector.strip()} moves"


def test_no_style_sheet_loads_anything() -> None:
    assert not re.search(r"url\(|@import|image-set\(", CSS)
