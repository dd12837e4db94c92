"""The network of one container: closed and proven so, open, or closed with an allowlist proxy served inside it.

It must be settled again after each start of the container, which gives it a new namespace.
"""

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from runs.errors import SandboxFailed
from runs.formats.network import NetworkMode, NetworkPolicy
from runs.sandboxes.egress.carry import forwarder
from runs.sandboxes.egress.doors import Door, NamespaceDoor, OutsideDoor
from runs.sandboxes.egress.journal import Journal
from runs.sandboxes.egress.listener import Handler, Served, raise_file_limit
from runs.sandboxes.egress.names import OWN_RESOLVER
from runs.sandboxes.egress.namespace import NamespaceClosedToUs, PortTaken
from runs.sandboxes.egress.proxy import TLS_PORT, EgressProxy
from runs.sandboxes.egress.rules import Allowlist
from runs.sandboxes.egress.variables import PROXY_PORT, proxy_variables
from runs.sandboxes.engine import Engine

TOKEN_BYTES = 24


class ContainerNetwork:
    """What a container reaches, and what is served on its loopback."""

    def __init__(self, engine: Engine, policy: NetworkPolicy, log: Path | None) -> None:
        self.engine = engine
        self.policy = policy
        self.variables: Mapping[str, str] = {}
        """What commands need in their environment to reach the allowed hosts; it holds the token."""
        self._journal = Journal(log)
        self._served: dict[int, Handler] = {}
        self._listeners: list[Served] = []
        self._proxy: EgressProxy | None = None
        self._door: Door | None = None
        self._resolver = ""

    @property
    def engine_mode(self) -> str:
        """The engine's name for the network that the container is attached to."""
        return engine_network(self.policy)

    async def attach(self, container_id: str) -> None:
        """Before its first start, put a container on the networks that `engine_mode` does not name."""
        return

    async def up(self, container_id: str) -> None:
        """Settle the network of a container that has just started. Raises SandboxFailed if it is not as asked."""
        await self.down()
        if self.policy.mode is NetworkMode.OPEN and not self._served:
            return
        await self._settle(container_id)

    async def down(self) -> None:
        """Serve nothing any more, and hold nothing of the container's namespace; before it stops or restarts."""
        listeners, self._listeners = self._listeners, []
        await asyncio.gather(*(listener.close() for listener in listeners))
        if self._proxy:
            self._proxy.close()
        if self._door:
            await self._door.close()
        self._proxy = self._door = None
        self.variables = {}

    async def change(self, container_id: str, policy: NetworkPolicy) -> None:
        """Put another policy in force. Raises SandboxFailed, and then nothing is reachable that was not before."""
        if policy == self.policy:
            return
        await self.down()
        await self._move(container_id, policy)
        self.policy = policy
        if policy.mode is not NetworkMode.OPEN or self._served or self._resolver:
            await self._settle(container_id)

    async def serve(self, container_id: str | None, port: int, handler: Handler) -> None:
        """Serve `port` on the container's loopback, now if it runs and after each of its starts."""
        self._served[port] = handler
        if container_id is None:
            return
        if self._door is None:
            self._door = await self._enter(container_id)
        self._listeners.append(await self._door.listen(port, handler))

    def check(self) -> None:
        """Raise SandboxFailed if something that was served ended by itself: the sandbox was cut off, not the agent."""
        for listener in self._listeners:
            if listener.failure:
                raise SandboxFailed(f"the network inside the sandbox is no longer served: {listener.failure}")

    async def _move(self, container_id: str, policy: NetworkPolicy) -> None:
        """Put a running container on the engine's network for a policy."""
        now, wanted = engine_network(self.policy), engine_network(policy)
        if now != wanted:
            await self.engine.call(self.engine.api.disconnect_container_from_network, container_id, now)
            await self.engine.call(self.engine.api.connect_container_to_network, container_id, wanted)

    async def _close_off(self, container_id: str, door: Door) -> None:
        """Prove that the network is closed. Raises SandboxFailed if it is not."""
        await door.prove_closed()
        found = await door.clear_resolver()
        self._resolver = self._resolver if found == OWN_RESOLVER else found or self._resolver

    async def _settle(self, container_id: str) -> None:
        door = self._door = await self._enter(container_id)
        if self.policy.mode is not NetworkMode.OPEN:
            await self._close_off(container_id, door)
        elif self._resolver:
            await door.restore_resolver(self._resolver)
        handlers = dict(self._served)
        if self.policy.mode is NetworkMode.ALLOWLIST:
            handlers |= self._allowlist_handlers()
        for port, handler in handlers.items():
            self._listeners.append(await door.listen(port, handler))
        if self._proxy:
            await self._open_direct(door, self._proxy)

    async def _open_direct(self, door: Door, proxy: EgressProxy) -> None:
        """For programs that ask no proxy: allowed names are at the container's own loopback, and so is their TLS.

        Where a service that the agent left has one of the ports, there is the proxy alone.
        """
        with suppress(PortTaken):
            names = await door.answer_names(proxy.is_direct)
            if names is None:
                return
            self._listeners.append(names)
            self._listeners.append(await door.listen(TLS_PORT, proxy.handle_tls))
            await door.restore_resolver(self._direct_resolver())

    def _direct_resolver(self) -> str:
        """The resolv.conf by which allowed names are asked of our own name server."""
        return OWN_RESOLVER

    def _allowlist_handlers(self) -> dict[int, Handler]:
        raise_file_limit()
        allowlist = Allowlist(self.policy.allowed_hosts)
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._proxy = EgressProxy(allowlist, self._journal, token=token)
        self.variables = proxy_variables(token)
        loopback = [endpoint for endpoint in allowlist.endpoints if endpoint.is_loopback]
        if taken := next((endpoint.port for endpoint in loopback if endpoint.port in (PROXY_PORT, TLS_PORT)), None):
            raise SandboxFailed(f"an allowed host on this machine has port {taken}, which the proxy needs inside")
        return {
            PROXY_PORT: self._proxy.handle,
            **{endpoint.port: forwarder(endpoint, self._journal) for endpoint in loopback},
        }

    async def _enter(self, container_id: str) -> Door:
        state: dict[str, Any] = await self.engine.call(self.engine.api.inspect_container, container_id)
        pid = int(state["State"]["Pid"])
        if not pid:
            raise SandboxFailed("the container ended as soon as it had started")
        with suppress(NamespaceClosedToUs):
            return await NamespaceDoor.open(pid, container_id, Path(state["ResolvConfPath"]))
        return OutsideDoor(self.engine, container_id, state["Config"]["Labels"])


def engine_network(policy: NetworkPolicy) -> str:
    """The engine's network for a policy. An allowlist is a closed network with a proxy inside."""
    return "bridge" if policy.mode is NetworkMode.OPEN else "none"
