"""Ways out of a network that should lead nowhere, looked for from inside of one of its containers.

Runs in a thread of the runner or in a container of its own, and so imports nothing of the project; Python 3.9 or later.
"""

import os
import select
import socket
import sys
import time
from collections.abc import Iterable, Sequence

# A port that nobody serves: a machine that is reached answers that it is closed.
PORT = 9
WAIT_SEC = 0.4
# Broadcast, and the group of all hosts: a machine hears both without having an address.
EVERYBODY = ("255.255.255.255", "224.0.0.1")
RESOLVER = ("127.0.0.11", 53)
IN_PROGRESS = 115
REFUSED = 111
ANSWERED = (0, 3)  # DNS: the name is there, or is known not to be there


def ways_out(
    gateways: Sequence[str], addresses: Sequence[str], *, asks_resolver: bool, call: "tuple[int, bytes] | None" = None
) -> list[str]:
    """What answers that should not: the bridge's address on the machine, the machine's other ones, names' servers.

    `gateways` are the addresses that the engine reserved for itself on the container's networks. `call` is sent to
    everybody: a port and what is to be said there, where who asks is listening. Takes 0.4 s.
    """
    if call:
        _call_everybody(*call)
    found = [f"an IPv6 address on {name}" for name in _interfaces_with_ipv6()]
    probes = {address: _connecting(address) for address in dict.fromkeys([*gateways, *addresses])}
    question = _asking() if asks_resolver else None
    deadline = time.monotonic() + WAIT_SEC
    waiting = {probe for probe in probes.values() if probe}
    while waiting and (left := deadline - time.monotonic()) > 0:
        _, ready, _ = select.select([], list(waiting), [], left)
        waiting -= set(ready)
    for address, probe in probes.items():
        if probe is None:
            continue
        error = probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if probe not in waiting and error in (0, REFUSED):
            found.append(f"the machine answers at {address}")
        probe.close()
    found += [f"the machine has the address {address} on it" for address in _neighbours() if address in gateways]
    if question and _is_answered(question):
        found.append("names of the internet are looked up")
    return found


def _call_everybody(port: int, words: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for address in EVERYBODY:
            try:
                caller.sendto(words, (address, port))
            except OSError:
                continue


def _interfaces_with_ipv6() -> Iterable[str]:
    try:
        with open("/proc/thread-self/net/if_inet6") as file:  # noqa: PTH123 - see the module
            lines = file.read().splitlines()
    except OSError:
        return []
    return sorted({name for line in lines if (name := line.split()[-1]) != "lo"})


def _connecting(address: str) -> "socket.socket | None":
    probe = socket.socket()
    probe.setblocking(False)
    if probe.connect_ex((address, PORT)) in (0, IN_PROGRESS, REFUSED):
        return probe
    probe.close()
    return None


def _neighbours() -> Iterable[str]:
    """Addresses on the container's networks that somebody answered for."""
    with open("/proc/thread-self/net/arp") as file:  # noqa: PTH123 - see the module
        lines = [line.split() for line in file.read().splitlines()[1:]]
    return [line[0] for line in lines if int(line[2], 16) & 2]


def _asking() -> socket.socket:
    """A question to the engine's resolver for a name that nobody has asked for before."""
    question = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    name = b"".join(bytes([len(label)]) + label for label in (os.urandom(8).hex().encode(), b"example", b"com"))
    question.connect(RESOLVER)
    question.send(b"\x07\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + name + b"\0\0\x01\0\x01")
    return question


def _is_answered(question: socket.socket) -> bool:
    with question:
        question.settimeout(WAIT_SEC)
        try:
            answer = question.recv(512)
        except OSError:
            return False
    return len(answer) > 3 and (answer[3] & 15) in ANSWERED


if __name__ == "__main__":
    gateways, addresses, asks, port, words = sys.argv[1:6]
    said = (int(port), words.encode())
    for way in ways_out(gateways.split(), addresses.split(), asks_resolver=bool(asks), call=said):
        sys.stdout.write(f"{way}\n")
