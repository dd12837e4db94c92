"""What an allowlist permits: which host names and ports a sandbox may ask for, and which addresses may be dialled."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from runs.formats.network import split_port

Scheme = Literal["http", "https"]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

DEFAULT_PORTS: Final[dict[Scheme, int]] = {"http": 80, "https": 443}
# The engine's own name for the machine that it runs on.
MACHINE_NAME: Final = "host.docker.internal"

_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_MAX_NAME_LENGTH: Final = 253
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
# Global by its number, and yet the metadata service of a cloud (Azure).
_METADATA: Final = frozenset({ipaddress.ip_address("168.63.129.16")})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One host and one port that the job names itself; it may lie on this machine or in its own network."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether a program in the sandbox would look for it on the sandbox's own loopback."""
        address = address_of(self.host)
        return self.host == "localhost" or bool(address and address.is_loopback)


@dataclass(frozen=True, slots=True)
class Permit:
    """A request that the allowlist lets through. `may_be_local`: the job named exactly this host and port."""

    may_be_local: bool


class Allowlist:
    """The entries of a policy: names, `*.suffix`, addresses and networks at the default ports, and endpoints."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._names: set[str] = set()
        self._suffixes: list[str] = []
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self.endpoints: set[Endpoint] = set()
        for entry in entries:
            self._add(entry)

    def _add(self, entry: str) -> None:
        host, port = split_port(entry)
        if port is not None:
            self.endpoints.add(Endpoint(host, port))
        elif entry.startswith("*."):
            self._suffixes.append(entry.removeprefix("*"))
        elif address_of(entry.partition("/")[0]):
            self._networks.append(ipaddress.ip_network(entry))
        else:
            self._names.add(entry)

    def permit(self, host: str, port: int, scheme: Scheme) -> Permit | None:
        """What a normalised host and port may do, or None where no entry speaks of them."""
        if Endpoint(host, port) in self.endpoints:
            return Permit(may_be_local=True)
        if port == DEFAULT_PORTS[scheme] and self._names_host(host):
            return Permit(may_be_local=False)
        return None

    def names(self, host: str) -> bool:
        """Whether any entry names the host, at whatever port; for a reason that helps."""
        return self._names_host(host) or any(endpoint.host == host for endpoint in self.endpoints)

    def _names_host(self, host: str) -> bool:
        address = address_of(host)
        if address:
            return any(address in network for network in self._networks)
        return host in self._names or any(host.endswith(suffix) for suffix in self._suffixes)


def normal_host(text: str) -> str:
    """A host as it stands in a request, in lower case, without a trailing dot or brackets. Raises ValueError.

    Other spellings of addresses (decimal, hexadecimal, short) are no hosts.
    """
    if text.startswith("[") and text.endswith("]"):
        return str(ipaddress.IPv6Address(text[1:-1]))
    address = address_of(text)
    if address:
        if address.version == 6:
            raise ValueError("an IPv6 address needs brackets")
        return str(address)
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > _MAX_NAME_LENGTH or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise ValueError("not a host name")
    return name


def address_of(text: str) -> Address | None:
    """The text as an address, or None."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Whether the address is out in the internet, seen through the ways in which IPv6 wraps IPv4 addresses."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour or address.teredo:
            return False
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return address.is_global and not address.is_multicast and address not in _METADATA
