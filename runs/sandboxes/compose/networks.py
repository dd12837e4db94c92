"""The networks of one trial of several containers. What services share is always closed; what is open is beside it.

Each network of the file becomes an internal one on which the machine has no address. Where the policy is open,
the containers are on one more network, that leads out, and leave it when the policy closes.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

import docker.errors

from runs.errors import SandboxFailed
from runs.formats.network import NetworkMode, NetworkPolicy
from runs.sandboxes.base import SandboxSpec
from runs.sandboxes.compose.model import MAIN, ComposeFile, Service
from runs.sandboxes.compose.proof import Suspects, machine_addresses, prove_enclosed, shut_ears
from runs.sandboxes.docker import engine_name, labels_of
from runs.sandboxes.egress.container import ContainerNetwork
from runs.sandboxes.egress.doors import Door
from runs.sandboxes.egress.listener import Handler
from runs.sandboxes.engine import Engine

# The machine gets no address on the bridge; an internal network alone leaves it reachable there.
CLOSED_OPTIONS: Final = {"com.docker.network.bridge.inhibit_ipv4": "true"}
# Services meet on their own networks only.
OUTSIDE_OPTIONS: Final = {"com.docker.network.bridge.enable_icc": "false"}
# No network of a file has such a name.
OUTSIDE: Final = "_outside"
# An address of documentation, where no name server is: the engine's resolver knows the services and asks nobody else.
NO_NAME_SERVER: Final = "192.0.2.1"
ENGINES_RESOLVER: Final = "127.0.0.11"
OWN_ADDRESS: Final = "127.0.0.1"
RESOLVER_OPTIONS: Final = ("timeout:1", "attempts:1")
# As engines say it, older and newer.
NO_ADDRESSES_LEFT: Final = ("non-overlapping", "fully subnetted")


class TrialNetworks:
    """The engine's networks of one trial, and which of its containers are on them."""

    def __init__(self, engine: Engine, compose: ComposeFile, spec: SandboxSpec) -> None:
        self._engine = engine
        self._compose = compose
        self._labels = labels_of(spec)
        self._prefix = engine_name(spec.name)
        self._made: list[str] = []
        self._inner: dict[str, dict[str, Any]] = {}
        self._machine: tuple[str, ...] = ()
        self._containers: dict[str, str] = {}
        self.is_open = spec.network.mode is NetworkMode.OPEN
        self.began_open = self.is_open

    async def make(self) -> None:
        """Create the networks. Raises SandboxFailed."""
        bridge: dict[str, Any] = {}
        with suppress(SandboxFailed):  # an engine may have none
            bridge = await self._engine.call(self._engine.api.inspect_network, "bridge")
        self._machine = tuple(machine_addresses(bridge))
        for network in self._compose.networks:
            made = await self._create(network, is_internal=True)
            if not made.get("Internal") or not CLOSED_OPTIONS.items() <= (made.get("Options") or {}).items():
                raise SandboxFailed("this engine makes no internal networks without an address of the machine")
            self._inner[network] = made
            if not self.is_open or network in self._compose.internal:
                await shut_ears(self._engine, made, self._labels)
        if self.is_open:
            await self._create(OUTSIDE, is_internal=False)

    async def _create(self, network: str, *, is_internal: bool) -> dict[str, Any]:
        name = self.name_of(network)
        creation = asyncio.ensure_future(self._engine.call(self._create_now, name, is_internal=is_internal))
        try:
            made = await asyncio.shield(creation)
        except asyncio.CancelledError:
            with suppress(SandboxFailed):
                await creation
                self._made.append(name)
            raise
        except SandboxFailed as error:
            if any(words in str(error) for words in NO_ADDRESSES_LEFT):
                raise SandboxFailed(
                    "the engine has no addresses left for another network: run fewer trials at a time (-n), "
                    "or give it smaller `default-address-pools` in daemon.json"
                ) from error
            raise
        self._made.append(name)
        return made

    def _create_now(self, name: str, *, is_internal: bool) -> dict[str, Any]:
        api = self._engine.api
        options = CLOSED_OPTIONS if is_internal else OUTSIDE_OPTIONS
        made = api.create_network(
            name, driver="bridge", internal=is_internal, options=dict(options), labels=self._labels
        )
        return dict(api.inspect_network(made["Id"]))

    def name_of(self, network: str) -> str:
        """The engine's name for a network of the file."""
        return f"{self._prefix}_{network}"

    @property
    def service_names(self) -> list[str]:
        """All names by which services find each other."""
        services = self._compose.services
        aliases = [alias for service in services for item in service.networks for alias in item.aliases]
        return list(dict.fromkeys([*(service.name for service in services), *aliases]))

    def is_enclosed(self, service: Service) -> bool:
        """Whether the service is to reach nothing but the others."""
        return not (self.is_open and self._compose.reaches_out(service))

    def adapt(self, service: Service, host_options: dict[str, Any], options: dict[str, Any]) -> None:
        """Put a container that is about to be created on its first network, and keep it from asking name servers."""
        api, first = self._engine.api, service.networks[0]
        host_options["network_mode"] = self.name_of(first.network)
        endpoint = api.create_endpoint_config(aliases=[service.name, *first.aliases])
        options["networking_config"] = cast("Any", api).create_networking_config(
            {self.name_of(first.network): endpoint}
        )
        if self.is_enclosed(service):
            host_options["dns"] = [NO_NAME_SERVER]
            host_options["dns_opt"] = list(RESOLVER_OPTIONS)

    async def attach(self, container_id: str, service: Service) -> None:
        """Before the container's first start, put it on the rest of its networks."""
        connect = self._engine.api.connect_container_to_network
        for item in service.networks[1:]:
            names = [service.name, *item.aliases]
            await self._engine.call(connect, container_id, self.name_of(item.network), aliases=names)
        if not self.is_enclosed(service):
            await self._engine.call(connect, container_id, self.name_of(OUTSIDE))
        self._containers[service.name] = container_id

    async def set_open(self, *, is_open: bool) -> None:
        """Put every container whose networks the file leaves open on the network that leads out, or take them off it.

        After it closed, each that runs is proven closed. Raises SandboxFailed.
        """
        if is_open == self.is_open:
            return
        api, outside = self._engine.api, self.name_of(OUTSIDE)
        if is_open and outside not in self._made:
            await self._create(OUTSIDE, is_internal=False)
        self.is_open = is_open
        reaching = [
            (self._compose.service(name), container)
            for name, container in self._containers.items()
            if self._compose.reaches_out(self._compose.service(name))
        ]
        change: Callable[..., object] = (
            api.connect_container_to_network if is_open else api.disconnect_container_from_network
        )
        await asyncio.gather(*(self._engine.call(change, container, outside) for _, container in reaching))
        if not is_open:
            for network in self._inner.values():
                await shut_ears(self._engine, network, self._labels)
            running = [pair for pair in reaching if pair[0].name != MAIN and await self._is_running(pair[1])]
            await asyncio.gather(*(self.prove(container, service) for service, container in running))

    async def _is_running(self, container_id: str) -> bool:
        state: dict[str, Any] = await self._engine.call(self._engine.api.inspect_container, container_id)
        return bool(state["State"]["Running"])

    async def prove(self, container_id: str, service: Service) -> None:
        """Raise SandboxFailed unless the container reaches nothing but the others of its networks."""
        inner = [self._inner[item.network]["IPAM"]["Config"][0] for item in service.networks]
        gateways = tuple(str(part["Gateway"]).partition("/")[0] for part in inner if part.get("Gateway"))
        # Where names are asked of nobody there is nothing to find out, and a question takes its time.
        suspects = Suspects(gateways, self._machine, asks_resolver=self.began_open)
        try:
            await prove_enclosed(self._engine, container_id, suspects)
        except SandboxFailed as error:
            raise SandboxFailed(f"service {service.name!r}: {error}") from error

    async def remove(self) -> None:
        """Remove the networks, once no container is on them."""
        made, self._made = self._made, []
        self._containers = {}
        for name in made:
            with suppress(docker.errors.NotFound):
                await self._engine.call(_remove_network, self._engine, name)


