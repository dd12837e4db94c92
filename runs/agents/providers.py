"""A provider of models as agents declare it: its variables and its hosts. Each agent has a table of its own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from runs.agents.hosts import host_entry

_PLACE: Final = re.compile(r"\{([A-Z_]+)(?::([a-z0-9-]*))?\}")
# What may fill a place in a host's name.
_LABEL: Final = re.compile(r"[A-Za-z0-9-]{1,63}")


@dataclass(frozen=True, slots=True)
class Provider:
    """`credentials` are variables of which it needs one or more, `settings` others that its SDK reads.

    `hosts` are its own, with `{VARIABLE}` or `{VARIABLE:default}` for parts that the environment gives. `base_urls`
    are variables that lead its SDK to another address.
    """

    credentials: tuple[str, ...]
    hosts: tuple[str, ...] = ()
    base_urls: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    @property
    def variables(self) -> tuple[str, ...]:
        """All that its SDK reads."""
        return (*self.credentials, *self.base_urls, *self.settings)

    def base_url(self, env: Mapping[str, str]) -> str | None:
        """The address that the environment gives."""
        return next((env[name] for name in self.base_urls if env.get(name)), None)

    def hosts_of(self, env: Mapping[str, str]) -> list[str]:
        """The host of the address that the environment gives, else its own; one with a part missing is left out."""
        entry = host_entry(self.base_url(env))
        return [entry] if entry else [host for pattern in self.hosts if (host := _filled(pattern, env))]


def runner_variables(used: list[Provider], env: Mapping[str, str]) -> set[str]:
    """The variables of the runner that may go to these providers.

    Of a provider for which the job gives a variable itself, none is the runner's: it would go to the job's gateway.
    """
    return {name for provider in used if not set(provider.variables).intersection(env) for name in provider.variables}


def _filled(pattern: str, env: Mapping[str, str]) -> str | None:
    values = [env.get(name) or default for name, default in _PLACE.findall(pattern)]
    if not all(_LABEL.fullmatch(value) for value in values):
        return None
    given = iter(values)
    return _PLACE.sub(lambda _: next(given), pattern)
