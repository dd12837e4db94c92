"""`${VAR}` references in configuration values, and how secrets are kept out of what is written.

A value is resolved only at the moment it enters a process; everywhere else it stays a reference.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from runs.errors import InputInvalid

MASK: Final = "****"

_REFERENCE: Final = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
_SECRET_NAME: Final = re.compile(
    r"KEY|SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|AUTH(?!OR(?!I))|HEADERS|COOKIE|(?:^|_)PAT$", re.IGNORECASE
)
# Names that count tokens or point at a file, not ones that hold a credential.
_HARMLESS_NAME: Final = re.compile(r"(?:^|_)(?:MAX|MIN|NUM|N)_(?:[A-Z0-9]+_)*TOKENS$|_PATH$", re.IGNORECASE)
_SECRET_VALUE: Final = re.compile(
    r"\b(?:sk|pk|rk)-[\w-]{16,}|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bAKIA[0-9A-Z]{16}\b|\bAIza[\w-]{30,}"
    r"|\bxox[abprs]-[\w-]{10,}|(?<![\w-])eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*|\bBearer\s+[\w.~+/-]{16,}|://[^/\s:@]+:[^/\s@]+@"
)
_PLACEHOLDERS: Final = frozenset({"", "none", "null", "dummy", "empty", "not-used", "unused", "fake", "test", "x"})
# What may stand around the references of a credential: a word that names the scheme, and separators.
_SCHEMES: Final = re.compile(r"(?:[A-Za-z-]{1,20}:)?\s*(?:Bearer|Basic|Token|Api-?Key)?[\s:,;-]*", re.IGNORECASE)


class VariableMissing(InputInvalid):
    """A value refers to an environment variable that is not set and gives no default."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        super().__init__(f"not set in the environment: {', '.join(names)}; export it or write ${{NAME:-default}}")


def resolve(value: str, environ: Mapping[str, str]) -> str:
    """The value with each `${VAR}` and `${VAR:-default}` in it replaced; a set but empty variable counts as set.

    What a variable holds is not expanded again. Raises `VariableMissing` with all the names that are missing.
    """
    missing = missing_variables([value], environ)
    if missing:
        raise VariableMissing(missing)
    end = _end_of_references(value)
    return _REFERENCE.sub(lambda match: environ.get(match["name"], match["default"] or ""), value[:end]) + value[end:]


def _references(value: str) -> Iterator[re.Match[str]]:
    return _REFERENCE.finditer(value, 0, _end_of_references(value))


def _end_of_references(value: str) -> int:
    # Behind the last brace there is none, and to look for many that never end takes time by the square of them.
    return value.rfind("}") + 1


def resolve_all(values: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Each value resolved, raising `VariableMissing` once with the missing names of all of them."""
    missing = missing_variables(values.values(), environ)
    if missing:
        raise VariableMissing(missing)
    return {name: resolve(value, environ) for name, value in values.items()}


def references(value: str) -> list[str]:
    """The names of the variables that a value refers to, in order."""
    return [match["name"] for match in _references(value)]


def missing_variables(values: Iterable[str], environ: Mapping[str, str]) -> list[str]:
    """The variables that the values need and nobody gives, each once, sorted."""
    return sorted(
        {
            match["name"]
            for value in values
            for match in _references(value)
            if match["default"] is None and match["name"] not in environ
        }
    )


def looks_secret(name: str) -> bool:
    """Whether a variable, header or argument of this name is expected to hold a credential."""
    return bool(_SECRET_NAME.search(name)) and not _HARMLESS_NAME.search(name)


def holds_literal_secret(name: str, value: str) -> bool:
    """Whether a value under a secret-looking name has credentials in it beside references and words like `Bearer`."""
    return looks_secret(name) and bool(value.strip()) and _without_literals(value) != value


def redact(env: Mapping[str, str], environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The mapping as it may be written to a file: references stay, literal secrets go.

    A literal secret becomes `${NAME}` where the host (`environ`, by default this process's) has the same value under
    some name, so that the file can be run again; otherwise `****`. Defaults of references to secrets go too.
    """
    host = os.environ if environ is None else environ
    return {name: _redacted(name, value, host) for name, value in env.items()}


def redact_tree(value: Any, environ: Mapping[str, str] | None = None, *, name: str = "") -> Any:
    """A JSON-like value with every text in it redacted under the nearest key: for free-form arguments."""
    if isinstance(value, Mapping):
        return {key: redact_tree(item, environ, name=str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_tree(item, environ, name=name) for item in value]
    if isinstance(value, str):
        return _redacted(name, value, os.environ if environ is None else environ)
    return value


def _redacted(name: str, value: str, host: Mapping[str, str]) -> str:
    if not looks_secret(name):
        return _SECRET_VALUE.sub(lambda match: _reference_for(name, match[0], host), value)
    if value.strip().lower() in _PLACEHOLDERS:
        return value
    if not any(_references(value)):
        return _reference_for(name, value, host)
    return _without_literals(value)


def _reference_for(name: str, secret: str, host: Mapping[str, str]) -> str:
    if host.get(name) == secret:
        return f"${{{name}}}"
    same = sorted(other for other, value in host.items() if value == secret and _REFERENCE.fullmatch(f"${{{other}}}"))
    return f"${{{same[0]}}}" if same else MASK


def _without_literals(value: str) -> str:
    """A secret made of references: the words that only introduce it (`Bearer`) stay, other literals are masked."""
    parts: list[str] = []
    end = 0
    for match in _references(value):
        parts += [_masked(value[end : match.start()]), f"${{{match['name']}{':-' if match['default'] == '' else ''}}}"]
        end = match.end()
    return "".join([*parts, _masked(value[end:])])


def _masked(literal: str) -> str:
    return literal if _SCHEMES.fullmatch(literal) else MASK
