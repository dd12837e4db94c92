"""Thousands of invented quotes, all of which are flagged, and as many true ones in other writing, none of which is."""

import json
import random
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from critique.citations.checking import check_citations
from critique.formats.contract import MAX_CITATIONS, CritiqueResult
from tests.critique.citations.trials import make_input

SEEDS = range(20)
PER_SEED = 300
SYLLABLES = ("ba", "ce", "dor", "fi", "gal", "hun", "ik", "jo", "kel", "lum", "mé", "nor", "pa", "qui", "ras", "tö")
MARKS = (".", ",", ":", ";", "!", ")", '"', "'")
SAID = ("tests", "failed", "passed", "error", "file", "the", "is", "was", "now", "with", "expected", "all", "returns")


def word(rng: random.Random) -> str:
    """A word, a number, a path or a name, sometimes with a mark after it."""
    made = "".join(rng.choices(SYLLABLES, k=rng.randint(1, 4)))
    kind = rng.random()
    if kind < 0.35:
        made = rng.choice(SAID)
    elif kind < 0.5:
        made = str(rng.choice([rng.randint(0, 999), rng.randint(1000, 99_999), round(rng.random() * 50, 2)]))
    elif kind < 0.6:
        made = f"{made}/test_{rng.choice(SYLLABLES)}.py"
    elif kind < 0.65:
        made = f"{made}_{rng.choice(SYLLABLES)}()"
    return made + (rng.choice(MARKS) if rng.random() < 0.2 else "")


def passage(rng: random.Random, words: list[str]) -> list[str]:
    """Some words of a step that follow each other."""
    n_words = rng.randint(4, 14)
    start = rng.randrange(len(words) - n_words)
    return words[start : start + n_words]


def is_there(quoted: list[str], words: list[str]) -> bool:
    """Whether the words follow each other in the step, told in the plainest way."""
    return f" {' '.join(quoted)} " in f" {' '.join(words)} "


def random_words(rng: random.Random, steps: list[list[str]], own: int) -> list[str]:
    return [word(rng) for _ in range(rng.randint(4, 14))]


def shuffled(rng: random.Random, steps: list[list[str]], own: int) -> list[str]:
    quoted = passage(rng, steps[own])
    return rng.sample(quoted, len(quoted))


def of_another_step(rng: random.Random, steps: list[list[str]], own: int) -> list[str]:
    return passage(rng, steps[own - 1])


def one_word_changed(rng: random.Random, steps: list[list[str]], own: int) -> list[str]:
    quoted = passage(rng, steps[own])
    quoted[rng.randrange(len(quoted))] = word(rng)
    return quoted


def negated(rng: random.Random, steps: list[list[str]], own: int) -> list[str]:
    quoted = passage(rng, steps[own])
    quoted.insert(rng.randint(1, len(quoted) - 1), rng.choice(["not", "never", "no"]))
    return quoted


def one_word_dropped(rng: random.Random, steps: list[list[str]], own: int) -> list[str]:
    quoted = passage(rng, steps[own])
    del quoted[rng.randint(1, len(quoted) - 2)]
    return quoted


def number_changed(rng: random.Random, steps: list[list[str]], own: int) -> list[str]:
    quoted = passage(rng, steps[own])
    place = rng.randrange(len(quoted))
    digits = [at for at, sign in enumerate(quoted[place]) if sign.isdigit()]
    if not digits:
        return [*quoted[:place], str(rng.randint(0, 99)), *quoted[place:]]
    at = rng.choice(digits)
    quoted[place] = quoted[place][:at] + rng.choice(["", "7", "42"]) + quoted[place][at + 1 :]
    return [one for one in quoted if one]


def cut_inside_a_word(rng: random.Random, steps: list[list[str]], own: int) -> list[str]:
    """`1 passed` of `11 passed`, `able to` of `unable to`, `3.` of `3.5`."""
    quoted = passage(rng, steps[own])
    place = rng.choice([0, -1])
    cuts = [
        at
        for at in range(1, len(quoted[place]))
        if all(map(str.isalnum, quoted[place][at - 1 : at + 1])) or is_in_a_number(quoted[place], at)
    ]
    if cuts:
        at = rng.choice(cuts)
        quoted[place] = quoted[place][:at] if place else quoted[place][at:]
    return quoted


def is_in_a_number(text: str, at: int) -> bool:
    """Whether the text is cut beside the point of a number."""
    return text[max(0, at - 2) : at + 2].replace(".", "", 1).isdigit() and "." in text[at - 1 : at + 1]


def other_case(rng: random.Random, steps: list[list[str]], own: int) -> list[str]:
    quoted = passage(rng, steps[own])
    place = rng.randrange(len(quoted))
    quoted[place] = quoted[place].swapcase()
    return quoted


