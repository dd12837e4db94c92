"""A container's network namespace, entered by a thread of the runner: to listen there, and to see that it is closed.

Possible for root on the machine of the engine; whether this process may is tried, never assumed.
"""

import array
import asyncio
import errno
import fcntl
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from runs.errors import SandboxFailed
from runs.sandboxes.egress.listener import BACKLOG

LOOPBACK: Final = "127.0.0.1"

_SIOCGIFFLAGS: Final = 0x8913
_IFF_UP: Final = 1
_INTERFACE_REQUEST_BYTES: Final = 40
_FLAGS_AT: Final = 16


class NamespaceClosedToUs(SandboxFailed):
    """The runner may not enter the namespaces of this engine's containers, or they are on another machine."""


class PortTaken(SandboxFailed):
    """Something in the container serves the port itself."""


async def listen_inside(
    pid: int, container_id: str, port: int, *, kind: socket.SocketKind = socket.SOCK_STREAM
) -> socket.socket:
    """A socket to serve on the loopback of the container. Raises NamespaceClosedToUs, PortTaken, SandboxFailed."""

    def bind() -> socket.socket:
        listening = socket.socket(type=kind)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((LOOPBACK, port))
            if kind is socket.SOCK_STREAM:
                listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            kind_of_failure = PortTaken if error.errno == errno.EADDRINUSE else SandboxFailed
            raise kind_of_failure(f"port {port} cannot be served inside the sandbox: {error.strerror}") from error
        return listening

    return await inside(pid, container_id, bind)


async def prove_closed(pid: int, container_id: str) -> None:
    """Raise SandboxFailed unless loopback is the only way that packets can take in the container."""
    ways = await inside(pid, container_id, _ways_out)
    if ways:
        raise SandboxFailed(f"the network should be closed, and the sandbox has a way out: {', '.join(ways)}")


async def inside[T](pid: int, container_id: str, function: Callable[[], T]) -> T:
    """Call `function` in the container's network namespace, in a thread that ends there and serves nothing else."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if outcome.cancelled():
            if isinstance(result, socket.socket):
                result.close()
        elif error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)  # type: ignore[arg-type] # without an error there is a result

    def enter() -> None:
        result, error = None, None
        try:
            _enter(pid, container_id)
            result = function()
        except BaseException as caught:  # noqa: BLE001 - it is raised where the answer is awaited
            error = caught
        loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=enter, name="egress-namespace", daemon=True).start()
    return await outcome


def descriptor_of(pid: int, container_id: str, name: str, flags: int = os.O_RDONLY) -> int:
    """Open /proc/PID/NAME, proven to be of a process of this container. Raises NamespaceClosedToUs."""
    try:
        descriptor = os.open(f"/proc/{pid}/{name}", flags | os.O_CLOEXEC)
    except OSError as error:
        raise NamespaceClosedToUs(f"process {pid} of the container: {error.strerror}") from error
    try:
        # The number is the engine's word, and the engine may be on another machine: only the process itself tells
        # whose it is. Read after the file was opened, so a number that is given anew cannot mislead.
        if container_id in Path(f"/proc/{pid}/mountinfo").read_text():
            return descriptor
        reason = "is not the container's: the engine is on another machine"
    except OSError as error:
        reason = f"of the container: {error.strerror}"
    os.close(descriptor)
    raise NamespaceClosedToUs(f"process {pid} {reason}")


def _enter(pid: int, container_id: str) -> None:
    if sys.platform != "linux" or not hasattr(os, "setns"):
        raise NamespaceClosedToUs("network namespaces are Linux's")
    namespace = descriptor_of(pid, container_id, "ns/net")
    try:
        if os.fstat(namespace).st_ino == Path("/proc/thread-self/ns/net").stat().st_ino:
            raise SandboxFailed("the container shares the network of the machine")
        os.setns(namespace, os.CLONE_NEWNET)
    except OSError as error:
        raise NamespaceClosedToUs(f"its network namespace: {error.strerror}") from error
    finally:
        os.close(namespace)


def _ways_out() -> list[str]:
    """Interfaces that are up, and routes, other than loopback's. A tunnel device that is down leads nowhere."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        names = [name for _, name in socket.if_nameindex() if name != "lo"]
        ways = [f"interface {name}" for name in names if _is_up(probe, name)]
    for table, header_lines, device_at in (("route", 1, 0), ("ipv6_route", 0, -1)):
        path = Path(f"/proc/thread-self/net/{table}")
        lines = path.read_text().splitlines()[header_lines:] if path.exists() else []
        ways += [f"a route by {line.split()[device_at]}" for line in lines if line.split()[device_at] != "lo"]
    return ways


def _is_up(probe: socket.socket, name: str) -> bool:
    request = array.array("B", name.encode().ljust(_INTERFACE_REQUEST_BYTES, b"\0"))
    fcntl.ioctl(probe, _SIOCGIFFLAGS, request)
    return bool(int.from_bytes(request[_FLAGS_AT : _FLAGS_AT + 2].tobytes(), sys.byteorder) & _IFF_UP)
