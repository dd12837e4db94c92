"""What a task says about the network, in either of its two spellings, as one policy per phase.

A policy comes only from keys that were understood; how it is enforced is the sandboxes' business.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from runs.formats.task import EnvironmentSection, TaskConfig, TaskStepConfig

Phase = Literal["environment", "agent", "verifier"]

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_MAX_HOST_LENGTH: Final = 253
_WITH_PORT: Final = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,5})")
_MAX_PORT: Final = 65535


class NetworkMode(StrEnum):
    """How far a sandbox reaches: nowhere, anywhere, or to named hosts."""

    CLOSED = "closed"
    OPEN = "open"
    ALLOWLIST = "allowlist"


# The spellings of task.toml.
_MODES: Final = {
    "no-network": NetworkMode.CLOSED,
    "public": NetworkMode.OPEN,
    "allowlist": NetworkMode.ALLOWLIST,
}


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """What a phase of a trial may reach; `allowed_hosts` only counts in the mode `allowlist`.

    A host is an exact name, `*.suffix`, an address, or a network in CIDR notation; `host:port` only where the job
    itself names it.
    """

    mode: NetworkMode
    allowed_hosts: tuple[str, ...] = ()

    def with_hosts(self, hosts: Iterable[str]) -> "NetworkPolicy":
        """The policy plus hosts that an agent or a job needs: a closed network becomes an allowlist of just those."""
        extra = tuple(dict.fromkeys((*self.allowed_hosts, *(clean_job_host(host) for host in hosts))))
        if self.mode is NetworkMode.OPEN or not extra:
            return self
        return NetworkPolicy(NetworkMode.ALLOWLIST, extra)


CLOSED: Final = NetworkPolicy(NetworkMode.CLOSED)
OPEN: Final = NetworkPolicy(NetworkMode.OPEN)


class _Spellings(Protocol):
    """A section of task.toml with the current spelling."""

    @property
    def network_mode(self) -> Literal["public", "no-network", "allowlist"] | None: ...
    @property
    def allowed_hosts(self) -> list[str] | None: ...


def resolve_network(config: "TaskConfig", phase: Phase, step: "TaskStepConfig | None" = None) -> NetworkPolicy:
    """The policy of a phase: the step's word, else the section's, else the environment's, else open as in Harbor.

    A `[verifier.environment]` that is silent takes `[environment]`'s word, never the default: a task that closed the
    one didn't mean the other to be open.
    """
    spoken: list[NetworkPolicy | None] = []
    if phase == "agent":
        spoken = [_policy_of(section) for section in (step and step.agent, config.agent) if section]
    elif phase == "verifier":
        spoken = _verifier_policies(config, step)
    spoken += [_environment_policy(config.environment), OPEN]
    return next(policy for policy in spoken if policy)


def check_spellings(mode: str | None, hosts: list[str] | None, *, allow_internet: bool | None = None) -> None:
    """Raise `ValueError` where a section's network keys contradict each other."""
    if hosts is not None and mode != "allowlist":
        raise ValueError("allowed_hosts needs network_mode = 'allowlist' beside it")
    if mode is not None and allow_internet is not None:
        spelled = "public" if allow_internet else "no-network"
        if mode != spelled:
            raise ValueError(f"allow_internet = {str(allow_internet).lower()} contradicts network_mode = {mode!r}")


def clean_host(entry: str) -> str:
    """An allowlist entry in lower case without a trailing dot; raises `ValueError` for what Harbor refuses.

    Accepted: an exact host name, `*.suffix`, an IPv4 or IPv6 address, a network whose host bits are zero.
    """
    host = entry.strip().lower()
    if not host:
        raise ValueError("an allowed host is empty")
    if "://" in host:
        raise ValueError(f"allowed host {entry!r} is a URL: give the host name alone")
    address = _address(host, entry)
    if address:
        return address
    name = host.removesuffix(".")
    suffix = name.removeprefix("*.")
    if "/" in name:
        raise ValueError(f"allowed host {entry!r} has a path: give the host name alone")
    if ":" in name:
        raise ValueError(f"allowed host {entry!r} has a port: give the host name alone")
    if "*" in suffix:
        raise ValueError(f"allowed host {entry!r}: a wildcard may only lead, as in '*.example.com'")
    labels = suffix.split(".")
    if len(name) > _MAX_HOST_LENGTH or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise ValueError(f"allowed host {entry!r} is not a host name")
    return name


def clean_job_host(entry: str) -> str:
    """An entry of a job: what a task may say, or an exact host or address with a port. Raises `ValueError`."""
    host, port = split_port(entry.strip())
    if port is None:
        return clean_host(entry)
    if not 0 < port <= _MAX_PORT:
        raise ValueError(f"allowed host {entry!r}: {port} is not a port")
    clean = clean_host(host)
    if "*" in clean or "/" in clean:
        raise ValueError(f"allowed host {entry!r}: a port needs one exact host before it")
    return f"[{clean}]:{port}" if ":" in clean else f"{clean}:{port}"


def split_port(entry: str) -> tuple[str, int | None]:
    """The host (an IPv6 address without its brackets) and the port of an entry; the port is None if none is named."""
    match = _WITH_PORT.fullmatch(entry)
    return (match["v6"] or match["host"], int(match["port"])) if match else (entry, None)


def _verifier_policies(config: "TaskConfig", step: "TaskStepConfig | None") -> list[NetworkPolicy | None]:
    """The nearer section first, and in a section its own word before that of its environment."""
    policies: list[NetworkPolicy | None] = []
    shared = False
    for section in (step and step.verifier, config.verifier):
        if section:
            shared = shared or section.environment_mode == "shared"
            policies.append(_policy_of(section))
            if section.environment and not shared:
                policies.append(_environment_policy(section.environment))
    return policies


def _policy_of(section: _Spellings) -> NetworkPolicy | None:
    if section.network_mode is None:
        return None
    return NetworkPolicy(_MODES[section.network_mode], tuple(section.allowed_hosts or ()))


def _environment_policy(environment: "EnvironmentSection") -> NetworkPolicy | None:
    policy = _policy_of(environment)
    if policy is None and environment.allow_internet is not None:
        return OPEN if environment.allow_internet else CLOSED
    return policy


def _address(host: str, entry: str) -> str | None:
    """The entry as an address or network, or None where it must be a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    base, slash, _ = host.partition("/")
    if not slash:
        return None
    try:
        ipaddress.ip_address(base)
    except ValueError:
        return None
    try:
        return str(ipaddress.ip_network(host, strict=True))
    except ValueError as error:
        raise ValueError(f"allowed host {entry!r} is not a network: {error}") from None
