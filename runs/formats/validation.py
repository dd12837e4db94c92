"""What the file models share: which keys nobody knows, which key was probably meant, and one sentence per mistake.

It knows pydantic models, not what any of their keys mean.
"""

import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveNumber = Annotated[float, Field(gt=0, allow_inf_nan=False)]

_MAX_COMPARED = 40  # a longer key is nobody's slip of the finger


@dataclass(frozen=True, slots=True)
class UnknownKey:
    """A key that no model has: where it stands (`environment.cpu`), its name, its value, and the keys known there."""

    path: str
    key: str
    value: Any
    known: tuple[str, ...]

    @property
    def nearest(self) -> str | None:
        """The known key that was most likely meant, if any is close."""
        return nearest(self.key, self.known)

    def sentence(self) -> str:
        """The finding in words for people."""
        meant = f", did you mean {self.nearest!r}?" if self.nearest else ""
        return f"unknown key {shortened(self.path)!r}{meant}"


def unknown_keys(model: type[BaseModel], data: Any, *, path: str = "") -> Iterator[UnknownKey]:
    """Every key of a parsed file that the model and the models inside it don't have."""
    if not isinstance(data, Mapping):
        return
    fields = _fields_by_key(model)
    for key, value in data.items():
        here = f"{path}.{key}" if path else str(key)
        if key not in fields:
            yield UnknownKey(here, str(key), value, tuple(fields))
            continue
        for inner in fields[key]:
            entries = enumerate(value) if isinstance(value, list) else [(None, value)]
            for number, entry in entries:
                yield from unknown_keys(inner, entry, path=here if number is None else f"{here}[{number}]")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is at most a third of its length away in single edits."""
    scored = sorted((edit_distance(word.lower(), other.lower()), other) for other in known)
    if scored and scored[0][0] <= max(1, len(scored[0][1]) // 3):
        return scored[0][1]
    return None


def edit_distance(left: str, right: str) -> int:
    """How many insertions, deletions, substitutions or swaps of neighbours turn one word into the other."""
    if abs(len(left) - len(right)) > _MAX_COMPARED or min(len(left), len(right)) > _MAX_COMPARED:
        return max(len(left), len(right))
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        before, above, row = row, before, [i]
        for j, b in enumerate(right, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, above[j - 2] + 1)
            row.append(cost)
    return row[-1]


def problems_of(error: ValidationError) -> list[str]:
    """Each mistake that pydantic found as `path: what is wrong`, in the order of the file."""
    return [f"{shortened(_place(item['loc']))}: {_complaint(item)}" for item in error.errors(include_url=False)]


def first_problem(error: ValidationError) -> str:
    """The first mistake, and how many others there are."""
    first, *others = problems_of(error)
    return f"{first} (and {len(others)} more)" if others else first


def shortened(text: str, limit: int = 120) -> str:
    """Text for a message: cut, and without control characters."""
    cut = text if len(text) <= limit else f"{text[:limit]}…"
    return "".join(c if c.isprintable() else "�" for c in cut)


def _place(location: tuple[int | str, ...]) -> str:
    place = ""
    for part in location:
        place += f"[{part}]" if isinstance(part, int) else f".{part}"
    return place.lstrip(".") or "the file"


def _complaint(item: Mapping[str, Any]) -> str:
    if item["type"] == "missing":
        return "is required"
    said: str = item["msg"]
    said = said.removeprefix("Value error, ").removeprefix("Input should be ")
    value = item["input"]
    if item["type"] == "value_error" or not isinstance(value, str | int | float):
        return shortened(said, 300)
    expected = said if said == item["msg"] else f"should be {said}"
    shown = repr(value[:60]) if isinstance(value, str) else repr(value)
    return f"{shortened(expected, 300)}, not {shortened(shown, 60)}"


def _fields_by_key(model: type[BaseModel]) -> dict[str, list[type[BaseModel]]]:
    """The keys that a file may use for the model's fields, each with the models that may stand under it."""
    legacy: Mapping[str, str] = getattr(model, "legacy_keys", {})
    fields = {name: list(_models_in(field.annotation)) for name, field in model.model_fields.items()}
    elsewhere: tuple[str, ...] = getattr(model, "elsewhere", ())
    return fields | {old: fields.get(new, []) for old, new in legacy.items()} | {key: [] for key in elsewhere}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType, list, Annotated):
        for argument in get_args(annotation):
            yield from _models_in(argument)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
