"""What calls of models cost: a table of prices per token, in the format of LiteLLM's model registry.

Pure but for reading a file. A price is only ever named with the table that it comes from.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Self

from runs.agents.conversion.usage import Usage
from runs.errors import FileUnreadable
from runs.formats.reading import JsonInvalid, parse_json, read_text
from runs.indexing.values import amount, mapping

LIST_PRICES: Final = Path(__file__).with_name("list_prices.json")
MAX_TABLE_BYTES: Final = 16 * 1024 * 1024
ABOUT: Final = "_about"

_ABOVE: Final = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")
_DATED: Final = re.compile(r"[-@]\d{4}-?\d{2}-?\d{2}$")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per token, for prompts of more than `above_tokens`."""

    above_tokens: int
    input_usd: float
    output_usd: float
    cache_read_usd: float
    cache_write_usd: float

    def cost_usd(self, usage: Usage) -> float:
        """What one call costs; what is unknown of its use counts nothing."""
        return (
            (usage.uncached_tokens or 0) * self.input_usd
            + (usage.cache_read_tokens or 0) * self.cache_read_usd
            + (usage.cache_write_tokens or 0) * self.cache_write_usd
            + (usage.output_tokens or 0) * self.output_usd
        )


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by model, and what to call the table where a cost is shown."""

    name: str
    models: Mapping[str, tuple[Price, ...]]

    @classmethod
    def read(cls, path: Path) -> Self:
        """The table in a file: `{model: {input_cost_per_token, output_cost_per_token, …}}`.

        Raises FileUnreadable; an entry without prices is passed over, a table without any is an error.
        """
        try:
            data = parse_json(read_text(path, MAX_TABLE_BYTES))
        except JsonInvalid as error:
            raise FileUnreadable(path, str(error)) from None
        if not isinstance(data, dict):
            raise FileUnreadable(path, "a price table is an object of models")
        about = mapping(data.pop(ABOUT, None))
        models = {name.lower(): prices for name, entry in data.items() if (prices := _prices(mapping(entry)))}
        # A name without its provider means the model wherever it is served, unless the table has that name itself.
        for name in list(models):
            models.setdefault(name.rpartition("/")[2], models[name])
        if not models:
            raise FileUnreadable(path, "no entry has input_cost_per_token and output_cost_per_token")
        told = [str(about[key]) for key in ("origin", "dated") if key in about]
        return cls(", ".join(told) or path.name, models)

    def with_table(self, other: "PriceTable | None") -> "PriceTable":
        """This table, and another's prices for the models that it has."""
        if other is None:
            return self
        return PriceTable(f"{other.name}; else {self.name}", {**self.models, **other.models})

    def cost_usd(self, model: str | None, usage: Usage) -> float | None:
        """What one call costs; None where the model is not in the table or nothing is known of its use."""
        prices = next((found for name in names_of(model) if (found := self.models.get(name))), None)
        if prices is None or (usage.input_tokens is None and usage.output_tokens is None):
            return None
        size = usage.input_tokens or 0
        return max((price for price in prices if size >= price.above_tokens), key=lambda p: p.above_tokens).cost_usd(
            usage
        )


def names_of(model: str | None) -> Iterator[str]:
    """The names under which a table may have a model: as it is, without its providers, without its date."""
    name = (model or "").strip().lower()
    while name:
        yield name
        if _DATED.search(name):
            yield _DATED.sub("", name)
        _, slash, rest = name.partition("/")
        name = rest if slash else ""


@cache
def list_prices() -> PriceTable:
    """The dated table that comes with Pier Site."""
    return PriceTable.read(LIST_PRICES)


def _prices(entry: Mapping[str, Any]) -> tuple[Price, ...]:
    base = _price(entry, 0, "")
    if base is None:
        return ()
    steps = sorted(int(match[1]) for key in entry if (match := _ABOVE.fullmatch(key)))
    higher = [_price(entry, kilo * 1000 + 1, f"_above_{kilo}k_tokens") for kilo in steps]
    return (base, *(price for price in higher if price))


def _price(entry: Mapping[str, Any], above: int, ending: str) -> Price | None:
    def of(name: str) -> float | None:
        found = amount(entry.get(f"{name}{ending}"))
        return found if found is not None else amount(entry.get(name))

    given, taken = of("input_cost_per_token"), of("output_cost_per_token")
    if given is None or taken is None:
        return None
    read, write = of("cache_read_input_token_cost"), of("cache_creation_input_token_cost")
    # Who names no price for the cache bills it as input.
    return Price(above, given, taken, given if read is None else read, given if write is None else write)
