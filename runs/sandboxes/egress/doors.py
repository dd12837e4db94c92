"""The two ways into a container's network: through its namespace, or from outside, through the engine alone."""

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from runs.errors import SandboxFailed
from runs.sandboxes.egress.listener import Handler, Listener, Served
from runs.sandboxes.egress.names import NAME_PORT, NameServer
from runs.sandboxes.egress.namespace import inside, listen_inside, prove_closed
from runs.sandboxes.egress.relay import RelayContainer
from runs.sandboxes.engine import Engine


class Door(ABC):
    """A way into the network of one running container; a restart of the container needs a new one."""

    @abstractmethod
    async def prove_closed(self) -> None:
        """Raise SandboxFailed unless loopback is the container's only way."""

    @abstractmethod
    async def clear_resolver(self) -> str:
        """Take the machine's name servers out of the container's resolv.conf, and return its text.

        In a closed network they answer nothing and only tell where the container runs.
        """

    @abstractmethod
    async def restore_resolver(self, text: str) -> None:
        """Give the container back what was taken out."""

    @abstractmethod
    async def listen(self, port: int, handler: Handler) -> Served:
        """Serve a port of the container's loopback. Raises SandboxFailed."""

    async def answer_names(self, is_named: Callable[[str], bool]) -> Served | None:
        """Answer the container's questions for names, as `names.py` does; None where that cannot be done."""
        return None

    async def close(self) -> None:
        """Let go of what the door itself holds; listeners are closed on their own."""
        return


class NamespaceDoor(Door):
    """For root on the machine of the engine: a thread enters the namespace. It costs about a millisecond."""

    def __init__(self, pid: int, container_id: str, resolver: Path) -> None:
        self._pid = pid
        self._container_id = container_id
        self._resolver = resolver

    @classmethod
    async def open(cls, pid: int, container_id: str, resolver: Path) -> "NamespaceDoor":
        """Raises NamespaceClosedToUs where this process may not enter."""
        await inside(pid, container_id, lambda: None)
        return cls(pid, container_id, resolver)

    async def prove_closed(self) -> None:
        await prove_closed(self._pid, self._container_id)

    async def clear_resolver(self) -> str:
        try:
            text = self._resolver.read_text()
            self._resolver.write_text("")
        except OSError:
            return ""
        return text

    async def restore_resolver(self, text: str) -> None:
        with suppress(OSError):
            self._resolver.write_text(text)

    async def listen(self, port: int, handler: Handler) -> Listener:
        return Listener(await listen_inside(self._pid, self._container_id, port), handler)

    async def answer_names(self, is_named: Callable[[str], bool]) -> NameServer:
        asked = await listen_inside(self._pid, self._container_id, NAME_PORT, kind=socket.SOCK_DGRAM)
        return NameServer(asked, is_named)


# Only what a shell has built in: small images lack much.
WAYS_OUT = """
while IFS=': ' read -r name rest; do
  case "$name" in lo|Inter-*|face|'') ;; *) echo "interface $name" ;; esac
done < /proc/net/dev
while read -r name rest; do
  case "$name" in lo|Iface|'') ;; *) echo "a route by $name" ;; esac
done < /proc/net/route
"""
TAKE_RESOLVER = """
while IFS= read -r line; do printf '%s\\n' "$line"; done < /etc/resolv.conf
: > /etc/resolv.conf
"""


class OutsideDoor(Door):
    """For a runner that may not enter the namespace: commands in the container, and a relay beside it where needed."""

    def __init__(self, engine: Engine, container_id: str, labels: Mapping[str, str]) -> None:
        self._engine = engine
        self._container_id = container_id
        self._labels = labels
        self._relay: RelayContainer | None = None

    async def prove_closed(self) -> None:
        found = await self._engine.call(self._run, WAYS_OUT)
        if found:
            ways = ", ".join(found.splitlines())
            raise SandboxFailed(f"the network should be closed, and the sandbox has a way out: {ways}")

    async def clear_resolver(self) -> str:
        return await self._engine.call(self._run, TAKE_RESOLVER)

    async def restore_resolver(self, text: str) -> None:
        await self._engine.call(self._run, "printf '%s\\n' \"$0\" > /etc/resolv.conf", text)

    async def listen(self, port: int, handler: Handler) -> Served:
        if self._relay is None:
            self._relay = await RelayContainer.start(self._engine, self._container_id, self._labels)
        return await self._relay.listen(port, handler)

    async def close(self) -> None:
        relay, self._relay = self._relay, None
        if relay:
            await relay.remove()

    def _run(self, script: str, argument: str = "") -> str:
        api = self._engine.api
        prepared = api.exec_create(self._container_id, ["/bin/sh", "-c", script, argument], user="root")
        output = api.exec_start(prepared["Id"])
        if api.exec_inspect(prepared["Id"])["ExitCode"]:
            raise SandboxFailed("the network of the sandbox could not be looked at")
        return bytes(output).decode(errors="replace").strip()
