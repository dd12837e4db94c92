"""Variables in the values of a compose file, in compose's forms: $NAME, ${NAME}, ${NAME:-default} and so on."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

Lookup = Callable[[str], str | None]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR: Final = re.compile(r":?[-?+]")
_MAX_DEPTH: Final = 20
_MAX_CHARS: Final = 256 * 1024


class SubstitutionInvalid(ValueError):
    """A value refers to a variable in a form that compose does not have, or to one that it says must be set."""


class Substitution:
    """Replaces references in a whole document. `unset` are the variables that became an empty text."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._left = _MAX_CHARS
        self.unset: dict[str, None] = {}

    def tree(self, value: Any) -> Any:
        """The value with every text in it replaced; keys are left as they are. Raises SubstitutionInvalid."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.tree(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.tree(item) for item in value]
        return value

    def text(self, value: str, depth: int = 0) -> str:
        """One text with its references replaced; `$$` is a dollar sign. Raises SubstitutionInvalid."""
        if depth > _MAX_DEPTH:
            raise SubstitutionInvalid("defaults of variables are nested too deeply")
        parts: list[str] = []
        position = 0
        while (dollar := value.find("$", position)) >= 0:
            parts.append(value[position:dollar])
            replaced, position = self._reference(value, dollar + 1, depth)
            parts.append(replaced)
        parts.append(value[position:])
        text = "".join(parts)
        # What variables hold may be long, and one value may name them a thousand times.
        self._left -= len(text)
        if self._left < 0:
            raise SubstitutionInvalid(f"with its variables the file is longer than {_MAX_CHARS:,} characters")
        return text

    def _reference(self, value: str, start: int, depth: int) -> tuple[str, int]:
        """What stands for the reference after a dollar sign, and where the text goes on."""
        if value.startswith("$", start):
            return "$", start + 1
        if bare := _NAME.match(value, start):
            return self._value(bare[0]), bare.end()
        name = _NAME.match(value, start + 1) if value.startswith("{", start) else None
        if name is None:
            raise SubstitutionInvalid(f"{value[start - 1 : start + 30]!r} is no reference (write $$ for a dollar sign)")
        end = _closing(value, name.end())
        operator = _OPERATOR.match(value, name.end(), end)
        if operator is None:
            if name.end() != end:
                raise SubstitutionInvalid(f"{value[start - 1 : end + 1][:60]!r} is no reference")
            return self._value(name[0]), end + 1
        return self._with_operator(name[0], operator[0], value[operator.end() : end], depth), end + 1

    def _with_operator(self, name: str, operator: str, word: str, depth: int) -> str:
        found = self._lookup(name)
        is_given = bool(found) if operator.startswith(":") else found is not None
        match operator[-1]:
            case "-":
                return found or "" if is_given else self.text(word, depth + 1)
            case "+":
                return self.text(word, depth + 1) if is_given else ""
        if not is_given:
            raise SubstitutionInvalid(f"the variable {name} must be set: {word[:200]}")
        return found or ""

    def _value(self, name: str) -> str:
        found = self._lookup(name)
        if found is None:
            self.unset[name] = None
        return found or ""


def _closing(value: str, start: int) -> int:
    """Where the brace that is open at `start` is closed."""
    depth, position = 1, start
    while position < len(value):
        if value.startswith("${", position):
            depth += 1
            position += 1
        elif value[position] == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    raise SubstitutionInvalid(f"{value[max(0, start - 20) : start + 20]!r}: a brace is not closed")