def _remove_network(engine: Engine, name: str) -> None:
    with suppress(docker.errors.NotFound):
        engine.api.remove_network(name)


class ServiceNetwork(ContainerNetwork):
    """What one container of a trial reaches: the others, and what its policy allows beside them."""

    def __init__(
        self, engine: Engine, policy: NetworkPolicy, log: Path | None, networks: TrialNetworks, service: Service
    ) -> None:
        super().__init__(engine, policy, log)
        self._networks = networks
        self._service = service

    @property
    def engine_mode(self) -> str:
        return self._networks.name_of(self._service.networks[0].network)

    async def attach(self, container_id: str) -> None:
        await self._networks.attach(container_id, self._service)

    async def up(self, container_id: str) -> None:
        await super().up(container_id)
        if self.policy.mode is not NetworkMode.OPEN:
            return
        if self._networks.is_enclosed(self._service):
            await self._networks.prove(container_id, self._service)
        elif self._resolver and not self._served:
            # The engine writes its own resolv.conf at each start.
            await self._settle(container_id)

    def _allowlist_handlers(self) -> dict[int, Handler]:
        """The proxy is not asked for the services."""
        handlers = super()._allowlist_handlers()
        direct = ",".join(self._networks.service_names)
        self.variables = {
            name: f"{value},{direct}" if name.upper() == "NO_PROXY" else value for name, value in self.variables.items()
        }
        return handlers

    async def _move(self, container_id: str, policy: NetworkPolicy) -> None:
        is_open = policy.mode is NetworkMode.OPEN
        await self._networks.set_open(is_open=is_open)
        if is_open and not self._networks.began_open:
            self._resolver = resolver_text(name_servers_of_the_machine())

    def _direct_resolver(self) -> str:
        """The engine's resolver knows the services, and is asked before the one that knows the allowed names."""
        return resolver_text([OWN_ADDRESS])

    async def _close_off(self, container_id: str, door: Door) -> None:
        await self._networks.prove(container_id, self._service)
        if self._resolver:
            await door.restore_resolver(resolver_text([]))


def resolver_text(servers: Sequence[str]) -> str:
    """A resolv.conf by which the services' names are asked for first, and then, a second later, all others."""
    lines = [f"nameserver {server}" for server in (ENGINES_RESOLVER, *servers)]
    return "\n".join([*lines, f"options ndots:0 {' '.join(RESOLVER_OPTIONS)}", ""])


def name_servers_of_the_machine() -> list[str]:
    """For a container that began closed, and so without name servers, and is open now."""
    try:
        lines = Path("/etc/resolv.conf").read_text(errors="replace").splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    servers = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]
    return [server for server in servers if not server.startswith(("127.", "::1"))]
