"""The arguments (kwargs) that an agent has: declared once, checked before anything starts, shown by `pieragent`."""

import json
import math
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from runs.errors import InputInvalid
from runs.formats.validation import nearest

Kind = Literal["text", "integer", "number", "boolean", "choice", "texts", "lines", "words", "object"]

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: what it means, which values it takes, and the CLI's own flag where it is merely passed on.

    `texts` is a list of texts (or one text with commas), `lines` the same (or one text of several lines), `words` the
    same (or one text that is split as a shell does), `object` a mapping or the text of one. `variable` is the
    environment variable of the runner that gives the value where the job doesn't.
    """

    name: str
    kind: Kind
    meaning: str
    default: Any = None
    choices: tuple[str, ...] = ()
    flag: str | None = None
    variable: str | None = None
    least: float | None = None


class AgentArgumentInvalid(InputInvalid):
    """A job gives an agent an argument that it does not have, or a value that the argument does not take."""

    def __init__(self, agent: str, argument: str, complaint: str) -> None:
        super().__init__(f"agent {agent!r}, argument {argument!r}: {complaint}")


def read_arguments(
    agent: str, declared: Iterable[Argument], given: Mapping[str, Any], environ: Mapping[str, str]
) -> dict[str, Any]:
    """The value of every declared argument: the job's, else the runner's variable, else the default.

    A null in a job means the default. Raises AgentArgumentInvalid.
    """
    arguments = {argument.name: argument for argument in declared}
    for name in given:
        if name not in arguments:
            near = nearest(name, arguments)
            hint = f"did you mean {near!r}?" if near else f"it has: {', '.join(sorted(arguments)) or 'none'}"
            raise AgentArgumentInvalid(agent, name, f"there is no such argument; {hint}")
    return {name: _value(agent, argument, given.get(name), environ) for name, argument in arguments.items()}


def flags_of(declared: Iterable[Argument], values: Mapping[str, Any]) -> list[str]:
    """The CLI flags of arguments that are merely passed on; a false or missing value gives none."""
    flags: list[str] = []
    for argument in declared:
        value = values.get(argument.name)
        if argument.flag is None or value is None or value is False:
            continue
        flags.append(argument.flag)
        if value is not True:
            flags.append(",".join(value) if isinstance(value, list) else _as_text(value))
    return flags


def _value(agent: str, argument: Argument, given: Any, environ: Mapping[str, str]) -> Any:
    value = given
    if value is None and argument.variable:
        value = environ.get(argument.variable) or None
    if value is None:
        return argument.default
    try:
        read = _READERS[argument.kind](value)
    except (TypeError, ValueError):
        raise AgentArgumentInvalid(agent, argument.name, f"{_shown(value)} is no {argument.kind}") from None
    if argument.choices and (read not in argument.choices):
        raise AgentArgumentInvalid(agent, argument.name, f"{_shown(value)} is none of {', '.join(argument.choices)}")
    if argument.least is not None and read < argument.least:
        raise AgentArgumentInvalid(agent, argument.name, f"{_shown(value)} is less than {argument.least:g}")
    return read


def _shown(value: Any) -> str:
    return repr(value)[:80]


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    return str(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise TypeError
    return int(value)


def _number(value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number):
        raise TypeError
    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(value)
    return word in _TRUE


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise TypeError
    return list(value)


def _lines(value: Any) -> list[str]:
    return [line for line in value.splitlines() if line.strip()] if isinstance(value, str) else _texts(value)


def _words(value: Any) -> list[str]:
    return shlex.split(value) if isinstance(value, str) else _texts(value)


def _object(value: Any) -> dict[str, Any]:
    parsed = json.loads(value) if isinstance(value, str) else value
    if not isinstance(parsed, dict):
        raise TypeError
    return parsed


_READERS: Final[dict[Kind, Callable[[Any], Any]]] = {
    "text": _text,
    "choice": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "texts": _texts,
    "lines": _lines,
    "words": _words,
    "object": _object,
}