def two_put_together(rng: random.Random, steps: list[list[str]], own: int) -> list[str]:
    return [*passage(rng, steps[own])[:5], *passage(rng, steps[own])[-5:]]


INVENTIONS: list[Callable[[random.Random, list[list[str]], int], list[str]]] = [
    random_words, shuffled, of_another_step, one_word_changed, negated, one_word_dropped, number_changed,
    cut_inside_a_word, other_case, two_put_together,
]  # fmt: skip


def invented(rng: random.Random, steps: list[list[str]], own: int) -> list[str]:
    """Words that the step doesn't have in this order, cut where its words are cut."""
    while True:
        quoted = rng.choice(INVENTIONS)(rng, steps, own)
        # What lacks only a mark at its edge is a true quote, and a change may come to nothing.
        bare = [kept for one in quoted if (kept := one.strip("".join(MARKS) + "()"))]
        if bare and not is_there(bare, [one.strip("".join(MARKS) + "()") for one in steps[own]]):
            return quoted


def true(rng: random.Random, steps: list[list[str]], own: int) -> list[str]:
    """Words of the step, as they follow each other."""
    quoted: list[str] = []
    while sum(map(str.isalnum, "".join(quoted))) < 4:
        quoted = passage(rng, steps[own])
    return quoted


def written(rng: random.Random, words: list[str]) -> str:
    """The words in one of the ways in which critics may write them down."""
    space = rng.choice([" ", "  ", "\n", "\r\n    ", "\t", " \u00a0", " \x1b[1m", "\x1b[0m\n", " \x07", "\u200b "])
    text = space.join(words)
    ways: list[Callable[[str], str]] = [
        lambda text: text,
        lambda text: unicodedata.normalize("NFD", text),
        lambda text: text.replace('"', "”").replace("'", "\u2019"),
        lambda text: json.dumps(text)[1:-1],
        lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
        lambda text: json.dumps(json.dumps(text))[3:-3],
        lambda text: f'"{text}"',
        lambda text: f"  {text}\n",
    ]
    return rng.choice(ways)(text)


def with_gap(rng: random.Random, words: list[str]) -> str:
    """The words with some left out in the middle, where enough stays on both sides."""
    for first in range(1, len(words) - 2):
        before, after = words[:first], words[first + 1 :]
        if all(sum(map(str.isalnum, "".join(part))) >= 8 for part in (before, after)):
            return f"{' '.join(before)}{rng.choice([' … ', ' [...] ', '... ', '\n[…]\n'])}{' '.join(after)}"
    return " ".join(words)


def flags(folder: Path, quotes: list[tuple[int, str]]) -> list[bool]:
    """Whether each quote is verified in its step; all of them in one critique."""
    citations: list[dict[str, Any]] = [{"step": own + 1, "quote": quote} for own, quote in quotes]
    claims = [
        {"claim": "So it is.", "citations": citations[first : first + MAX_CITATIONS]}
        for first in range(0, len(citations), MAX_CITATIONS)
    ]
    result = CritiqueResult.model_validate({"rating": "bad", "feedback": "See.", "claims": claims})
    checked = check_citations(result, input_folder=folder, trial_directory=None)
    return [one.is_verified for one in checked.citations]


def steps_of(rng: random.Random) -> Iterator[list[str]]:
    for _ in range(12):
        yield [word(rng) for _ in range(rng.randint(40, 200))]


@pytest.fixture
def said(tmp_path: Path, seed: int) -> tuple[Path, list[list[str]], random.Random]:
    """An input folder whose steps say these words."""
    rng = random.Random(seed)
    steps = list(steps_of(rng))
    messages = ["".join(f"{one}{rng.choice(['  ', ' ', chr(10)])}" for one in words) for words in steps]
    return make_input(tmp_path, messages), steps, rng


@pytest.mark.parametrize("seed", SEEDS)
def test_every_invented_quote_is_flagged(said: tuple[Path, list[list[str]], random.Random]) -> None:
    folder, steps, rng = said
    quotes = []
    for _ in range(PER_SEED):
        own = rng.randrange(len(steps))
        quotes.append((own, written(rng, invented(rng, steps, own))))
    verified = flags(folder, quotes)
    assert [quote for quote, is_verified in zip(quotes, verified, strict=True) if is_verified] == []


@pytest.mark.parametrize("seed", SEEDS)
def test_no_true_quote_is_flagged_however_it_is_written(said: tuple[Path, list[list[str]], random.Random]) -> None:
    folder, steps, rng = said
    quotes = []
    for _ in range(PER_SEED):
        own = rng.randrange(len(steps))
        words = true(rng, steps, own)
        quotes.append((own, with_gap(rng, words) if rng.random() < 0.2 else written(rng, words)))
    verified = flags(folder, quotes)
    assert [quote for quote, is_verified in zip(quotes, verified, strict=True) if not is_verified] == []
