"""Serves the site from this process with uvicorn, for `pierview`: checks the address, binds it, stops gracefully."""

import ipaddress
import os
import socket
from dataclasses import dataclass
from types import FrameType

from django.conf import settings

from runs.errors import InputInvalid

# With requests still open the server waits this long after Ctrl+C, then it goes.
GRACE_SEC = 3


@dataclass(frozen=True, slots=True)
class Address:
    """Where the site listens. `port` is the real one, also when 0 was asked for."""

    listener: socket.socket
    host: str
    port: int

    @property
    def url(self) -> str:
        """The site's address without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_host(host: str) -> None:
    """Raise InputInvalid when the site would be open to others in a state that is only for its own machine."""
    if is_loopback(host):
        return
    if settings.DEBUG:
        raise InputInvalid(
            f"{host} can be reached from other machines: unset PIER_DEBUG first, its pages show internals"
        )
    if not os.environ.get("PIER_ALLOWED_HOSTS"):
        raise InputInvalid(f"{host} can be reached from other machines: set PIER_ALLOWED_HOSTS to the site's names")


def listen(host: str, port: int) -> Address:
    """Bind and listen, so that a port in use is known before anything else is done.

    Raises:
        InputInvalid: the port is taken, not allowed, or the host is not one of this machine.
    """
    if not 0 <= port <= 65535:
        raise InputInvalid(f"{port} is no port: choose one from 1 to 65535 with --port, or 0 for a free one")
    listener = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(128)
    except OSError as error:
        if listener:
            listener.close()
        reason = f"cannot listen on {host} port {port} ({error.strerror or error})"
        raise InputInvalid(f"{reason}: choose another with --port") from error
    return Address(listener, host, listener.getsockname()[1])


def serve(address: Address) -> None:
    """Serve until Ctrl+C or a SIGTERM; returns within GRACE_SEC and a moment of it."""
    import uvicorn

    from pier_site.asgi import application
    from viewer.live.watcher import watcher

    class Server(uvicorn.Server):
        """Ends live streams first: they would be open until GRACE_SEC is over."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            watcher.close()
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        application,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=GRACE_SEC,
    )
    try:
        Server(config).run(sockets=[address.listener])
    except KeyboardInterrupt:
        pass  # uvicorn has stopped and raises the signal again for its caller
    finally:
        address.listener.close()
