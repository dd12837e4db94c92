"""Keeps secrets of a reviewed run out of what a critic gets: values that this process knows, and what looks like one.

Works on bytes that come piece by piece, in the time of reading them. `runs.formats.template` knows the secret names.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from runs.formats.template import MASK, looks_secret, redact, references

MIN_VALUE_CHARS: Final = 8
# No match of a pattern is longer: what is this close to the end of a piece waits for the next one.
HELD_BYTES: Final = 64 * 1024
# Names and values that are longer are no settings of anybody: they are not looked into, and a value goes as a whole.
MAX_NAME_CHARS: Final = 200
MAX_VALUE_CHARS: Final = 2_000

_ENV_TABLES: Final = frozenset({"env", "environ", "env_vars", "environment_variables", "extra_env", "headers"})
_HARMLESS: Final = re.compile(r"(?:true|false|yes|no|on|off|none|null|\d{1,6}(?:\.\d{1,6})?|)", re.IGNORECASE)
_SETTING: Final = re.compile(
    r"^([ \t]*(?:export[ \t]+)?[\"']?([\w.-]{1,200})[\"']?[ \t]*[=:][ \t]*)(\S.*)$", re.MULTILINE
)
_MASK: Final = MASK.encode()


# What stands between a name and its value, in shells and settings, JSON, and JSON inside of JSON.
_SEPARATOR: Final = r"\\{0,3}[\"']?[ \t]{0,4}[:=][ \t]{0,4}\\{0,3}[\"']?"
# A character of a value that has letters and digits.
_VALUE: Final = r"(?=[\w+/.~:@%-]{0,63}\d)(?=[\w+/.~:@%-]{0,63}[A-Za-z])[\w+/.~:=@%-]"


class _Pattern(NamedTuple):
    """What credentials of a kind look like. Only where `anchor` occurs is the pattern tried at all."""

    anchor: bytes
    pattern: re.Pattern[bytes]


class _Found(NamedTuple):
    """A match, and the part of it that is the secret."""

    start: int
    end: int
    secret: tuple[int, int]


def _token(prefix: str, rest: str) -> _Pattern:
    # The literal stands first, so that it is looked for as quickly as bytes can be; no letter may stand before it.
    text = re.escape(prefix)
    return _Pattern(prefix.encode(), re.compile(rf"{text}(?<!\w{text}){rest}".encode()))


def _assignment(word: str, least: int) -> _Pattern:
    """`..._KEY=value`, `"..._KEY": "value"`, also inside of a JSON string; the value has letters and digits."""
    text = rf"{re.escape(word)}[A-Z0-9_]{{0,64}}+(?<!PATH)(?<!FILE){_SEPARATOR}(?P<secret>{_VALUE}{{{least},4096}})"
    return _Pattern(word.encode(), re.compile(text.encode()))


_PATTERNS: Final = (
    *(_token(prefix, r"[\w-]{16,4096}") for prefix in ("sk-", "pk-", "rk-", "sk_live_", "rk_live_")),
    *(_token(f"gh{kind}_", r"\w{20,4096}") for kind in "pousr"),
    *(_token(f"xox{kind}-", r"[\w-]{10,4096}") for kind in "abprs"),
    *(_token(prefix, r"[0-9A-Z]{16}\b") for prefix in ("AKIA", "ASIA")),
    # Words may begin so too: only keys have digits.
    *(
        _token(prefix, r"(?=[\w-]{0,63}\d)[\w-]{20,4096}")
        for prefix in ("github_pat_", "glpat-", "hf_", "npm_", "pypi-", "ya29.", "ak-", "as-")
    ),
    _token("AIza", r"[\w-]{30,4096}"),
    _Pattern(b"eyJ", re.compile(rb"eyJ(?<![\w-]eyJ)[\w-]{10,8192}+\.[\w-]{10,8192}+\.[\w-]{0,8192}+")),
    _Pattern(b"earer", re.compile(rf"earer[ \t]{{1,8}}(?P<secret>{_VALUE}{{16,4096}})".encode())),
    _Pattern(
        b"uthorization",
        re.compile(
            rf"uthorization{_SEPARATOR}(?:[A-Za-z-]{{1,20}}[ \t]{{1,4}})?(?P<secret>{_VALUE}{{12,4096}})".encode()
        ),
    ),
    _Pattern(b"://", re.compile(rb"://[^/\s:@\"'\\]{0,256}:(?P<secret>[^/\s@\"'\\]{1,256})@")),
    _Pattern(b"://", re.compile(rb"://(?P<secret>[\w.~-]{20,256})@")),
    _Pattern(
        b"PRIVATE KEY-----",
        re.compile(rb"PRIVATE KEY-----(?P<secret>(?:[A-Za-z0-9+/=\s]|\\{1,2}[nrt]){20,16384}+)"),
    ),
    *(_assignment(word, 10) for word in ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL")),
    *(
        _assignment(word, 16)
        for word in ("api_key", "api-key", "apiKey", "access_token", "refresh_token", "client_secret", "secret_key")
    ),
)


class Masker:
    """Masks the known values and, where `by_look`, everything that looks like a credential."""

    def __init__(self, values: Iterable[str] = (), *, by_look: bool = True) -> None:
        spelled = {spelling for value in values if len(value) >= MIN_VALUE_CHARS for spelling in _spellings(value)}
        # The longest first: one may be the beginning of another.
        self._values = sorted(spelled, key=lambda value: (-len(value), value))
        self._patterns = _PATTERNS if by_look else ()
        self._held = max([HELD_BYTES, *(len(value) for value in self._values)])

    def without_looks(self) -> "Masker":
        """The same for texts in which only known values are to be masked."""
        other = Masker(by_look=False)
        other._values, other._held = self._values, self._held
        return other

    def finds(self, chunks: Iterable[bytes]) -> bool:
        """Whether there is anything to mask."""
        return any(has_found for _, has_found in self._pieces(chunks))

    def stream(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The bytes with `****` in place of each secret; memory: a piece and `HELD_BYTES`."""
        return (piece for piece, _ in self._pieces(chunks))

    def data(self, data: bytes) -> bytes:
        """The same of bytes that are in memory."""
        return b"".join(self.stream([data]))

    def text(self, text: str) -> str:
        """The same of a text."""
        return self.data(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def secrets_in(self, text: str) -> Iterator[str]:
        """What would be masked in a text."""
        data = text.encode("utf-8", "surrogateescape")
        for found in self._found(data):
            yield data[slice(*found.secret)].decode("utf-8", "surrogateescape")

    def _pieces(self, chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
        rest = b""
        for chunk in chunks:
            rest += chunk
            if len(rest) >= 2 * self._held:
                piece, rest, has_found = self._masked(rest, len(rest) - self._held)
                yield piece, has_found
        piece, _, has_found = self._masked(rest, len(rest))
        yield piece, has_found

    def _masked(self, data: bytes, end: int) -> tuple[bytes, bytes, bool]:
        """What lies before `end`, or before the matches that cross it, masked; then what is left."""
        matches = sorted(self._found(data))
        whole = end
        for match in reversed(matches):
            if match.start < end < match.end:
                end = match.start
        if not end and whole:
            # Matches over matches, all the way: nobody writes such a thing.
            return _MASK, data[len(data) :], True
        parts: list[bytes] = []
        at = 0
        for start, stop in sorted(match.secret for match in matches if match.end <= end):
            if stop > at:
                parts += [data[at:start], _MASK] if start >= at else []
                at = stop
        return b"".join([*parts, data[at:end]]), data[end:], bool(parts)

    def _found(self, data: bytes) -> Iterator[_Found]:
        for value in self._values:
            start = data.find(value)
            while start >= 0:
                yield _Found(start, start + len(value), (start, start + len(value)))
                start = data.find(value, start + len(value))
        for anchor, pattern in self._patterns:
            if anchor in data:
                for match in pattern.finditer(data):
                    yield _Found(match.start(), match.end(), match.span(1 if pattern.groups else 0))


def known_secrets(configs: Iterable[Any] = (), environ: Mapping[str, str] | None = None) -> set[str]:
    """Values of the environment (by default this process's) that are secrets: by name, by look, or because a
    configuration refers to the variable where a secret belongs.
    """
    host = os.environ if environ is None else environ
    by_look = Masker()
    named = {name for config in configs for name in _secret_references(config)}
    found: set[str] = set()
    for name, value in host.items():
        if looks_secret(name) or name in named:
            found |= {value, value.strip()}
        else:
            found.update(by_look.secrets_in(value))
    return {value for value in found if len(value) >= MIN_VALUE_CHARS and not _HARMLESS.fullmatch(value)}


def masked_record(value: Any, *, name: str = "", in_env: bool = False) -> Any:
    """A JSON value whose texts under secret names, and in tables of variables, are masked; references stay."""
    if isinstance(value, Mapping):
        inner = in_env or name.lower() in _ENV_TABLES
        return {key: masked_record(item, name=str(key)[:MAX_NAME_CHARS], in_env=inner) for key, item in value.items()}
    if isinstance(value, list):
        if name.lower() in _ENV_TABLES:
            return [_masked_entry(item) for item in value]
        return [masked_record(item, name=name, in_env=in_env) for item in value]
    return _masked_value(value, name, in_env=in_env) if isinstance(value, str) else value


def masked_settings(text: str, *, all_values: bool = False) -> str:
    """The text of a file of `name = value` or `name: value` lines with values under secret names masked, or all."""

    def replaced(match: re.Match[str]) -> str:
        return match[1] + _masked_value(match[3], match[2], in_env=all_values)

    return _SETTING.sub(replaced, text)


def _masked_entry(item: Any) -> Any:
    """An entry `NAME=value` of a list of variables."""
    if not isinstance(item, str):
        return masked_record(item, in_env=True)
    name, sign, value = item.partition("=")
    return name + sign + _masked_value(value, name[:MAX_NAME_CHARS], in_env=True) if sign else item


def _masked_value(value: str, name: str, *, in_env: bool) -> str:
    if not (in_env or looks_secret(name)):
        return value
    if len(value) > MAX_VALUE_CHARS:
        return MASK
    if _HARMLESS.fullmatch(value.strip()):
        return value
    # Under a name of ours whatever is no reference is a secret.
    return redact({"secret": value}, {})["secret"]


def _secret_references(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secret_references(item, str(key)[:MAX_NAME_CHARS])
    elif isinstance(value, list):
        for item in value:
            yield from _secret_references(item, name)
    elif isinstance(value, str) and looks_secret(name) and len(value) <= MAX_VALUE_CHARS:
        yield from references(value)


def _spellings(value: str) -> Iterator[bytes]:
    """A value as files may have it: as it is, inside of JSON, in an address."""
    for text in (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], quote(value, safe="")):
        yield text.encode("utf-8", "surrogateescape")
